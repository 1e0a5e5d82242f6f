"""What a session shows, as a small tree of immutable values, and one flat codec for it.

`AppState(scene, lanes, view)`: the scene is the physics every lane shares, a lane is one model
running in it, the view is how it is watched. `None` stands for "the preset's value", so a link
stays short and follows a preset that is improved later. `to_flat`/`from_flat` translate to and from
a dict of strings, the page's query; lanes that run a model of this session are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from ddg_explorer.app import entries as kernels
from ddg_explorer.app.races import first_preset, race_of
from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.models import MODELS
from ddg_explorer.systems import SYSTEMS

DTYPES = ("float64", "float32")
DEVICES = ("cpu", "cuda")
POINTS = (8, 1024)
LENGTHS = (1e-3, 1e4)
SEEDS = (0, 2**32 - 1)
STEP_SIZES = (1e-8, 1e3)
SPEEDS = (1, 100)
TOLERANCES = (1e-15, 1e-2)
LANES = 6
TRUTH = "truth"
SHOWN = ("state", "difference")
PAGES = {
    "explore": "Explore",
    "train": "Train",
    "results": "Results",
    "structure": "Structure",
    "theory": "Theory",
}
"""Page → its tab."""
LANGUAGES = ("en", "ja")


def _one_of(name: str, value: str, allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r:.40}: use one of {', '.join(allowed)}")


def _within(name: str, value: float | None, bounds: tuple[float, float]) -> None:
    low, high = bounds
    if value is not None and not low <= value <= high:
        text = f"{value:g}" if isinstance(value, float) else f"{value!s:.40}"
        raise ValueError(f"{name}={text}: must lie in [{low:g}, {high:g}]")


@dataclass(frozen=True, eq=False)
class Start:
    """An initial state instead of the scene's own: drawn, or from a file; told apart by identity.

    `state` has one state's shape, float64; `label` says where it comes from.
    """

    state: Tensor
    label: str


@dataclass(frozen=True)
class Scene:
    """The physics: system, grid, initial state, structure operator, Δt and scheme.

    `activation` is that of the shipped DGNets, `length` that of every side of the domain, `entries`
    are those of an edited G (`app.entries`), in place of `structure`. Without a preset, a system
    opens with its race. A `start` is too large for a link, and stays out of the flat form.

    Raises
    ------
    ValueError
        For a value outside what any system accepts; a system's own limits are checked where it is
        built.
    """

    system: str = "kdv"
    preset: str | None = None
    n: int | None = None
    length: float | None = None
    operator: str | None = None
    dtype: str = "float64"
    device: str = "cpu"
    seed: int | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    structure: str | None = None
    entries: tuple[float, ...] | None = None
    dt: float | None = None
    integrator: str | None = None
    tol: float | None = None
    activation: str = "tanh"
    start: Start | None = None

    def __post_init__(self) -> None:
        _one_of("system", self.system, SYSTEMS)
        _one_of("activation", self.activation, ACTIVATIONS)
        if self.preset is not None:
            _one_of("preset", self.preset, SYSTEMS[self.system].presets)
        if self.operator is not None:
            _one_of("operator", self.operator, ("finite_difference", "spectral"))
        _one_of("dtype", self.dtype, DTYPES)
        _one_of("device", self.device, DEVICES)
        if self.integrator is not None:
            _one_of("integrator", self.integrator, INTEGRATORS)
        _within("n", self.n, POINTS)
        _within("length", self.length, LENGTHS)
        _within("seed", self.seed, SEEDS)
        _within("dt", self.dt, STEP_SIZES)
        _within("tol", self.tol, TOLERANCES)
        known = SYSTEMS[self.system]
        if self.structure is not None:
            _one_of("structure", self.structure, known.structures)
        if self.entries is not None:
            kernels.checked(self.entries)
        for name, value in self.parameters.items():
            _one_of("parameter", name, known.parameters)
            _within(name, value, known.parameters[name].bounds)
        for name, choice in self.choices.items():
            _one_of("choice", name, known.choices)
            _one_of(name, choice, known.choices[name])

    @property
    def chosen_preset(self) -> str:
        """The preset's name."""
        return self.preset or first_preset(self.system)

    @property
    def chosen_integrator(self) -> str:
        """The true system's scheme: in a race that of the training data."""
        race = race_of(self.system, self.chosen_preset)
        return self.integrator or (race.integrator if race else "discrete_gradient")

    @property
    def chosen_seed(self) -> int:
        """The seed: in a race a held-out initial state, else the preset as titled."""
        if self.seed is not None:
            return self.seed
        race = race_of(self.system, self.chosen_preset)
        return 0 if race is None else race.seed


@dataclass(frozen=True)
class Lane:
    """One model running in the scene.

    `integrator` None means the scene's for the true system, a model's own otherwise. `source` names
    a model of this session (trained or loaded here), "" the shipped one.
    """

    model: str = TRUTH
    integrator: str | None = None
    source: str = ""

    def __post_init__(self) -> None:
        _one_of("lane", self.model, (TRUTH, *MODELS))
        if self.integrator is not None:
            _one_of("integrator", self.integrator, INTEGRATORS)


def default_lanes(scene: Scene) -> tuple[Lane, ...]:
    """The true system, and the models of its race where the scene's preset is that of the race."""
    race = race_of(scene.system, scene.chosen_preset)
    return (Lane(), *(Lane(model) for model in (race.models if race else ())))


@dataclass(frozen=True)
class View:
    """How it is watched.

    Steps per frame (None: the race's), the exact solution beside it, the theme (None: light),
    whether all lanes keep step, whether lanes show their state or its difference from the truth,
    which page is open, and the language of the theory.
    """

    speed: int | None = None
    exact: bool = False
    dark: bool | None = None
    lockstep: bool = True
    show: str = "state"
    page: str = "explore"
    lang: str = "en"

    def __post_init__(self) -> None:
        _within("speed", self.speed, SPEEDS)
        _one_of("show", self.show, SHOWN)
        _one_of("page", self.page, PAGES)
        _one_of("lang", self.lang, LANGUAGES)


@dataclass(frozen=True)
class AppState:
    """Everything a link carries."""

    scene: Scene = field(default_factory=Scene)
    lanes: tuple[Lane, ...] = ()
    view: View = field(default_factory=View)

    def __post_init__(self) -> None:
        if not self.lanes:
            object.__setattr__(self, "lanes", default_lanes(self.scene))
        if len(self.lanes) > LANES:
            raise ValueError(f"lanes: at most {LANES} of them, got {len(self.lanes)}")
        if self.lanes[0].model != TRUTH:
            raise ValueError(f"lanes: the first is {TRUTH}, got {self.lanes[0].model!r}")

    @property
    def speed(self) -> int:
        """Steps per frame."""
        race = race_of(self.scene.system, self.scene.chosen_preset)
        return self.view.speed or (race.speed if race else 1)

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
            elif f.name == "entries":
                flat |= {} if value is None else {"entries": kernels.to_text(value)}
            elif f.name != "start" and value is not None and value != getattr(base, f.name):
                flat[f.name] = repr(value) if isinstance(value, float) else str(value)
        lanes = tuple(lane for lane in self.lanes if not lane.source)
        if lanes != default_lanes(self.scene):
            flat["lanes"] = ",".join(
                lane.model + (f":{lane.integrator}" if lane.integrator else "") for lane in lanes
            )
        return flat | self._flat_view()

    def _flat_view(self) -> dict[str, str]:
        view = self.view
        flat = {} if view.speed is None else {"speed": str(view.speed)}
        if view.exact:
            flat["exact"] = "1"
        if view.dark is not None:
            flat["theme"] = "dark" if view.dark else "light"
        if not view.lockstep:
            flat["lockstep"] = "0"
        for name in ("show", "page", "lang"):
            if getattr(view, name) != getattr(View(), name):
                flat[name] = getattr(view, name)
        return flat

    @classmethod
    def from_flat(cls, flat: Mapping[str, str]) -> AppState:
        """The state of a flat dict; ValueError in one line for a key or value it cannot be."""
        scene: dict[str, Any] = {"parameters": {}, "choices": {}}
        view: dict[str, Any] = {}
        lanes: tuple[Lane, ...] = ()
        for key, text in flat.items():
            if key.startswith("p."):
                scene["parameters"][key[2:]] = _number(key, text, float)
            elif key.startswith("c."):
                scene["choices"][key[2:]] = text
            elif key == "entries":
                scene["entries"] = kernels.from_text(text)
            elif key in _SCENE_TYPES:
                scene[key] = _number(key, text, _SCENE_TYPES[key])
            elif key == "speed":
                view["speed"] = _number(key, text, int)
            elif key in ("exact", "lockstep"):
                _one_of(key, text, ("0", "1"))
                view[key] = text == "1"
            elif key in ("show", "page", "lang"):
                view[key] = text
            elif key == "theme":
                _one_of("theme", text, ("dark", "light"))
                view["dark"] = text == "dark"
            elif key == "lanes":
                lanes = tuple(Lane(*part.split(":", 1)) for part in text.split(","))
            else:
                raise ValueError(f"{key:.40}={text!r:.40}: not a setting of the explorer")
        return cls(Scene(**scene), lanes, View(**view))


_SCENE_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("system", "preset", "operator", "dtype", "device"), str),
    **dict.fromkeys(("structure", "integrator", "activation"), str),
    **dict.fromkeys(("n", "seed"), int),
    **dict.fromkeys(("length", "dt", "tol"), float),
}


def _number(key: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{key}={text!r:.40}: must be {kind.__name__}") from None
