"""The Explore page: system and transport, the bar of lanes, and the race."""

from __future__ import annotations

import panel as pn

from ddg_explorer.app.controls import Controls
from ddg_explorer.app.lanebar import LaneBar
from ddg_explorer.app.layout import card
from ddg_explorer.app.race import Race
from ddg_explorer.app.share.bar import ShareBar
from ddg_explorer.app.touch import Touch
from ddg_explorer.app.transport import Transport


class ExplorePage:
    """Arranges what the session's parts show."""

    def __init__(
        self,
        controls: Controls,
        transport: Transport,
        lanebar: LaneBar,
        race: Race,
        touch: Touch,
        share: ShareBar,
    ) -> None:
        self._race = race
        chosen = pn.Row(
            controls.system.widget,
            controls.preset.widget,
            pn.Row(controls.gallery, styles={"padding-top": "3px"}),
            sizing_mode="stretch_width",
            styles={"flex": "3 1 320px", "gap": "12px", "min-width": "0"},
        )
        buttons = pn.Row(transport.play, transport.step, transport.reset, styles={"gap": "8px"})
        bar = pn.FlexBox(
            chosen,
            buttons,
            transport.speed,
            sizing_mode="stretch_width",
            align_items="center",
            gap="12px 16px",
        )
        lanebar.view.append(share.view)
        bars = pn.Column(
            bar, lanebar.view, touch.view, sizing_mode="stretch_width", styles={"gap": "12px"}
        )
        self.view = pn.Column(
            card(bars),
            race.view,
            sizing_mode="stretch_width",
            styles={"gap": "16px"},
        )

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self._race.restyle(dark)
