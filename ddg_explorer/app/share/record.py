"""What one lane has run through, as files and pictures are made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.looks import lane_looks
from ddg_explorer.app.share.reel import Reel
from ddg_explorer.app.simulation import Kept, Simulation
from ddg_explorer.trajectory import Trajectory, state_axes
from ddg_explorer.version import __version__


@dataclass(frozen=True)
class Record:
    """One lane's history.

    Attributes
    ----------
    name, title, colour, dash
        Of the lane; names and titles are unique in a session.
    kept
        What the lane has run through.
    about
        Scene and lane as plain data.
    """

    name: str
    title: str
    colour: str
    dash: Sequence[int]
    kept: Kept
    about: Mapping[str, Any]

    def trajectory(self) -> Trajectory:
        """With energies and mass taken anew; the solver's figures were not kept and are NaN."""
        kept = self.kept
        u, truth = kept.states, kept.truth
        unknown = torch.full((len(u),), torch.nan)
        with torch.no_grad():
            own = kept.dynamics.energy(u) if kept.dynamics.has_energy else unknown
            return Trajectory(
                t=torch.from_numpy(np.asarray(kept.times, float)),
                energy=truth.energy(u).cpu(),
                own_energy=own.cpu(),
                mass=None if (mass := truth.mass(u)) is None else mass.cpu(),
                residual=unknown,
                iterations=torch.zeros(len(u), dtype=torch.int64),
                converged=torch.tensor(True),
                reason="",
                states=u.cpu(),
                axes=state_axes(truth),
                recipe={**self.about, "ddg_explorer": __version__},
            )

    def reel(self) -> Reel:
        """The same for drawing."""
        kept = self.kept
        values = np.stack([kept.picture.values(u) for u in kept.states])
        return Reel(
            self.title,
            self.colour,
            kept.picture.spec,
            kept.times,
            values,
            kept.limits,
            self.dash,
        )


def records_of(
    simulations: Sequence[Simulation],
    canvases: Sequence[LaneCanvas],
    about: Mapping[str, Any],
    dark: bool,
) -> list[Record]:
    """Records of all lanes in which somebody runs."""
    looks = lane_looks([simulation.lane.model for simulation in simulations])
    records: list[Record] = []
    seen: Counter[str] = Counter()
    for simulation, canvas, look in zip(simulations, canvases, looks, strict=True):
        kept = simulation.kept()
        if kept is None:
            continue
        seen[canvas.lane] += 1
        number = seen[canvas.lane]
        records.append(
            Record(
                name=canvas.lane if number == 1 else f"{canvas.lane}_{number}",
                title=canvas.title,
                colour=look.colour(dark),
                dash=look.dash,
                kept=kept,
                about={"scene": dict(about), "lane": canvas.title},
            )
        )
    return records
