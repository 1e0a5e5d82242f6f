"""Components around the scripts and style sheets of `js/`."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from bokeh.document import Document
from bokeh.events import Event
from panel.custom import JSComponent
from panel.io.state import set_curdoc

_JS = Path(__file__).parent / "js"
INLINE = 1 << 13
"""Bytes up to which binary data travels in the text of its message: as a buffer beside it, it takes
two more writes to the socket, and the browser two more events."""


def script(*names: str) -> str:
    """The named files of `js/` as one ES module; only the last one exports."""
    return "\n".join((_JS / f"{name}.js").read_text(encoding="utf-8") for name in names)


def style(name: str) -> str:
    """A style sheet of `js/`."""
    return (_JS / f"{name}.css").read_text(encoding="utf-8")


def packed(data: bytes) -> bytes | str:
    """Binary data for a message, in base64 while it is short; `unpack` of `js/draw.js` reads it."""
    return data if len(data) > INLINE else base64.b64encode(data).decode("ascii")


class Component(JSComponent):
    """A component whose script the browser takes as it is, once for all instances.

    Panel transpiles the script of every instance anew unless it is a bundle: half a second of the
    page's load. A bundle has to be a file with a path; these scripts are put together from several,
    so the model is told here.

    Its messages do not count as work that the page is busy with: an acknowledged frame is none, and
    the counting takes a fifth of the server's time while pictures move.
    """

    __abstract = True

    def _get_properties(self, doc: Document | None) -> dict[str, Any]:
        properties = super()._get_properties(doc)
        digest = hashlib.sha256(properties["esm"].encode()).hexdigest()
        return {**properties, "bundle": digest}

    def _process_bokeh_event(self, doc: Document, event: Event) -> None:
        with set_curdoc(doc):
            self._process_event(event)
