"""The pages behind the tabs; each is built when it is first opened.

A page that was left stays where it is, out of sight, so that lanes keep their history; a lane that
cannot be seen asks for no frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app import session
from ddg_explorer.app.component import Component
from ddg_explorer.app.layout import HEADER, PHONE
from ddg_explorer.app.state import PAGES


class SkipLink(Component):
    """A link for the keyboard, seen while it has the focus: past the drawer, to the page."""

    _esm = """
    export function render() {
      const link = document.createElement("button");
      link.type = "button";
      link.textContent = "Skip to the page";
      link.onclick = () => {
        let tree = link.getRootNode();
        while (tree.host && !tree.querySelector("main")) tree = tree.host.getRootNode();
        const main = tree.querySelector("main");
        main.tabIndex = -1;
        main.style.outline = "none";
        main.focus();
      };
      return link;
    }
    """
    _stylesheets: ClassVar[list[str]] = [
        """
        :host { position: absolute; z-index: 1; }
        button { font: 600 14px Roboto, "Helvetica Neue", "Liberation Sans", sans-serif;
          height: 36px; margin: 6px 0; padding: 0 14px; border-radius: 8px; border: none;
          white-space: nowrap; cursor: pointer; background: var(--ddg-accent, #0b6aa8);
          color: var(--ddg-on_accent, white); }
        button:not(:focus) { width: 1px; height: 1px; padding: 0; clip-path: inset(50%); }
        """
    ]

    def __init__(self) -> None:
        super().__init__(width=0, height=0, margin=0)


class Page(Protocol):
    """What stands behind a tab."""

    view: Any

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""


class Tabs:
    """A `row` of tabs, and the `view` of the pages behind them.

    Parameters
    ----------
    makers
        Key of `PAGES` → what makes the page.
    on_open
        Called with the key of a page that is opened by the person.
    """

    def __init__(
        self, makers: Mapping[str, Callable[[], Page]], on_open: Callable[[str], None]
    ) -> None:
        self._makers, self._on_open = dict(makers), on_open
        self._pages: dict[str, Page] = {}
        self._frames: dict[str, pn.Column] = {}
        self._shown = next(iter(self._makers))
        self._tabs: pmui.Tabs | None = None
        self.row = pn.Column(
            sizing_mode="stretch_width",
            margin=0,
            styles={"min-height": f"{HEADER}px", "padding-left": "clamp(0px, 2vw - 12px, 24px)"},
        )
        self.view = pn.Column(sizing_mode="stretch_width", margin=0)

    def fill(self, key: str, *, skip: bool = False) -> None:
        """Add the row, whose place has been held, with this tab chosen; to `skip`, a link."""
        self._tabs = pmui.Tabs(
            *((PAGES[key], pn.Spacer(height=0)) for key in self._makers),
            active=list(self._makers).index(key),
            sizing_mode="stretch_width",
            margin=0,
            sx={
                "& .MuiTab-root": {"minHeight": HEADER, "fontSize": 14},
                "& .MuiTab-root.Mui-selected": {"color": "var(--ddg-accent, #0b6aa8)"},
                "& .MuiTabs-indicator": {"backgroundColor": "var(--ddg-accent, #0b6aa8)"},
                PHONE: {
                    "& .MuiTab-root": {
                        "minWidth": 0,
                        "flexGrow": 1,
                        "padding": "12px 3px",
                        "fontSize": 12.5,
                        "letterSpacing": 0,
                    }
                },
            },
        )
        self._tabs.param.watch(self._clicked, "active")
        self.row[:] = [SkipLink(), self._tabs] if skip else [self._tabs]

    @property
    def opened(self) -> Mapping[str, Page]:
        """The pages that have been built."""
        return dict(self._pages)

    def page(self, key: str) -> Page:
        """The page, built if this is the first time."""
        if key not in self._pages:
            made = self._makers[key]()
            self._pages[key] = made
            self._frames[key] = pn.Column(
                made.view,
                sizing_mode="stretch_width",
                visible=False,
                margin=0,
                styles={"padding": "12px 16px 16px"},
            )
            self.view.append(self._frames[key])
        return self._pages[key]

    def show(self, key: str) -> None:
        """Bring a page to the front; where it cannot be built, the one before stays there."""
        try:
            self.page(key)
        except Exception as problem:
            if key == self._shown:
                raise
            session.report(problem)
            session.under_lock(pn.state.curdoc, lambda: self._on_open(self._shown))
            return
        self._shown = key
        for name, frame in self._frames.items():
            frame.visible = name == key
        if self._tabs is not None:
            self._tabs.active = list(self._makers).index(key)

    def restyle(self, dark: bool) -> None:
        """Colours of the theme, for all pages that have been built."""
        for page in self._pages.values():
            page.restyle(dark)

    def close(self) -> None:
        """End what pages have running."""
        for page in self._pages.values():
            close = getattr(page, "close", None)
            if close is not None:
                close()

    def _clicked(self, event: Any) -> None:
        self._on_open(list(self._makers)[event.new])
