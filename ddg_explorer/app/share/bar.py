"""The Share menu and the Open button: what leaves the page and comes back.

Files are made and read in a worker; the event loop only hands them on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app import session
from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.race import Race
from ddg_explorer.app.share.make import MAKERS, RECIPE, Shown, labels
from ddg_explorer.app.share.omitted import of_link, of_recipe
from ddg_explorer.app.share.picker import FilePicker
from ddg_explorer.app.share.take import SUFFIXES, opened
from ddg_explorer.app.state import AppState, Lane, Scene, Start
from ddg_explorer.app.store import Store
from ddg_explorer.app.widgets import ICONS
from ddg_explorer.app.workers import workers
from ddg_explorer.io import one_line

LINK = "Copy link"
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
        self._making: set[str] = set()
        self.save = pmui.MenuButton(
            label="Share",
            icon=ICONS["share"],
            items=[{"label": label} for label in (LINK, *labels())],
            variant="outlined",
            height=34,
            margin=0,
            on_click=self._chosen,
        )
        self.open = FilePicker(
            self.take,
            session.notify,
            label="Open a file",
            accept=",".join(SUFFIXES),
            doc="A recipe (.json), a model (.safetensors), an initial state (.npz, .nc) "
            "or the last one of a history (.nc)",
        )
        self.view = pn.Row(self.save, self.open, width=WIDTH, margin=0)
        self.view.styles = {"gap": "8px"}

    async def _chosen(self, item: Any) -> None:
        label = item["label"] if isinstance(item, dict) else str(item)
        state = self._store.state
        shown = Shown.by(self._race, state)
        if label == LINK:
            self._browser.copy_link(state.to_flat())
            if line := of_link(shown):
                session.inform(line)
            return
        if label in self._making:
            session.notify(f"{label} is being made already.")
            return
        suffix, make = MAKERS[label]
        name = f"{state.scene.system}-{state.scene.chosen_preset}-seed{state.scene.chosen_seed}"
        self._making.add(label)
        try:
            with session.telling(f"Making the {label.partition(' (')[0].lower()}…"):
                data = await _in_worker(make, shown)
        except (ValueError, OSError) as problem:
            session.notify(one_line(problem))
        else:
            self._browser.save(data, name + suffix)
            note = of_recipe(shown) if label == RECIPE else ""
            session.tell(f"{name}{suffix} is ready. {note}".rstrip())
        finally:
            self._making.discard(label)

    async def take(self, name: str, data: bytes) -> None:
        """Open a file that a person has chosen; what cannot be is said in one line."""
        scene = self._store.state.scene
        try:
            self._take(name, await _in_worker(opened, name, data, scene), scene)
        except (ValueError, OSError) as problem:
            session.notify(one_line(problem))

    def _take(self, name: str, found: Any, scene: Scene) -> None:
        if isinstance(found, AppState):  # theme and language are of whoever looks
            own = self._store.state.view
            view = replace(found.view, dark=own.dark, lang=own.lang)
            self._store.put(replace(found, view=view))
        elif not isinstance(found, Start):
            lane = Lane(found.key, source=self._shelf.put(Path(name).stem, found))
            self._store.put_lanes([*self._store.state.lanes, lane])
        elif self._store.state.scene is scene:
            self._store.change_scene(start=found)
        else:
            raise ValueError(f"{name}: the scene has changed meanwhile; open it again")


async def _in_worker(function: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.wrap_future(workers().submit(None, function, *args))
