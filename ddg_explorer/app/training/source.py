"""The form's part on data: a published set, the current system, or a file of one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app import texts
from ddg_explorer.app.training import choices
from ddg_explorer.app.training.fields import Implied, number, pair, required, whole
from ddg_explorer.app.training.specification import SIZES, WAYS, DataSpec
from ddg_explorer.app.widgets import Choice
from ddg_explorer.io import named
from ddg_explorer.origin import specification_of
from ddg_explorer.own_data import TABLES, read_dataset
from ddg_explorer.recipes import DataRecipe
from ddg_explorer.refusal import offering

SUFFIXES = (".npz", ".nc", *TABLES)
LARGEST = 100 * 2**20
"""Bytes of a file that is uploaded."""
LAYOUTS = "Trajectories as .npz, .nc or a table: one row a time, one column a component."


class DataSource:
    """Widgets that name the data of a job.

    Parameters
    ----------
    on_change
        Called when another system, or another kind of source, is chosen.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._scene = choices.scene_data("kdv")
        self._chosen = False
        self._folder = TemporaryDirectory(prefix="ddg-explorer-data-", ignore_cleanup_errors=True)
        self._path: Path | None = None
        self._found = ""
        self._context: dict[str, Any] = {}
        self._shape: tuple[int, ...] = ()
        self._axes = 0
        self._reading: tuple[Any, ...] = ()
        self.kind = Choice("Data", choices.SOURCES, lambda _: self._choose())
        self.recipe = Choice("Published set", choices.RECIPES, lambda _: self._changed())
        self.trajectories = Implied(whole("Trajectories", 30, SIZES["trajectories"]))
        self.frames = Implied(whole("Steps of each", 200, SIZES["frames"]))
        self.noise = number("Noise, % of RMS", 0.0, (0.0, 100.0))
        self.data_seed = whole("Seed of the data", 0, SIZES["data_seed"])
        self.file = pmui.FileInput(
            label="Choose a file",
            accept=",".join(SUFFIXES),
            max_file_size=LARGEST,
            multiple=False,
            variant="outlined",
            size="small",
            margin=(6, 0),
            sizing_mode="stretch_width",
        )
        self.file_dt = number("Δt (0: from the file)", 0.0, (0.0, 1e6))
        self.file_length = number("Length (0: no field)", 0.0, (0.0, 1e9))
        self._about = pn.pane.HTML("", margin=(2, 0, 4, 0), sizing_mode="stretch_width")
        self._sizes = pair(self.trajectories.widget, self.frames.widget)
        self._more = pair(self.noise, self.data_seed)
        self._own = pn.Column(
            self.file, pair(self.file_dt, self.file_length), sizing_mode="stretch_width"
        )
        self.panel = pn.Column(
            self.kind.widget,
            self.recipe.widget,
            self._own,
            self._about,
            self._sizes,
            self._more,
            sizing_mode="stretch_width",
        )
        self.file.param.watch(lambda _: self._uploaded(), "value")
        for widget in (self.file_dt, self.file_length):
            widget.param.watch(lambda _: self._look(), "value")
        self._show()

    @property
    def system(self) -> str:
        """Key of the system, "" where a file does not name it."""
        recipe = self._resolved()
        return str(self._context.get("system", "")) if recipe is None else recipe.system

    @property
    def where(self) -> str:
        """ "field" or "ode"."""
        recipe = self._resolved()
        axes = self._axes if recipe is None else recipe.make_system().ndim
        return "field" if axes else "ode"

    @property
    def paired(self) -> bool:
        """Whether a state can be (q, p): an even number of components; so is one not yet known."""
        recipe = self._resolved()
        shape = self._shape if recipe is None else recipe.make_system().state_shape
        return self.where == "ode" and sum(shape) % 2 == 0

    @property
    def has_structure(self) -> bool:
        """Whether the data come with a G that a model can have for its own."""
        recipe = self._resolved()
        if recipe is None:
            return "structure" in self._context
        return specification_of(recipe.make_system()) is not None

    @property
    def noisy(self) -> bool:
        recipe = self._resolved()
        return bool(self.noise.value or (recipe is not None and recipe.noise))

    def spec(self) -> DataSpec:
        """What is chosen.

        Raises
        ------
        ValueError
            Where no file has been chosen, or a number is missing.
        """
        noise, seed = required(self.noise) / 100, required(self.data_seed)
        if self.kind.value == "file":
            if self._path is None:
                raise ValueError("Own file: choose one first")
            return DataSpec(
                file=str(self._path),
                file_dt=self.file_dt.value or None,
                file_length=self.file_length.value or None,
                noise=noise,
                data_seed=seed,
            )
        base = DataSpec(recipe=self.recipe.value) if self.kind.value == "recipe" else self._scene
        return replace(
            base,
            trajectories=required(self.trajectories.widget),
            frames=required(self.frames.widget),
            noise=noise,
            data_seed=seed,
        )

    def take_scene(self, scene: DataSpec) -> None:
        """Make a scene the current system, and choose it."""
        self._scene = scene
        self.kind.show("system")
        self._changed()

    def follow(self, scene: DataSpec) -> None:
        """Make a scene the current system; choose it unless a person has chosen other data."""
        unchanged = scene == self._scene
        if not self._chosen and self.kind.value != "system":
            self.kind.show("system")
        elif unchanged:
            return
        self._scene = scene
        if self.kind.value == "system":
            self._changed()

    def fill(self, budget: str) -> None:
        """The numbers that go with a budget, where none have been typed."""
        recipe = self._resolved()
        if recipe is not None:
            self.trajectories.imply(choices.default_trajectories(budget, recipe))
            self.frames.imply(recipe.steps)

    def close(self) -> None:
        self._folder.cleanup()

    def _resolved(self) -> DataRecipe | None:
        """The recipe without this form's numbers; None for a file."""
        if self.kind.value == "file":
            return None
        base = DataSpec(recipe=self.recipe.value) if self.kind.value == "recipe" else self._scene
        return base.resolved()

    def _choose(self) -> None:
        self._chosen = True
        self._changed()

    def _changed(self) -> None:
        self._show()
        self._on_change()

    def _show(self) -> None:
        kind = self.kind.value
        self.recipe.widget.visible = kind == "recipe"
        self._own.visible = kind == "file"
        self._sizes.visible = kind != "file"
        recipe = self._resolved()
        if recipe is not None:
            self._say(choices.describe(recipe))
        else:
            self._say(self._found or LAYOUTS)

    def _say(self, line: str) -> None:
        self._about.object = texts.paragraph(line, small=True)

    def _uploaded(self) -> None:
        """Keep the file under its own name: jobs copy it when they are queued."""
        data = self.file.value
        if data is None:
            return
        self._forget()
        name = Path(str(self.file.filename)).name
        if not data:
            self._tell(f"{name}: is empty")
        elif Path(name).suffix.lower() not in SUFFIXES:
            self._tell(f"{name}: must end in {', '.join(SUFFIXES)}")
        else:
            self._path = Path(self._folder.name) / name
            self._path.write_bytes(data)
            self._look()

    def _forget(self) -> None:
        self._path, self._context, self._shape, self._axes = None, {}, (), 0

    def _tell(self, line: str) -> None:
        """Say what the file is or why it is not, and let the form follow."""
        self._found = line
        self._show()
        self._on_change()

    def _look(self) -> None:
        if self._path is not None:
            pn.state.execute(self.look)

    async def look(self) -> None:
        """Read the file in a thread, and say in one line what it holds or what is wrong with it."""
        path, dt, length = self._path, self.file_dt.value or None, self.file_length.value or None
        assert path is not None
        self._reading = path, dt, length
        try:
            data = await asyncio.to_thread(read_dataset, path, dt=dt, length=length)
        except ValueError as problem:
            data, line = None, str(named(offering(problem, WAYS), path, path.name))
        else:
            shape = " × ".join(map(str, data.state_shape))
            line = (
                f"{path.name}: {data.trajectories} × {data.frames - 1} steps, "
                f"states of {shape} numbers, Δt = {data.dt:.4g}."
            )
        if self._reading != (path, dt, length):
            return
        self._context = {} if data is None else dict(data.context)
        self._axes = 0 if data is None or data.grid is None else data.grid.ndim
        self._shape = () if data is None else tuple(data.state_shape)
        self._tell(line)
