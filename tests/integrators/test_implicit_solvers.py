"""The solvers of the implicit one-step equation agree, keep the laws, and are differentiable."""

from __future__ import annotations

import math

import pytest
import torch
from one_step_cases import F64, Blind, Pendulum, law_defect, pendulum_states, run
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.grids import Grid
from ddg_explorer.integrators.differentiable import differentiable_step
from ddg_explorer.integrators.discrete_gradient import DiscreteGradient
from ddg_explorer.integrators.implicit_midpoint import ImplicitMidpoint
from ddg_explorer.integrators.incremental import Incremental
from ddg_explorer.integrators.measured import Measured
from ddg_explorer.integrators.one_step import OneStepStepper
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.simulation import simulate
from ddg_explorer.systems import SYSTEMS


@pytest.mark.parametrize("scheme", ["discrete_gradient", "implicit_midpoint"])
def test_a_step_that_has_no_solution_is_refused_with_a_reason(scheme: str):
    """The mean velocity grows at the rate ε: (1 − εΔt/2) v = (1 + εΔt/2) u at Δt = 2/ε."""
    system = SYSTEMS["wave"](growth=0.2)
    found = simulate(system, dt=10.0, steps=1, integrator=scheme)
    assert found.reason.startswith("stopped at t = 0: the implicit solve did not converge")
    assert torch.equal(found.u[-1], system.initial())


def test_all_solvers_find_the_same_step():
    kdv = SYSTEMS["kdv"]("soliton", n=48)
    u = kdv.initial()
    runs = [run(kdv, u, 0.05, 5, solver=s)[0][-1] for s in ("newton", "picard", "krylov", "auto")]
    blind = run(Blind(kdv), u, 0.05, 5, solver="picard")[0][-1]
    for other in (*runs[1:], blind):
        assert (other - runs[0]).abs().max() < 1e-11


@pytest.mark.parametrize("name", ["kdv", "cahn_hilliard"])
def test_what_the_picard_iteration_evaluates_is_the_split_nonlinear_part(name: str):
    system = SYSTEMS[name]("published")
    u, v = system.initial(seed=0, batch=2).unbind(0)
    for c in (0.0, -1.3):
        expected = system.nonlinear_discrete_gradient(v, u) - c * (v - u) / 2
        found = system.split_discrete_gradient(u, c)(v)
        assert (found - expected).abs().max() < 1e-15 * (1 + 10 * expected.abs().max())


def test_picard_hands_over_to_newton_where_it_contracts_badly():
    system = SYSTEMS["cahn_hilliard_2d"](n=32, gamma=5e-4)
    u = system.initial(seed=0)
    step = DiscreteGradient(max_iterations=20).stepper(system).step(u, 4e-3)
    assert bool(step.converged)
    alone = DiscreteGradient(max_iterations=20, solver="picard").stepper(system).step(u, 4e-3)
    assert not bool(alone.converged)
    assert alone.residual > 1e3 * step.residual


def test_newton_iterations_do_not_grow_with_the_grid():
    """The same smooth state on finer and finer grids, conjugate gradients inside."""
    counts = []
    for n in (32, 64, 128):
        system = SYSTEMS["cahn_hilliard_2d"](n=n, gamma=5e-4, operator="spectral")
        x, y = system.grid.coordinates()
        u = (0.5 * torch.sin(4 * math.pi * x) * torch.cos(6 * math.pi * y) + 0.1)[None]
        step = DiscreteGradient(solver="krylov").stepper(system).step(u, 1e-3)
        assert bool(step.converged)
        counts.append(int(step.iterations))
    assert max(counts) <= min(counts) + 1 <= 9


class SideBySide(Dynamics):
    """Two mixtures, the channels of one state, that do not feel each other."""

    def __init__(self, mixture: Dynamics) -> None:
        self.grid, self.structure = mixture.grid, mixture.structure
        self.state_shape = (2, *mixture.state_shape[1:])
        self.energy = mixture.energy
        self.discrete_gradient = mixture.discrete_gradient
        self.quadratic_symbol = mixture.quadratic_symbol


@pytest.mark.parametrize("name", ["cahn_hilliard", "cahn_hilliard_2d"])
def test_conjugate_gradients_keep_trajectories_and_channels_apart(name: str):
    system, dt = SYSTEMS[name](n=24, gamma=5e-4), 2e-3
    u = system.initial(seed=1, batch=4)
    alone = torch.cat([run(system, x[None], dt, 3, solver="krylov")[0] for x in u], 1)
    batch = run(system, u, dt, 3, solver="krylov")[0]
    pairs = run(SideBySide(system), u.view(2, 2, *system.grid.shape), dt, 3, solver="krylov")[0]
    assert (batch - alone).abs().max() < 1e-11
    assert (pairs.reshape(alone.shape) - alone).abs().max() < 1e-11


def test_a_batch_of_mixtures_is_handed_over_to_newton():
    system = SYSTEMS["cahn_hilliard_2d"](n=32)
    trajectory = simulate(system, system.initial(0, batch=2), dt=1e-3, steps=40)
    assert trajectory.converged.all(), trajectory.reason
    assert (trajectory.energy.diff(dim=0) <= 1e-15).all()


@pytest.mark.parametrize("scheme", [DiscreteGradient, ImplicitMidpoint])
def test_newton_solves_a_linear_equation(scheme: type[DiscreteGradient | ImplicitMidpoint]):
    """Nothing is left of a quadratic energy that a Jacobian could be taken of."""
    wave = SYSTEMS["wave"](n=32)
    u = wave.initial(0, batch=2)
    dense, krylov = (
        simulate(wave, u, dt=0.1, steps=3, integrator=scheme(solver=solver))
        for solver in ("newton", "krylov")
    )
    assert krylov.converged.all()
    assert (krylov.u - dense.u).abs().max() < 1e-11


def test_measured_preconditioner_of_channels_that_mix_is_a_matrix_product():
    """1 − Δt Ĝ Ĵ per mode, Ĵ the mean linearisation of the energy."""
    line, wave = {"shape": [96], "length": [24.0]}, {"kind": "strain_wave"}
    model = ModelRecipe("dgnet", (2, 96), line, wave, hidden=8, skip=True).build()
    form = Incremental.of(model, DiscreteGradient())
    assert isinstance(form, Incremental)
    u = torch.randn(1, 2, 96, generator=torch.Generator().manual_seed(0), dtype=F64)
    form.solve(u, 0.02, torch.ones(1, dtype=F64))
    g = model.structure.symbol(F64)
    assert form.local is not None
    assert form.rate is not None
    g, j, rate = (s.movedim(-1, 0) for s in (g, form.local.symbol().to(g), form.rate))
    assert (rate - g @ j).abs().max() < 1e-5 * rate.abs().max()


def test_measured_preconditioner_equals_the_known_symbol():
    """At u = 0 the Cahn–Hilliard Jacobian has constant coefficients: −½ + γ/2 (−Δ)."""
    system = SYSTEMS["cahn_hilliard_2d"](n=32, operator="finite_difference")
    zero = torch.zeros(1, *system.state_shape, dtype=F64)
    form = Measured(Blind(system), DiscreteGradient())
    form.start(zero, 1e-4)
    g = system.structure.symbol(F64)
    assert form.inverse is not None
    exact = 1 / (1 - 1e-4 * g * system.quadratic_symbol() / 2)
    assert (form.inverse - exact).abs().max() < 1e-12


def test_unknown_energy_with_measured_preconditioner_obeys_the_laws():
    system = Blind(SYSTEMS["cahn_hilliard_2d"](n=24, gamma=5e-4))
    u = system.system.initial(seed=0)
    stepper = DiscreteGradient().stepper(system)
    assert isinstance(stepper, OneStepStepper)
    assert isinstance(stepper.form, Measured)
    for _ in range(12):
        step = stepper.step(u, 1e-3)
        assert bool(step.converged)
        defect, lever = law_defect(system, step.value, u, 1e-3)
        assert defect <= lever * step.residual + 1e-14
        u = step.value


def test_energy_of_any_stencil_program_steps_without_symbols():
    """A user's energy on a grid, with nothing but discrete_grad behind it."""
    grid = Grid.of(96, 6.0, 1)

    class Chain(Dynamics):
        state_shape = (1, 96)

        def __init__(self) -> None:
            self.grid = grid
            self.structure = SYSTEMS["kdv"](n=96, length=6.0).structure

        def energy(self, u: Tensor) -> Tensor:
            slope = grid.forward_difference(u)
            return grid.integral(torch.cosh(u) + 0.05 * slope.square()).sum(-1)

    chain = Chain()
    x = grid.coordinates()[0]
    u = torch.sin(2 * math.pi * x / 6)[None]
    states, _ = run(chain, u, 0.02, 20)
    drift = (chain.energy(states) - chain.energy(u)).abs() / chain.energy(u)
    assert drift.max() < 1e-13


def test_gradient_of_an_ode_step():
    def step(u: Tensor, dt: Tensor, friction: Tensor) -> Tensor:
        return differentiable_step(DiscreteGradient(tol=1e-14), Pendulum(friction), u, dt)

    inputs = (pendulum_states(2), torch.tensor(0.1, dtype=F64), torch.tensor(0.2, dtype=F64))
    assert torch.autograd.gradcheck(step, tuple(x.requires_grad_() for x in inputs))


def test_gradient_of_field_steps_through_the_fourier_preconditioner():
    kdv = SYSTEMS["kdv"]("soliton", n=16)
    scheme = DiscreteGradient(tol=1e-14)

    def two_steps(u: Tensor, dt: Tensor) -> Tensor:
        return differentiable_step(scheme, kdv, differentiable_step(scheme, kdv, u, dt), dt)

    u = kdv.initial().requires_grad_()
    dt = torch.tensor(0.05, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(two_steps, (u, dt))


def test_no_gradient_through_a_failed_step():
    system = SYSTEMS["kdv"]("soliton", n=32)
    u = system.initial().requires_grad_()
    with pytest.raises(RuntimeError, match="did not converge"):
        differentiable_step(DiscreteGradient(max_iterations=1, solver="picard"), system, u, 1.0)
