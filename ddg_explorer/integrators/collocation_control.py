"""Choice of the substep of a collocation scheme from the error its predictor made.

The modes of a step are predicted by extrapolating the polynomial of the step before. With step
size h and time scale τ the prediction misses by δ ~ (h/τ)^(s+1) and the scheme itself by
(h/τ)^(2s+1), so

    error ≈ κ δ^((2s+1)/(s+1)),    δ = max|a − prediction| / max|u|

costs nothing. Where there is no step before, the last mode takes the place of δ: it is of order s.
A batch shares its substeps; its worst trajectory decides.
"""

from __future__ import annotations

import math

from torch import Tensor

KAPPA = {1: 0.5, 2: 0.2, 3: 0.1, 4: 0.05}
"""Calibrated on KdV solitons, Cahn–Hilliard and the pendulum."""
SAFETY = 0.9
SHRINK, GROW = 0.2, 3.0
STEADY = (0.8, 1.25)
"""Changes smaller than this are not made: the symbols of a substep serve the next one."""
EASY, HARD = 25, 45
"""Substeps grow no more after solves of more than EASY iterations and shrink after HARD ones."""
FAR = 8
"""With more substeps than this left, their size is a power of 2^(1/4): symbols are met again."""


def error_estimate(s: int, difference: Tensor, predicted: bool) -> Tensor:
    """Estimated relative error of a substep from δ, or from its last mode."""
    return KAPPA[s] * difference ** ((2 * s + 1) / (s + 1 if predicted else s))


def next_substep(h: float, s: int, error: float, rtol: float, iterations: int) -> float:
    """The substep (positive) to try after one of size h with this error."""
    wanted = SAFETY * (rtol / error) ** (1 / (2 * s + 1)) if error > 0 else GROW
    factor = min(GROW, max(SHRINK, wanted))
    if error <= rtol and STEADY[0] < factor < STEADY[1]:
        factor = 1.0
    if iterations > EASY:
        factor = min(factor, 1.0 if iterations <= HARD else 0.8)
    return h * factor


def plan(h: float, remaining: float) -> float:
    """A substep of about h that divides what remains, so that the last one lands on its end."""
    count = math.ceil(remaining / h * (1 - 1e-9))
    if count <= 1:
        return remaining
    if count <= FAR:
        return remaining / count
    return 2 ** (math.floor(4 * math.log2(h)) / 4)
