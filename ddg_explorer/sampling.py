"""Times and nodes at even distances: their step, and whether a given one fits them.

    tₙ = t₀ + nΔt

Dates and durations (datetime64, timedelta64) are taken in seconds.
"""

from __future__ import annotations

import numpy as np

EVEN = 1e-3
"""Largest deviation of a time or node from the even ones, in units of a step."""
MISSING = 0.5
"""Part of Δt by which a step may differ from it, before frames are missing or too many."""
OTHER = 0.1
"""Part of a given Δt by which the mean step may differ, as a clock's drift: not another unit."""
MOST = 0.5
"""Part of the steps that has to be even for a longer one among them to be a gap."""


def even_step(points: np.ndarray, name: str, count: int) -> float:
    """The step of `count` evenly spaced increasing points; ValueError where they are not."""
    steps = _steps(points, name, count)
    mean = steps.mean()
    if not mean > 0:
        raise ValueError(f"{name}: must be finite and increasing")
    worst = int(np.abs(steps - mean).argmax())
    if abs(steps[worst] - mean) > EVEN * mean:
        raise ValueError(
            f"{name}: steps are uneven, {steps[worst]:.6g} after point {worst}, mean {mean:.6g}"
        )
    # nΔt gives Δt back to the last bit as its first step, a mean of differences does not
    return float(steps[0] if abs(steps[0] - mean) < 1e-12 * mean else mean)


def check_gaps(t: np.ndarray, name: str) -> None:
    """ValueError for times that are even but for longer steps, of a whole number of the others."""
    steps = np.diff(_seconds(t, name))
    if not steps.size:
        return
    usual = float(np.median(steps))
    even = np.abs(steps - usual) <= EVEN * usual
    gaps = np.flatnonzero((steps > 1.5 * usual) & np.isfinite(steps))
    if not gaps.size or even.mean() <= MOST:
        return
    frames = float(steps[gaps[0]]) / usual
    if abs(frames - round(frames)) <= OTHER:
        raise ValueError(_gap(steps, int(gaps[0]), usual, name))


def check_given_step(t: np.ndarray, dt: float, name: str, count: int) -> None:
    """ValueError where `count` times contradict a given Δt; they need not be even.

    No step may differ from Δt by more than half, nor their mean by a tenth.
    """
    steps = _steps(t, name, count)
    usual, mean = float(np.median(steps)), float(steps.mean())
    worst = int(np.abs(steps - dt).argmax())
    gap = abs(steps[worst] - dt) > MISSING * dt
    if gap and abs(usual - dt) <= OTHER * dt:
        raise ValueError(_gap(steps, worst, dt, name))
    if abs(mean - dt) > OTHER * dt:
        raise ValueError(f"dt={dt:g}: {name} has steps of {mean:.6g}, convert them or leave dt out")
    if gap:
        raise ValueError(_gap(steps, worst, dt, name))


def _gap(steps: np.ndarray, at: int, usual: float, name: str) -> str:
    where = f"{name}: a step of {steps[at]:.6g} after point {at}, others are {usual:.6g}"
    if steps[at] > usual:
        return f"{where}: frames missing? Fill them in, or split the trajectory there"
    return f"{where}: a frame too many? Leave it out"


def _steps(points: np.ndarray, name: str, count: int) -> np.ndarray:
    """The differences of `count` finite numbers, two or more."""
    numbers = _seconds(points, name)
    if len(numbers) != count:
        raise ValueError(f"{name}: has {len(numbers)} points, the states have {count}")
    if count < 2:
        raise ValueError(f"{name}: needs at least two points")
    steps = np.diff(numbers)
    if not np.isfinite(steps).all():
        raise ValueError(f"{name}: must be finite and increasing")
    return steps


def _seconds(points: np.ndarray, name: str) -> np.ndarray:
    """One column of numbers in float64."""
    points = np.asarray(points)
    if points.ndim == 1 and points.dtype.kind in "mM":
        points = (points - points[:1]) / np.timedelta64(1, "s")
    if points.ndim != 1 or points.dtype.kind not in "fiu":
        raise ValueError(f"{name}: must be one column of numbers, not {points.dtype}{points.shape}")
    return points.astype(np.float64)
