"""The Explore page: system and transport, the bar of lanes, what acts on them, and the race.

The race and what acts on it come first; the other bars `fill` the places that are held for them. A
phone shows what is used seldom only after "More".
"""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app import lanebar, transport
from ddg_explorer.app.desk import Desk
from ddg_explorer.app.layout import PHONE, card
from ddg_explorer.app.race import Race
from ddg_explorer.app.share import bar as share
from ddg_explorer.app.touch import Touch

SYSTEM, PRESET = 140, 190
"""Pixels that the names of a system and of a preset need at least: on a phone each has a row."""
LATER = f"{PHONE} {{ :host {{ order: 1; }} }}"
"""Style of what comes after the gallery's button on a phone, which the row of the system takes."""
MORE = (72, 40)
"""Pixels of the button that unfolds the rest."""
FOLDED = f"{PHONE} {{ :host(:not(.unfolded)) {{ display: none !important; }} }}"
ON_PHONES = f":host {{ display: none; }} {PHONE} {{ :host {{ display: block; }} }}"


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
        self._stand_ins = [_stand_in(_top()), _stand_in(_lanes(several, field))]
        self._top, self._lanes = (_place(box) for box in self._stand_ins)
        self._top.styles = {**self._top.styles, "flex": "1 1 100%"}
        self._lanes.styles = {**self._lanes.styles, "width": "fit-content", "max-width": "100%"}
        touch.view.styles = {"flex": "1 1 450px", "width": "auto", "min-width": "0"}
        touch.bar.styles = {**touch.bar.styles, "--least": f"{lanebar.HEIGHT}px"}
        self._seldom: list[Any] = []
        self._fold(self._lanes)
        self.more = pmui.Button(
            label="More",
            variant="outlined",
            width=MORE[0],
            height=MORE[1],
            margin=(3, 0, 0, 0),
            stylesheets=[ON_PHONES, LATER],
            on_click=lambda _: self._unfold(),
        )
        bars = pn.FlexBox(
            self._top,
            self._lanes,
            touch.view,
            sizing_mode="stretch_width",
            align_items="flex-start",
            gap="12px 16px",
        )
        self.view = pn.Column(
            card(bars),
            race.view,
            sizing_mode="stretch_width",
            styles={"gap": "12px"},
        )

    def fill(self, desk: Desk) -> None:
        """Add the bars; the places that were held for them are kept until `settle`."""
        controls = desk.controls
        for choice, width in ((controls.system, SYSTEM), (controls.preset, PRESET)):
            choice.widget.styles = {"flex": f"1 1 {width}px", "min-width": "0"}
        preset = controls.preset.widget
        preset.stylesheets = [*preset.stylesheets, LATER]
        chosen = pn.FlexBox(
            controls.system.widget,
            preset,
            pn.Row(controls.gallery, styles={"padding-top": "3px"}),
            self.more,
            sizing_mode="stretch_width",
            styles={"flex": "3 1 320px", "min-width": "0"},
            align_items="center",
            gap="0 12px",
        )
        self._fold(desk.share.view)
        self._top.append(
            pn.FlexBox(
                chosen,
                desk.transport.buttons,
                desk.share.view,
                sizing_mode="stretch_width",
                align_items="center",
                gap="12px 16px",
                styles={"grid-area": "1 / 1"},
            )
        )
        desk.lanebar.view.styles = {"grid-area": "1 / 1"}
        self._lanes.append(desk.lanebar.view)

    def settle(self) -> None:
        """What has been added stands, and holds its place itself."""
        for box in self._stand_ins:
            box.visible = False

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self._race.restyle(dark)

    def _fold(self, view: Any) -> None:
        """Let a phone show this only when unfolded."""
        view.stylesheets = [*view.stylesheets, FOLDED]
        self._seldom.append(view)

    def _unfold(self) -> None:
        """Show on a phone what is used seldom, or hide it again."""
        more = self.more.label == "More"
        self.more.label = "Less" if more else "More"
        for view in self._seldom:
            view.css_classes = ["unfolded"] if more else []


WRAP = "display:flex;flex-wrap:wrap;align-items:center"


def _place(stand_in: pn.pane.HTML) -> pn.Column:
    """Where a bar goes, over the boxes that hold its place."""
    return pn.Column(
        stand_in,
        sizing_mode="stretch_width",
        styles={"display": "grid", "grid-template-columns": "minmax(0, 1fr)"},
    )


def _stand_in(boxes: str) -> pn.pane.HTML:
    return pn.pane.HTML(boxes, margin=0, sizing_mode="stretch_width", styles={"grid-area": "1 / 1"})


def _top() -> str:
    """Boxes as large as the parts of the upper bar, which wrap as they do."""
    width, height = transport.BUTTON
    chosen = _box(47, f"flex:1 1 {SYSTEM}px") + _box(40, "width:43px")
    chosen += _box(47, f"flex:1 1 {PRESET}px")
    chosen += f"<b>{_box(MORE[1] + 3, f'width:{MORE[0]}px')}</b>"
    return (
        f"<style>b {{ display: none; }} "
        f"{PHONE} {{ b {{ display: block; }} .share {{ display: none; }} }}</style>"
        f'<div style="{WRAP};gap:12px 16px">'
        f'<div style="{WRAP};gap:0 12px;flex:3 1 320px;min-width:0">{chosen}</div>'
        + _box(height, f"width:{3 * width + 2 * transport.GAP}px;max-width:100%")
        + f'<div class="share">{_box(34, f"width:{share.WIDTH}px")}</div>'
        + "</div>"
    )


def _lanes(several: bool, field: bool) -> str:
    """Boxes as large as the parts of the bar of lanes."""
    lanes = _box(34, f"width:{lanebar.ADD}px")
    if several:
        lanes += _box(lanebar.HEIGHT, f"width:{lanebar.CLOCK}px")
    if several and field:
        lanes += _box(lanebar.HEIGHT, f"width:{lanebar.SHOW}px")
    return f'<div style="{WRAP};gap:10px 16px">{lanes}</div>'


def _box(height: int, style: str) -> str:
    return f'<i style="display:block;min-width:0;height:{height}px;{style}"></i>'
