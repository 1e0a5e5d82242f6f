"""Curves, clock and table follow fast frames at their own rate, and slow ones more rarely."""

from itertools import pairwise

import pytest

from ddg_explorer.app.cadence import FRAMES, LATEST, Cadence


def updates(fps: float, seconds: float, period: float) -> list[float]:
    """Moments at which a cadence of that period is due while frames come at `fps`."""
    moment = 0.0
    cadence = Cadence(period, clock=lambda: moment)
    found = []
    for frame in range(round(fps * seconds)):
        moment = frame / fps
        if cadence.due():
            found.append(moment)
    return found


@pytest.mark.parametrize(
    ("fps", "gap"),
    [(120, 0.2), (60, 0.2), (20, FRAMES / 20), (8, FRAMES / 8), (4, LATEST), (0.5, 2.0)],
)
def test_updates_are_paced_by_time_then_by_frames_and_never_late(fps: float, gap: float) -> None:
    moments = updates(fps, 20, period=0.2)
    gaps = [b - a for a, b in pairwise(moments)]
    assert moments[0] == 0
    assert min(gaps) >= gap - 1e-9
    assert max(gaps) <= gap + 1 / fps + 1e-9


def test_an_update_at_once_counts() -> None:
    moment = 0.0
    cadence = Cadence(0.2, clock=lambda: moment)
    assert cadence.due()
    assert not cadence.due()
    assert cadence.due(now=True)
    moment = 0.3
    assert not any(cadence.due() for _ in range(FRAMES - 1))
    assert cadence.due()
