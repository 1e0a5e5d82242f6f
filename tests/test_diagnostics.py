"""Diagnostics against closed forms: drift, law defect, order, and what counts as an energy rise."""

import math
from dataclasses import replace

import pytest
import torch
from oscillator import Exact, Failing, Oscillator

from ddg_explorer.diagnostics import Summary, drift, law_bound, law_defect, order_slope
from ddg_explorer.frames import Frame, measure
from ddg_explorer.grids import Grid
from ddg_explorer.models import ModelRecipe
from ddg_explorer.rollout import Rollout
from ddg_explorer.structure import MinusIdentity
from ddg_explorer.systems import SYSTEMS, System

U0 = torch.tensor([[1.0, 0.5], [0.3, -2.0]], dtype=torch.float64)


def test_drift_is_relative_to_the_larger_of_start_and_scale() -> None:
    energy = torch.tensor([[4.0, 0.01], [4.4, 0.03], [3.0, 0.01]], dtype=torch.float64)
    expected = torch.tensor([[0.0, 0.0], [0.1, 0.04], [0.25, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(drift(energy, 0.5), expected)
    assert drift(torch.zeros(3), 0.0).tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="scale=-1"):
        drift(energy, -1.0)


def test_order_slope_leaves_the_rounding_plateau_out() -> None:
    dts = [0.1 / 2**k for k in range(8)]
    errors = [max(3 * dt**4, 1e-10) for dt in dts]
    assert order_slope(dts, errors, floor=1.1e-10) == pytest.approx(4, abs=1e-9)
    assert order_slope(dts, errors) < 3.5
    with pytest.raises(ValueError, match="fewer than three"):
        order_slope(dts, errors, floor=1e-5)
    with pytest.raises(ValueError, match=r"fewer than three above floor=0\.0625"):
        order_slope([1.0, 0.5, 0.25], [1.0, 0.25, 0.0625], floor=0.0625)


@pytest.mark.parametrize(
    ("dts", "message"),
    [
        ([0.1, 0.2], "errors: 3 for 2 dts"),
        ([0.1, -0.2, 0.4], "dts=.*: must be finite and positive"),
        ([0.1, math.nan, 0.4], "dts=.*: must be finite and positive"),
        ([0.1, 0.1, 0.1], "dts=.*: all equal"),
    ],
)
def test_order_slope_needs_one_positive_time_step_for_each_error(dts, message) -> None:
    with pytest.raises(ValueError, match=message):
        order_slope(dts, [1e-3, 4e-3, 16e-3])


@pytest.mark.parametrize("name", ["pendulum", "kdv", "cahn_hilliard"])
def test_law_defect_of_a_solved_step_lies_within_its_bound(name: str) -> None:
    system = SYSTEMS[name]() if name == "pendulum" else SYSTEMS[name](n=32)
    rollout = Rollout(system, system.initial(seed=1, batch=3), system.dt, tol=1e-6)
    u = rollout.u
    frame = rollout.step()
    defect = law_defect(system, frame.u, u, system.dt).abs()
    floor = 4e-16 * system.energy(u).abs().clamp_min(system.energy_scale)
    assert (defect <= law_bound(system, frame.u, frame.residual) + floor).all()
    half = u + (frame.u - u) / 2
    broken = law_defect(system, half, u, system.dt).abs()
    assert (broken > 100 * defect).all()
    # a half step breaks the law, and the bound of a residual of nothing does not hide it
    assert (broken > law_bound(system, half, torch.zeros_like(frame.residual))).all()


def test_law_bound_is_the_slope_of_the_energy_times_what_the_state_is_off_by() -> None:
    """Δx ‖u‖₁ (r + ε max|u|) for H = ½∫u², whose δH/δu is u."""
    grid = Grid((8,), (2.0,))
    system = System(lambda u: 0.5 * grid.integral(u.square()).sum(-1), MinusIdentity(grid))
    u = torch.linspace(-1, 2, 16, dtype=torch.float64).reshape(2, 1, 8)
    residual = torch.tensor([0.0, 1e-3], dtype=torch.float64)
    norm, largest = 0.25 * u.abs().sum((1, 2)), u.abs().amax((1, 2))
    expected = norm * (residual + 2.0**-52 * largest)
    torch.testing.assert_close(law_bound(system, u, residual), expected, rtol=1e-12, atol=0)


def advance(frame: Frame, u: torch.Tensor, residual: float) -> Frame:
    return measure(Oscillator(), None, 0.0, frame.step + 1, u, torch.full_like(u[:, 0], residual))


@pytest.mark.parametrize(
    ("growth", "residual", "rises"), [(1e-15, 0.0, 0), (1e-9, 0.0, 2), (1e-9, 1e-8, 0)]
)
def test_rises_are_counted_beyond_rounding_and_residual(
    growth: float, residual: float, rises: int
) -> None:
    rollout = Rollout(Oscillator(), U0, 0.1, Exact())
    summary = Summary(rollout)
    summary.add(advance(rollout.frame, U0 * (1 + growth), residual))
    assert summary.figures()["energy_rises"] == rises


@pytest.mark.parametrize(("ulps", "rises"), [(12, 0), (24, 2)])
def test_a_rise_counts_from_sixteen_ulps_on(ulps: int, rises: int) -> None:
    """At an extremum of H, where the slope explains nothing."""
    rollout = Rollout(Oscillator(), U0, 0.1, Exact())
    start = advance(rollout.frame, torch.zeros_like(U0), 0.0)
    summary = Summary(rollout)
    summary.add(replace(start, own_energy=torch.full_like(start.own_energy, 0.5)))
    # of the H-scale, which is 1
    raised = torch.full_like(start.own_energy, 0.5 + ulps * 2.0**-52)
    summary.add(replace(start, step=2, own_energy=raised))
    assert summary.figures()["energy_rises"] == rises


def test_a_rise_is_explained_by_the_slope_at_the_end_of_a_step() -> None:
    """From the bottom of the well, where H has no slope, to where it has one."""
    rollout = Rollout(Oscillator(), U0, 0.1, Exact())
    bottom = advance(rollout.frame, torch.zeros_like(U0), 0.0)
    up = advance(bottom, 1e-2 * torch.ones_like(U0), 1e-2)
    summary = Summary(rollout)
    summary.add(bottom)
    summary.add(up)
    assert summary.figures()["energy_rises"] == 0
    summary = Summary(rollout)
    summary.add(bottom)
    summary.add(replace(up, residual=1e-4 * torch.ones_like(up.residual)))
    assert summary.figures()["energy_rises"] == 2


def test_summary_of_a_model_alone_has_its_own_energy_under_its_own_name() -> None:
    model = ModelRecipe("dgnet", (2,), structure={"kind": "symplectic"}, hidden=4).build()
    rollout = Rollout(model, U0, 0.1)
    summary = Summary(rollout)
    start = rollout.frame.own_energy
    true = ("energy_start", "energy_end", "max_energy_drift", "energy_rises")
    for steps in (0, 5):
        if steps:
            summary.add(rollout.step(steps))
        figures = summary.figures()
        assert [figures[name] for name in true] == [None] * 4
        assert figures["own_energy_start"] == pytest.approx(float(start.mean()))
        assert figures["own_energy_end"] == pytest.approx(float(rollout.frame.own_energy.mean()))
        assert 0 <= (figures["max_own_energy_drift"] or 0.0) < 1e-9
        assert figures["own_energy_rises"] == 0


class Field(Oscillator):
    """Learned, without an H of its own."""

    is_learned = True

    @property
    def has_energy(self) -> bool:
        return False


class Steeper(Oscillator):
    """Learned, with 2H."""

    is_learned = True

    def energy(self, u: torch.Tensor) -> torch.Tensor:
        return 2 * super().energy(u)


@pytest.mark.parametrize(
    ("dynamics", "truth", "expected"),
    [
        (Oscillator(), None, (2, 2)),
        (Oscillator(), Steeper(), (2, 2)),
        (Field(), Oscillator(), (2, None)),
        (Field(), None, (None, None)),
        (Steeper(), None, (None, 2)),
        (Steeper(), Oscillator(), (2, 2)),
    ],
)
def test_rises_of_the_true_and_of_the_own_energy_are_counted_apart(
    dynamics: Oscillator, truth: Oscillator | None, expected: tuple[int | None, int | None]
) -> None:
    rollout = Rollout(dynamics, U0, 0.1, Exact(), truth=truth)
    summary = Summary(rollout)
    for k, size in enumerate((1.1, 1.0, 1.2), start=1):  # two rises of the first trajectory
        u = torch.stack([size * U0[0], U0[1]])
        summary.add(measure(dynamics, truth, 0.0, k, u, torch.zeros_like(u[:, 0])))
    figures = summary.figures()
    assert (figures["energy_rises"], figures["own_energy_rises"]) == expected
    for name, rises in zip(("energy", "own_energy"), expected, strict=True):
        assert (figures[f"max_{name}_drift"] is None) == (rises is None)


def test_a_rise_is_explained_by_the_slope_of_the_energy_that_rose() -> None:
    """A residual r explains |∇H|₁ r of H, and twice that of 2H."""
    norm = float(U0[0].abs().sum())
    change = 1e-6 * float(U0[0].square().sum())  # of H, for u → (1 + 1e-6) u
    rollout = Rollout(Steeper(), U0[:1], 0.1, Exact(), truth=Oscillator())
    for factor, expected in ((1.01, (0, 0)), (0.99, (1, 1))):
        summary = Summary(rollout)
        residual = torch.full((1,), factor * change / norm, dtype=torch.float64)
        u = (1 + 1e-6) * U0[:1]
        summary.add(measure(Steeper(), Oscillator(), 0.0, 1, u, residual))
        figures = summary.figures()
        assert (figures["energy_rises"], figures["own_energy_rises"]) == expected


def test_summary_takes_extremes_over_frames_and_batch() -> None:
    rollout = Rollout(Oscillator(), U0, 0.1, Exact())
    summary = Summary(rollout)
    start = rollout.frame
    first = advance(start, torch.stack([2 * U0[0], U0[1]]), 1e-9)
    summary.add(first)
    summary.add(advance(first, U0, 3e-9))
    figures = summary.figures()
    h0 = Oscillator().energy(U0)
    assert figures["max_energy_drift"] == pytest.approx(3 * float(h0[0]) / 1.0)
    assert figures["energy_start"] == figures["energy_end"] == pytest.approx(float(h0.mean()))
    assert figures["max_residual"] == 3e-9
    assert figures["energy_rises"] == 1
    assert figures["mass_drift"] is None
    assert figures["steps"] == 2


@pytest.mark.parametrize(("steps", "rises"), [(10, 0), (1, 1)])
def test_every_step_between_two_frames_may_be_off_by_its_residual(steps: int, rises: int) -> None:
    """ΔH = 6.25e-6 beside |∇H|₁ r = 1.5e-6 a step."""
    rollout = Rollout(Oscillator(), U0[:1], 0.1, Exact())
    summary = Summary(rollout)
    summary.add(replace(advance(rollout.frame, U0[:1] * (1 + 5e-6), 1e-6), step=steps))
    assert summary.figures()["energy_rises"] == rises


class Hill(Oscillator):
    """H = −½|u|²."""

    def energy(self, u: torch.Tensor) -> torch.Tensor:
        return -super().energy(u)


@pytest.mark.parametrize(("residual", "rises"), [(0.6, 0), (0.4, 1)])
def test_a_rise_is_explained_by_the_slope_at_the_start_of_a_step(residual, rises) -> None:
    """From the side of a hill, |∇H|₁ = 1, up by ½ to its top, where H has no slope."""
    start = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    rollout = Rollout(Hill(), start, 0.1, Exact())
    summary = Summary(rollout)
    top = torch.full((1,), residual, dtype=torch.float64)
    summary.add(measure(Hill(), None, 0.0, 1, torch.zeros_like(start), top))
    assert summary.figures()["energy_rises"] == rises


def test_a_frame_that_only_reports_a_stop_changes_nothing() -> None:
    rollout = Rollout(Oscillator(), U0, 0.1, Failing(after=3), truth=Steeper())
    summary = Summary(rollout)
    summary.add(rollout.step(3))
    before = summary.figures()
    stopped = rollout.step()
    assert stopped.stop is not None
    assert stopped.step == 3
    summary.add(stopped)
    assert summary.figures() == before
