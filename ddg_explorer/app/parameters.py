"""The controls that depend on the system: its physical parameters and non-numeric choices.

They are made anew only when other ones apply; otherwise their values are set, so that a slider that
is being dragged stays the same element.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from ddg_explorer.app import texts
from ddg_explorer.app.state import Scene
from ddg_explorer.app.store import Store
from ddg_explorer.app.widgets import Choice, NumberSlider
from ddg_explorer.systems.base import Parameter
from ddg_explorer.systems.builtin import PresetSystem


class ParameterControls:
    """`strengths` holds the parameters that act through G, `physics` all others.

    Parameters
    ----------
    store
        Read for the values that are not being changed.
    change
        Called with the changed fields of the scene.
    """

    def __init__(self, store: Store, change: Callable[..., None]) -> None:
        self._store = store
        self._change = change
        self._made_for: tuple[str, ...] | None = None
        self._sliders: dict[str, NumberSlider] = {}
        self._choices: dict[str, Choice] = {}
        self.strengths = pn.Column(sizing_mode="stretch_width")
        self.physics = pn.Column(sizing_mode="stretch_width")

    def show(self, scene: Scene, system: PresetSystem) -> None:
        """Bring the controls to the system's parameters and their values."""
        active = system.active_parameters
        names = (scene.system, *active, *system.choices)
        if names != self._made_for:
            self._made_for = names
            self._make(active, system)
        for name, slider in self._sliders.items():
            slider.value = system.values[name]
        for name, choice in self._choices.items():
            choice.show(system.chosen[name])

    def _make(self, active: dict[str, Parameter], system: PresetSystem) -> None:
        self._sliders = {name: self._slider(name, p) for name, p in active.items()}
        self._choices = {
            name: Choice(
                name.capitalize(),
                {option.replace("_", " "): option for option in options},
                self._setter("choices", name),
            )
            for name, options in system.choices.items()
        }
        acting = [name for name, p in active.items() if p.structures]
        self.strengths.objects = [self._sliders[name] for name in acting]
        self.physics.objects = [
            *(slider for name, slider in self._sliders.items() if name not in acting),
            *(choice.widget for choice in self._choices.values()),
        ]

    def _slider(self, name: str, p: Parameter) -> NumberSlider:
        low, high = p.bounds
        return NumberSlider(
            self._setter("parameters", name),
            key=name,
            label=texts.parameter_label(name, p.symbol, p.doc),
            doc=p.doc,
            start=low,
            end=high,
            value=p.default,
            scale="log" if p.log else "linear",
        )

    def _setter(self, field: str, name: str) -> Callable[[Any], None]:
        """Changes one entry of a mapping of the scene."""

        def change(value: Any) -> None:
            known = getattr(self._store.state.scene, field)
            self._change(**{field: {**known, name: value}})

        return change
