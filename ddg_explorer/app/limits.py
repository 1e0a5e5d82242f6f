"""Limits of colour and of the vertical axis that do not flicker.

They start from the preset, widen in one generous stride when the data leave them, and stay put once
a person has typed them; "auto" snaps them to the present data and lets them widen again.
"""

from __future__ import annotations

import math

MARGIN = 0.06
SLACK = 0.02
STRIDE = 0.15


def snapped(span: tuple[float, float], signed: bool) -> tuple[float, float]:
    """Limits that hold `span` with a margin; symmetric about 0 for a signed field."""
    low, high = span
    if signed:
        m = max(abs(low), abs(high), 1e-12) * (1 + MARGIN)
        return -m, m
    pad = max(high - low, 1e-9 * max(1.0, abs(high))) * MARGIN
    return low - pad / 2, high + pad


def grown(
    limits: tuple[float, float], span: tuple[float, float], signed: bool
) -> tuple[float, float]:
    """Limits widened where `span` leaves them by more than a little, otherwise unchanged."""
    low, high = limits
    slack = SLACK * (high - low)
    below, above = span[0] < low - slack, span[1] > high + slack
    if not (below or above):
        return limits
    new = snapped((min(low, span[0]), max(high, span[1])), signed)
    stride = STRIDE * (new[1] - new[0])
    if signed:
        return new[0] - stride, new[1] + stride
    return new[0] - stride if below else low, new[1] + stride if above else high


class Limits:
    """Limits of what is shown: `value` is (low, high), `seen` the range of the newest data."""

    def __init__(self, start: tuple[float, float], signed: bool) -> None:
        self.value = start
        self.signed = signed
        self.seen = start
        self._pinned = False

    def pin(self, low: float, high: float) -> None:
        """Keep these limits; ValueError unless they are finite and low < high."""
        for limit in (low, high):
            if not math.isfinite(limit):
                raise ValueError(f"limit={limit:g}: must be a finite number")
        if low >= high:
            raise ValueError(f"limits={low:g}, {high:g}: need low < high")
        self.value, self._pinned = (low, high), True

    def snap(self, span: tuple[float, float]) -> None:
        """Fit the present data and follow them again."""
        self.value, self._pinned = snapped(span, self.signed), False

    def follow(self, span: tuple[float, float]) -> None:
        """Widen if the data have left the limits and nobody has pinned them."""
        if math.isfinite(span[0]) and math.isfinite(span[1]):
            self.seen = span
            if not self._pinned:
                self.value = grown(self.value, span, self.signed)
