"""Who runs in a lane: the true system, a shipped model, or a model of this session.

A shipped model is taken where it was trained for the scene's physics. Where only G differs, a model
that learned H goes on with the scene's G: H is its own, G is for the person to choose. Everything
else is a `Misfit`, with the reason in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from ddg_explorer.app.state import TRUTH, Lane, Scene
from ddg_explorer.app.training.choices import PAIRED_MODELS
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.models import MODELS, DGNet
from ddg_explorer.models.base import Model
from ddg_explorer.models.files import load_model
from ddg_explorer.models.stand_in import stand_in
from ddg_explorer.systems.builtin import PresetSystem
from ddg_explorer.weights import SHIPPED


class Misfit(ValueError):
    """A lane that cannot run in this scene; the message says why."""


class Shelf:
    """The models of one session by name: trained in it, or loaded from a file."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._listeners: list[Callable[[str, Model], None]] = []

    def subscribe(self, listener: Callable[[str, Model], None]) -> None:
        """Let it hear the name and model of every one that is put here."""
        self._listeners.append(listener)

    def put(self, name: str, model: Model) -> str:
        """Keep a model under this name, or under name (2), …; returns the name."""
        taken, count = name, 1
        while taken in self._models:
            count += 1
            taken = f"{name} ({count})"
        self._models[taken] = model
        for listener in self._listeners:
            listener(taken, model)
        return taken

    def get(self, name: str) -> Model:
        """The model of that name; `Misfit` where there is none."""
        if name not in self._models:
            raise Misfit(f"the model {name!r} is not in this session")
        return self._models[name]

    def items(self) -> Mapping[str, Model]:
        """All models by name, in the order they came."""
        return dict(self._models)


def entrant(lane: Lane, scene: Scene, system: PresetSystem, shelf: Shelf) -> Dynamics:
    """The dynamics that run in the lane, on the system's grid and in its dtype.

    Raises
    ------
    Misfit
        Where the lane's model was trained for something else, or there is none.
    """
    if lane.model == TRUTH:
        return system
    if lane.source:
        return _fitted(shelf.get(lane.source), system)
    if not suits(lane.model, field=system.grid is not None):
        title = MODELS[lane.model].title
        raise Misfit(f"{title} needs states (q, p); those of {system.title} are a field")
    reason = ""
    for model in _shipped(lane.model, scene):
        try:
            return _fitted(model, system)
        except Misfit as misfit:
            reason = reason or str(misfit)
    raise Misfit(reason or _none_shipped(lane.model, scene))


def suits(model: str, *, field: bool) -> bool:
    """Whether a model of this kind can be trained on states of a field, or else of an ODE."""
    return not (field and model in PAIRED_MODELS)


def _none_shipped(model: str, scene: Scene) -> str:
    with_ = f" with {scene.activation}" if model == DGNet.key else ""
    return f"no {MODELS[model].title}{with_} has been trained for this system"


def _shipped(key: str, scene: Scene) -> Iterator[Model]:
    """Shipped models of this kind with a G that is known, or a friction that is learned."""
    activation = scene.activation if key == DGNet.key else "tanh"
    asked = (scene.system, key, activation)
    for row in SHIPPED:
        learned = row.structure == "learned_kernel"
        if (row.system, row.model, row.activation) == asked and row.path.is_file() and not learned:
            yield stored(row.path)


@lru_cache(maxsize=64)
def stored(path: Path) -> Model:
    """A shipped model, read once per process; never changed after that."""
    return load_model(path)


def _fitted(model: Model, system: PresetSystem) -> Model:
    """The model as it runs in this system; `Misfit` where it does not."""
    try:
        return stand_in(model, system)
    except ValueError as error:
        raise Misfit(str(error)) from None
