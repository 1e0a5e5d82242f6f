"""ETDRK4: its coefficients against high precision, its order, its agreement with collocation."""

from __future__ import annotations

import mpmath
import pytest
import torch
from torch import Tensor

from ddg_explorer.diagnostics import order_slope
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.grids import Grid
from ddg_explorer.integrators.collocation import Collocation8
from ddg_explorer.integrators.etdrk4 import ETDRK4, phi_functions, phi_matrices
from ddg_explorer.structure import CentralDerivative, StateDependent
from ddg_explorer.systems import SYSTEMS, System

SMOOTH = {
    "kdv": lambda: SYSTEMS["kdv"]("cosine", operator="spectral", n=64, beta=-0.004),
    "cahn_hilliard": lambda: SYSTEMS["cahn_hilliard"](
        operator="spectral", n=12, length=1.0, gamma=2e-3
    ),
}
SPAN = {"kdv": 0.4, "cahn_hilliard": 0.02}


def start(name: str, system: System) -> Tensor:
    """A smooth state that the grid resolves to rounding."""
    if name == "kdv":
        return system.initial()
    assert system.grid is not None
    x = 2 * torch.pi * system.grid.coordinates()[0]
    return (0.5 * torch.sin(x) + 0.3 * torch.cos(2 * x + 1))[None]


def advance(dynamics: Dynamics, u: Tensor, t: float, steps: int) -> Tensor:
    stepper = ETDRK4().stepper(dynamics)
    for _ in range(steps):
        step = stepper.step(u, t / steps)
        assert step.converged.all()
        u = step.value
    return u


def exact_phi(j: int, z: complex) -> mpmath.mpc:
    if z == 0:
        return 1 / mpmath.factorial(j)
    value = mpmath.exp(z)
    for i in range(j):
        value = (value - 1 / mpmath.factorial(i)) / z
    return value


def test_phi_functions_are_accurate_for_every_size_and_direction() -> None:
    sizes = torch.tensor([0, 1e-12, 1e-4, 0.1, 0.5, 0.999, 1.0, 1.001, 2.0, 30.0, 1e4])
    z = torch.cat([sizes.to(torch.complex128) * d for d in (-1, 1j, -1j, (-1 + 1j) / 2**0.5)])
    values = phi_functions(z)
    with mpmath.workdps(50):
        for j, phi in enumerate(values):
            for got, at in zip(phi.tolist(), z.tolist(), strict=True):
                want = exact_phi(j, mpmath.mpc(at))
                # eᶻ rounds its argument: relative to |z| ulps
                scale = max(abs(want), 1e-300) if j else max(1, abs(at))
                assert abs(mpmath.mpc(got) - want) <= 2e-15 * scale


def test_phi_of_real_arguments_is_real() -> None:
    z = torch.linspace(-5, 0.5, 12, dtype=torch.float64)
    for real, complex_ in zip(phi_functions(z), phi_functions(z + 0j), strict=True):
        assert real.dtype == torch.float64
        assert torch.allclose(real, complex_.real, rtol=1e-15, atol=0)


def test_phi_matrices_agree_with_the_scalar_functions() -> None:
    lam = torch.tensor([[-0.3, 1e-6, -40.0], [0.2, -2.0, -0.9]], dtype=torch.float64)
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    z = torch.einsum("ij,jk,lj->ilk", turn, lam, turn)
    for matrix, scalar in zip(phi_matrices(z, 1), phi_functions(lam), strict=True):
        want = torch.einsum("ij,jk,lj->ilk", turn, scalar, turn)
        assert (matrix - want).abs().max() < 1e-14


@pytest.mark.parametrize("name", list(SMOOTH))
def test_order_four_and_agreement_with_collocation(name: str) -> None:
    system = SMOOTH[name]()
    u, t = start(name, system), SPAN[name]
    reference = Collocation8(tol=1e-13, rtol=1e-12).stepper(system).step(u, t)
    assert reference.converged
    counts = (40, 80, 160, 320)
    errors = [float((advance(system, u, t, n) - reference.value).abs().max()) for n in counts]
    slope = order_slope([t / n for n in counts], errors, floor=1e-12)
    assert slope == pytest.approx(4, abs=0.3)
    assert errors[-1] < 1e-7


def test_the_linear_part_is_exact() -> None:
    wave = SYSTEMS["wave"]("travelling")
    u = advance(wave, wave.initial(), 3.0, 2)
    assert (u - wave.exact(3.0)).abs().max() < 1e-12
    assert abs(wave.energy(u) / wave.energy(wave.initial()) - 1) < 1e-12


def test_mass_is_kept_and_energy_is_not() -> None:
    system = SYSTEMS["kdv"]("two_solitons", n=128)
    u = system.initial()
    v = advance(system, u, 2.0, 100)
    mass = system.mass(v)
    assert mass is not None
    assert (mass - system.mass(u)).abs().max() < 1e-12
    assert abs(system.energy(v) - system.energy(u)) / system.energy_scale > 1e-8


@pytest.mark.parametrize("name", ["kdv", "cahn_hilliard", "wave"])
def test_batch_equals_single_trajectories(name: str) -> None:
    system = SYSTEMS[name](n=48)
    u = system.initial(batch=3)
    together = advance(system, u, 5 * system.dt, 5)
    for row in range(3):
        assert (together[row] - advance(system, u[row], 5 * system.dt, 5)).abs().max() < 1e-13


def test_the_stencil_operator_has_symbols_too() -> None:
    system = SYSTEMS["kdv"]("published", operator="finite_difference")
    u = system.initial()
    reference = Collocation8(tol=1e-13, rtol=1e-11).stepper(system).step(u, 0.02).value
    assert (advance(system, u, 0.02, 400) - reference).abs().max() < 1e-9


def test_float32() -> None:
    states = {}
    for dtype in (torch.float32, torch.float64):
        system = SYSTEMS["kdv"]("soliton", dtype=dtype)
        states[dtype] = advance(system, system.initial(), 0.5, 100)
    assert states[torch.float32].dtype == torch.float32
    assert (states[torch.float32] - states[torch.float64]).abs().max() < 1e-4


def test_instability_is_flagged() -> None:
    system = SYSTEMS["cahn_hilliard_2d"](n=32, operator="spectral")
    stepper, u = ETDRK4().stepper(system), 100 * system.initial()
    reasons = []
    for _ in range(20):
        step = stepper.step(u, 0.1)
        u = step.value
        reasons.append(step.reason)
        if not step.converged:
            break
    assert "not finite" in reasons[-1]


GRID = Grid.of(8, 1.0, 1)


@pytest.mark.parametrize(
    ("dynamics", "missing"),
    [
        (SYSTEMS["pendulum"](), "needs a field on a periodic grid; Pendulum has none"),
        (
            System(lambda u: GRID.integral(u.square()).sum(-1), CentralDerivative(GRID)),
            r"System does not declare `quadratic_symbol\(\)`",
        ),
        (
            SYSTEMS["kdv"](n=8, structure=StateDependent(lambda g, u: u * g)),
            r"needs a G that is a convolution; StateDependent declares no `symbol\(\)`",
        ),
    ],
)
def test_without_symbols_it_is_refused(dynamics: Dynamics, missing: str) -> None:
    with pytest.raises(ValueError, match=f"integrator='etdrk4': {missing}"):
        ETDRK4().stepper(dynamics)


def test_the_order_falls_to_three_where_the_linear_part_is_stiff() -> None:
    system = SYSTEMS["cahn_hilliard"](operator="spectral", n=64, length=1.0, gamma=2e-3)
    u, t = start("cahn_hilliard", system), 0.02
    reference = Collocation8(tol=1e-13, rtol=1e-12).stepper(system).step(u, t).value
    counts = (80, 160, 320)
    errors = [float((advance(system, u, t, n) - reference).abs().max()) for n in counts]
    assert 2.5 < order_slope([t / n for n in counts], errors) < 3.3
