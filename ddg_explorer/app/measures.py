"""What is measured of a running lane for its plots and read-outs.

    drift = |H − H₀|/max(|H₀|, H-scale),     distance = ‖u − u*‖₂/‖u*₀‖₂

H is the true energy along the lane, or the model's own; u* is the true state of the same time. All
are numbers of one trajectory, nondimensional.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ddg_explorer.app.turns import Sample
from ddg_explorer.frames import Frame
from ddg_explorer.integrators.base import Integrator
from ddg_explorer.systems.base import System


@dataclass(frozen=True)
class References:
    """What drifts are relative to: the state at the start, or where the dynamics changed."""

    energy: float
    own_energy: float
    energy_scale: float
    own_scale: float
    mass: float
    mass_scale: float
    size: float

    @classmethod
    def of(cls, frame: Frame, system: System) -> References:
        """From a frame of a run in this system."""
        energy, own = float(frame.energy), float(frame.own_energy)
        mean = float(frame.u.abs().mean())
        grid = system.grid
        return cls(
            energy=energy,
            own_energy=own,
            energy_scale=max(abs(energy), system.energy_scale),
            own_scale=max(abs(own), system.energy_scale),
            mass=math.nan if frame.mass is None else float(frame.mass[0]),
            mass_scale=mean * grid.cell_volume * grid.size if grid and mean else 1.0,
            size=float(frame.u.norm()) or 1.0,
        )


def measured(
    frames: Sequence[Frame], start: References, reference: Frame | None, integrator: Integrator
) -> Sample:
    """A sample of the newest of `frames`; `reference` is the true frame of the same time.

    Of an explicit `integrator`, which solves nothing, there is no residual.
    """
    last = frames[-1]
    energy, own = float(last.energy), float(last.own_energy)
    mass = math.nan if last.mass is None else float(last.mass[0])
    distance = math.nan if reference is None else float((last.u - reference.u).norm())
    return Sample(
        t=last.t,
        energy=energy,
        drift=abs(energy - start.energy) / start.energy_scale,
        own_drift=abs(own - start.own_energy) / start.own_scale,
        mass=mass,
        mass_drift=abs(mass - start.mass) / start.mass_scale,
        residual=max(float(f.residual) for f in frames) if integrator.implicit else math.nan,
        error=distance / start.size,
        energy_scale=start.energy_scale,
        mass_scale=start.mass_scale,
    )


class RateMeter:
    """Steps per second of wall time, over about the last second."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._since = time.perf_counter()
        self._steps = 0

    def count(self, steps: int) -> None:
        """Note `steps` more steps."""
        self._steps += steps
        elapsed = time.perf_counter() - self._since
        if elapsed > 2.0:  # it was paused: start afresh rather than average over the pause
            self._steps, self._since = 0, time.perf_counter()
        elif elapsed > 0.5:
            self.rate = self._steps / elapsed
            self._steps, self._since = 0, time.perf_counter()
