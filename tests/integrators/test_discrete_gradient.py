"""The discrete-gradient method: its laws, its order, its failures."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from one_step_cases import F64, Pendulum, law_defect, pendulum_states, run

from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.discrete_gradient import DiscreteGradient
from ddg_explorer.systems import SYSTEMS


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
