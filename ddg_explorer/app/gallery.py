"""Systems and presets as a gallery: a button, and a dialog of pictures that it opens.

The pictures go to the browser when the dialog opens for the first time, not with the page. They are
grey levels; the tables that colour them are those of the lanes, in the page's theme.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import param

from ddg_explorer.app.changes import put
from ddg_explorer.app.component import Component, script, style
from ddg_explorer.app.pictures import SEQUENTIAL
from ddg_explorer.app.races import race_of
from ddg_explorer.app.theme import colour_table, ink_table
from ddg_explorer.app.thumbnails import data_uri
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.weights import SHIPPED

LONG = 120
"""Characters that a card has room for."""


class Gallery(Component):
    """A button that opens the dialog; `on_choose` hears the keys of system and preset."""

    groups = param.List([], doc="[title, cards] of each system; empty until first opened.")
    chosen = param.String("", doc="`system.preset` that runs.")
    tables = param.Dict({}, doc="Scale of a card → 256 RGBA colours in base64; with the groups.")

    _esm = script("draw", "gallery")
    _stylesheets: ClassVar[list[str]] = [style("gallery")]

    def __init__(self, on_choose: Callable[[str, str], None], **params: Any) -> None:
        super().__init__(**{"margin": 0, "width": 40, "height": 40, **params})
        self._on_choose, self._dark = on_choose, False
        self.on_msg(self._receive)

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self._dark = dark
        if self.groups:
            put(self, tables=tables(dark))

    def _receive(self, event: Any) -> None:
        if "open" in event.data and not self.groups:
            self.param.update(tables=tables(self._dark), groups=groups())
        elif "system" in event.data:
            self._on_choose(event.data["system"], event.data["preset"])


def groups() -> list[list[Any]]:
    """[title, cards] of each system; a card says what is seen, and whether models race there."""
    return [
        [cls.title, [_card(name, preset) for preset in cls.presets]]
        for name, cls in SYSTEMS.items()
    ]


def _card(name: str, preset: str) -> dict[str, Any]:
    good = SYSTEMS[name].presets[preset]
    return {
        "system": name,
        "preset": preset,
        "title": good.title,
        "line": first_sentence(good.about),
        "picture": data_uri(name, preset),
        "scale": scale_of(name),
        "race": bool(racers(name, preset)),
    }


def scale_of(name: str) -> str:
    """Key of `tables` for the pictures of a system: that of its lanes, for orbits their ink."""
    if SYSTEMS[name].ndim == 0:
        return "ink"
    return "sequential" if name in SEQUENTIAL else "diverging"


def tables(dark: bool) -> Mapping[str, str]:
    """The tables that colour the pictures."""
    found = {scale: colour_table(scale, dark) for scale in ("sequential", "diverging")}
    found["ink"] = ink_table(dark)
    return {scale: base64.b64encode(table).decode("ascii") for scale, table in found.items()}


def racers(name: str, preset: str) -> tuple[str, ...]:
    """Keys of the models that have been trained for this preset and are here."""
    race = race_of(name, preset)
    rows = [row for row in SHIPPED if row.system == name and row.path.is_file()]
    here = {row.model for row in rows}
    return tuple(model for model in (race.models if race else ()) if model in here)


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence, or its first part where that is long."""
    sentence = text.split(". ")[0].rstrip(".")
    for mark in ("; ", ": "):
        if len(sentence) > LONG:
            sentence = sentence.split(mark)[0]
    return sentence + "."
