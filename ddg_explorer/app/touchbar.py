"""The bar of the hands: time slider, brush and undo."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app.edits import Edit
from ddg_explorer.app.runner import Runner
from ddg_explorer.app.turns import GoTo, Outcome, Setup, Undo
from ddg_explorer.app.widgets import ICONS, NumberSlider

PERIOD = 0.25
"""Seconds between two updates of the time slider while playing."""
HINTS = {
    "field": "Press on a field and paint.",
    "profile": "Click on a profile to add a wave, or draw one.",
    "phase": "Drag the point to start from elsewhere.",
}


class TouchBar:
    """Orders edits and earlier times from the runner; `view` holds the widgets.

    Parameters
    ----------
    runner
        What edits and times are ordered from.
    report
        Called with one line where a gesture is refused.
    """

    def __init__(self, runner: Runner, report: Callable[[str], None]) -> None:
        self._runner, self._report = runner, report
        self._due = 0.0
        self._stroke: object = None
        self.timeline = NumberSlider(
            lambda t: runner.order(GoTo(t)),
            key="timeline",
            label="Time",
            doc="Drag back to see what has been, and on again. Play goes on from there.",
            compact=True,
            styles={"flex": "1 1 240px", "max-width": "420px"},
        )
        self.value = NumberSlider(
            lambda _: None,
            key="brush-value",
            label="Brush value",
            doc="What is painted.",
            start=-1.0,
            end=1.0,
            value=1.0,
            low=-10.0,
            high=10.0,
            compact=True,
            styles={"flex": "0 1 170px"},
        )
        self.radius = NumberSlider(
            lambda _: None,
            key="brush-radius",
            label="Brush radius",
            doc="In units of the domain's side.",
            start=0.01,
            end=0.3,
            value=0.06,
            compact=True,
            styles={"flex": "0 1 170px"},
        )
        self.undo = pmui.Button(
            label="Undo",
            icon=ICONS["undo"],
            variant="outlined",
            height=34,
            margin=0,
            disabled=True,
            on_click=lambda _: runner.order(Undo()),
        )
        self.hint = pn.pane.HTML("", margin=0)
        self.view = pn.FlexBox(
            self.timeline,
            self.value,
            self.radius,
            self.undo,
            self.hint,
            sizing_mode="stretch_width",
            align_items="center",
            gap="8px 20px",
        )

    def touch(self, gesture: Any) -> None:
        """A gesture on a lane's canvas: kind, points, and a number that tells strokes apart."""
        try:
            points = tuple((float(x), float(y)) for x, y in gesture["points"])
            joined = gesture.get("stroke") == self._stroke
            kind = str(gesture["kind"])
            self._runner.order(Edit(kind, points, self.value.value, self.radius.value, joined))
            self._stroke = gesture.get("stroke")
        except (KeyError, TypeError, ValueError) as problem:
            self._report(str(problem))

    def show(self, outcome: Outcome, *, now: bool) -> None:
        """Bring the widgets to the true lane's outcome, a few times a second."""
        moment = time.perf_counter()
        if outcome.header is None or not (now or moment >= self._due):
            return
        self._due = moment + PERIOD
        start, end = outcome.span
        self.timeline.param.update(
            start=start,
            end=max(end, start + 1e-9),
            low=start,
            high=max(end, start + 1e-9),
            value=outcome.header.t,
        )
        if self.undo.disabled != (outcome.undoable == 0):
            self.undo.disabled = outcome.undoable == 0

    def show_setup(self, setup: Setup) -> None:
        """The widgets that suit the picture."""
        kind = setup.picture.kind
        painting = kind == "field"
        for slider in (self.value, self.radius):
            slider.visible = painting
        self.undo.visible = kind != "phase"
        self.hint.object = (
            f'<span style="font-size:12px;color:var(--ddg-muted,inherit)">{HINTS[kind]}</span>'
        )
