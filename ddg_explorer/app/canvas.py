"""The live canvas of one lane: a Panel component around `js/lane.js`.

Frames go to the browser as binary messages and come back as acknowledgements after painting; both
bypass Panel's property synchronisation, which debounces by 50 ms. `Credits` is the flow control: at
most `WINDOW` frames are under way, one more after a change, and a browser that is hidden or gone
asks for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import param
from bokeh.document import Document
from bokeh.model import Model
from panel.models.esm import DataEvent

from ddg_explorer.app.component import Component, packed, script, style
from ddg_explorer.app.looks import Look
from ddg_explorer.app.theme import PALETTES, colour_table, mode

WINDOW = 2
GRACE = 1.0
"""Seconds without acknowledgement after which one frame is sent on trust."""
PATIENCE = 30.0
"""Seconds without any sign of the browser after which nothing is sent until it speaks again."""


class Receipt(DataEvent):
    """A frame has been painted; `data` is {"ack": its sequence number}.

    Canvases alone listen for it: a message of Panel's kind is offered to all components of the page
    in turn, which takes longer than what it says.
    """

    event_name = "ddg_receipt"


class LaneCanvas(Component):
    """Title, canvas, colour bar, status and read-outs of one lane."""

    lane = param.String("truth", doc="The lane's model; `data-lane` of the canvas.")
    title = param.String("", doc="What the lane is called; no other one is called so.")
    heading = param.String("", doc="The same beside the choice of the scheme.")
    subtitle = param.String("")
    device = param.String("cpu")
    status = param.String("", doc="One readable line below the read-outs; empty for none.")
    misfit = param.String("", doc="Why nobody runs in this lane; empty where somebody does.")
    note = param.String("", doc="A few words on what runs, in the status's place; empty for none.")
    reason = param.String("", doc="The sentence behind the note, shown where it is asked for.")
    scheme = param.String("", doc="Key of the lane's integrator.")
    schemes = param.List([], doc="[key, label] of the integrators that can be chosen.")
    compact = param.Boolean(False, doc="Fewer read-outs, for several lanes side by side.")
    removable = param.Boolean(False)
    trainable = param.Boolean(False, doc="Whether a lane that does not fit offers training.")
    spec = param.Dict({"kind": ""}, doc="`Picture.spec`.")
    table = param.Bytes(b"", doc="256 RGBA colours.")
    palette = param.Dict({})
    colour = param.String("", doc="The lane's.")

    touch = param.Dict({}, doc="`tool` of the pointer, empty for none; the brush's `radius`.")

    _esm = script("draw", "field", "profile", "phase", "touch", "readouts", "foot", "lane")
    _stylesheets: ClassVar[list[str]] = [style("lane")]

    def __init__(self, **params: Any) -> None:
        super().__init__(
            **{"sizing_mode": "stretch_width", "heading": params.get("title", ""), **params}
        )
        self.credits = Credits()
        self.on_limits: Callable[[Any], None] | None = None
        self.on_choice: Callable[[str, Any], None] | None = None
        self.on_touch: Callable[[str, Any], None] | None = None
        self.on_wake: Callable[[bool], None] | None = None
        self.on_msg(self._receive)

    def paint(self, frame: Callable[[int], bytes], *, follows: bool = False) -> None:
        """Send a frame; `frame` is given its sequence number and returns its bytes.

        A canvas that `follows` another one, whose frames are painted with its own, leaves the
        acknowledgement to that one: every message from the browser costs milliseconds here.
        """
        seq = self.credits.spend()
        if follows:
            self.credits.settle(seq)
        self._send_msg({"frame": packed(frame(seq)), "follows": follows})

    def draws(self, spec: Mapping[str, Any]) -> bool:
        """Whether the picture described is the one that is drawn."""
        return all(self.spec.get(name) == value for name, value in spec.items())

    def rest(self) -> None:
        """Tell the browser that no more frames come for now."""
        self._send_msg({"rest": True})

    def restyle(self, dark: bool, scale: str, look: Look) -> None:
        """Colours of the theme, and of the lane."""
        self.param.update(
            palette={**PALETTES[mode(dark)], "swatch": look.swatch(dark)},
            table=colour_table(scale, dark),
            colour=look.colour(dark),
        )

    def _get_model(
        self,
        doc: Document,
        root: Model | None = None,
        parent: Model | None = None,
        comm: Any = None,
    ) -> Model:
        model = super()._get_model(doc, root, parent, comm)
        self._register_events(Receipt.event_name, model=model, doc=doc, comm=comm)
        return model

    def _receive(self, event: Any) -> None:
        message = event.data
        # After a silence the browser may have reconnected, over another socket.
        fresh = "ready" in message or self.credits.silence > 2 * GRACE
        if "ack" in message:
            self.credits.acknowledge(int(message["ack"]))
        if "visible" in message:
            self.credits.visible = bool(message["visible"])
        if "ready" in message:
            self.credits.renew()
        if "limits" in message and self.on_limits:
            limits = message["limits"]
            self.on_limits(limits if limits == "auto" else tuple(map(float, limits)))
        for key in ("integrator", "remove", "train"):
            if key in message and self.on_choice:
                self.on_choice(key, message[key])
        for key in ("edit", "start", "lift"):
            if key in message and self.on_touch:
                self.on_touch(key, message[key])
        if self.on_wake:
            self.on_wake(fresh)


class Credits:
    """How many frames may still be sent to one canvas."""

    def __init__(self) -> None:
        self.visible = True
        self._sent = 0
        self._acknowledged = 0
        self._heard = time.monotonic()

    @property
    def available(self) -> bool:
        """Whether a frame may be sent now."""
        return self.left > 0

    @property
    def urgent(self) -> bool:
        """Whether a frame may be sent that shows a change: one more than others.

        The browser paints the newest frame that it has, so this one waits for no other.
        """
        return self.visible and self._sent - self._acknowledged <= WINDOW

    @property
    def left(self) -> int:
        """How many frames may be sent now."""
        return WINDOW - (self._sent - self._acknowledged) if self.visible else 0

    @property
    def silence(self) -> float:
        """Seconds since the browser was last heard."""
        return time.monotonic() - self._heard

    @property
    def painted(self) -> int:
        """Frames that the browser has painted, or is trusted to have."""
        return self._acknowledged

    def spend(self) -> int:
        """The next sequence number."""
        self._sent += 1
        return self._sent

    def acknowledge(self, seq: int) -> None:
        self._heard = time.monotonic()
        self.settle(seq)

    def settle(self, seq: int) -> None:
        """Frame `seq` needs no acknowledgement."""
        self._acknowledged = max(self._acknowledged, min(seq, self._sent))

    def renew(self) -> None:
        """A (re)connected browser: nothing is under way."""
        self._heard = time.monotonic()
        self._acknowledged = self._sent

    def grant(self) -> None:
        """One frame on trust, unless the browser has been silent for too long."""
        if self.visible and self.silence < PATIENCE:
            self._acknowledged = max(self._acknowledged, self._sent - WINDOW + 1)
