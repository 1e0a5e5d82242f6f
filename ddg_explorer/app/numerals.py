"""Numbers as the page writes them: few digits, a true minus sign, – for what there is not."""

from __future__ import annotations

import math

import numpy as np


def scientific(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits and a power of ten, as 1.22e−7; – for None, nan and ±inf."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def number(value: float | None, digits: int = 3, *, keep: bool = False) -> str:
    """`digits` significant digits, in powers of ten outside [0.01, 10⁴); – for None.

    `keep` keeps zeros at the end. What is not finite has "diverged".
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "diverged"
    if value and not 1e-2 <= abs(value) < 1e4:
        return scientific(value, digits)
    value += 0.0  # no −0
    shown = np.format_float_positional(value, precision=digits, fractional=False, trim="-")
    if keep and value and abs(float(shown)) < 10**digits:
        shown = f"{float(shown):#.{digits}g}".rstrip(".")
    return shown.replace("-", "−")


def clock(t: float, digits: int = 4) -> str:
    """A time as the time slider writes it: in powers of ten below 1e−3 only."""
    plain = 1e-3 <= abs(t) < 1e-2
    return f"{t:.{digits}g}".replace("-", "−") if plain else number(t, digits)
