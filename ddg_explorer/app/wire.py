"""The binary frame a lane sends to its canvas, little-endian.

    4 × uint32    seq, epoch, count, kind
    14 × float64  t, dt, low, high, residual, iterations, ms per step, steps per second,
                  energy, drift, steps since the start, extra, own drift, distance
    payload       field:   ny × nx uint8 (newest state only), rows from the top (largest y) down
                  profile: float64 t, then C × n float32, and n more with
                  extra = 1 (the exact solution) or 2 (the true state)
                  phase:   count × (1 + d) float64 (t, then the plotted coordinates)

`epoch` counts restarts: a browser forgets its history (waterfall, trail) when it changes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

KINDS = ("field", "profile", "phase")
_HEADER = struct.Struct("<4I14d")
HEADER_BYTES = _HEADER.size


@dataclass(frozen=True, slots=True)
class Header:
    """The numbers of one frame; `low`, `high` are the limits of colour or of the vertical axis."""

    epoch: int
    count: int
    kind: str
    t: float
    dt: float
    low: float
    high: float
    residual: float
    iterations: float
    ms: float
    rate: float
    energy: float
    drift: float
    steps: int
    extra: int = 0
    own_drift: float = math.nan
    error: float = math.nan

    def pack(self, seq: int) -> bytes:
        """Header bytes for the frame with number `seq`."""
        return _HEADER.pack(
            seq,
            self.epoch,
            self.count,
            KINDS.index(self.kind),
            self.t,
            self.dt,
            self.low,
            self.high,
            self.residual,
            self.iterations,
            self.ms,
            self.rate,
            self.energy,
            self.drift,
            float(self.steps),
            float(self.extra),
            self.own_drift,
            self.error,
        )
