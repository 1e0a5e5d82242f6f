"""The page's frame, its drawer, and its two containers: cards of the main area and sections."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.util.parameters import edit_readonly

from ddg_explorer.app import session, theme

HEADER = 48
"""Pixels of the header, which holds the row of tabs."""
PHONE = f"@media (max-width: {session.NARROW - 0.02}px)"
"""Where the drawer lies over the page."""

TALL = {"max-height": "none"}
"""Styles of what may be taller than the window: else Bokeh bounds it and all in it by the window's
height, and what overflows lies under what comes next."""


def frame(title: str, **options: Any) -> pmui.Page:
    """A page with header and drawer in the app's theme."""
    page = pmui.Page(
        title=title,
        sidebar_width=340,
        theme_config=theme.material_theme(),
        sx={
            **theme.PAGE_SX,
            "& .MuiToolbar-root.MuiToolbar-root": {"minHeight": HEADER},
            PHONE: {
                "& .MuiAppBar-root .title": {"display": "none"},
                "& .MuiAppBar-root .MuiToolbar-root": {"padding": "0 8px 0 20px"},
            },
        },
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


class Drawer:
    """Whether a page's drawer is open: where its controls act and there is room.

    What the person chooses in between stays until the window crosses `session.NARROW`, or a page
    is opened on which the controls act when they did not before, or the other way round.

    Parameters
    ----------
    page
        Of `frame`.
    acts
        Whether the controls act on what is shown at first.
    """

    def __init__(self, page: pmui.Page, acts: bool) -> None:
        self._page, self._acts, self._roomy = page, acts, True
        self._kept = True
        page.sidebar_open = acts

    def on_width(self, roomy: bool) -> None:
        """Close where the window has become narrow, open where there is room again."""
        if roomy != self._roomy:
            self._roomy = self._kept = roomy
            self._page.sidebar_open = roomy and self._acts

    def on_page(self, acts: bool) -> None:
        """Close where the controls act no longer; where they do again, be as it was there."""
        if acts != self._acts:
            self._acts = acts
            if not acts:
                self._kept = self._page.sidebar_open
            self._page.sidebar_open = self._kept if acts else False


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
