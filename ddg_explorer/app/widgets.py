"""Controls that Panel does not have as such: a slider with a typed number, a select, icons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import panel_material_ui as pmui
import param

from ddg_explorer.app.changes import put
from ddg_explorer.app.component import Component, script, style

_PATH = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path d="{}"/></svg>'
ICONS = {
    "play": _PATH.format("M8 5v14l11-7z"),
    "pause": _PATH.format("M6 5h4v14H6zM14 5h4v14h-4z"),
    "add": _PATH.format("M19 13h-6v6h-2v-6H5v-2h6V5h2v6h6z"),
    "share": _PATH.format(
        "M18 16a3 3 0 0 0-2 .8L8.9 12.7a3 3 0 0 0 0-1.4L16 7.2A3 3 0 1 0 15 5l.1.7L8 9.8a3 "
        "3 0 1 0 0 4.4l7.1 4.1A3 3 0 1 0 18 16z",
    ),
    "step": _PATH.format("M6 5v14l9-7zM16 5h3v14h-3z"),
    "dice": _PATH.format(
        "M5 3h14a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm0 2v14h14V5z"
        "M8.5 7a1.5 1.5 0 1 1-.01 0zM15.5 7a1.5 1.5 0 1 1-.01 0zM12 10.5a1.5 1.5 0 1 1-.01 0z"
        "M8.5 14a1.5 1.5 0 1 1-.01 0zM15.5 14a1.5 1.5 0 1 1-.01 0z"
    ),
    "reset": _PATH.format(
        "M12 5V1L7 6l5 5V7a6 6 0 1 1-6 6H4a8 8 0 1 0 8-8z",
    ),
}
"""No icon font is fetched; buttons use these as masks."""


class NumberSlider(Component):
    """A slider and the number beside it.

    `start` and `end` bound the slider, `low` and `high` what may be typed. `on_change` is called
    with every value the person chooses, and not for values set from Python.
    """

    key = param.String("", doc="`data-control` of the element.")
    label = param.String("")
    doc = param.String("", doc="Shown as a tooltip.")
    value = param.Number(0.0)
    start = param.Number(0.0)
    end = param.Number(1.0)
    low = param.Number(0.0)
    high = param.Number(1.0)
    scale = param.Selector(default="linear", objects=["linear", "log", "integer"])
    mark = param.Number(None, allow_None=True, doc="A value marked on the track.")
    marks = param.List([], doc="[value, colour, tooltip] of further marks.")
    note = param.String("", doc="A line below the track.")
    disabled = param.Boolean(False)
    compact = param.Boolean(False, doc="A narrower field for small numbers.")

    _esm = script("refusal", "slider")
    _stylesheets: ClassVar[list[str]] = [style("slider")]

    def __init__(self, on_change: Callable[[float], None], **params: Any) -> None:
        params.setdefault("low", params.get("start", 0.0))
        params.setdefault("high", params.get("end", 1.0))
        params.setdefault("sizing_mode", "stretch_width")
        super().__init__(**params)
        self._on_change = on_change
        self.on_msg(self._receive)

    def _receive(self, event: Any) -> None:
        value = event.data["value"]
        self.value = value
        self._on_change(round(value) if self.scale == "integer" else float(value))


def bounded_slider(
    on_change: Callable[[float], None],
    key: str,
    label: str,
    doc: str,
    *,
    scale: str,
    typed: tuple[float, float],
    span: tuple[float, float] = (0.0, 1.0),
) -> NumberSlider:
    """A slider over `span` whose typed number may lie in `typed`."""
    return NumberSlider(
        on_change,
        key=key,
        label=label,
        doc=doc,
        scale=scale,
        start=span[0],
        end=span[1],
        low=typed[0],
        high=typed[1],
    )


def hinted(widget: Any, line: str, *, width: int, height: int) -> pmui.Tooltip:
    """The widget with a tooltip that describes it; what it is called is still its own label."""
    return pmui.Tooltip(
        widget,
        title=line,
        placement="top",
        describe_child=True,
        margin=0,
        width=width,
        height=height,
    )


class Choice:
    """A labelled select; `on_change` hears what the person chooses, not what `show` sets.

    Its label and height, to an eighth of a pixel, are those of Material's small text fields.
    """

    def __init__(
        self,
        label: str,
        options: Mapping[str, str],
        on_change: Callable[[str], None],
        *,
        doc: str | None = None,
    ) -> None:
        self._on_change = on_change
        self._showing = False
        self.widget = pmui.Select(
            label=label,
            description=doc,
            options=dict(options),
            value=next(iter(options.values()), None),
            size="small",
            variant="outlined",
            sizing_mode="stretch_width",
            margin=(5, 0),
            sx={
                "& .MuiSelect-select": {"fontSize": 14, "lineHeight": "1.4375em", "py": "8.4375px"}
            },
            stylesheets=["label.MuiInputLabel-root { font-size: 1rem; }"],
        )
        self.widget.param.watch(self._chosen, "value")

    @property
    def value(self) -> str:
        return self.widget.value

    def show(self, value: str | None, **params: Any) -> None:
        """Set the value, and other parameters of the widget such as its options.

        The browser tells options apart by their names: among others, the value is sent again.
        """
        renamed = params.get("options", self.widget.options) != self.widget.options
        self._showing = True
        try:
            put(self.widget, value=value, **params)
            if renamed:
                self.widget.param.trigger("value")
        finally:
            self._showing = False

    def _chosen(self, event: Any) -> None:
        if not self._showing and event.new is not None:
            self._on_change(event.new)
