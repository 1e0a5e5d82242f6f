"""What passes between a session and its worker threads: the turn asked for, and its outcome.

All of it is immutable; an `Outcome` holds plain bytes and numbers, so that nothing a worker goes on
using reaches the event loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ddg_explorer.app.pictures import Picture
from ddg_explorer.app.state import Scene
from ddg_explorer.app.wire import Header
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.base import Integrator
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.builtin import PresetSystem


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn is to do; `limits` is None, "auto" or a typed (low, high).

    `exact` asks for the exact solution beside the state, where it is known.
    """

    scene: Scene
    steps: int = 1
    budget: float = 0.03
    reset: bool = False
    limits: Any = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One point of the running plots; mass and its drift are NaN for an ODE."""

    t: float
    energy: float
    drift: float
    mass: float
    mass_drift: float
    residual: float
    energy_scale: float
    mass_scale: float


@dataclass(frozen=True, slots=True)
class Setup:
    """A scene that now holds: its system and picture, and whether time began anew."""

    scene: Scene
    system: PresetSystem
    picture: Picture
    explicit_limit: float
    schemes: tuple[str, ...]
    restarted: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn did. `stopped` is the failed step's line, `error` a refused change's."""

    header: Header
    payload: bytes
    sample: Sample
    setup: Setup | None
    stopped: str
    error: str


def build(scene: Scene) -> PresetSystem:
    """The scene's system; ValueError naming the parameter that it cannot have."""
    options: dict[str, Any] = {**scene.parameters, **scene.choices}
    for name in ("n", "operator", "structure", "dt"):
        if (value := getattr(scene, name)) is not None:
            options[name] = value
    return SYSTEMS[scene.system](scene.preset, dtype=getattr(torch, scene.dtype), **options)


def describe(scene: Scene, system: PresetSystem, picture: Picture, *, restarted: bool) -> Setup:
    """What the page needs to know of a scene that holds."""
    schemes = tuple(key for key, scheme in INTEGRATORS.items() if _suits(scheme(), system))
    return Setup(scene, system, picture, system.explicit_limit(), schemes, restarted)


def _suits(scheme: Integrator, system: PresetSystem) -> bool:
    try:
        scheme.stepper(system)
    except ValueError:
        return False
    return True
