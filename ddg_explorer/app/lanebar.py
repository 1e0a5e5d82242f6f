"""The bar above the lanes: who joins, whether they keep step, and what they show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app import texts
from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.state import LANES, TRUTH, AppState, Lane
from ddg_explorer.app.store import Store
from ddg_explorer.models import MODELS

CLOCKS = {"Lock step": True, "Free running": False}
SHOWS = {"State": "state", "Difference": "difference"}
PROMPT = "Add a lane"


class LaneBar:
    """Writes lanes and view to the store; `show` brings the widgets to a state."""

    def __init__(self, store: Store, shelf: Shelf, report: Callable[[str], None]) -> None:
        self._store, self._shelf, self._report = store, shelf, report
        self._showing = False
        self.add = pmui.Select(
            label=PROMPT,
            options={},
            value=None,
            size="small",
            variant="outlined",
            width=220,
            margin=0,
            sx={"& .MuiSelect-select": {"fontSize": 14}},
        )
        self.add.param.watch(self._add, "value")
        self.clock = self._radio(CLOCKS, "lockstep", 230)
        self.what = self._radio(SHOWS, "show", 190)
        self.view = pn.FlexBox(
            self.add,
            self.clock,
            self.what,
            sizing_mode="stretch_width",
            align_items="center",
            gap="10px 16px",
        )

    def show(self, state: AppState, *, field: bool) -> None:
        """Set every widget; nothing is written back. `field`: whether the system has a grid."""
        self._showing = True
        try:
            shipped = {texts.model_title(key): (key, "") for key in MODELS}
            own = {name: (model.key, name) for name, model in self._shelf.items().items()}
            self.add.param.update(
                options={"": None, **own, **shipped},
                value=None,
                disabled=len(state.lanes) >= LANES,
            )
            several = len(state.lanes) > 1
            self.clock.param.update(value=state.view.lockstep, visible=several)
            self.what.param.update(value=state.view.show, visible=several and field)
            self.what.disabled = not state.view.lockstep
        finally:
            self._showing = False

    def _radio(self, options: dict[str, Any], field: str, width: int) -> pmui.RadioButtonGroup:
        group = pmui.RadioButtonGroup(
            options=options, size="small", margin=0, button_style="outlined", width=width
        )
        group.param.watch(lambda event: self._choose(field, event.new), "value")
        return group

    def _choose(self, field: str, value: Any) -> None:
        if not self._showing and value is not None:
            self._store.change_view(**{field: value})

    def _add(self, event: Any) -> None:
        if self._showing or event.new is None:
            return
        key, source = event.new
        lanes = self._store.state.lanes
        assert key != TRUTH
        try:
            self._store.put_lanes([*lanes, Lane(key, source=source)])
        except ValueError as problem:
            self._report(str(problem))
