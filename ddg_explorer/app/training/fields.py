"""Number fields in the form's style.

Their text is the same with and without the focus, for the browser selects it when a field is tabbed
to, and forgets that when it changes.
"""

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
    "sx": {
        "& .MuiInputBase-input": {"fontSize": 14},
        "& .MuiIconButton-root": {"color": "var(--ddg-muted, inherit)"},
    },
}


def whole(label: str, value: int, bounds: tuple[int, int]) -> pmui.IntInput:
    """A whole number within bounds."""
    return pmui.IntInput(
        label=label, value=value, start=bounds[0], end=bounds[1], format="0", **_STYLE
    )


def number(label: str, value: float, bounds: tuple[float, float]) -> pmui.FloatInput:
    """A real number within bounds."""
    return pmui.FloatInput(
        label=label,
        value=value,
        start=bounds[0],
        end=bounds[1],
        step=0.1,
        format="0.[0000000000]",
        **_STYLE,
    )


def pair(*widgets: Any) -> pn.FlexBox:
    """Widgets side by side, where there is room."""
    for widget in widgets:
        widget.styles = {"flex": "1 1 130px", "min-width": "0"}
    return pn.FlexBox(*widgets, sizing_mode="stretch_width", gap="0 12px")


def required(widget: Any) -> Any:
    """The number in a field; ValueError where there is none."""
    if widget.value is None:
        raise ValueError(f"{widget.label}: needs a number")
    return widget.value


class FieldManners(Component):
    """What Material UI leaves out in the number fields beside and below it.

    Enter leaves a field, which then takes what is typed next: its own takes a number at Enter, and
    nothing more while it keeps the focus. The − and + buttons are named after their field.
    """

    _esm = """
    const FIELD = "input.MuiInputBase-input";

    function named(control) {
      const buttons = control.querySelectorAll("button.MuiIconButton-root");
      const label = control.querySelector("label");
      if (buttons.length !== 2 || !label) return;
      const what = label.textContent.trim();
      buttons[0].setAttribute("aria-label", `Decrease ${what}`);
      buttons[1].setAttribute("aria-label", `Increase ${what}`);
    }

    export function render({model}) {
      const mark = document.createElement("span");
      const seen = new WeakSet();
      // Fields come one by one, each into a shadow tree of its own, and may be drawn again.
      const sweep = (root) => {
        if (!seen.has(root)) {
          seen.add(root);
          observer.observe(root, {childList: true, subtree: true});
        }
        root.querySelectorAll(".MuiFormControl-root").forEach(named);
        for (const element of root.querySelectorAll("*")) {
          if (element.shadowRoot) sweep(element.shadowRoot);
        }
      };
      const form = () => mark.getRootNode().host?.getRootNode();
      const all = () => form() && sweep(form());
      const observer = new MutationObserver(all);
      requestAnimationFrame(all);
      const enter = (event) => {
        const field = event.composedPath()[0];
        if (event.key === "Enter" && field.matches(FIELD)) field.blur();
      };
      document.addEventListener("keydown", enter);
      model.on("remove", () => {
        observer.disconnect();
        document.removeEventListener("keydown", enter);
      });
      return mark;
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
