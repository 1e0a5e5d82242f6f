"""What one lane has run through, as files and pictures are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.pictures import Picture
from ddg_explorer.app.share.reel import Reel
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.theme import LANE_COLOURS, lane_places, mode
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.trajectory import Trajectory, state_axes
from ddg_explorer.version import __version__


@dataclass(frozen=True)
class Record:
    """One lane's history.

    Attributes
    ----------
    name, title, colour
        Of the lane; names are unique in a session.
    dynamics, truth
        What runs, and the true system whose energy is taken.
    picture, limits
        How it is shown.
    times, states
        (T,) and (T, *state_shape), oldest first.
    about
        Scene and lane as plain data.
    """

    name: str
    title: str
    colour: str
    dynamics: Dynamics
    truth: Dynamics
    picture: Picture
    limits: tuple[float, float]
    times: np.ndarray
    states: Tensor
    about: Mapping[str, Any]

    def trajectory(self) -> Trajectory:
        """With energies and mass taken anew; the solver's figures were not kept and are NaN."""
        u = self.states
        unknown = torch.full((len(u),), torch.nan)
        with torch.no_grad():
            own = self.dynamics.energy(u) if self.dynamics.has_energy else unknown
            return Trajectory(
                t=torch.from_numpy(np.asarray(self.times, float)),
                energy=self.truth.energy(u).cpu(),
                own_energy=own.cpu(),
                mass=None if (mass := self.truth.mass(u)) is None else mass.cpu(),
                residual=unknown,
                iterations=torch.zeros(len(u), dtype=torch.int64),
                converged=torch.tensor(True),
                reason="",
                states=u.cpu(),
                axes=state_axes(self.truth),
                recipe={**self.about, "ddg_explorer": __version__},
            )

    def reel(self) -> Reel:
        """The same for drawing."""
        values = np.stack([self.picture.values(u) for u in self.states])
        return Reel(self.title, self.colour, self.picture.spec, self.times, values, self.limits)


def records_of(
    simulations: Sequence[Simulation],
    canvases: Sequence[LaneCanvas],
    about: Mapping[str, Any],
    dark: bool,
) -> list[Record]:
    """Records of all lanes in which somebody runs."""
    places = lane_places([simulation.lane.model for simulation in simulations])
    records: list[Record] = []
    for simulation, canvas, place in zip(simulations, canvases, places, strict=True):
        kept = simulation.kept()
        if kept is None:
            continue
        twins = sum(record.name.split("_")[0] == canvas.lane for record in records)
        records.append(
            Record(
                name=f"{canvas.lane}_{twins + 1}" if twins else canvas.lane,
                title=canvas.title,
                colour=LANE_COLOURS[mode(dark)][place],
                about={"scene": dict(about), "lane": canvas.title},
                **kept._asdict(),
            )
        )
    return records
