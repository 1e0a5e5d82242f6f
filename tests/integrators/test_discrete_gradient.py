"""The discrete-gradient method: its laws, its order, its solvers, its failures."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.grids import Grid
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.differentiable import differentiable_step
from ddg_explorer.integrators.discrete_gradient import DiscreteGradient
from ddg_explorer.integrators.measured import Measured
from ddg_explorer.integrators.one_step import OneStepStepper
from ddg_explorer.structure import Structure
from ddg_explorer.systems import SYSTEMS

F64 = torch.float64


class Canonical(Structure):
    """S − diag(0, r), and a rotation rate that may depend on the state."""

    is_skew = is_dissipative = True

    def __init__(self, friction: float | Tensor = 0.0, twist: float = 0.0) -> None:
        self.friction = friction
        self.twist = twist
        self.state_dependent = twist != 0

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        speed = 1.0
        if self.twist and u is not None:
            speed = 1 + self.twist * u.square().sum(-1, keepdim=True)
        q, p = g.unbind(-1)
        return speed * torch.stack([p, -q - self.friction * p], -1)


class Pendulum(Dynamics):
    """H = 3(1 − cos q) + p²."""

    state_shape = (2,)

    def __init__(self, friction: float | Tensor = 0.0, twist: float = 0.0) -> None:
        self.structure = Canonical(friction, twist)

    def energy(self, u: Tensor) -> Tensor:
        return 3 * (1 - torch.cos(u[..., 0])) + u[..., 1] ** 2

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """(3 sin(q̄) sinc(Δq/2), p_u + p_v)."""
        a, b = u[..., 0], v[..., 0]
        slope = 3 * torch.sin((a + b) / 2) * torch.sinc((b - a) / (2 * math.pi))
        return torch.stack([slope, u[..., 1] + v[..., 1]], -1)


class Blind(Dynamics):
    """A field system that hides its symbols: only energy and G are left."""

    def __init__(self, system: Dynamics) -> None:
        self.system = system
        self.grid, self.structure = system.grid, system.structure
        self.state_shape = system.state_shape

    def energy(self, u: Tensor) -> Tensor:
        return self.system.energy(u)

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        return self.system.discrete_gradient(v, u)


def run(dynamics: Dynamics, u: Tensor, dt: float, steps: int, **options):
    """States and steps of a run, all of which must converge."""
    stepper = DiscreteGradient(**options).stepper(dynamics)
    states, results = [u], []
    for _ in range(steps):
        step = stepper.step(states[-1], dt)
        assert bool(step.converged.all()), step.reason
        states.append(step.value)
        results.append(step)
    return torch.stack(states), results


def law_defect(dynamics: Dynamics, v: Tensor, u: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """|ΔH − Δxᵈ Δt ḡᵀḠḡ| and the bound Δxᵈ‖ḡ‖₁ per unit of residual."""
    dims = tuple(range(-len(dynamics.state_shape), 0))
    g = dynamics.discrete_gradient(v, u)
    work = (g * dynamics.structure.apply(g, (u + v) / 2)).sum(dims) * dynamics.cell_volume * dt
    change = dynamics.energy(v) - dynamics.energy(u)
    return (change - work).abs(), g.abs().sum(dims) * dynamics.cell_volume


def pendulum_states(count: int = 8) -> Tensor:
    q = torch.linspace(-2.5, 2.5, count, dtype=F64)
    return torch.stack([q, 0.4 + 0.3 * torch.cos(3 * q)], -1)


# -- laws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: (Pendulum(), pendulum_states(), 0.1),
        lambda: (Pendulum(0.3), pendulum_states(), 0.1),
        lambda: (Pendulum(0.0, twist=0.2), pendulum_states(), 0.1),
        lambda: (SYSTEMS["kdv"]("two_solitons"), None, 0.01),
        lambda: (SYSTEMS["cahn_hilliard"](), None, 1e-3),
        lambda: (SYSTEMS["cahn_hilliard_2d"](n=32), None, 1e-3),
        lambda: (SYSTEMS["wave"](), None, 0.02),
        lambda: (SYSTEMS["two_body"](), None, 0.02),
    ],
    ids=["pendulum", "friction", "state-dependent", "kdv", "ch", "ch2d", "wave", "two-body"],
)
def test_energy_changes_by_the_work_of_g_and_the_residual(make):
    dynamics, u, dt = make()
    u = dynamics.initial(seed=0) if u is None else u
    states, results = run(dynamics, u, dt, 25)
    for before, after, step in zip(states[:-1], states[1:], results, strict=True):
        defect, lever = law_defect(dynamics, after, before, dt)
        rounding = 4e-15 * (1 + dynamics.energy(before).abs() + lever)
        assert (defect <= lever * step.residual + rounding).all()


def test_pendulum_keeps_its_energy_for_ten_thousand_steps():
    pendulum = Pendulum()
    states, results = run(pendulum, torch.tensor([1.5, 0.3], dtype=F64), 0.1, 10_000)
    drift = (pendulum.energy(states) - pendulum.energy(states[0])).abs() / 3
    assert drift.max() < 2e-13
    assert max(float(s.residual) for s in results) < 1e-14


def test_kdv_keeps_energy_and_mass_over_a_long_run():
    kdv = SYSTEMS["kdv"]("soliton", n=64)
    states, _ = run(kdv, kdv.initial(), 0.02, 3000)
    energy, mass = kdv.energy(states), kdv.mass(states)
    drift = (energy - energy[0]).abs() / kdv.energy_scale
    assert drift.max() < 1e-12
    assert (mass - mass[0]).abs().max() < 1e-13
    # no steady drift either: the slope over the run is rounding
    assert float((energy[-500:].mean() - energy[:500].mean()).abs() / kdv.energy_scale) < 1e-12


@pytest.mark.parametrize("dt", [1e-4, 1e-3, 4e-3])
def test_cahn_hilliard_energy_never_rises_far_beyond_the_explicit_limit(dt: float):
    system = SYSTEMS["cahn_hilliard_2d"](n=64, gamma=5e-4, operator="spectral")
    assert dt > 100 * system.explicit_limit()
    states, _ = run(system, system.initial(seed=1), dt, 40)
    energy, mass = system.energy(states), system.mass(states)
    assert (energy.diff() <= 1e-15).all()
    assert energy[-1] < energy[0]
    assert (mass - mass[0]).abs().max() < 1e-13


def test_beyond_uniqueness_the_step_is_solved_or_refused():
    """Δt = 40γ: whatever is accepted obeys the law, whatever is not says so and stays finite."""
    system = SYSTEMS["cahn_hilliard_2d"](n=32, gamma=5e-4)
    stepper = DiscreteGradient(max_iterations=30).stepper(system)
    u, refused = system.initial(seed=0), 0
    for _ in range(6):
        step = stepper.step(u, 0.02)
        assert torch.isfinite(step.value).all()
        if bool(step.converged):
            defect, lever = law_defect(system, step.value, u, 0.02)
            assert defect <= lever * step.residual + 1e-14
            assert system.energy(step.value) <= system.energy(u) + 1e-14
            u = step.value
        else:
            refused += 1
            assert "did not converge" in step.reason
            stepper.reset()
            u = stepper.step(u, 1e-3).value
    assert refused >= 1


def test_time_reversal():
    for dynamics, u, dt in (
        (Pendulum(), pendulum_states(), 0.1),
        (SYSTEMS["kdv"]("soliton", n=64), None, 0.01),
    ):
        start = dynamics.initial() if u is None else u
        there, _ = run(dynamics, start, dt, 50)
        back, _ = run(dynamics, there[-1], -dt, 50)
        assert (back[-1] - start).abs().max() < 1e-11


# -- accuracy -----------------------------------------------------------------------------------


def test_order_two_on_the_pendulum():
    u = torch.tensor([1.5, 0.3], dtype=F64)
    reference = run(Pendulum(), u, 1 / 2048, 2048)[0][-1]
    steps = [16, 32, 64, 128]
    errors = [float((run(Pendulum(), u, 1 / n, n)[0][-1] - reference).norm()) for n in steps]
    slopes = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert all(abs(s - 2) < 0.1 for s in slopes)


def test_state_dependent_g_is_taken_at_the_midpoint():
    """Order two needs G at the midpoint; G at either end would give order one."""
    u = torch.tensor([1.0, 0.3], dtype=F64)
    system = Pendulum(0.2, twist=0.3)
    reference = run(system, u, 1 / 1024, 1024)[0][-1]
    errors = [float((run(system, u, 1 / n, n)[0][-1] - reference).norm()) for n in (16, 32, 64)]
    assert all(abs(math.log2(a / b) - 2) < 0.15 for a, b in itertools.pairwise(errors))


# -- solvers ------------------------------------------------------------------------------------


def test_all_solvers_find_the_same_step():
    kdv = SYSTEMS["kdv"]("soliton", n=48)
    u = kdv.initial()
    runs = [run(kdv, u, 0.05, 5, solver=s)[0][-1] for s in ("newton", "picard", "krylov", "auto")]
    blind = run(Blind(kdv), u, 0.05, 5, solver="picard")[0][-1]
    for other in (*runs[1:], blind):
        assert (other - runs[0]).abs().max() < 1e-11


def test_picard_hands_over_to_newton_where_it_contracts_badly():
    system = SYSTEMS["cahn_hilliard_2d"](n=32, gamma=5e-4)
    u = system.initial(seed=0)
    step = DiscreteGradient().stepper(system).step(u, 8e-3)
    assert bool(step.converged)
    alone = DiscreteGradient(solver="picard").stepper(system).step(u, 8e-3)
    assert not bool(alone.converged)


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


# -- batches and failures -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pendulum", "kdv", "cahn_hilliard"])
def test_batch_equals_single(name: str):
    system = Pendulum() if name == "pendulum" else SYSTEMS[name]("published")
    batch = pendulum_states(6) if name == "pendulum" else system.initial(seed=3, batch=6)
    dt = 0.1 if name == "pendulum" else system.dt
    together, results = run(system, batch.unflatten(0, (2, 3)), dt, 10)
    assert results[0].residual.shape == (2, 3)
    for i in range(6):
        alone, _ = run(system, batch[i], dt, 10)
        assert (together[:, i // 3, i % 3] - alone).abs().max() < 1e-11


@pytest.mark.parametrize("bad", [math.nan, 1e200])
def test_one_failing_trajectory_does_not_disturb_the_others(bad: float):
    kdv = SYSTEMS["kdv"]("published")
    u = kdv.initial(seed=0, batch=3)
    good, _ = run(kdv, u[[0, 2]], kdv.dt, 3)
    u[1, 0, 7] = bad
    stepper = DiscreteGradient().stepper(kdv)
    for _ in range(3):
        step = stepper.step(u, kdv.dt)
        assert step.converged.tolist() == [True, False, True]
        assert "1 of 3" in step.reason
        u = torch.stack([step.value[0], u[1], step.value[2]])
    assert (u[[0, 2]] - good[-1]).abs().max() < 1e-11


def test_changing_dt_and_replacing_the_state_need_no_reset():
    pendulum = Pendulum()
    stepper = DiscreteGradient().stepper(pendulum)
    u = torch.tensor([1.5, 0.3], dtype=F64)
    for dt in (0.1, 0.1, 0.02, 0.3, 0.1):
        fresh = DiscreteGradient().stepper(pendulum).step(u, dt)
        step = stepper.step(u, dt)
        assert (step.value - fresh.value).abs().max() < 1e-13
        u = step.value
    other = torch.tensor([-2.0, 1.0], dtype=F64)
    fresh = DiscreteGradient().stepper(pendulum).step(other, 0.1)
    assert (stepper.step(other, 0.1).value - fresh.value).abs().max() < 1e-13


def test_float32_converges_to_its_own_rounding():
    for name, dt in (("kdv", 0.01), ("cahn_hilliard", 1e-3)):
        system = SYSTEMS[name](dtype=torch.float32)
        states, results = run(system, system.initial(), dt, 30)
        assert states.dtype == torch.float32
        assert max(float(s.residual.max()) for s in results) < 2e-5
        exact = SYSTEMS[name]()
        double, _ = run(exact, exact.initial(), dt, 30)
        assert (states.double() - double).abs().max() < 5e-4


@pytest.mark.parametrize(
    ("options", "words"),
    [({"max_iterations": 0}, "max_iterations=0"), ({"solver": "magic"}, "solver='magic'"),
     ({"tol": 2.0}, "tol=2.0")],
)  # fmt: skip
def test_bad_options_are_named(options: dict, words: str):
    with pytest.raises(ValueError, match=words):
        DiscreteGradient(**options)


def test_registered():
    assert INTEGRATORS["discrete_gradient"] is DiscreteGradient
    assert DiscreteGradient.order == 2
    assert DiscreteGradient.implicit


# -- differentiation ----------------------------------------------------------------------------


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
