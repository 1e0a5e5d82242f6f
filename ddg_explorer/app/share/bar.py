"""The Save menu and the Open button: what leaves the page and comes back.

Files are made in a thread, from what the lanes have kept of their run; the event loop only hands
them to the browser.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import panel as pn
import panel_material_ui as pmui
from torch import Tensor

from ddg_explorer.app import session
from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.race import Race
from ddg_explorer.app.share.clip import clip_file, video_available
from ddg_explorer.app.share.files import (
    history_file,
    models_file,
    opened_model,
    opened_state,
    state_file,
)
from ddg_explorer.app.share.picker import FilePicker
from ddg_explorer.app.share.recipe import dump_recipe, load_recipe
from ddg_explorer.app.share.record import Record, records_of
from ddg_explorer.app.share.reel import Reel, picture_file
from ddg_explorer.app.state import AppState, Lane, Start
from ddg_explorer.app.store import Store
from ddg_explorer.app.theme import PALETTES, colour_table, mode
from ddg_explorer.app.widgets import ICONS
from ddg_explorer.app.workers import workers

ACCEPT = ".json,.safetensors,.npz,.nc"
WIDTH = 222
"""Pixels of both controls."""


class ShareBar:
    """Writes to the store what is opened; `view` holds the two controls.

    Parameters
    ----------
    store, shelf, race
        Of the session.
    browser
        Takes files and links.
    """

    def __init__(self, store: Store, shelf: Shelf, race: Race, browser: session.Browser) -> None:
        self._store, self._shelf, self._race, self._browser = store, shelf, race, browser
        labels = ["Copy link", *self._makers()]
        self.save = pmui.MenuButton(
            label="Share",
            icon=ICONS["share"],
            items=[{"label": label} for label in labels],
            variant="outlined",
            height=34,
            margin=0,
            on_click=self._chosen,
        )
        self.open = FilePicker(
            self.take,
            session.notify,
            label="Open a file",
            accept=ACCEPT,
            doc="A recipe (.json), a model (.safetensors) or an initial state (.npz, .nc)",
        )
        self.view = pn.Row(self.save, self.open, width=WIDTH, margin=0)
        self.view.styles = {"gap": "8px", "margin-left": "auto"}

    def _makers(self) -> dict[str, tuple[str, Callable[[], bytes]]]:
        """Label → suffix of the file, and what makes its bytes in a worker."""
        makers = {
            "Picture (PNG)": (".png", lambda: picture_file(self._reels(), *self._look())),
            "Clip (GIF)": (".gif", lambda: clip_file(".gif", self._reels(), *self._look())),
            "Clip (MP4)": (".mp4", lambda: clip_file(".mp4", self._reels(), *self._look())),
            "State (NumPy)": (".npz", lambda: state_file(self.records()[0])),
            "History (netCDF)": (".nc", lambda: history_file(self.records())),
            "Recipe (JSON)": (".json", self._recipe),
            "Models (safetensors)": (".zip", lambda: models_file(self.records())),
        }
        if not video_available():
            del makers["Clip (MP4)"]
        return makers

    async def _chosen(self, item: Any) -> None:
        label = item["label"] if isinstance(item, dict) else str(item)
        state = self._store.state
        if label == "Copy link":
            self._browser.copy_link(state.to_flat())
            return
        suffix, make = self._makers()[label]
        name = f"{state.scene.system}-{state.scene.chosen_preset}-seed{state.scene.chosen_seed}"
        try:
            data = await asyncio.wrap_future(workers().submit(None, make))
        except ValueError as problem:
            session.notify(str(problem))
        else:
            self._browser.save(data, name + suffix)

    def take(self, name: str, data: bytes) -> None:
        """Open a file that a person has chosen; what cannot be is said in one line."""
        try:
            self._take(name, data)
        except ValueError as problem:
            session.notify(str(problem))

    def _take(self, name: str, data: bytes) -> None:
        suffix = name[name.rfind(".") :].lower()
        if suffix == ".json":
            state, start = load_recipe(data)
            self._store.put(_with_start(state, start, name))
        elif suffix == ".safetensors":
            model = opened_model(name, data)
            lane = Lane(model.key, source=self._shelf.put(name.rpartition(".")[0], model))
            self._store.put_lanes([*self._store.state.lanes, lane])
        elif suffix in (".npz", ".nc"):
            setup = self._race.setups[0]
            assert setup is not None
            u = opened_state(name, data, setup.system.state_shape)
            self._store.change_scene(start=Start(u, name))
        else:
            raise ValueError(f"{name}: open one of {ACCEPT.replace(',', ', ')}")

    def records(self) -> list[Record]:
        """What the lanes have kept, those without an entrant left out."""
        race, flat = self._race, self._store.state.to_flat()
        return records_of(race.simulations, race.canvases, flat, self._dark)

    def _reels(self) -> list[Reel]:
        return [record.reel() for record in self.records()]

    @property
    def _dark(self) -> bool:
        return bool(self._store.state.view.dark)

    def _look(self) -> tuple[bytes, dict[str, str]]:
        """Colour table and palette of the theme."""
        scale = self._race.setups[0].picture.scale if self._race.setups[0] else "diverging"
        return colour_table(scale, self._dark), dict(PALETTES[mode(self._dark)])

    def _recipe(self) -> bytes:
        start = self._store.state.scene.start
        return dump_recipe(self._store.state, None if start is None else start.state)


def _with_start(state: AppState, start: Tensor | None, name: str) -> AppState:
    if start is None:
        return state
    return replace(state, scene=replace(state.scene, start=Start(start, name)))
