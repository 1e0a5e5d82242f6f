"""Number fields in the form's style."""

from __future__ import annotations

from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app.component import Component

_STYLE: dict[str, Any] = {
    "size": "small",
    "variant": "outlined",
    "margin": (6, 0),
    "sizing_mode": "stretch_width",
    "sx": {"& .MuiInputBase-input": {"fontSize": 14}},
}


def whole(label: str, value: int, bounds: tuple[int, int]) -> pmui.IntInput:
    """A whole number within bounds."""
    return pmui.IntInput(label=label, value=value, start=bounds[0], end=bounds[1], **_STYLE)


def number(label: str, value: float, bounds: tuple[float, float]) -> pmui.FloatInput:
    """A real number within bounds."""
    return pmui.FloatInput(
        label=label, value=value, start=bounds[0], end=bounds[1], step=0.1, **_STYLE
    )


def pair(*widgets: Any) -> pn.FlexBox:
    """Widgets side by side, where there is room."""
    for widget in widgets:
        widget.styles = {"flex": "1 1 130px", "min-width": "0"}
    return pn.FlexBox(*widgets, sizing_mode="stretch_width", gap="0 12px")


class EnterLeaves(Component):
    """Enter leaves a number field of the page, which then takes what is typed next.

    Material UI's own takes a number at Enter, and nothing more while it keeps the focus.
    """

    _esm = """
    export function render({model}) {
      const enter = (event) => {
        const field = event.composedPath()[0];
        if (event.key === "Enter" && field.matches("input.MuiInputBase-input")) field.blur();
      };
      document.addEventListener("keydown", enter);
      model.on("remove", () => document.removeEventListener("keydown", enter));
      return document.createElement("span");
    }
    """

    def __init__(self) -> None:
        super().__init__(width=0, height=0, margin=0)


class Implied:
    """A number that other choices fill in, until a person has typed another."""

    def __init__(self, widget: pmui.IntInput) -> None:
        self.widget = widget
        self._implied = widget.value

    @property
    def value(self) -> int | None:
        return self.widget.value

    def imply(self, value: int) -> None:
        """Fill it in, unless what is there now was typed."""
        if self.widget.value in (self._implied, None):
            self.widget.value = value
        self._implied = value
