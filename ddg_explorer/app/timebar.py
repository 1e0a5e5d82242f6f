"""The bar below the transport: what the pointer does, undo, time slider and remembered moments.

A Panel component around `js/timebar.js`. Everything goes out as messages at once; the clock comes
in as messages a few times a second, so that a frame costs nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import param

from ddg_explorer.app.cadence import Cadence
from ddg_explorer.app.component import Component, script, style
from ddg_explorer.app.marks import LONGEST

CLOCK_PERIOD = 0.15
"""Seconds between two updates of the clock while frames come fast."""


ACTIONS = ("touch", "undo", "go", "remember", "recall", "rename", "drop", "key")


class TimeBar(Component):
    """`on_action(name, value)` hears what `ACTIONS` names; of "rename", [name, title]."""

    tool = param.String("", doc="Label of what the pointer does; empty where it does nothing.")
    hint = param.String("", doc="Tooltip of the tool.")
    touching = param.Boolean(True, doc="Whether the pointer acts on the pictures.")
    undoable = param.Boolean(False)
    moments = param.List([], doc="`Moments.labels` of what is remembered.")
    longest = param.Integer(LONGEST, doc="Characters of a moment's name.")
    keyboard = param.Boolean(False, doc="Whether keys anywhere on the page play, step and reset.")

    _esm = script("draw", "timebar")
    _stylesheets: ClassVar[list[str]] = [style("timebar")]

    def __init__(self, on_action: Callable[[str, Any], None], **params: Any) -> None:
        super().__init__(**{"sizing_mode": "stretch_width", **params})
        self._on_action = on_action
        self._cadence = Cadence(CLOCK_PERIOD)
        self._clock: tuple[float, float, float] | None = None
        self.on_msg(self._receive)

    def show_clock(self, t: float, span: tuple[float, float], *, now: bool) -> None:
        """Show time t within what is kept, when it is time or at once with `now`."""
        clock = (t, *span)
        if clock == self._clock or not self._cadence.due(now=now):
            return
        self._clock = clock
        self._send_msg({"clock": list(clock)})

    def _receive(self, event: Any) -> None:
        if "ready" in event.data and self._clock is not None:
            self._send_msg({"clock": list(self._clock)})
        for name in ACTIONS:
            if name in event.data:
                self._on_action(name, event.data[name])
