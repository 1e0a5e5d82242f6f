"""A served page comes in pieces: moving pictures first, what they are steered with after them.

browser paints → `painted` → the next piece, under the document's lock → browser paints → …

Whole, the page would take seconds to build here and there before anything moves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import panel as pn

from ddg_explorer.app import session
from ddg_explorer.app.component import Component, script

GRACE = 1.0
"""Seconds after which the pieces come although nothing moves: a picture may rest or be missing."""


class Arrival(Component):
    """Takes one of `pieces` whenever the browser has painted the last; begins when it shows this.

    `<html data-ready="true">` says that nothing more comes: everything has arrived, or a piece has
    failed and the person has been told.

    Parameters
    ----------
    pieces
        Every step adds something to the page.
    moving
        Whether the pictures move by now.
    """

    _esm = script("settled", "arrival")

    def __init__(self, pieces: Iterator[None], moving: Callable[[], bool], **params: Any) -> None:
        super().__init__(width=0, height=0, margin=0, **params)
        self._pieces, self._moving = pieces, moving
        self._begun: float | None = None
        self.on_msg(self._receive)

    def complete(self) -> None:
        """Add all that is missing at once."""
        for _ in self._pieces:
            pass

    def _receive(self, _: Any) -> None:
        session.under_lock(pn.state.curdoc, self._advance)

    def _advance(self) -> None:
        self._begun = self._begun or time.monotonic()
        more = True
        if self._moving() or time.monotonic() > self._begun + GRACE:
            more = self._take()
        self._send_msg({"more": more})

    def _take(self) -> bool:
        """Add a piece; whether there may be more. None comes after one that fails."""
        try:
            return next(self._pieces, self) is None
        except Exception as problem:
            session.report(problem)
            return False
