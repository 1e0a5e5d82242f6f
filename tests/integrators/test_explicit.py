"""Euler, RK2, RK4, leapfrog and Dormand–Prince: orders, invariants, honest failures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ddg_explorer.diagnostics import drift, order_slope
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators import INTEGRATORS, Integrator
from ddg_explorer.integrators.dopri5 import Dopri5
from ddg_explorer.integrators.leapfrog import Leapfrog
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import MinusIdentity
from ddg_explorer.systems import SYSTEMS, System

EXPLICIT = ("euler", "midpoint", "rk4", "leapfrog", "dopri5")


def run(dynamics: Dynamics, integrator: Integrator, u: Tensor, dt: float, steps: int) -> Tensor:
    """All states, (steps + 1, ...)."""
    stepper, states = integrator.stepper(dynamics), [u]
    for _ in range(steps):
        step = stepper.step(states[-1], dt)
        assert step.converged.all(), step.reason
        states.append(step.value)
    return torch.stack(states)


@pytest.mark.parametrize("name", ["euler", "midpoint", "rk4", "leapfrog"])
def test_order_on_the_pendulum(name: str) -> None:
    system = SYSTEMS["pendulum"]()
    integrator = INTEGRATORS[name]()
    counts = [1600, 3200, 6400] if name == "euler" else [40, 80, 160, 320]
    errors = [
        float((run(system, integrator, system.initial(), 4 / n, n)[-1] - system.exact(4)).norm())
        for n in counts
    ]
    slope = order_slope([4 / n for n in counts], errors, floor=1e-12)
    assert slope == pytest.approx(integrator.order, abs=0.1)


def test_euler_raises_the_energy_of_an_oscillator_by_a_known_factor() -> None:
    system = SYSTEMS["pendulum"]()
    spring = SYSTEMS["mass_spring"]()
    u = spring.initial()
    step = INTEGRATORS["euler"]().stepper(spring).step(u, 0.1)
    velocity = spring.rhs(u)
    assert torch.equal(step.value, u + 0.1 * velocity)
    assert spring.energy(step.value) > spring.energy(u)
    rising = system.energy(run(system, INTEGRATORS["euler"](), system.initial(), 0.1, 200))
    assert rising[-1] > 1.5 * rising[0]


def test_euler_raises_a_convex_energy_and_not_any_other() -> None:
    """Near the top of its potential a pendulum that Euler moves loses energy."""
    spring, pendulum = SYSTEMS["mass_spring"](), SYSTEMS["pendulum"]()
    rising = spring.energy(run(spring, INTEGRATORS["euler"](), spring.initial(), 0.1, 200))
    assert (rising.diff() > 0).all()
    top = torch.tensor([3.0, 1.0], dtype=torch.float64)
    energy = pendulum.energy(run(pendulum, INTEGRATORS["euler"](), top, 0.1, 1))
    assert energy[1] < energy[0] - 1e-3


@pytest.mark.parametrize("name", ["midpoint", "rk4"])
def test_mass_is_kept_though_energy_is_not(name: str) -> None:
    system = SYSTEMS["kdv"]("published", n=50)
    states = run(system, INTEGRATORS[name](), system.initial(), 1e-3, 200)
    mass = system.mass(states)
    assert mass is not None
    assert (mass - mass[0]).abs().max() < 1e-13
    assert drift(system.energy(states)).max() > 1e-12


@pytest.mark.parametrize("name", ["pendulum", "wave"])
def test_leapfrog_energy_oscillates_without_drift(name: str) -> None:
    system = SYSTEMS[name]()
    dt, steps = (0.2, 5000) if name == "pendulum" else (0.02, 2000)
    energy = system.energy(run(system, Leapfrog(), system.initial(), dt, steps))
    error = (energy - energy[0]).abs() / system.energy_scale
    assert error.max() < 0.02
    assert error[steps // 2 :].max() < 1.05 * error[: steps // 2].max()


@pytest.mark.parametrize("name", ["pendulum", "wave", "two_body"])
def test_leapfrog_is_reversible(name: str) -> None:
    system = SYSTEMS[name]()
    stepper, u = Leapfrog().stepper(system), system.initial(seed=1)
    v = u
    for dt in [system.dt] * 20 + [-system.dt] * 20:
        v = stepper.step(v, dt).value
    assert (v - u).abs().max() < 1e-13


def test_leapfrog_is_symplectic() -> None:
    system = SYSTEMS["pendulum"]()
    stepper, u = Leapfrog().stepper(system), system.initial()
    h = 1e-5
    columns = [
        (stepper.step(u + h * e, 0.3).value - stepper.step(u - h * e, 0.3).value) / (2 * h)
        for e in torch.eye(2, dtype=u.dtype)
    ]
    assert torch.linalg.det(torch.stack(columns, 1)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    "system",
    [
        SYSTEMS["pendulum"](friction=0.1),
        SYSTEMS["pendulum"](structure="minus_identity"),
        SYSTEMS["kdv"](n=16),
    ],
    ids=["friction", "gradient flow", "kdv"],
)
def test_leapfrog_refuses_what_does_not_declare_a_separable_energy(system: Dynamics) -> None:
    told = r"does not declare .* `separable`, `kinetic_gradient\(p\)` and `potential_gradient\(q\)`"
    with pytest.raises(ValueError, match=told):
        Leapfrog().stepper(system)


@pytest.mark.parametrize("tol", [1e-5, 1e-7, 1e-9])
def test_dopri5_error_follows_the_tolerance(tol: float) -> None:
    system = SYSTEMS["pendulum"]()
    final = run(system, Dopri5(tol=tol), system.initial(), 0.5, 8)[-1]
    error = float((final - system.exact(4)).abs().max())
    assert 0.01 * tol < error < 20 * tol


def test_dopri5_agrees_with_a_fine_rk4_on_a_field() -> None:
    system = SYSTEMS["kdv"]("published", n=50)
    u = system.initial()
    fine = run(system, INTEGRATORS["rk4"](), u, 1.25e-4, 800)[-1]
    final = run(system, Dopri5(tol=1e-11), u, 0.02, 5)[-1]
    assert (final - fine).abs().max() < 1e-9


def test_dopri5_counts_evaluations_and_reuses_the_substep() -> None:
    system = SYSTEMS["pendulum"]()
    counts = []
    for tol in (1e-4, 1e-8):
        stepper, u = Dopri5(tol=tol).stepper(system), system.initial()
        for _ in range(3):
            step = stepper.step(u, 1.0)
            u = step.value
        counts.append(int(step.iterations))
    # FSAL: one evaluation to start with and six per substep
    assert counts[0] % 6 == 1
    assert counts[1] > 2 * counts[0]


def test_dopri5_forgets_its_substep_when_it_is_reset() -> None:
    system = SYSTEMS["pendulum"]()
    u, integrator = system.initial(), Dopri5(tol=1e-6)
    fresh = integrator.stepper(system).step(u, 0.5)
    stepper = integrator.stepper(system)
    stepper.step(u, 0.5)
    assert not torch.equal(stepper.step(u, 0.5).value, fresh.value)
    stepper.reset()
    again = stepper.step(u, 0.5)
    assert torch.equal(again.value, fresh.value)
    assert torch.equal(again.iterations, fresh.iterations)


def test_dopri5_batch_is_as_accurate_as_its_members() -> None:
    system = SYSTEMS["pendulum"]()
    u = system.initial(batch=4)
    together = run(system, Dopri5(), u, 0.5, 4)[-1]
    for row in range(4):
        alone = run(system, Dopri5(), u[row], 0.5, 4)[-1]
        assert (together[row] - alone).abs().max() < 5e-9
    assert (together - system.exact(2, batch=4)).abs().max() < 5e-9


def test_dopri5_says_why_it_gave_up() -> None:
    system = SYSTEMS["kdv"]()
    u = system.initial()
    step = Dopri5(max_evaluations=50).stepper(system).step(u, 1.0)
    assert not step.converged
    assert "more than 50 evaluations a step" in step.reason
    assert step.reason.endswith("raise the tolerance")
    assert torch.equal(step.value, u)


@pytest.mark.parametrize("tol", [1e-3, 1e-9])
def test_dopri5_before_a_singularity_gives_no_advice_that_is_of_no_use(tol: float) -> None:
    """u̇ = u² from 1 is 1/(1 − t): no tolerance gets past t = 1, and a smaller Δt nearer to it."""
    system = System(lambda u: -(u**3).sum(-1) / 3, MinusIdentity(), initial=[1.0])
    stepper = Dopri5(tol=tol).stepper(system)
    assert float(stepper.step(system.initial(), 0.9).value) == pytest.approx(10, rel=20 * tol)
    step = stepper.step(system.initial(), 1.5)
    assert not step.converged
    assert step.reason == "Dormand–Prince finds no substep that is small enough (a singularity?)"
    run = simulate(system, dt=0.5, steps=4, integrator=Dopri5(tol=tol))
    assert run.reason == f"stopped at t = 0.5: {step.reason}"


def test_dopri5_flags_only_the_member_that_fails() -> None:
    system = SYSTEMS["pendulum"]()
    u = system.initial(batch=3).clone()
    u[1] = torch.nan
    step = Dopri5().stepper(system).step(u, 0.5)
    assert step.converged.tolist() == [True, False, True]
    assert step.reason
    assert "tolerance" not in step.reason
    alone = Dopri5().stepper(system).step(u[2], 0.5)
    assert (step.value[2] - alone.value).abs().max() < 1e-9


@pytest.mark.parametrize("name", ["euler", "midpoint", "rk4"])
def test_beyond_the_stability_limit_the_step_is_flagged(name: str) -> None:
    system = SYSTEMS["kdv"]()
    stepper = INTEGRATORS[name]().stepper(system)
    calm = torch.zeros_like(system.initial())
    u = torch.stack([calm, system.initial()])
    for _ in range(40):
        step = stepper.step(u, 1.0)
        if not step.converged.all():
            break
        u = step.value
    assert step.converged.tolist() == [True, False]
    assert "not finite in 1 of 2 states" in step.reason


@pytest.mark.parametrize("name", EXPLICIT)
@pytest.mark.parametrize("batch", [None, 3])
def test_shapes_dtypes_and_counts(name: str, batch: int | None) -> None:
    shape = () if batch is None else (batch,)
    for dtype in (torch.float32, torch.float64):
        system = SYSTEMS["pendulum"](dtype=dtype)
        step = INTEGRATORS[name]().stepper(system).step(system.initial(batch=batch), 0.05)
        assert step.value.dtype == dtype
        assert step.value.shape == (*shape, 2)
        assert step.residual.shape == step.iterations.shape == step.converged.shape == shape
        assert not step.iterations.is_floating_point()
        assert (step.residual == 0).all()
        assert (step.iterations > 0).all()


@pytest.mark.parametrize("name", EXPLICIT)
def test_float32_follows_float64(name: str) -> None:
    final = {}
    for dtype in (torch.float32, torch.float64):
        system = SYSTEMS["pendulum"](dtype=dtype)
        final[dtype] = run(system, INTEGRATORS[name](tol=1e-5), system.initial(), 0.05, 40)[-1]
    assert (final[torch.float32] - final[torch.float64]).abs().max() < 2e-5


@pytest.mark.parametrize("name", EXPLICIT)
def test_wrong_options_are_named(name: str) -> None:
    with pytest.raises(ValueError, match="tol=2"):
        INTEGRATORS[name](tol=2.0)
    if name == "dopri5":
        with pytest.raises(ValueError, match="max_evaluations=3"):
            Dopri5(max_evaluations=3)
