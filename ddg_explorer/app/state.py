"""What a session shows, as a small tree of immutable values, and one flat codec for it.

`AppState(scene, lanes, view)`: the scene is the physics every lane shares, a lane is one model
running in it, the view is how it is watched. `None` stands for "the preset's value", so a link
stays short and follows a preset that is improved later. `to_flat`/`from_flat` translate to and from
a dict of strings, the page's query.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.systems import SYSTEMS

DTYPES = ("float64", "float32")
POINTS = (8, 1024)
SEEDS = (0, 2**32 - 1)
STEP_SIZES = (1e-8, 1e3)
SPEEDS = (1, 100)
TOLERANCES = (1e-15, 1e-2)
LANES = 6


def _one_of(name: str, value: str, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: use one of {', '.join(allowed)}")


def _within(name: str, value: float | None, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name}={value:g}: must lie in [{low:g}, {high:g}]")


@dataclass(frozen=True)
class Scene:
    """The physics: system, grid, initial state, structure operator, Δt and scheme.

    Raises
    ------
    ValueError
        For a value outside what any system accepts; a system's own limits are checked where it is
        built.
    """

    system: str = "kdv"
    preset: str | None = None
    n: int | None = None
    operator: str | None = None
    dtype: str = "float64"
    seed: int = 0
    parameters: Mapping[str, float] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    structure: str | None = None
    dt: float | None = None
    integrator: str = "discrete_gradient"
    tol: float | None = None

    def __post_init__(self) -> None:
        _one_of("system", self.system, SYSTEMS)
        if self.preset is not None:
            _one_of("preset", self.preset, SYSTEMS[self.system].presets)
        if self.operator is not None:
            _one_of("operator", self.operator, ("finite_difference", "spectral"))
        _one_of("dtype", self.dtype, DTYPES)
        _one_of("integrator", self.integrator, INTEGRATORS)
        _within("n", self.n, POINTS)
        _within("seed", self.seed, SEEDS)
        _within("dt", self.dt, STEP_SIZES)
        _within("tol", self.tol, TOLERANCES)
        known = SYSTEMS[self.system]
        if self.structure is not None:
            _one_of("structure", self.structure, known.structures)
        for name, value in self.parameters.items():
            _one_of("parameter", name, known.parameters)
            _within(name, value, known.parameters[name].bounds)
        for name, choice in self.choices.items():
            _one_of("choice", name, known.choices)
            _one_of(name, choice, known.choices[name])

    def at_preset(self) -> Scene:
        """The preset as it is meant."""
        return Scene(self.system, self.preset)


@dataclass(frozen=True)
class Lane:
    """One model running in the scene; `integrator` None means the scene's."""

    model: str = "truth"
    integrator: str | None = None

    def __post_init__(self) -> None:
        _one_of("lane", self.model, ("truth",))
        if self.integrator is not None:
            _one_of("integrator", self.integrator, INTEGRATORS)


@dataclass(frozen=True)
class View:
    """How it is watched: steps per frame, the exact solution beside it, the theme (None: light)."""

    speed: int = 1
    exact: bool = False
    dark: bool | None = None

    def __post_init__(self) -> None:
        _within("speed", self.speed, SPEEDS)


@dataclass(frozen=True)
class AppState:
    """Everything a link carries."""

    scene: Scene = field(default_factory=Scene)
    lanes: tuple[Lane, ...] = (Lane(),)
    view: View = field(default_factory=View)

    def __post_init__(self) -> None:
        if not 1 <= len(self.lanes) <= LANES:
            raise ValueError(f"lanes: needs 1 to {LANES} of them, got {len(self.lanes)}")

    def to_flat(self) -> dict[str, str]:
        """What differs from the default state, as strings; the system is always named."""
        flat = {"system": self.scene.system}
        base = Scene()
        for f in fields(Scene):
            value = getattr(self.scene, f.name)
            if f.name == "parameters":
                flat |= {f"p.{k}": repr(float(v)) for k, v in sorted(value.items())}
            elif f.name == "choices":
                flat |= {f"c.{k}": v for k, v in sorted(value.items())}
            elif value is not None and value != getattr(base, f.name):
                flat[f.name] = repr(value) if isinstance(value, float) else str(value)
        if self.lanes != (Lane(),):
            flat["lanes"] = ",".join(
                lane.model + (f":{lane.integrator}" if lane.integrator else "")
                for lane in self.lanes
            )
        if self.view.speed != View().speed:
            flat["speed"] = str(self.view.speed)
        if self.view.exact:
            flat["exact"] = "1"
        if self.view.dark is not None:
            flat["theme"] = "dark" if self.view.dark else "light"
        return flat

    @classmethod
    def from_flat(cls, flat: Mapping[str, str]) -> AppState:
        """The state of a flat dict; ValueError in one line for a key or value it cannot be."""
        scene: dict[str, Any] = {"parameters": {}, "choices": {}}
        view: dict[str, Any] = {}
        lanes: tuple[Lane, ...] = (Lane(),)
        for key, text in flat.items():
            if key.startswith("p."):
                scene["parameters"][key[2:]] = _number(key, text, float)
            elif key.startswith("c."):
                scene["choices"][key[2:]] = text
            elif key in _SCENE_TYPES:
                scene[key] = _number(key, text, _SCENE_TYPES[key])
            elif key == "speed":
                view["speed"] = _number(key, text, int)
            elif key == "exact":
                _one_of("exact", text, ("0", "1"))
                view["exact"] = text == "1"
            elif key == "theme":
                _one_of("theme", text, ("dark", "light"))
                view["dark"] = text == "dark"
            elif key == "lanes":
                lanes = tuple(Lane(*part.split(":", 1)) for part in text.split(","))
            else:
                raise ValueError(f"{key}={text!r}: not a setting of the explorer")
        return cls(Scene(**scene), lanes, View(**view))


_SCENE_TYPES: Mapping[str, type] = {
    "system": str,
    "preset": str,
    "n": int,
    "operator": str,
    "dtype": str,
    "seed": int,
    "structure": str,
    "dt": float,
    "integrator": str,
    "tol": float,
}


def _number(key: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{key}={text!r}: must be {kind.__name__}") from None


class Store:
    """The session's current state and who wants to know of changes.

    Subscribers are called with (old, new) after every change, in the order they subscribed.
    """

    def __init__(self, state: AppState | None = None) -> None:
        self.state = state or AppState()
        self._subscribers: list[Callable[[AppState, AppState], None]] = []

    def subscribe(self, callback: Callable[[AppState, AppState], None]) -> None:
        self._subscribers.append(callback)

    def put(self, state: AppState) -> None:
        old, self.state = self.state, state
        if old != state:
            for callback in list(self._subscribers):
                callback(old, state)

    def put_scene(self, scene: Scene) -> None:
        """Replace the scene as a whole."""
        self.put(replace(self.state, scene=scene))

    def change_scene(self, **changes: Any) -> None:
        """Replace fields of the scene; ValueError (state unchanged) if it cannot be so."""
        self.put(replace(self.state, scene=replace(self.state.scene, **changes)))

    def change_view(self, **changes: Any) -> None:
        """Replace fields of the view."""
        self.put(replace(self.state, view=replace(self.state.view, **changes)))

    def close(self) -> None:
        """Drop the subscribers, so that the session's objects can be freed."""
        self._subscribers.clear()
