"""What ties an explorer to its browser session: the link, socket options, the end of the session."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import urlencode

import panel as pn
from bokeh.document import Document
from panel.custom import JSComponent

from ddg_explorer.app.state import AppState

log = logging.getLogger(__name__)


class Link(JSComponent):
    """Keeps the page's address in step with the state, without adding to the history."""

    _esm = """
    export function render({model}) {
      model.on("msg:custom", ({search}) => {
        const {pathname, hash} = window.location;
        window.history.replaceState(window.history.state, "", pathname + search + hash);
      });
      return document.createElement("span");
    }
    """

    def write(self, flat: Mapping[str, str]) -> None:
        """Show the state's query in the address."""
        self._send_msg({"search": "?" + urlencode(flat)})


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


def notify(line: str) -> None:
    """Show one line as a notification, where the page has them."""
    if pn.state.notifications is not None:
        pn.state.notifications.error(line, duration=8000)
