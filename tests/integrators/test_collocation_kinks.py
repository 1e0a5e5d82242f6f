"""Collocation of energies with kinks: the energy law holds, and the residual says how well."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from one_step_cases import F64, Canonical
from torch import Tensor

import ddg_explorer
from ddg_explorer.diagnostics import law_bound
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.collocation import Collocation, Collocation4
from ddg_explorer.integrators.collocation_law import restore_law
from ddg_explorer.integrators.collocation_stepper import CollocationStep
from ddg_explorer.models import load_model
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import Symplectic
from ddg_explorer.systems import SYSTEMS, System

WEIGHTS = Path(ddg_explorer.__file__).parent / "weights"
KINKS: dict[str, Callable[[Tensor], Tensor]] = {
    "|q|": lambda q: q.abs(),
    "clamped spring": lambda q: q.clamp(-0.5, 0.5) ** 2,
    "(q²)^(1/3)": lambda q: (q**2) ** (1 / 3),
    "stiff wall": lambda q: 50 * (q.abs() - 1).relu(),
}


def scheme(order: int, **options) -> Collocation:
    found = INTEGRATORS[f"collocation{order}"](**options)
    assert isinstance(found, Collocation)
    return found


def particle(potential: str, friction: float = 0.0) -> System:
    """H = p²/2 + V(q) with a V that has kinks."""
    v = KINKS[potential]
    structure = Canonical(friction) if friction else Symplectic()
    structure.is_skew = friction == 0
    return System(lambda u: u[..., 1] ** 2 / 2 + v(u[..., 0]), structure, initial=[0.3, 1.2])


def march(
    dynamics: Dynamics, u: Tensor, dt: float, steps: int, integrator: Collocation
) -> tuple[Tensor, list[CollocationStep]]:
    """Energies (steps + 1, ...) and steps of a run in which every step converges."""
    stepper, energies, taken = integrator.stepper(dynamics), [dynamics.energy(u)], []
    for _ in range(steps):
        step = stepper.step(u, dt)
        assert isinstance(step, CollocationStep)
        assert step.converged.all(), step.reason
        u = step.value
        energies.append(dynamics.energy(u))
        taken.append(step)
    return torch.stack(energies).detach(), taken


@pytest.mark.parametrize("order", [4, 8])
@pytest.mark.parametrize("potential", KINKS)
def test_energy_is_conserved_across_kinks(potential: str, order: int) -> None:
    system = particle(potential)
    energy, steps = march(system, system.initial(), 0.1, 40, scheme(order))
    assert ((energy - energy[0]).abs() / energy[0]).max() < 2e-14
    # the kinks were met: the quadrature alone misses the law
    assert max(float(step.law_defect.abs()) for step in steps if step.law_defect is not None) > 1e-8
    assert max(float(step.residual) for step in steps) < 1e-13


def test_energy_is_conserved_across_kinks_in_float32() -> None:
    system = particle("clamped spring").with_(dtype=torch.float32)
    energy, steps = march(system, system.initial(), 0.1, 60, Collocation4())
    assert steps[0].value.dtype == torch.float32
    assert ((energy - energy[0]).abs() / energy[0]).max() < 2e-5


@pytest.mark.parametrize("adaptive", [True, False])
def test_energy_falls_as_friction_says_across_kinks(adaptive: bool) -> None:
    system = particle("clamped spring", friction=0.2)
    u = system.initial()
    energy, steps = march(system, u, 0.1, 50, Collocation4(adaptive=adaptive))
    assert (energy.diff() < 0).all()
    fine, _ = march(system, u, 0.01, 500, Collocation4(rtol=1e-9))
    assert abs(float(energy[-1] - fine[-1])) < 2e-2 * float(energy[0] - energy[-1])
    assert max(float(step.law_defect.abs()) for step in steps if step.law_defect is not None) > 1e-8


@pytest.mark.parametrize("order", [4, 8])
def test_a_learned_pendulum_of_relus_conserves_its_energy(order: int) -> None:
    model = load_model(WEIGHTS / "pendulum.dgnet.relu.safetensors")
    u = torch.tensor([1.2, 0.3], dtype=F64)
    run = simulate(model, u, dt=0.1, steps=8, integrator=f"collocation{order}")
    assert run.converged
    assert run.own_energy is not None
    assert ((run.own_energy - run.own_energy[0]).abs() / run.own_energy[0].abs()).max() < 3e-14
    assert float(run.residual.max()) < 1e-13


def test_a_learned_kdv_of_relus_conserves_energy_and_mass() -> None:
    model = load_model(WEIGHTS / "kdv.dgnet.relu.safetensors")
    assert model.grid is not None
    system = SYSTEMS["kdv"]("published", n=model.grid.shape)
    u = system.initial(5)
    run = simulate(model, u, dt=0.01, steps=5, integrator=Collocation4(adaptive=False))
    assert run.converged
    assert run.own_energy is not None
    assert ((run.own_energy - run.own_energy[0]).abs() / run.own_energy[0].abs()).max() < 1e-13
    mass = model.mass(run.u)
    assert mass is not None
    assert (mass - mass[0]).abs().max() < 1e-12


def test_each_of_a_batch_keeps_its_own_energy() -> None:
    system = particle("clamped spring")
    u = torch.tensor([[0.3, 1.2], [-0.2, 0.1], [0.9, -0.4]], dtype=F64)
    energy, _ = march(system, u, 0.1, 30, Collocation4())
    assert ((energy - energy[0]).abs() / energy[0]).max() < 2e-14


def test_a_kink_is_an_error_that_the_substeps_answer_to() -> None:
    """Free flight outside the spring's reach, uniform acceleration in a V-shaped well."""
    system, t = particle("|q|"), 0.9
    u = torch.tensor([0.1, -0.5], dtype=F64)
    # q falls to 0 with p² = 0.25 + 0.2, then rises from there with −1 turned to +1
    speed = math.sqrt(0.45)
    rest = t - (speed - 0.5)
    exact = torch.tensor([-speed * rest + rest**2 / 2, -speed + rest], dtype=F64)
    for rtol in (1e-5, 1e-8):
        run = simulate(system, u, dt=t, steps=1, integrator=Collocation4(rtol=rtol))
        assert (run.u[-1] - exact).abs().max() < 20 * rtol


def test_the_residual_bounds_what_the_law_is_missed_by_where_h_is_smooth() -> None:
    system = SYSTEMS["pendulum"]("published")
    for tol in (1e-4, 1e-8, 1e-12):
        u, stepper = system.initial(), Collocation4(tol=tol, adaptive=False).stepper(system)
        for _ in range(30):
            step = stepper.step(u, 0.3)
            change = (system.energy(step.value) - system.energy(u)).abs()
            bounds = [law_bound(system, x, step.residual) for x in (u, step.value)]
            assert change <= 2 * torch.maximum(*bounds)
            u = step.value


class Stairs(Dynamics):
    """An H that jumps: stairs on a smooth slope."""

    state_shape = (2,)

    def __init__(self) -> None:
        self.structure = Symplectic()

    def energy(self, u: Tensor) -> Tensor:
        smooth = u.square().sum(-1) / 2
        return smooth + 0.1 * torch.floor(7 * u[..., 0]).detach()


@pytest.mark.parametrize("adaptive", [True, False])
def test_a_law_that_cannot_hold_is_reported_in_one_line(adaptive: bool) -> None:
    """No step across a jump of H as high as this one conserves it."""
    u = torch.tensor([0.14, 0.05], dtype=F64)
    step = Collocation4(adaptive=adaptive).stepper(Stairs()).step(u, 0.5)
    assert not bool(step.converged)
    assert "energy law is missed by" in step.reason
    assert "\n" not in step.reason


@pytest.mark.parametrize(
    ("potential", "q", "defect"),
    [
        # Newton's first step falls short: the slope is a tenth beyond the kink
        (lambda q: q.clamp(-0.5, 0.5) ** 2, 0.49, -0.05),
        # it overshoots: the slope is 51 times as large
        (lambda q: q + 50 * (q - 1).relu(), 0.99, -0.3),
        # no kink on the way
        (lambda q: q + 50 * (q - 1).relu(), 0.5, 0.1),
    ],
)
def test_the_number_that_restores_the_law_is_found_across_a_kink(
    potential: Callable[[Tensor], Tensor], q: float, defect: float
) -> None:
    system = System(
        lambda u: u[..., 1] ** 2 / 2 + potential(u[..., 0]), Symplectic(), state_shape=(2,)
    )
    v = torch.tensor([[q, 0.3]] * 2, dtype=F64)
    before = torch.full((2,), defect, dtype=F64)
    moved, left = restore_law(system, v, before, torch.tensor([True, False]))
    # one ulp of q in the steepest V is 6e-15
    assert abs(float((system.energy(moved) - system.energy(v))[0] + defect)) < 1e-14
    assert abs(float(left[0])) < 1e-14
    assert torch.equal(moved[1], v[1])
    assert left[1] == defect
