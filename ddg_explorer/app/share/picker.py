"""A button that opens a file and sends its bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import param

from ddg_explorer.app.component import Component

LIMIT = 16 << 20
"""Bytes of a file that is sent; the server's websocket takes 20 MB a message."""


class FilePicker(Component):
    """`on_file(name, data)` is awaited with every file that the person opens."""

    label = param.String("Open")
    accept = param.String("", doc="Suffixes, as in an `<input type=file>`.")
    limit = param.Integer(LIMIT)
    doc = param.String("")

    _esm = """
    export function render({model}) {
      const button = document.createElement("button");
      const input = Object.assign(document.createElement("input"), {type: "file", hidden: true});
      input.accept = model.accept;
      button.textContent = model.label;
      button.title = model.doc;
      button.onclick = () => input.click();
      input.onchange = async () => {
        const [file] = input.files;
        input.value = "";
        if (!file) return;
        const large = file.size > model.limit;
        const data = large ? new ArrayBuffer(0) : await file.arrayBuffer();
        model.send_msg({name: file.name, size: file.size, data});
      };
      const root = document.createElement("div");
      root.append(button, input);
      return root;
    }
    """
    _stylesheets: ClassVar[list[str]] = [
        """
        button { font: 600 14px Roboto, "Helvetica Neue", "Liberation Sans", sans-serif;
          height: 34px; padding: 0 14px; border-radius: 8px; cursor: pointer;
          background: transparent;
          color: var(--ddg-accent, inherit);
          border: 1px solid color-mix(in srgb, var(--ddg-accent, gray) 50%, transparent); }
        button:hover { border-color: var(--ddg-accent, gray);
          background: color-mix(in srgb, var(--ddg-accent, gray) 6%, transparent); }
        button:focus-visible { outline: 2px solid var(--ddg-accent, gray); outline-offset: 1px; }
        """
    ]

    def __init__(
        self,
        on_file: Callable[[str, bytes], Awaitable[None]],
        report: Callable[[str], None],
        **params: Any,
    ) -> None:
        super().__init__(**{"margin": 0, **params})
        self._on_file, self._report = on_file, report
        self.on_msg(self._receive)

    async def _receive(self, event: Any) -> None:
        name, size, data = (event.data[key] for key in ("name", "size", "data"))
        if size > self.limit:
            self._report(f"{name}: has {size / 2**20:.0f} MiB, at most {self.limit >> 20} are read")
        else:
            await self._on_file(str(name), bytes(data))
