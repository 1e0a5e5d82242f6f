"""Even times: gaps among them, and a given Δt that they contradict."""

from __future__ import annotations

import numpy as np
import pytest

from ddg_explorer.sampling import check_gaps, check_given_step, even_step

T = 0.1 * np.arange(50)


@pytest.mark.parametrize("missing", [1, 3, 20])
def test_a_gap_is_a_whole_number_of_steps(missing: int) -> None:
    t = np.delete(T, np.arange(20, 20 + missing))
    line = f"time: a step of {0.1 * (missing + 1):.6g} after point 19, others are 0.1: frames miss"
    with pytest.raises(ValueError, match=line):
        check_gaps(t, "time")
    with pytest.raises(ValueError, match=line):
        check_given_step(t, 0.1, "time", len(t))


@pytest.mark.parametrize("t", [T, T[:1], T**2, np.geomspace(1, 9, 30), np.array([0.0, 1, 4, 9])])
def test_other_times_have_no_gaps(t: np.ndarray) -> None:
    """Those that are uneven everywhere, as a logarithmic scale, are for `even_step` to refuse."""
    check_gaps(t, "time")


@pytest.mark.parametrize("seed", range(5))
def test_a_given_step_allows_for_jitter_and_drift(seed: int) -> None:
    """Of 2.4 % of a step at each time, and of 9 % of the clock."""
    jitter = np.random.default_rng(seed).uniform(-0.012, 0.012, T.shape)
    check_given_step(T + 0.1 * jitter, 0.1, "time", 50)
    check_given_step(1.09 * T, 0.1, "time", 50)
    with pytest.raises(ValueError, match=r"dt=0.1: time has steps of 0.111"):
        check_given_step(1.11 * T, 0.1, "time", 50)


@pytest.mark.parametrize(
    ("t", "line"),
    [
        (np.insert(T, 7, 0.61), "a step of 0.01 after point 6, .*: a frame too many"),
        (np.array([0.0, 1, 2, 10, 11]), "dt=0.1: time has steps of 2.75"),
        (np.array([0.0, 0.04, 0.2, 0.24, 0.4, 0.44, 0.6]), "a step of 0.04 .* others are 0.1"),
        (T[:-1], "time: has 49 points, the states have"),
        (np.where(T > 2, np.nan, T), "must be finite"),
        (T[:, None], "must be one column of numbers"),
    ],
)
def test_times_that_contradict_a_given_step(t: np.ndarray, line: str) -> None:
    count = 50 if "49" in line else len(t)
    with pytest.raises(ValueError, match=line):
        check_given_step(t, 0.1, "time", count)


def test_dates_and_durations_are_seconds() -> None:
    t = (1000 * np.arange(6)).astype("timedelta64[ms]")
    assert even_step(t, "time", 6) == 1
    check_given_step(np.datetime64("2026-01-01", "ms") + t, 1.0, "time", 6)
    with pytest.raises(ValueError, match="dt=1000: time has steps of 1,"):
        check_given_step(t, 1000.0, "time", 6)
