"""Energy-preserving collocation: orders, the energy law, adaptive substeps, honest failures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from one_step_cases import Blind
from one_step_cases import Pendulum as TwistedPendulum
from torch import Tensor

from ddg_explorer.diagnostics import drift, order_slope
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.collocation import Collocation, Collocation4, Collocation6
from ddg_explorer.integrators.collocation_fourier import FourierModes
from ddg_explorer.integrators.collocation_general import (
    DenseModes,
    MeasuredModes,
    mode_equation,
)
from ddg_explorer.integrators.collocation_stepper import CollocationStep
from ddg_explorer.integrators.collocation_tableau import (
    extrapolation,
    modes_at,
    nodes_for_degree,
    tableau,
)
from ddg_explorer.rollout import Rollout
from ddg_explorer.structure import KernelStructure, Symplectic
from ddg_explorer.systems import SYSTEMS, System

F64 = torch.float64
ALL = (2, 4, 6, 8)


def scheme(order: int, **options) -> Collocation:
    found = INTEGRATORS[f"collocation{order}"](**options)
    assert isinstance(found, Collocation)
    return found


def run(
    dynamics: Dynamics, integrator: Collocation, u: Tensor, dt: float, steps: int
) -> tuple[Tensor, list[CollocationStep]]:
    """States (steps + 1, ...) and steps of a run in which every step converges."""
    stepper, states, taken = integrator.stepper(dynamics), [u], []
    for _ in range(steps):
        step = stepper.step(states[-1], dt)
        assert isinstance(step, CollocationStep)
        assert step.converged.all(), step.reason
        states.append(step.value)
        taken.append(step)
    return torch.stack(states), taken


def smooth_kdv() -> System:
    return SYSTEMS["kdv"]("cosine", operator="spectral", n=64, beta=-0.004)


def quartic_oscillator() -> System:
    """H = p²/2 + q⁴/4."""
    system = System(
        lambda u: u[..., 1] ** 2 / 2 + u[..., 0] ** 4 / 4,
        SYSTEMS["mass_spring"]().structure,
        state_shape=(2,),
    )
    system.energy_degree = 4
    return system


def twisted_pendulum(friction: float) -> Dynamics:
    """A pendulum whose G(u) = (1 + 0.4|u|²)(S − diag(0, r)) depends on the state."""
    dynamics = TwistedPendulum(friction=friction, twist=0.4)
    dynamics.structure.is_skew = friction == 0
    return dynamics


# The tableau


@pytest.mark.parametrize("s", [1, 2, 3, 4])
def test_tableau_constants_are_what_they_claim(s: int) -> None:
    t = tableau(s, 2 * s, F64)
    x = torch.linspace(0, 1, 2001, dtype=F64)
    basis = torch.as_tensor(modes_at(s, x.numpy()))
    # (u, a) with u = 0 evaluates to Σ aⱼ ∫ Pⱼ, whose own modes are X a
    a = torch.arange(1.0, s + 1, dtype=F64)
    stages = t.evaluate @ torch.cat([torch.zeros(1, dtype=F64), a])
    assert torch.allclose(t.project @ stages, t.integral @ a, atol=1e-15)
    assert torch.allclose(t.moments[:, 1:], t.integral)
    gram = torch.trapezoid(basis[:, None] * basis[None], x)
    assert torch.allclose(gram, torch.eye(s, dtype=F64), atol=2e-5)
    assert torch.allclose(t.gauss_project @ t.gauss_values, torch.eye(s, dtype=F64), atol=1e-14)


@pytest.mark.parametrize("s", [1, 2, 3, 4])
@pytest.mark.parametrize("z", [-1e6, -3.0, 0.4, 0.3j, -20j])
def test_resolvent_polynomials_invert_the_stage_matrix(s: int, z: complex) -> None:
    t = tableau(s, s, F64)
    det = sum(d * z**m for m, d in enumerate(t.determinant))
    adjugate = sum(n.numpy() * z**m for m, n in enumerate(t.adjugates))
    product = (np.eye(s) - z * t.integral.numpy()) @ (adjugate / det)
    assert np.abs(product - np.eye(s)).max() < 1e-13


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5, -1.0])
def test_extrapolation_is_exact_for_polynomials(ratio: float) -> None:
    s = 4
    x, w = np.polynomial.legendre.leggauss(8)
    x, w = (x + 1) / 2, w / 2

    def slope(t: np.ndarray) -> np.ndarray:
        return 1 - 2 * t + 0.5 * t**2 + 3 * t**3

    def modes(start: float, size: float) -> np.ndarray:
        return size * (modes_at(s, x) * w) @ slope(start + size * x)

    assert np.allclose(extrapolation(s, ratio) @ modes(0, 1), modes(1, ratio), atol=1e-11)


def test_nodes_follow_the_degree() -> None:
    assert [nodes_for_degree(s, 4) for s in (1, 2, 3, 4)] == [2, 4, 6, 8]
    assert [nodes_for_degree(s, 3) for s in (2, 3, 4)] == [3, 5, 6]
    assert [nodes_for_degree(s, 2) for s in (1, 2, 3, 4)] == [1, 2, 3, 4]


# Order


@pytest.mark.parametrize(
    ("order", "counts"),
    [(2, (20, 40, 80)), (4, (10, 20, 40, 80)), (6, (10, 20, 40)), (8, (8, 12, 18, 27))],
)
def test_order_on_the_pendulum(order: int, counts: tuple[int, ...]) -> None:
    system, t = SYSTEMS["pendulum"](), 6.0
    errors = []
    for n in counts:
        states, _ = run(system, scheme(order, adaptive=False), system.initial(), t / n, n)
        errors.append(float((states[-1] - system.exact(t)).abs().max()))
    slope = order_slope([t / n for n in counts], errors, floor=1e-13)
    assert slope == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(
    ("order", "counts"),
    [(2, (40, 80, 160)), (4, (20, 40, 80)), (6, (16, 24, 36)), (8, (12, 18, 27, 40))],
)
def test_order_on_a_field(order: int, counts: tuple[int, ...]) -> None:
    system, t = smooth_kdv(), 0.4
    u = system.initial()
    reference = run(system, scheme(8, rtol=1e-13, tol=1e-13), u, t, 1)[0][-1]
    errors = []
    for n in counts:
        states, _ = run(system, scheme(order, adaptive=False), u, t / n, n)
        errors.append(float((states[-1] - reference).abs().max()))
    slope = order_slope([t / n for n in counts], errors, floor=1e-12)
    assert slope == pytest.approx(order, abs=0.35)


def test_one_mode_is_the_mean_value_discrete_gradient() -> None:
    system = SYSTEMS["kdv"]("soliton", n=64)
    u = system.initial()
    mine = scheme(2, adaptive=False).stepper(system).step(u, 0.02).value
    # for cubic H it is the automatic discrete gradient as well
    theirs = INTEGRATORS["discrete_gradient"]().stepper(system).step(u, 0.02).value
    assert (mine - theirs).abs().max() < 1e-11


# The energy law


@pytest.mark.parametrize("order", ALL)
@pytest.mark.parametrize("name", ["kdv", "wave", "cahn_hilliard"])
def test_polynomial_energies_obey_the_law_in_every_step(name: str, order: int) -> None:
    system = SYSTEMS[name](n=64)
    if name == "cahn_hilliard":
        # a skew G makes the quartic energy a conserved one
        system = system.with_(structure="d_dx", length=4.0, gamma=0.02)
    u = system.initial(seed=1)
    dt = 4 * system.dt if name == "wave" else system.dt
    states, steps = run(system, scheme(order, adaptive=False), u, dt, 10)
    change = (system.energy(states) - system.energy(u)).abs() / system.energy_scale
    assert change.max() < 2e-13
    assert all(step.law_defect is None for step in steps)
    mass = system.mass(states)
    assert mass is not None
    assert (mass - mass[0]).abs().max() < 1e-12


@pytest.mark.parametrize("order", ALL)
def test_one_node_less_breaks_the_law(order: int) -> None:
    system = quartic_oscillator()
    u, s = torch.tensor([1.2, 0.4], dtype=F64), order // 2
    changes = []
    for missing in (0, 1):
        stepper = scheme(order, adaptive=False).stepper(system)
        stepper.equation.set_nodes(nodes_for_degree(s, 4) - missing)
        v = stepper.step(u, 1.0).value
        changes.append(abs(float(system.energy(v) - system.energy(u))))
    assert changes[0] < 2e-15
    assert changes[1] > 5e-11


@pytest.mark.parametrize("order", [4, 8])
def test_no_drift_in_long_runs(order: int) -> None:
    system = SYSTEMS["pendulum"]("separatrix")
    states, _ = run(system, scheme(order, adaptive=False), system.initial(), 0.1, 1500)
    error = drift(system.energy(states), system.energy_scale)
    assert error.max() < 5e-13
    soliton = SYSTEMS["kdv"]("soliton", n=64)
    states, _ = run(soliton, scheme(order, adaptive=False), soliton.initial(), 0.02, 500)
    error = drift(soliton.energy(states), soliton.energy_scale)
    assert error.max() < 2e-12
    slope = np.polyfit(np.arange(501), error.numpy(), 1)[0]
    assert abs(slope) < 4e-15


@pytest.mark.parametrize("order", ALL)
@pytest.mark.parametrize("adaptive", [True, False])
def test_cahn_hilliard_never_rises_and_keeps_its_mass(order: int, adaptive: bool) -> None:
    system = SYSTEMS["cahn_hilliard_2d"]("published", n=32, operator="spectral")
    dt = 4e-3 if adaptive else 1e-3
    count = 2 if adaptive else 6
    states, steps = run(system, scheme(order, adaptive=adaptive), system.initial(), dt, count)
    energy = system.energy(states)
    assert (energy[1:] < energy[:-1]).all()
    mass = system.mass(states)
    assert mass is not None
    assert (mass - mass[0]).abs().max() < 1e-15
    assert max(step.substeps for step in steps) > 1 if adaptive else True


@pytest.mark.parametrize("friction", [0.0, 0.3])
def test_state_dependent_g_keeps_the_law(friction: float) -> None:
    dynamics = twisted_pendulum(friction)
    u = torch.tensor([1.5, 0.5], dtype=F64)
    states, steps = run(dynamics, Collocation4(adaptive=False), u, 0.2, 40)
    defects = [float(step.law_defect.abs()) for step in steps if step.law_defect is not None]
    assert len(defects) == 40
    assert max(defects) < 1e-13
    energy = dynamics.energy(states)
    if friction:
        assert (energy[1:] < energy[:-1]).all()
    else:
        assert (energy - energy[0]).abs().max() < 1e-12


@pytest.mark.parametrize("order", [4, 6])
def test_state_dependent_g_keeps_the_order(order: int) -> None:
    dynamics, t = twisted_pendulum(0.3), 2.0
    u = torch.tensor([1.5, 0.5], dtype=F64)
    reference = run(dynamics, scheme(8, adaptive=False), u, t / 64, 64)[0][-1]
    counts = (10, 20, 40)
    errors = [
        float((run(dynamics, scheme(order, adaptive=False), u, t / n, n)[0][-1] - reference).norm())
        for n in counts
    ]
    assert order_slope([t / n for n in counts], errors, 1e-13) == pytest.approx(order, abs=0.25)


def test_quadrature_nodes_follow_the_step_where_the_energy_is_no_polynomial() -> None:
    system = SYSTEMS["pendulum"]()
    nodes = []
    for dt in (0.05, 0.8):
        states, steps = run(system, Collocation4(adaptive=False), system.initial(), dt, 10)
        nodes.append(steps[-1].nodes)
        worst = max(float(s.law_defect.abs()) for s in steps if s.law_defect is not None)
        assert worst < 2e-13
        assert drift(system.energy(states), system.energy_scale).max() < 1e-12
    assert nodes[0] < nodes[1]


# Symmetry and exactness


@pytest.mark.parametrize("order", ALL)
@pytest.mark.parametrize("name", ["pendulum", "kdv", "wave"])
def test_time_reversal(name: str, order: int) -> None:
    system = SYSTEMS[name]() if name == "pendulum" else SYSTEMS[name](n=64)
    u, dt = system.initial(), 2 * system.dt
    stepper, v = scheme(order, adaptive=False).stepper(system), u
    for step in [dt] * 10 + [-dt] * 10:
        v = stepper.step(v, step).value
    assert (v - u).abs().max() < 1e-10


@pytest.mark.parametrize("form", ["travelling", "strain", "damped"])
def test_waves_against_the_exact_solution(form: str) -> None:
    system = SYSTEMS["wave"](form, operator="spectral")
    states, _ = run(system, scheme(8, adaptive=False), system.initial(), 0.05, 20)
    assert (states[-1] - system.exact(1.0)).abs().max() < 1e-9


def test_the_soliton_keeps_shape_and_speed() -> None:
    system = SYSTEMS["kdv"]("soliton", n=128)
    states, _ = run(system, Collocation6(rtol=1e-9), system.initial(), 0.5, 2)
    assert (states[-1] - system.exact(1.0)).abs().max() < 2e-6


# Ways of solving


def test_the_solver_suits_the_dynamics() -> None:
    assert isinstance(mode_equation(SYSTEMS["kdv"](), 2, 3), FourierModes)
    assert isinstance(mode_equation(SYSTEMS["pendulum"](), 2, 4), DenseModes)
    assert isinstance(mode_equation(Blind(SYSTEMS["kdv"](n=32)), 2, 4), DenseModes)
    assert isinstance(mode_equation(Blind(SYSTEMS["kdv"](n=256)), 2, 4), MeasuredModes)


@pytest.mark.parametrize("name", ["kdv", "cahn_hilliard_2d", "wave"])
def test_hidden_symbols_change_the_cost_only(name: str) -> None:
    """Dense Newton (KdV) and the measured preconditioner against the Fourier iteration."""
    system = SYSTEMS[name](n={"kdv": 32, "cahn_hilliard_2d": 24, "wave": 96}[name])
    u, dt = system.initial(), system.dt
    stepper = Collocation4(adaptive=False).stepper(Blind(system))
    step = stepper.step(u, dt)
    assert step.converged, step.reason
    known = Collocation4(adaptive=False).stepper(system).step(u, dt)
    assert (step.value - known.value).abs().max() < 1e-11
    assert step.residual < 1e-10


def test_a_large_ode_is_refused_in_one_line() -> None:
    n = 1200

    class Chain(System):
        pass

    chain = Chain(lambda u: u.square().sum(-1), Symplectic(), state_shape=(n,))
    with pytest.raises(ValueError, match="1200 components"):
        Collocation4().stepper(chain)


@pytest.mark.parametrize("name", ["pendulum", "kdv", "wave", "cahn_hilliard_2d"])
def test_a_batch_equals_its_members(name: str) -> None:
    system = SYSTEMS[name]() if name == "pendulum" else SYSTEMS[name](n=32)
    u = system.initial(seed=3, batch=3)
    together, _ = run(system, Collocation6(adaptive=False), u, system.dt, 4)
    for row in range(3):
        alone, _ = run(system, Collocation6(adaptive=False), u[row], system.dt, 4)
        assert (together[:, row] - alone).abs().max() < 3e-12


def test_an_adaptive_batch_is_as_accurate_as_its_members() -> None:
    system = SYSTEMS["pendulum"]()
    u = system.initial(seed=3, batch=4)
    states, steps = run(system, Collocation6(rtol=1e-9), u, 2.0, 2)
    assert (states[-1] - system.exact(4.0, seed=3, batch=4)).abs().max() < 2e-8
    assert steps[0].iterations.shape == (4,)


def test_the_residual_is_the_defect_of_the_mode_equations() -> None:
    system = SYSTEMS["kdv"](n=64)
    u = system.initial()
    for tol in (1e-4, 1e-12):
        stepper = Collocation4(adaptive=False, tol=tol).stepper(system)
        step = stepper.step(u, 0.02)
        assert stepper.modes is not None
        defect = stepper.equation.defect(u[None], stepper.modes, 0.02)
        # evaluated by other operations, so equal up to rounding
        assert float(step.residual) == pytest.approx(float(defect.abs().max()), rel=1e-3, abs=1e-12)


# Adaptive substeps


@pytest.mark.parametrize("order", ALL)
@pytest.mark.parametrize("name", ["pendulum", "two_body", "kdv"])
def test_the_error_follows_rtol(name: str, order: int) -> None:
    system = smooth_kdv() if name == "kdv" else SYSTEMS[name]()
    u, t = system.initial(), 0.4 if name == "kdv" else 3.0
    reference = run(system, scheme(8, rtol=1e-13, tol=1e-13), u, t, 1)[0][-1]
    errors = []
    for rtol in (1e-4, 1e-6):
        states, steps = run(system, scheme(order, rtol=rtol), u, t, 1)
        errors.append(float((states[-1] - reference).abs().max() / u.abs().max()))
        assert errors[-1] < (200 if order == 2 else 20) * rtol
        assert steps[0].error is not None
        assert steps[0].error <= rtol
    assert errors[1] < errors[0] / 5


def test_substeps_land_on_the_step_and_keep_the_law() -> None:
    system, t = smooth_kdv(), 0.5
    u = system.initial()
    finals = []
    for steps in (1, 7):
        states, taken = run(system, scheme(8, rtol=1e-8), u, t / steps, steps)
        finals.append(states[-1])
        assert sum(step.substeps for step in taken) > 10
        error = drift(system.energy(states), system.energy_scale)
        assert error.max() < 1e-11
    assert (finals[0] - finals[1]).abs().max() < 2e-7


def test_steps_below_the_error_are_not_divided() -> None:
    system = SYSTEMS["kdv"]("two_solitons", n=128)
    _, steps = run(system, scheme(6), system.initial(), 1e-3, 8)
    assert [step.substeps for step in steps[2:]] == [1] * 6


def test_the_step_grows_as_the_pattern_settles() -> None:
    system = SYSTEMS["cahn_hilliard_2d"]("published", n=32, operator="spectral")
    _, steps = run(system, Collocation6(), system.initial(), 0.02, 6)
    substeps = [step.substeps for step in steps]
    assert substeps[0] > 3 * substeps[-1]


def test_another_state_starts_afresh() -> None:
    system = SYSTEMS["kdv"](n=64)
    u, other = system.initial(), system.initial(seed=5)
    used, fresh = Collocation4().stepper(system), Collocation4().stepper(system)
    for _ in range(3):
        u = used.step(u, 0.01).value
    assert (used.step(other, 0.01).value - fresh.step(other, 0.01).value).abs().max() < 1e-9


# Failure


def test_a_fixed_step_that_does_not_converge_is_flagged() -> None:
    system = SYSTEMS["kdv"]()
    step = scheme(8, adaptive=False).stepper(system).step(system.initial(), 5.0)
    assert not step.converged
    assert "did not converge" in step.reason


def test_an_adaptive_step_divides_what_does_not_converge() -> None:
    system = SYSTEMS["kdv"](n=64)
    u = system.initial()
    (_, final), (step,) = run(system, Collocation4(max_iterations=12), u, 0.5, 1)
    assert step.substeps > 5
    finer = run(system, Collocation4(rtol=1e-10), u, 0.5, 1)[0][-1]
    assert (final - finer).abs().max() < 1e-4


def test_giving_up_returns_a_state_that_was_reached_and_a_reason() -> None:
    system = SYSTEMS["kdv"](n=64)
    u = system.initial()
    step = Collocation4(max_iterations=1).stepper(system).step(u, 0.5)
    assert not step.converged
    assert torch.equal(step.value, u)
    assert "substep" in step.reason


def test_only_the_failing_member_of_a_batch_is_flagged() -> None:
    system = SYSTEMS["pendulum"]()
    u = system.initial(batch=3).clone()
    u[1] = torch.nan
    for adaptive in (True, False):
        step = Collocation4(adaptive=adaptive).stepper(system).step(u, 0.1)
        assert step.converged.tolist() == [True, False, True]
        assert step.reason
        good = Collocation4(adaptive=adaptive).stepper(system).step(u[2], 0.1)
        assert (step.value[2] - good.value).abs().max() < 1e-8


def test_a_collision_ends_the_step_that_holds_it() -> None:
    """Two unit masses that fall from rest at distance 2 a meet at t = π √(a³/2)."""
    system, a = SYSTEMS["two_body"](), 0.1
    rest = torch.tensor([a, 0, -a, 0, 0, 0, 0, 0], dtype=F64)
    meet = math.pi * math.sqrt(a**3 / 2)
    assert scheme(8).stepper(system).step(rest, 0.9 * meet).converged
    step = scheme(8).stepper(system).step(rest, 1.1 * meet)
    assert isinstance(step, CollocationStep)
    assert not step.converged
    assert "smallest substep tried" in step.reason
    assert step.substeps < 500
    # the last state that was reached
    assert abs(float(step.value[0] - step.value[2])) < 1e-6 * a
    assert (step.value[:4].view(2, 2).sum(0)).abs().max() < 1e-12


def test_a_blow_up_ends_the_step_before_the_numbers_run_out() -> None:
    """Weights that create energy: the solution of KdV ceases to exist at a finite time."""
    kdv = SYSTEMS["kdv"](n=64)
    weights = torch.tensor([-0.5, 0.5, 0.5], dtype=F64)
    system = kdv.with_(structure=KernelStructure(kdv.grid, weights))
    frame = Rollout(system, system.initial(), 0.1, Collocation6()).step(20)
    assert 0 < frame.t < 2
    assert "the state diverges (max |u| = " in frame.reason
    reached = float(frame.reason.partition("= ")[2].partition("max |u| = ")[2].partition(")")[0])
    assert 1e6 < reached < 1e12


def test_a_member_of_a_batch_fares_no_worse_than_alone() -> None:
    """Stiff decay in rigid steps, where the members need different starts of the iteration."""
    system = SYSTEMS["cahn_hilliard_2d"](
        "published",
        n=(4, 5),
        operator="spectral",
        gamma=1e-5,
        structure="minus_identity",
        dtype=torch.float32,
    )
    u, dt = system.initial(3, 3), 100 * system.dt
    together, _ = run(system, scheme(2, adaptive=False), u, dt, 4)
    for i in range(3):
        alone, _ = run(system, scheme(2, adaptive=False), u[i], dt, 4)
        assert (together[:, i] - alone).abs().max() < 1e-5


@pytest.mark.parametrize("options", [{"rtol": 0.0}, {"rtol": 2.0}, {"max_iterations": 0}])
def test_wrong_options_are_named(options: dict) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}="):
        Collocation4(**options)


# Precision


def test_float32() -> None:
    states = {}
    for dtype in (torch.float32, F64):
        system = SYSTEMS["kdv"]("soliton", n=64, dtype=dtype)
        states[dtype], _ = run(system, Collocation4(), system.initial(), 0.05, 10)
        assert states[dtype].dtype == dtype
        error = drift(system.energy(states[dtype]), system.energy_scale)
        assert error.max() < (2e-5 if dtype == torch.float32 else 1e-12)
    assert (states[torch.float32][-1] - states[F64][-1]).abs().max() < 2e-3


def test_the_scalar_polish_restores_the_law_and_reports_the_drift_before() -> None:
    system = SYSTEMS["kdv"]("two_solitons", n=128)
    u, dt = system.initial(), 0.05
    loose, _ = run(system, scheme(8, adaptive=False, tol=1e-8), u, dt, 40)
    polished, steps = run(
        system, scheme(8, adaptive=False, tol=1e-8, scalar_polish=True), u, dt, 40
    )
    before = drift(system.energy(loose), system.energy_scale).max()
    after = drift(system.energy(polished), system.energy_scale).max()
    assert before > 1e-11
    assert after < 3e-15
    reported = [float(step.law_defect.abs()) for step in steps if step.law_defect is not None]
    assert len(reported) == 40
    assert max(reported) / system.energy_scale > 1e-12
    mass = system.mass(polished)
    assert mass is not None
    assert (mass - mass[0]).abs().max() < 1e-12


def test_the_scalar_polish_follows_a_dissipative_law() -> None:
    system = SYSTEMS["cahn_hilliard"](n=64)
    u = system.initial()
    _, exact = run(system, Collocation4(adaptive=False), u, 1e-4, 5)
    states, steps = run(
        system, Collocation4(adaptive=False, tol=1e-8, scalar_polish=True), u, 1e-4, 5
    )
    energy = system.energy(states)
    assert (energy[1:] < energy[:-1]).all()
    assert (states[-1] - exact[-1].value).abs().max() < 1e-7
    assert all(math.isfinite(float(s.law_defect)) for s in steps if s.law_defect is not None)


def test_the_polish_leaves_alone_what_is_not_converged_to_1e_7() -> None:
    system = SYSTEMS["kdv"]("soliton", n=64)
    u = system.initial()
    options = {"adaptive": False, "tol": 1e-3}
    plain = Collocation4(**options).stepper(system).step(u, 0.05)
    loose = Collocation4(**options, scalar_polish=True).stepper(system).step(u, 0.05)
    assert loose.residual > 1e-7
    change = float(system.energy(loose.value) - system.energy(u))
    assert loose.law_defect is not None
    assert change == pytest.approx(float(loose.law_defect), rel=1e-9)
    assert plain.converged
