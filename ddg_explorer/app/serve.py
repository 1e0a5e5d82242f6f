"""The app as a server: `ddg-explorer serve`, `panel serve apps/explorer.py`."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import panel as pn
import torch
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError

from ddg_explorer.app.explorer import TITLE, Explorer
from ddg_explorer.app.session import expire, forget, linked, report, stay_offline
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import Scene, default_lanes
from ddg_explorer.app.turns import Turn
from ddg_explorer.app.workers import workers

SWITCH_INTERVAL = 5e-4
"""Seconds a worker may keep the interpreter while the event loop waits for it: Python's own 5 ms
would be added to every message."""
ROUTE = "explorer"
"""Path of the page."""
KEPT = 5 * 60
"""Seconds for which a session waits for its page whose connection was lost: it has a few megabytes
and computes no more. That of a page that was closed ends at once."""
UNOPENED = 60
"""Seconds after which nobody waits any longer for a page that was asked for and has not opened."""
ENDINGS = ("SIGTERM", "SIGHUP")
"""Signals that end the server as Ctrl-C does: from a service manager, from a closed terminal."""


class ClosedTabs(logging.Filter):
    """Keeps out of the log what a page that is closed while pictures move leaves there.

    Frames under way cannot be delivered, which their tasks, Bokeh and Panel each report; and Bokeh
    fails to part from a connection that it has parted from already.
    """

    LOGGERS = ("asyncio", "bokeh.server.views.ws", "panel.io.document", "tornado.application")

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == "Failed sending message as connection was closed":
            return False
        problem = record.exc_info[1] if record.exc_info else None
        parted = isinstance(problem, AssertionError) and _raised_in(problem) == "session"
        return not (parted or isinstance(problem, (WebSocketClosedError, StreamClosedError)))


def _raised_in(problem: BaseException) -> str:
    """Name of the function that has raised."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else trace.tb_frame.f_code.co_name


@cache
def prepare_process() -> None:
    """Once per server process: one torch thread per worker, and the first step's imports done.

    Steps run in about as many threads as cores, so torch is given one thread each. What the
    libraries made while they were imported stays for good: garbage collections, of which Panel
    orders a full one after every page that is closed, pass over it and hold up everybody's pictures
    a third as long.
    """
    torch.set_num_threads(1)
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    for name in ClosedTabs.LOGGERS:
        logging.getLogger(name).addFilter(ClosedTabs())
    for lane in default_lanes(Scene()):
        workers().submit(None, Simulation(lane).turn, Turn(Scene()))


def configure() -> None:
    """Settings of the server's process, and of a session's resources.

    Panel is not asked to reconnect: `js/connection.js` does, for longer and with all that it needs.
    """
    prepare_process()
    pn.extension(notifications=True, reconnect=False, exception_handler=report)


def open_session() -> Any:
    """The page of a new session, in the state its address asks for."""
    doc = pn.state.curdoc
    stay_offline(doc)
    # Panel's own clean-up comes first.
    pn.state.on_session_destroyed(lambda _: IOLoop.current().add_callback(forget, doc))
    explorer = linked(lambda state, notice: Explorer(state, notice=notice))
    loop = IOLoop.current()
    wait = loop.call_later(UNOPENED, lambda: None if explorer.opened else expire(doc))

    def close(_: Any) -> None:
        loop.remove_timeout(wait)
        explorer.close()

    pn.state.on_session_destroyed(close)
    return explorer.page()


class Root(RequestHandler):
    """The address that the server prints leads to the page; unlike Panel's own, with its query."""

    def get(self) -> None:
        query = self.request.query
        self.redirect(f"./{ROUTE}?{query}" if query else f"./{ROUTE}")


def serve(
    port: int = 5006, address: str = "localhost", show: bool = False, origins: Sequence[str] = ()
) -> None:
    """Serve the explorer at http://address:port/explorer until interrupted or ended by a signal.

    A page that a proxy shows under another host than the one it passes on is refused, unless
    `origins` (host or host:port) or BOKEH_ALLOW_WS_ORIGIN name that host.
    """
    configure()
    hosts = dict.fromkeys((address, "localhost", "127.0.0.1"))
    with _ended_as_by_interrupt():
        pn.serve(
            {ROUTE: open_session},
            port=port,
            address=address,
            show=show,
            title=TITLE,
            extra_patterns=[("/", Root)],
            unused_session_lifetime_milliseconds=1000 * KEPT,
            websocket_origin=[*(f"{host}:{port}" for host in hosts), *origins],
        )


@contextmanager
def _ended_as_by_interrupt() -> Iterator[None]:
    """Let `ENDINGS` end the server as Ctrl-C does, so that its temporary files are removed.

    A signal that is ignored stays so, as SIGHUP under nohup; in the end all are as before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ENDINGS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *numbers)}
    for number in numbers:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
