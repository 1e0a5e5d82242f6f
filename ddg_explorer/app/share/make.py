"""What the Share menu makes: each kind of file by its name there.

A file is made in a worker of what was shown when it was asked for, with the frames that the lanes
have kept when they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.race import Race
from ddg_explorer.app.share.clip import clip_file, video_available
from ddg_explorer.app.share.files import history_file, models_file, state_file
from ddg_explorer.app.share.recipe import dump_recipe
from ddg_explorer.app.share.record import Record, records_of
from ddg_explorer.app.share.reel import Reel, picture_file
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import AppState
from ddg_explorer.app.theme import PALETTES, colour_table, mode
from ddg_explorer.frames import Frame

RECIPE = "Recipe (JSON)"
CHECKPOINTS = "Models (safetensors)"


@dataclass(frozen=True)
class Shown:
    """What a session shows: taken on the event loop, which may change it while a file is made.

    `painted` is the true lane's frame where edits since t = 0 have led to it.
    """

    state: AppState
    simulations: Sequence[Simulation]
    canvases: Sequence[LaneCanvas]
    painted: Frame | None = None

    @classmethod
    def by(cls, race: Race, state: AppState) -> Shown:
        """What these lanes show."""
        truth = race.simulations[0]
        painted = truth.frame if truth.past.edited else None
        return cls(state, tuple(race.simulations), tuple(race.canvases), painted)

    def records(self) -> list[Record]:
        """What the lanes have kept; ValueError where none has a frame yet."""
        found = records_of(self.simulations, self.canvases, self.state.to_flat(), self.dark)
        if not found:
            raise ValueError("there is nothing to save yet: no lane has shown a frame")
        return found

    @property
    def dark(self) -> bool:
        """The theme."""
        return bool(self.state.view.dark)

    def drawing(self) -> tuple[list[Reel], bytes, dict[str, str]]:
        """The lanes as they are drawn, colour table and palette of the theme."""
        records = self.records()
        table = colour_table(records[0].kept.picture.scale, self.dark)
        return [record.reel() for record in records], table, dict(PALETTES[mode(self.dark)])

    @property
    def initial(self) -> Tensor | None:
        """The initial state of a recipe, None where it is the scene's own."""
        if self.painted is not None:
            return self.painted.u
        start = self.state.scene.start
        return None if start is None else start.state


Maker = Callable[[Shown], bytes]
MAKERS: dict[str, tuple[str, Maker]] = {
    "Picture (PNG)": (".png", lambda shown: picture_file(*shown.drawing())),
    "Clip (GIF)": (".gif", lambda shown: clip_file(".gif", *shown.drawing())),
    "Clip (MP4)": (".mp4", lambda shown: clip_file(".mp4", *shown.drawing())),
    "State (NumPy)": (".npz", lambda shown: state_file(shown.records()[0])),
    "History (netCDF)": (".nc", lambda shown: history_file(shown.records())),
    RECIPE: (".json", lambda shown: dump_recipe(shown.state, shown.initial)),
    CHECKPOINTS: (".zip", lambda shown: models_file(shown.records())),
}
"""Label → suffix of the file, and what makes its bytes."""


def labels() -> list[str]:
    """The kinds of files that can be made here."""
    return [label for label in MAKERS if label != "Clip (MP4)" or video_available()]
