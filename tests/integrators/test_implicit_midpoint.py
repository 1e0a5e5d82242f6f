"""The implicit midpoint rule: quadratic invariants, symplecticity, order, honesty about energy."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.differentiable import differentiable_step
from ddg_explorer.integrators.implicit_midpoint import ImplicitMidpoint
from ddg_explorer.systems import SYSTEMS

F64 = torch.float64
START = torch.tensor([1.5, 0.3], dtype=F64)


def run(dynamics: Dynamics, u: Tensor, dt: float, steps: int, **options) -> Tensor:
    stepper = ImplicitMidpoint(**options).stepper(dynamics)
    states = [u]
    for _ in range(steps):
        step = stepper.step(states[-1], dt)
        assert bool(step.converged.all()), step.reason
        states.append(step.value)
    return torch.stack(states)


def test_equation_and_residual():
    pendulum = SYSTEMS["pendulum"]()
    step = ImplicitMidpoint().stepper(pendulum).step(START, 0.2)
    v = step.value
    defect = v - START - 0.2 * pendulum.rhs((START + v) / 2)
    assert (defect.abs().max() - step.residual).abs() < 1e-15
    assert step.residual < 1e-15


def test_order_two():
    pendulum = SYSTEMS["pendulum"]()
    reference = run(pendulum, START, 1 / 512, 512)[-1]
    errors = [float((run(pendulum, START, 1 / n, n)[-1] - reference).norm()) for n in (8, 16, 32)]
    assert all(abs(math.log2(a / b) - 2) < 0.15 for a, b in itertools.pairwise(errors))


def test_quadratic_energies_are_kept_exactly_and_others_only_nearly():
    spring = SYSTEMS["mass_spring"]()
    energy = spring.energy(run(spring, START, 0.3, 400))
    assert (energy - energy[0]).abs().max() < 1e-13 * energy[0]
    pendulum = SYSTEMS["pendulum"]()
    energy = pendulum.energy(run(pendulum, START, 0.3, 200))
    drift = (energy - energy[0]).abs().max() / energy[0]
    assert 1e-6 < drift < 5e-2


def test_wave_energy_and_kdv_mass():
    wave = SYSTEMS["wave"]()
    energy = wave.energy(run(wave, wave.initial(), 0.05, 100))
    assert (energy - energy[0]).abs().max() < 1e-12 * energy[0]
    kdv = SYSTEMS["kdv"]("soliton", n=64)
    states = run(kdv, kdv.initial(), 0.02, 100)
    mass, momentum = kdv.mass(states), states.square().sum((-1, -2))
    assert (mass - mass[0]).abs().max() < 1e-13
    # ∫u² is quadratic, but conserved by the grid's KdV only as far as aliasing allows
    assert (momentum - momentum[0]).abs().max() < 1e-3 * momentum[0]


def test_symplectic():
    """Jᵀ S J = S for the derivative J of a step."""
    pendulum = SYSTEMS["pendulum"]()

    def step(u: Tensor) -> Tensor:
        return differentiable_step(ImplicitMidpoint(tol=1e-14), pendulum, u, 0.3)

    jacobian = torch.autograd.functional.jacobian(step, START)
    assert isinstance(jacobian, Tensor)
    s = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64)
    assert (jacobian.T @ s @ jacobian - s).abs().max() < 1e-13


def test_time_reversal_and_solvers_agree():
    kdv = SYSTEMS["kdv"]("soliton", n=48)
    start = kdv.initial()
    there = run(kdv, start, 0.02, 20)[-1]
    assert (run(kdv, there, -0.02, 20)[-1] - start).abs().max() < 1e-11
    for solver in ("newton", "krylov"):
        assert (run(kdv, start, 0.02, 20, solver=solver)[-1] - there).abs().max() < 1e-11


def test_batch_of_two_body_orbits():
    system = SYSTEMS["two_body"]("published")
    u = system.initial(seed=2, batch=5)
    together = run(system, u, 0.05, 20)
    for i in range(5):
        assert (run(system, u[i], 0.05, 20) - together[:, i]).abs().max() < 1e-11


def test_registered():
    assert INTEGRATORS["implicit_midpoint"] is ImplicitMidpoint
