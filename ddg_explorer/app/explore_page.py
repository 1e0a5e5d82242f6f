"""The Explore page: system and transport, the bar of lanes, what acts on them, and the race.

The race and what acts on it come first; the other bars `fill` the place that is held for them.
"""

from __future__ import annotations

import panel as pn

from ddg_explorer.app import lanebar, transport
from ddg_explorer.app.desk import Desk
from ddg_explorer.app.layout import card
from ddg_explorer.app.race import Race
from ddg_explorer.app.share import bar as share
from ddg_explorer.app.touch import Touch

GAP = {"gap": "12px"}
CHOICE = 190
"""Pixels that the names of a system and of a preset need: on a phone each has a row."""


class ExplorePage:
    """Arranges what the session's parts show.

    Parameters
    ----------
    race, touch
        Of the session.
    several, field
        Whether there are several lanes, and a grid: what the bars will have room for.
    """

    def __init__(self, race: Race, touch: Touch, *, several: bool, field: bool) -> None:
        self._race = race
        self._stand_in = pn.pane.HTML(
            _stand_in(several, field),
            margin=0,
            sizing_mode="stretch_width",
            styles={"grid-area": "1 / 1"},
        )
        self._bars = pn.Column(
            self._stand_in,
            sizing_mode="stretch_width",
            styles={"display": "grid", "grid-template-columns": "minmax(0, 1fr)"},
        )
        bars = pn.Column(self._bars, touch.view, sizing_mode="stretch_width", styles=GAP)
        self.view = pn.Column(
            card(bars),
            race.view,
            sizing_mode="stretch_width",
            styles={"gap": "16px"},
        )

    def fill(self, desk: Desk) -> None:
        """Add the bars; the place that was held for them is kept until `settle`."""
        controls = desk.controls
        play, step, reset = desk.transport.play, desk.transport.step, desk.transport.reset
        for choice in (controls.system, controls.preset):
            choice.widget.styles = {"flex": f"1 1 {CHOICE}px", "min-width": "0"}
        chosen = pn.FlexBox(
            controls.system.widget,
            controls.preset.widget,
            pn.Row(controls.gallery, styles={"padding-top": "3px"}),
            sizing_mode="stretch_width",
            styles={"flex": "3 1 320px", "min-width": "0"},
            gap="0 12px",
        )
        buttons = pn.Row(play, step, reset, styles={"gap": f"{transport.GAP}px"})
        bar = pn.FlexBox(
            chosen,
            buttons,
            desk.transport.speed,
            sizing_mode="stretch_width",
            margin=(0, 0, 12, 0),
            align_items="center",
            gap="12px 16px",
        )
        desk.lanebar.view.append(desk.share.view)
        self._bars.append(
            pn.Column(
                bar,
                desk.lanebar.view,
                sizing_mode="stretch_width",
                styles={"grid-area": "1 / 1"},
            )
        )

    def settle(self) -> None:
        """What has been added stands, and holds its place itself."""
        self._stand_in.visible = False

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self._race.restyle(dark)


WRAP = "display:flex;flex-wrap:wrap;align-items:center"


def _stand_in(several: bool, field: bool) -> str:
    """Boxes as large as the bars' parts, which wrap as they do."""
    width, height = transport.BUTTON
    chosen = _box(47, f"flex:1 1 {CHOICE}px") * 2 + _box(40, "width:43px")
    system = (
        f'<div style="{WRAP};gap:0 12px;flex:3 1 320px;min-width:0">{chosen}</div>'
        + _box(height, f"width:{3 * width + 2 * transport.GAP}px")
        + _box(transport.SPEED, "flex:1 0 156px;max-width:240px")
    )
    lanes = _box(34, f"width:{lanebar.ADD}px")
    if several:
        lanes += _box(lanebar.HEIGHT, f"width:{lanebar.CLOCK}px")
    if several and field:
        lanes += _box(lanebar.HEIGHT, f"width:{lanebar.SHOW}px")
    lanes += _box(34, f"width:{share.WIDTH}px;margin-left:auto")
    return (
        f'<div style="{WRAP};gap:12px 16px;margin-bottom:12px">{system}</div>'
        f'<div style="{WRAP};gap:10px 16px">{lanes}</div>'
    )


def _box(height: int, style: str) -> str:
    return f'<i style="min-width:0;height:{height}px;{style}"></i>'
