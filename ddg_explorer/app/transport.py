"""Play, step, reset and speed."""

from __future__ import annotations

from collections.abc import Callable

import panel_material_ui as pmui

from ddg_explorer.app.changes import put
from ddg_explorer.app.runner import Runner
from ddg_explorer.app.state import SPEEDS
from ddg_explorer.app.store import Store
from ddg_explorer.app.widgets import ICONS, NumberSlider

BUTTON, GAP, SPEED = (98, 40), 8, 51
"""Pixels: a button's width and height, between buttons, height of the slider."""


class Transport:
    """The buttons that drive a runner, and the speed of the view."""

    def __init__(self, store: Store, runner: Runner) -> None:
        self._runner = runner
        self.play = _button("Play", "play", self._toggle, "contained")
        self.step = _button("Step", "step", runner.step, "outlined")
        self.reset = _button("Reset", "reset", runner.reset, "outlined")
        self.speed = NumberSlider(
            lambda v: store.change_view(speed=int(v)),
            key="speed",
            label="Steps/frame",
            scale="integer",
            start=SPEEDS[0],
            end=SPEEDS[1],
            value=store.state.speed,
            doc=(
                "Time steps taken for each painted frame, as far as time allows. Keys: space plays "
                "and pauses, → takes one step, r goes back to the start."
            ),
            sizing_mode="stretch_width",
            height=SPEED,
            compact=True,
            styles={"flex": "1 0 156px", "max-width": "240px"},
        )

    def show(self, playing: bool) -> None:
        """Play turns into Pause while running; the button keeps its width."""
        put(
            self.play,
            label="Pause" if playing else "Play",
            icon=ICONS["pause" if playing else "play"],
        )

    def show_speed(self, speed: int) -> None:
        """Set the slider from the state."""
        self.speed.value = speed

    def _toggle(self) -> None:
        self._runner.play(not self._runner.playing)


def _button(label: str, icon: str, act: Callable[[], None], variant: str) -> pmui.Button:
    return pmui.Button(
        label=label,
        icon=ICONS[icon],
        variant=variant,
        width=BUTTON[0],
        height=BUTTON[1],
        margin=0,
        on_click=lambda _: act(),
    )
