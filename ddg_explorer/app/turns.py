"""What passes between a session and its worker threads: the turn asked for, and its outcome.

All of it is immutable; an `Outcome` holds plain bytes and numbers, so that nothing a worker goes on
using reaches the event loop.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.app import entries
from ddg_explorer.app.edits import Edit
from ddg_explorer.app.pictures import Picture
from ddg_explorer.app.state import Scene
from ddg_explorer.app.wire import Header
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.base import DEFAULT_TOL, Integrator
from ddg_explorer.models.base import Model
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.builtin import PresetSystem

LIVE_TOL = 1e-6
"""Tolerance of a learned field in two dimensions, see `live_tol`."""
LIVE_TRUE_TOL = 1e-8
"""The same of a true one."""


@dataclass(frozen=True)
class GoTo:
    """Back, or on again, to the kept frame nearest to a time."""

    t: float


@dataclass(frozen=True)
class Undo:
    """Take the newest edit back, with the time it was made at."""


class Mark:
    """Have every lane remember where it is; `moments` are then by the lanes' keys (`app.past`)."""

    def __init__(self) -> None:
        self.moments: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def keep(self, key: Any, moment: Any) -> None:
        """Called by the lanes, each in its own thread."""
        with self._lock:
            self.moments[key] = moment


@dataclass(frozen=True, eq=False)
class Recall:
    """Back to remembered moments; `edited` says whether edits had led there."""

    moments: Mapping[Any, Any]
    edited: bool


Command = GoTo | Edit | Undo | Mark | Recall


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn is to do; `limits` is None, "auto" or a typed (low, high).

    Up to `steps` steps are taken within about `budget` seconds, or all of them where the budget is
    None: lanes in lock step take as many as each other. `exact` asks for the exact solution beside
    the state, where it is known; `show` is "state" or "difference". `commands` are obeyed in their
    order, before the steps. `grouping` counts how often the lanes had been put into groups;
    `gather` says that they have not kept step before.
    """

    scene: Scene
    steps: int = 1
    budget: float | None = 0.03
    reset: bool = False
    limits: Any = None
    exact: bool = False
    show: str = "state"
    commands: tuple[Command, ...] = ()
    grouping: int = 0
    gather: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One point of the running plots; NaN where something is not known.

    `energy` and `drift` are those of the true H along the lane, `own_drift` that of the model's own
    H; `error` is the RMS distance from the truth relative to the RMS of the truth's initial state.
    """

    t: float
    energy: float
    drift: float
    own_drift: float
    mass: float
    mass_drift: float
    residual: float
    error: float
    energy_scale: float
    mass_scale: float


@dataclass(frozen=True, slots=True)
class Setup:
    """A scene that now holds in a lane.

    Attributes
    ----------
    scene, system, picture
        What is shown, and how.
    integrator, schemes
        The lane's scheme, and those that suit what runs in it; "" and () in a lane without an
        entrant.
    misfit
        Why nobody runs in the lane, "" where somebody does.
    note, reason
        Where a model belongs to another step than the lane's, a few words, and a sentence; else "".
    explicit_limit
        Rough largest Δt of explicit schemes; in a model's lane of its own, NaN where that has none.
    restarted
        Whether time began anew.
    """

    scene: Scene
    system: PresetSystem
    picture: Picture
    integrator: str
    schemes: tuple[str, ...]
    misfit: str
    note: str
    reason: str
    explicit_limit: float
    restarted: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a turn did. `stopped` is the failed step's line, or that of a first scene that cannot be
    built; `error` says what could not be done, and `refused` is the scene if it was a change of it;
    `note` tells of what has come about otherwise than asked for.

    `span` are the times between which frames are kept, `undoable` the edits that can be taken back,
    `visiting` says that time was turned back or on and what came after still holds.
    `header`, `payload` and `sample` are None in a lane without an entrant.
    """

    header: Header | None
    payload: bytes
    sample: Sample | None
    setup: Setup | None
    stopped: str
    error: str
    refused: Scene | None = None
    span: tuple[float, float] = (0.0, 0.0)
    undoable: int = 0
    visiting: bool = False
    note: str = ""


class Kept(NamedTuple):
    """A lane's history and what it is of; see `History`."""

    dynamics: Dynamics
    truth: Dynamics
    picture: Picture
    limits: tuple[float, float]
    times: np.ndarray
    states: Tensor


def build(scene: Scene) -> PresetSystem:
    """The scene's system; ValueError naming the parameter that it cannot have."""
    options: dict[str, Any] = {**scene.parameters, **scene.choices}
    for name in ("n", "length", "operator", "structure", "dt"):
        if (value := getattr(scene, name)) is not None:
            options[name] = value
    if scene.device != "cpu":
        options["device"] = scene.device
    dtype = getattr(torch, scene.dtype)
    system = SYSTEMS[scene.system](scene.chosen_preset, dtype=dtype, **options)
    if scene.entries is None:
        return system
    form = entries.form_of(system, entries.base_key(scene.structure, system))
    return system.with_(structure=entries.edited(scene.entries, system, form))


def live_tol(scene: Scene, dynamics: Dynamics) -> float:
    """Tolerance of implicit steps where the scene asks for none: loose in 2-D, to run live."""
    usual = DEFAULT_TOL[getattr(torch, scene.dtype)]
    if dynamics.grid is None or dynamics.grid.ndim == 1:
        return usual
    return max(usual, LIVE_TOL if isinstance(dynamics, Model) else LIVE_TRUE_TOL)


def suitable(dynamics: Dynamics) -> tuple[str, ...]:
    """Keys of the integrators that can run these dynamics."""
    return tuple(key for key, scheme in INTEGRATORS.items() if _suits(scheme(), dynamics))


def _suits(scheme: Integrator, dynamics: Dynamics) -> bool:
    try:
        scheme.stepper(dynamics)
    except ValueError:
        return False
    return True
