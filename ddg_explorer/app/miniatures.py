"""A remembered moment as a small picture: the true lane, drawn as pictures and clips are.

Fields and profiles are one state, a phase plane has the trail that leads there. Colours and limits
are those of the stage at that moment; the theme is the page's, so that a picture is drawn again
when that changes.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace

import numpy as np

from ddg_explorer.app.pictures import Picture
from ddg_explorer.app.share.reel import Reel, drawn
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.theme import LANE_COLOURS, PALETTES, colour_table, mode
from ddg_explorer.frames import Frame

SIZE = (56, 42)
"""Largest width and height in pixels of the page."""
MOST_CELLS = 128
"""Cells of a field along an axis that are kept."""


@dataclass(frozen=True)
class Miniature:
    """What is needed to draw one moment in either theme."""

    reel: Reel
    scale: str

    @classmethod
    def of(cls, simulation: Simulation, picture: Picture, frame: Frame) -> Miniature:
        """The lane's frame, as the picture shows it."""
        times, values = np.array([frame.t]), picture.values(frame.u)[None]
        if picture.kind == "phase" and (kept := simulation.kept()) is not None:
            before = int(np.searchsorted(kept.times, frame.t))
            trail = [picture.values(u) for u in kept.states[:before]]
            times = np.append(kept.times[:before], frame.t)
            values = np.stack([*trail, values[0]])
        elif picture.kind == "field":
            stride = -(-max(values.shape[1:]) // MOST_CELLS)
            values = values[:, ::stride, ::stride].copy()
        spec, limits = dict(picture.spec), simulation.scales.state.value
        if picture.kind == "phase":
            spec["contours"] = spec["contours"][::2]
        return cls(Reel("", "", spec, times, values, limits), picture.scale)

    def uri(self, dark: bool) -> str:
        """A PNG as a data URI."""
        reel = replace(self.reel, colour=LANE_COLOURS[mode(dark)][0])
        table, buffer = colour_table(self.scale, dark), io.BytesIO()
        image = drawn(reel, reel.times[-1], table, dict(PALETTES[mode(dark)]), SIZE)
        image.save(buffer, format="PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
