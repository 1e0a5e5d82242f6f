"""What ties an explorer to its browser session: link, socket options, notifications."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import panel as pn
from bokeh.document import Document
from panel.io.resources import LOCAL_DIST

from ddg_explorer.app.component import Component
from ddg_explorer.app.state import AppState

log = logging.getLogger(__name__)


class Browser(Component):
    """What only the browser can do: its address, its window, its clipboard, its downloads.

    The address is kept in step without adding to the history.
    """

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
      model.send_msg({width: window.innerWidth});
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


def linked_state() -> tuple[AppState, str]:
    """The state of the page's address, and one line where it was not understood.

    A bad link falls back to the default state.
    """
    flat = {k: v[-1].decode() for k, v in (pn.state.session_args or {}).items()}
    try:
        return AppState.from_flat(flat), ""
    except (ValueError, TypeError, UnicodeDecodeError) as problem:
        return AppState(), f"The link was not understood ({problem}); showing the default."


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


def notify(line: str) -> None:
    """Show one line as a notification, where the page has them."""
    if pn.state.notifications is not None:
        pn.state.notifications.error(line, duration=8000)


def tell(line: str) -> None:
    """Show one line of good news, where the page has notifications."""
    if pn.state.notifications is not None:
        pn.state.notifications.success(line, duration=6000)
