"""What ties an explorer to its browser session: link, socket options, notifications."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlencode

import panel as pn
import param
from bokeh.document import Document
from panel.io.resources import LOCAL_DIST

from ddg_explorer.app.component import Component
from ddg_explorer.app.state import AppState, Scene
from ddg_explorer.io import one_line
from ddg_explorer.systems import SYSTEMS

log = logging.getLogger(__name__)

T = TypeVar("T")

NARROW = 600
"""Pixels below which the page's drawer lies over its content."""


class Browser(Component):
    """What only the browser can do: its address, its window, its clipboard, its downloads.

    The address is kept in step without adding to the history. `on_width` hears the window's width
    when the page opens and whenever it crosses `narrow`.
    """

    narrow = param.Integer(NARROW)

    _esm = """
    function save(bytes, name) {
      const url = URL.createObjectURL(new Blob([bytes], {type: "application/octet-stream"}));
      const link = Object.assign(document.createElement("a"), {href: url, download: name});
      document.body.appendChild(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    }

    // The clipboard's interface is missing on pages that are neither local nor encrypted.
    async function copy(text) {
      if (navigator.clipboard) return navigator.clipboard.writeText(text);
      const area = Object.assign(document.createElement("textarea"), {value: text});
      document.body.appendChild(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      if (!done) throw new Error("refused");
    }

    export function render({model}) {
      model.on("msg:custom", ({search, bytes, name, copied}) => {
        const {origin, pathname, hash} = window.location;
        if (search !== undefined) {
          window.history.replaceState(window.history.state, "", pathname + search + hash);
        }
        if (bytes) save(bytes, name);
        if (copied !== undefined) {
          copy(origin + pathname + copied).then(
            () => model.send_msg({copied: true}), () => model.send_msg({copied: false}));
        }
      });
      const tell = () => model.send_msg({width: window.innerWidth});
      const narrow = window.matchMedia(`(max-width: ${model.narrow - 0.02}px)`);
      narrow.addEventListener("change", tell);
      model.on("remove", () => narrow.removeEventListener("change", tell));
      tell();
      return document.createElement("span");
    }
    """

    def __init__(self, on_width: Callable[[int], None], **params: Any) -> None:
        super().__init__(width=0, height=0, margin=0, **params)
        self._on_width = on_width
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
        if "width" in event.data:
            self._on_width(int(event.data["width"]))
        elif event.data.get("copied"):
            tell("The link is on the clipboard.")
        else:
            notify("The browser refused the clipboard; copy the address instead.")


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


def under_lock(doc: Document | None, change: Callable[[], None]) -> None:
    """Run what changes the page as soon as its document is locked; at once where nobody serves it.

    Panel hears acknowledged frames without the lock, and may hear what comes with them so, too.
    """
    if doc is not None and doc.session_context is not None:
        doc.add_next_tick_callback(change)
    else:
        change()


def stay_offline(doc: Document | None) -> None:
    """Let a session load its style sheets from this server.

    Panel notes where they are while it renders the page. A session that is made anew by a browser
    that reconnects has had no page, and its style sheets would be sought on the internet.
    """
    if doc is not None:
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
