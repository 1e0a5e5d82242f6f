"""The bar above the lanes: who joins, whether they keep step, and what they show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app.changes import put
from ddg_explorer.app.entrants import Shelf, suits
from ddg_explorer.app.pages.palette import model_title
from ddg_explorer.app.state import LANES, AppState, Lane
from ddg_explorer.app.store import Store
from ddg_explorer.app.widgets import ICONS, hinted
from ddg_explorer.models import MODELS

CLOCKS = {"Lock step": True, "Free running": False}
SHOWS = {"State": "state", "Difference": "difference"}
CLOCK_HINT = (
    "Lock step: all lanes are at the same time. Free running: each goes as fast as it can, to "
    "compare their speed."
)
APART = "Differences need lock step: running freely, lanes are at different times."
ADD, CLOCK, SHOW, HEIGHT = 147, 171, 140, 39
"""Widths of the widgets in pixels, and the height of the row."""


class LaneBar:
    """Writes lanes and view to the store; `show` brings the widgets to a state."""

    def __init__(self, store: Store, shelf: Shelf, report: Callable[[str], None]) -> None:
        self._store, self._shelf, self._report = store, shelf, report
        self._showing = False
        self._offers: dict[str, Lane] = {}
        self.add = pmui.MenuButton(
            label="Add a lane",
            icon=ICONS["add"],
            items=[],
            variant="outlined",
            width=ADD,
            height=34,
            margin=0,
            on_click=self._add,
        )
        self.clock = self._radio(CLOCKS, "lockstep", CLOCK)
        self.what = self._radio(SHOWS, "show", SHOW)
        self._clock = hinted(self.clock, CLOCK_HINT, width=CLOCK, height=HEIGHT)
        self._reason = hinted(self.what, "", width=SHOW, height=HEIGHT)
        self.view = pn.FlexBox(
            self.add,
            self._clock,
            self._reason,
            sizing_mode="stretch_width",
            align_items="center",
            gap="10px 16px",
        )

    def show(self, state: AppState, *, field: bool) -> None:
        """Set every widget; nothing is written back. `field`: whether the system has a grid.

        Offered are the session's models, and the kinds that can be trained for such a system.
        """
        own = {name: Lane(model.key, source=name) for name, model in self._shelf.items().items()}
        suited = [key for key in MODELS if suits(key, field=field)]
        offers = own | {model_title(key): Lane(key) for key in suited}
        several = len(state.lanes) > 1
        self._showing = True
        try:
            if offers != self._offers:
                self._offers = offers
                self.add.items = [{"label": label} for label in offers]
            self.add.disabled = len(state.lanes) >= LANES
            put(self.clock, value=state.view.lockstep)
            put(self._clock, visible=several)
            together = state.view.lockstep
            put(self.what, value=state.view.show, disabled=not together)
            put(self._reason, visible=several and field, title="" if together else APART)
        finally:
            self._showing = False

    def _radio(self, options: dict[str, Any], field: str, width: int) -> pmui.RadioButtonGroup:
        group = pmui.RadioButtonGroup(
            options=options,
            size="small",
            margin=0,
            button_style="outlined",
            width=width,
            height=HEIGHT,
            sx={"& .MuiToggleButton-root": {"whiteSpace": "nowrap"}},
        )
        group.param.watch(lambda event: self._choose(field, event.new), "value")
        return group

    def _choose(self, field: str, value: Any) -> None:
        if not self._showing and value is not None:
            self._store.change_view(**{field: value})

    def _add(self, item: Any) -> None:
        label = item["label"] if isinstance(item, dict) else str(item)
        try:
            self._store.put_lanes([*self._store.state.lanes, self._offers[label]])
        except ValueError as problem:
            self._report(str(problem))
