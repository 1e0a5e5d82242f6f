"""From worker threads to a session's event loop: wake-ups, merged and at a bounded rate.

Threads call `wake`; the loop calls `show` at most every `PERIOD`, however many wake-ups came, and
not at all while there are none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from bokeh.document import Document
from panel.io.state import set_curdoc, state

from ddg_explorer.app.session import under_lock

PERIOD = 0.25

log = logging.getLogger(__name__)


class Pump:
    """Calls `show` on the loop of the session that `start` is called in."""

    def __init__(self, show: Callable[[], None]) -> None:
        self._show = show
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; must be called on the event loop, further calls do nothing."""
        if self._task is None:
            self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
            self._task = self._loop.create_task(self._run(state.curdoc))

    def wake(self) -> None:
        """Ask for `show`; from any thread."""
        if self._loop is not None and self._wake is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake.set)

    def close(self) -> None:
        """End; must be called on the event loop."""
        if self._task is not None:
            self._task.cancel()
        self._loop = self._wake = None

    async def _run(self, document: Document | None) -> None:
        assert self._wake is not None
        wake = self._wake
        with set_curdoc(document):
            while True:
                await wake.wait()
                wake.clear()
                under_lock(document, self._show_or_log)
                await asyncio.sleep(PERIOD)

    def _show_or_log(self) -> None:
        try:
            self._show()
        except Exception:
            log.exception("the training view could not be brought up to date")
