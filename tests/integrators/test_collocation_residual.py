"""The residual of a collocation step in Fourier space is the defect of its mode equations."""

from __future__ import annotations

import pytest
import torch
from one_step_cases import F64

from ddg_explorer.integrators.collocation import (
    Collocation,
    Collocation2,
    Collocation4,
    Collocation6,
)
from ddg_explorer.integrators.collocation_general import mode_equation
from ddg_explorer.integrators.collocation_stepper import CollocationStepper
from ddg_explorer.systems import SYSTEMS


@pytest.mark.parametrize("scheme", [Collocation2, Collocation6])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("preset", list(SYSTEMS["wave"].presets))
def test_the_residual_of_a_linear_wave_is_its_true_defect(
    preset: str, dtype: torch.dtype, scheme: type[Collocation]
) -> None:
    """Rounding times Δt‖GQ‖, which an iteration whose map does not depend on a cannot see."""
    system, exact = (SYSTEMS["wave"](preset, dtype=kind) for kind in (dtype, F64))
    reported = true = torch.zeros((), dtype=F64)
    rounding = torch.finfo(dtype).eps * float(system.initial(0).abs().max())
    for dt in (0.02, 2.0, 200.0):
        stepper = scheme(adaptive=False).stepper(system)
        assert isinstance(stepper, CollocationStepper)
        equation = mode_equation(exact, stepper.s, stepper.equation.k)
        u, found, expected = system.initial(0), [], []
        for _ in range(8):
            step = stepper.step(u, dt)
            assert bool(step.converged), step.reason
            assert stepper.modes is not None
            found.append(step.residual.double())
            defect = equation.defect(u.double()[None], stepper.modes.double(), dt)
            expected.append(defect.abs().max())
            u = step.value
        reported, true = torch.stack(found).max(), torch.stack(expected).max()
        slack = 8 * rounding
        assert true / 2 - slack <= reported <= 4 * true + slack
    assert true > 100 * rounding


def test_the_residual_of_every_member_is_taken_at_its_own_modes() -> None:
    """Members freeze at different iterations: some of the last evaluation was elsewhere."""
    system = SYSTEMS["kdv"]("two_solitons", n=64)
    u = torch.stack([1e-3 * system.initial(1), system.initial(0)])
    stepper = Collocation4(adaptive=False, tol=1e-4).stepper(system)
    assert isinstance(stepper, CollocationStepper)
    step = stepper.step(u, 0.02)
    assert step.iterations[0] != step.iterations[1]
    assert stepper.modes is not None
    true = stepper.equation.defect(u, stepper.modes, 0.02).abs().amax(1)
    assert torch.allclose(step.residual, true, rtol=1e-3, atol=1e-13)
