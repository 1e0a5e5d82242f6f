"""Play, step, reset and speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app.layout import PHONE
from ddg_explorer.app.runner import Runner
from ddg_explorer.app.state import SPEEDS
from ddg_explorer.app.store import Store
from ddg_explorer.app.widgets import ICONS, NumberSlider, hinted

BUTTON, GAP, SPEED = (98, 40), 8, 51
"""Pixels: a button's width and height, between buttons, height of the slider."""
NARROWER = f"min({BUTTON[0]}px, (100vw - {2 * GAP + 66}px) / 3)"
"""Width of a button on a phone: three of them fill a row, between the margins of page and card."""
FITTING = f"{PHONE} {{ :host, :host > * {{ width: {NARROWER} !important; }} }}"
IN_ROW = f"{PHONE} {{ :host > * {{ flex-basis: {NARROWER} !important; }} }}"
HINTS = {
    "play": "Play or pause. Key: space",
    "step": "Pause, and take one time step. Key: →",
    "reset": "Back to t = 0. Key: r",
}
"""Button → its tooltip, with the key of `js/timebar.js`."""


class Transport:
    """The buttons that drive a runner, and the speed of the view.

    `play` is two, Play and Pause, of which one is seen: a click does what its label says, also
    where the label is out of date by the time it is heard. Each has a tooltip.
    """

    def __init__(self, store: Store, runner: Runner) -> None:
        self._runner = runner
        self._start = _button("Play", "play", lambda: self._play(True), "contained")
        self._pause = _button("Pause", "pause", lambda: self._play(False), "contained")
        self._start.styles = self._pause.styles = {"grid-area": "1 / 1"}
        both = pn.Column(
            self._start,
            self._pause,
            width=BUTTON[0],
            height=BUTTON[1],
            styles={"display": "grid"},
            stylesheets=[FITTING],
        )
        self.play = _hinted("play", both)
        self.step = _hinted("step", _button("Step", "step", runner.step, "outlined"))
        self.reset = _hinted("reset", _button("Reset", "reset", runner.reset, "outlined"))
        self.buttons = pn.Row(
            self.play, self.step, self.reset, styles={"gap": f"{GAP}px"}, stylesheets=[IN_ROW]
        )
        self.speed = NumberSlider(
            lambda v: store.change_view(speed=int(v)),
            key="speed",
            label="Steps/frame",
            scale="integer",
            start=SPEEDS[0],
            end=SPEEDS[1],
            value=store.state.speed,
            doc="Time steps taken for each painted frame, as far as time allows.",
            sizing_mode="stretch_width",
            height=SPEED,
            compact=True,
        )

    def show(self, playing: bool) -> None:
        """Pause is seen while running, Play else, at the same place."""
        self._start.visible, self._pause.visible = not playing, playing

    def show_speed(self, speed: int) -> None:
        """Set the slider from the state."""
        self.speed.value = speed

    def _play(self, playing: bool) -> None:
        self._runner.play(playing)
        (self._pause if playing else self._start).focus()


def _hinted(name: str, widget: Any) -> pmui.Tooltip:
    return hinted(widget, HINTS[name], width=BUTTON[0], height=BUTTON[1])


def _button(label: str, icon: str, act: Callable[[], None], variant: str) -> pmui.Button:
    return pmui.Button(
        label=label,
        icon=ICONS[icon],
        variant=variant,
        width=BUTTON[0],
        height=BUTTON[1],
        margin=0,
        sx={PHONE: {"paddingX": "8px"}},
        stylesheets=[FITTING],
        on_click=lambda _: act(),
    )
