"""The residual of a step in Fourier space is the defect of its equation at the state it returns."""

from __future__ import annotations

import pytest
import torch
from one_step_cases import F64
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.discrete_gradient import DiscreteGradient
from ddg_explorer.integrators.implicit_midpoint import ImplicitMidpoint
from ddg_explorer.integrators.one_step import OneStep
from ddg_explorer.systems import SYSTEMS

STEPS = 12


def true_defect(scheme: OneStep, dynamics: Dynamics, v: Tensor, u: Tensor, dt: float) -> Tensor:
    """max|v − u − Δt Ḡ ḡ(v, u)| in real space, (*batch,)."""
    defect = v - u - dt * scheme.slope(dynamics, v, u, dt)
    return defect.abs().flatten(-len(dynamics.state_shape)).amax(-1)


def both(
    scheme: OneStep, name: str, preset: str, dtype: torch.dtype, dt: float
) -> tuple[Tensor, Tensor]:
    """Reported residuals and true defects, evaluated in float64, of the steps of a run."""
    system, exact = (SYSTEMS[name](preset, dtype=kind) for kind in (dtype, F64))
    stepper, u = scheme.stepper(system), system.initial(0)
    reported, true = [], []
    for _ in range(STEPS):
        step = stepper.step(u, dt)
        assert bool(step.converged.all()), step.reason
        reported.append(step.residual.double())
        true.append(true_defect(scheme, exact, step.value.double(), u.double(), dt))
        u = step.value
    return torch.stack(reported), torch.stack(true)


@pytest.mark.parametrize("scheme", [DiscreteGradient, ImplicitMidpoint])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("preset", list(SYSTEMS["wave"].presets))
def test_the_residual_of_a_linear_wave_is_its_true_defect(
    preset: str, dtype: torch.dtype, scheme: type[DiscreteGradient | ImplicitMidpoint]
) -> None:
    """Rounding times Δt‖GQ‖, which an iteration whose map does not depend on v cannot see."""
    size = float(SYSTEMS["wave"](preset).initial(0).abs().max())
    rounding = torch.finfo(dtype).eps * size
    for dt in (0.02, 2.0, 200.0):
        reported, true = both(scheme(), "wave", preset, dtype, dt)
        # float64 is checked by float64: its rounding counts where Δt is small
        slack = 8 * rounding if dtype == F64 else rounding
        assert reported.max() + slack >= true.max() / 2
        assert (reported + slack >= true / 3).all()
        assert reported.max() <= 4 * true.max() + slack
    assert true.max() > 10 * rounding


@pytest.mark.parametrize("name", ["kdv", "cahn_hilliard"])
def test_the_residual_of_a_nonlinear_field_in_float32_is_its_true_defect(name: str) -> None:
    preset = {"kdv": "two_solitons", "cahn_hilliard": "published"}[name]
    dt = SYSTEMS[name](preset).dt
    reported, true = both(DiscreteGradient(), name, preset, torch.float32, dt)
    assert reported.max() >= true.max() / 2
    assert reported.max() <= 4 * true.max()


def test_the_residual_of_every_member_is_taken_at_its_own_state() -> None:
    """Members freeze at different iterations: some of the last evaluation was elsewhere."""
    system = SYSTEMS["kdv"]("two_solitons", n=64)
    gentle, rough = 1e-3 * system.initial(1), system.initial(0)
    u = torch.stack([gentle, rough])
    scheme = DiscreteGradient(tol=1e-4)
    step = scheme.stepper(system).step(u, 0.02)
    assert step.iterations[0] != step.iterations[1]
    true = true_defect(scheme, system, step.value, u, 0.02)
    assert torch.allclose(step.residual, true, rtol=1e-3, atol=1e-14)


def test_the_residual_of_newton_steps_is_taken_at_their_state() -> None:
    system = SYSTEMS["cahn_hilliard_2d"](n=24, gamma=5e-4)
    u = system.initial(seed=1, batch=2)
    scheme = DiscreteGradient(solver="krylov", tol=1e-3)
    step = scheme.stepper(system).step(u, 2e-3)
    true = true_defect(scheme, system, step.value, u, 2e-3)
    assert torch.allclose(step.residual, true, rtol=1e-3, atol=1e-12)
