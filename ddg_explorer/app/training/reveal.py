"""Brings a card of the page into the window."""

from __future__ import annotations

import param

from ddg_explorer.app.component import Component
from ddg_explorer.app.layout import HEADER


class Reveal(Component):
    """First in a card; `bring` scrolls to it where its beginning cannot be seen.

    On a phone a card may lie a screen below the button that fills it.
    """

    gap = param.Integer(HEADER + 24, doc="Pixels from the window's top: the header and some air.")

    _esm = """
    const EDGE = 120;

    export function render({model, el}) {
      const still = window.matchMedia("(prefers-reduced-motion: reduce)");
      const mark = document.createElement("span");
      mark.style.cssText = `display:block;scroll-margin-top:${model.gap}px`;
      model.on("msg:custom", () => {
        const {top} = mark.getBoundingClientRect();
        if (top >= model.gap / 2 && top <= window.innerHeight - EDGE) return;
        mark.scrollIntoView({behavior: still.matches ? "auto" : "smooth", block: "start"});
      });
      return mark;
    }
    """

    def __init__(self) -> None:
        super().__init__(width=0, height=0, margin=0)

    def bring(self) -> None:
        """Scroll to the card, unless it begins well inside the window."""
        self._send_msg({"bring": True})
