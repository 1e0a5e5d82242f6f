"""What ties an explorer to its browser session: link, socket options, notifications."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

import panel as pn
import param
from bokeh.document import Document
from bokeh.util.token import generate_jwt_token
from panel.io.resources import LOCAL_DIST

from ddg_explorer.app.component import Component, script
from ddg_explorer.app.state import AppState, Scene
from ddg_explorer.io import one_line
from ddg_explorer.systems import SYSTEMS

log = logging.getLogger(__name__)

T = TypeVar("T")

NARROW = 600
"""Pixels below which the page's drawer lies over its content."""
TOKEN_LIFE = 86400
"""Seconds after which a session's socket cannot be opened again; Bokeh's own are 300."""
AGAIN = "The connection was lost for too long: the scene of the address begins anew."


class Browser(Component):
    """What only the browser can do: its address, its window, its clipboard, its downloads.

    The address is kept in step without adding to the history. `on_window` hears the window's width
    when the page opens and whenever it crosses `narrow`, and with it True when the page opens on a
    system that asks for less motion, or this is asked for while it is open.

    A lost connection is one line on the page, which can then not be used. When the server answers
    again, the session goes on; where it has ended, the page is loaded anew from its address, and
    rests if it did not play. A page that is closed says so, and its session need not be kept.
    """

    narrow = param.Integer(NARROW)
    playing = param.Boolean(False, doc="Whether the page runs, for one that is loaded anew.")
    birth = param.String("", doc="Tells this session from any other; empty where nobody serves it.")
    token = param.String("", doc="What reopens the session's socket for `TOKEN_LIFE` seconds.")

    _esm = script("settled", "connection", "browser")

    def __init__(self, on_window: Callable[[int, bool], None], **params: Any) -> None:
        context = getattr(pn.state.curdoc, "session_context", None)
        if context is not None:
            params = {"birth": uuid4().hex, "token": _lasting(context), **params}
        super().__init__(width=0, height=0, margin=0, **params)
        self._on_window = on_window
        self.on_msg(self._receive)

    def write(self, flat: Mapping[str, str]) -> None:
        """Show the state's query in the address."""
        self._send_msg({"search": "?" + urlencode(flat)})

    def save(self, data: bytes, name: str) -> None:
        """Let the browser save a file."""
        self._send_msg({"bytes": data, "name": name})

    def copy_link(self, flat: Mapping[str, str]) -> None:
        """Put the link to a state on the clipboard."""
        self._send_msg({"copied": "?" + urlencode(flat)})

    def _receive(self, event: Any) -> None:
        if "beat" in event.data:
            self._send_msg({"beat": True})
        elif "width" in event.data:
            self._on_window(int(event.data["width"]), bool(event.data.get("still")))
        elif "gone" in event.data:
            expire(pn.state.curdoc)
        elif "again" in event.data:
            pn.state.onload(lambda: inform(AGAIN))
        elif event.data.get("copied"):
            tell("The link is on the clipboard.")
        else:
            notify("The browser refused the clipboard; copy the address instead.")


def _lasting(context: Any) -> str:
    """A token of this session that does not expire while a person uses the page."""
    payload = dict(context.token_payload)
    payload.pop("session_expiry", None)
    return generate_jwt_token(context.id, extra_payload=payload, expiration=TOKEN_LIFE)


def linked(show: Callable[[AppState, str], T]) -> T:
    """What `show` makes of the state of the page's address, and of a line where it cannot be shown.

    A link that is not understood, or whose state `show` refuses with a ValueError, falls back to
    its system as that opens, or to the default state where it names none.
    """
    args = pn.state.session_args or {}
    flat = {key: values[-1].decode(errors="replace") for key, values in args.items()}
    try:
        return show(AppState.from_flat(flat), "")
    except ValueError as problem:
        line = f"The link was not understood ({one_line(problem)}); showing the default."
    system = flat.get("system")
    return show(AppState(Scene(system)) if system in SYSTEMS else AppState(), line)


def disable_nagle(doc: Document | None) -> None:
    """Set TCP_NODELAY on the session's sockets.

    Bokeh leaves Nagle's algorithm on, which holds back small messages by up to 40 ms. The way there
    leads through private attributes, so an unexpected layout is logged and left alone.
    """
    context = getattr(doc, "session_context", None)
    if context is None:
        return
    try:
        for connection in context.session._subscribed_connections:
            connection._socket.set_nodelay(True)
    except AttributeError:
        log.info("could not set TCP_NODELAY: the server's internals have changed")


def expire(doc: Document | None) -> None:
    """Let a session end as soon as nobody is connected to it, however long others are kept.

    The way there is Bokeh's own, as that of `disable_nagle`.
    """
    context = getattr(doc, "session_context", None)
    if context is None:
        return
    try:
        context.session.request_expiration()
    except AttributeError:
        log.info("could not end a session: the server's internals have changed")


def forget(doc: Document | None) -> None:
    """Let go of what Panel keeps of a session that has ended, and with it of all that it showed.

    The area of the notifications stays among Panel's views, and through its document everything
    that was ever made for the page. The way there is private, as that of `disable_nagle`.
    """
    if doc is None:
        return
    try:
        views = pn.state._views
        for ref in [ref for ref, (_, _, of, _) in views.items() if of is doc]:
            del views[ref]
    except (AttributeError, TypeError, ValueError):
        log.info("could not let go of a session: Panel's internals have changed")


def under_lock(doc: Document | None, change: Callable[[], None]) -> None:
    """Run what changes the page as soon as its document is locked; at once where nobody serves it.

    Panel hears acknowledged frames without the lock, and may hear what comes with them so, too.
    What fails in a served page is reported there: nobody else would tell.
    """
    if doc is None or doc.session_context is None:
        change()
        return

    def told() -> None:
        try:
            change()
        except Exception as problem:
            report(problem)

    doc.add_next_tick_callback(told)


def stay_offline(doc: Document | None) -> None:
    """Let a session load its style sheets from this server.

    Panel notes where they are while it renders the page. A session that is made anew by a browser
    that reconnects has had no page, and its style sheets would be sought on the internet. The
    location comes first: one that finds this note takes the path of a proxy out of it.
    """
    if doc is not None:
        _ = pn.state.location
        doc.template_variables.setdefault("dist_url", LOCAL_DIST)


def report(problem: Exception) -> None:
    """Log what went wrong while the page was used, with its trace, and say so in one line.

    For everything that nobody else has caught: Bokeh takes the document of a callback that raises
    for everybody's current one from then on.
    """
    log.error("a callback has failed", exc_info=problem)
    if isinstance(problem, ValueError):
        notify(one_line(problem))
    else:
        notify(f"That has failed ({type(problem).__name__}); the server's log says why.")


def notify(line: str) -> None:
    """Show one line as a notification, where the page has them."""
    if pn.state.notifications is not None:
        pn.state.notifications.error(line, duration=8000)


def inform(line: str) -> None:
    """Show one line that is neither good nor bad news, where the page has notifications."""
    if pn.state.notifications is not None:
        pn.state.notifications.info(line, duration=8000)


@contextmanager
def telling(line: str) -> Iterator[None]:
    """Show one line for as long as something takes, where the page has notifications."""
    area = pn.state.notifications
    shown = None if area is None else area.info(line, duration=0)
    try:
        yield
    finally:
        if shown is not None:
            shown.destroy()


def tell(line: str) -> None:
    """Show one line of good news, where the page has notifications."""
    if pn.state.notifications is not None:
        pn.state.notifications.success(line, duration=6000)
