"""The page's frame and its two containers: cards of the main area and sections of the drawer."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.util.parameters import edit_readonly

from ddg_explorer.app import theme

TALL = {"max-height": "none"}
"""Styles of what may be taller than the window: else Bokeh bounds it and all in it by the window's
height, and what overflows lies under what comes next."""


def frame(title: str, **options: Any) -> pmui.Page:
    """A page with header and drawer in the app's theme."""
    page = pmui.Page(
        title=title,
        sidebar_width=340,
        theme_config=theme.material_theme(),
        sx=dict(theme.PAGE_SX),
        stylesheets=[theme.PAGE_CSS],
        busy_indicator=None,
        **options,
    )
    # The page follows `pn.state.busy`, which all sessions share and every event of a widget flips
    # twice: two property updates and a walk over all models each time. The subscription would also
    # keep the page, and all it holds, after the session.
    with edit_readonly(page):
        page.busy = page.param.loading
    return page


def card(*objects: Any, styles: dict[str, str] | None = None) -> pn.Column:
    """A quiet surface with a hairline border."""
    return pn.Column(
        *objects,
        sizing_mode="stretch_width",
        styles={
            "background": "var(--ddg-surface, transparent)",
            "border": "1px solid var(--ddg-border, rgba(128,128,128,.3))",
            "border-radius": "10px",
            "padding": "14px 16px 12px",
            "box-sizing": "border-box",
            **(styles or {}),
        },
    )


def section(title: str, *objects: Any) -> pn.Column:
    """A titled group of the sidebar."""
    heading = pn.pane.HTML(
        f'<h2 style="font-size:13px;font-weight:600;margin:0;letter-spacing:.01em">{title}</h2>',
        margin=(0, 0, 4, 0),
        sizing_mode="stretch_width",
    )
    return pn.Column(
        heading,
        *objects,
        sizing_mode="stretch_width",
        styles={"padding": "14px 20px 10px", "box-sizing": "border-box", "gap": "4px"},
    )
