"""Diagnostics against closed forms: drift, law defect, order, and what counts as an energy rise."""

import pytest
import torch
from oscillator import Exact, Oscillator

from ddg_explorer.diagnostics import Summary, drift, law_bound, law_defect, order_slope
from ddg_explorer.frames import Frame, measure
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS

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


@pytest.mark.parametrize("name", ["pendulum", "kdv", "cahn_hilliard"])
def test_law_defect_of_a_solved_step_lies_within_its_bound(name: str) -> None:
    system = SYSTEMS[name]() if name == "pendulum" else SYSTEMS[name](n=32)
    rollout = Rollout(system, system.initial(seed=1, batch=3), system.dt, tol=1e-6)
    u = rollout.u
    frame = rollout.step()
    defect = law_defect(system, frame.u, u, system.dt).abs()
    floor = 4e-16 * system.energy(u).abs().clamp_min(system.energy_scale)
    assert (defect <= law_bound(system, frame.u, frame.residual) + floor).all()
    half = law_defect(system, u + (frame.u - u) / 2, u, system.dt).abs()
    assert (half > 100 * defect).all()


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
