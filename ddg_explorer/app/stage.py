"""Brings a lane's rollout to the scene that is wanted.

A change of grid, preset or seed begins time anew; everything else acts on the running state. What
cannot be built is refused with one line, and the old scene goes on; a model that does not fit the
scene leaves the lane without a rollout, and the reason.
"""

from __future__ import annotations

import math
from functools import lru_cache

from torch import Tensor

from ddg_explorer.app.entrants import Misfit, Shelf, entrant
from ddg_explorer.app.measures import References
from ddg_explorer.app.pictures import Picture, outgrown, picture, refreshed
from ddg_explorer.app.stability_marks import LaneLimit
from ddg_explorer.app.state import TRUTH, Lane, Scene
from ddg_explorer.app.turns import Setup, build, live_tol, suitable
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.base import Integrator
from ddg_explorer.models.base import Model
from ddg_explorer.rollout import GROWTH_LIMIT, Rollout
from ddg_explorer.systems.builtin import PresetSystem

RESTART = (
    "system",
    "preset",
    "n",
    "length",
    "operator",
    "dtype",
    "device",
    "seed",
    "choices",
    "start",
)
"""Fields of a scene that change the state's shape or the initial state: time begins anew."""

REMAKE = (*RESTART, "parameters", "structure", "entries", "activation")
"""Fields that need new dynamics; those not in `RESTART` act on the running state."""

MODEL_GROWTH = 20.0
"""A model's lane has diverged where max|u| exceeds this many times max(1, max|u₀|): its network has
never seen such states, and a bounded one would wander there for ever."""


class Stage:
    """A lane's rollout and picture in the scene that holds.

    Attributes
    ----------
    rollout
        None where nobody runs; `misfit` then says why.
    scene, system, picture
        What holds; unset before the first `reconcile`.
    references
        What drifts are relative to.
    epoch
        Counts how often time began anew.
    remade
        Whether the dynamics have changed since the start.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._limit = LaneLimit()
        self._true_limit = lru_cache(maxsize=1)(PresetSystem.explicit_limit)
        self._suitable = lru_cache(maxsize=1)(suitable)
        self._refused: tuple[Scene, Lane] | None = None
        self._lane: Lane | None = None
        self.scene: Scene | None = None
        self.rollout: Rollout | None = None
        self.system: PresetSystem
        self.picture: Picture
        self.references: References
        self.misfit = ""
        self.epoch = 0
        self.remade = False

    def reconcile(self, wanted: Scene, lane: Lane) -> tuple[Setup | None, str]:
        """Make `wanted` hold; what is refused is reported once and, for this lane, not tried again.

        Raises
        ------
        ValueError
            Only if the very first scene cannot be built.
        """
        asked = (wanted, lane)
        if asked in ((self.scene, self._lane), self._refused):
            return None, ""
        try:
            setup = self._apply(wanted, lane)
        except ValueError as problem:
            if self.scene is None:
                raise
            self._refused = asked
            return None, str(problem)
        self.scene, self._refused, self._lane = wanted, None, lane
        return setup, ""

    def restart(self) -> None:
        """Back to t = 0."""
        if self.rollout is not None:
            self.rollout.reset()
            self.epoch += 1
            self.refer()

    def widen(self, lane: Lane) -> Setup | None:
        """A setup with a larger picture where the state has left it."""
        if self.rollout is None or self.scene is None:
            return None
        grown = outgrown(self.picture, self.system, self.rollout.u)
        if grown is None:
            return None
        self.picture = grown
        return self._describe(self.scene, lane, restarted=False)

    def _apply(self, wanted: Scene, lane: Lane) -> Setup:
        old = self.scene
        changed = {f for f in REMAKE if old is None or getattr(old, f) != getattr(wanted, f)}
        restarted = bool(changed.intersection(RESTART)) or self.rollout is None
        system = build(wanted) if changed else self.system
        try:
            dynamics = entrant(lane, wanted, system, self._shelf)
        except Misfit as misfit:
            self._retire(wanted, system, str(misfit))
            return self._describe(wanted, lane, restarted=True)
        if restarted:
            self._begin(wanted, lane, system, dynamics)
        else:
            self._retune(wanted, lane, system, dynamics, remade=bool(changed))
        return self._describe(wanted, lane, restarted)

    def _retire(self, wanted: Scene, system: PresetSystem, misfit: str) -> None:
        """Nobody runs in this scene."""
        self.rollout, self.misfit, self.system = None, misfit, system
        self.picture = picture(system, _initial(wanted, system))
        self.epoch += 1

    def _begin(self, wanted: Scene, lane: Lane, system: PresetSystem, dynamics: Dynamics) -> None:
        u0 = _initial(wanted, system)
        rollout = Rollout(
            dynamics,
            u0,
            wanted.dt or system.dt,
            _scheme(wanted, lane, dynamics),
            truth=system,
            growth=GROWTH_LIMIT if lane.model == TRUTH else MODEL_GROWTH,
        )
        self.picture = picture(system, u0)
        self.rollout, self.system, self.misfit = rollout, system, ""
        self.remade = False
        self.epoch += 1
        self.refer()

    def _retune(
        self,
        wanted: Scene,
        lane: Lane,
        system: PresetSystem,
        dynamics: Dynamics,
        *,
        remade: bool,
    ) -> None:
        """Act on the running state: other dynamics, scheme or Δt from the next step on."""
        old, rollout = self.scene, self.rollout
        assert old is not None
        assert rollout is not None
        scheme = (wanted.chosen_integrator, wanted.tol, lane.integrator)
        if scheme != (old.chosen_integrator, old.tol, self._lane and self._lane.integrator):
            rollout.set_integrator(_scheme(wanted, lane, dynamics))
        if remade:
            rollout.set_dynamics(dynamics, truth=system)
            self.system, self.remade = system, True
            self.picture = refreshed(self.picture, system, rollout.u)
            self.refer()
        rollout.set_dt(wanted.dt or system.dt)

    def refer(self) -> None:
        """Take drifts relative to the present state."""
        assert self.rollout is not None
        self.references = References.of(self.rollout.frame, self.system)

    def _describe(self, scene: Scene, lane: Lane, restarted: bool) -> Setup:
        rollout = self.rollout
        return Setup(
            scene,
            self.system,
            self.picture,
            "" if rollout is None else _scheme_key(scene, lane, rollout.dynamics),
            () if rollout is None else self._suitable(rollout.dynamics),
            self.misfit,
            self._explicit_limit(scene, lane),
            restarted,
        )

    def _explicit_limit(self, scene: Scene, lane: Lane) -> float:
        """Of the true system for explicit schemes at large, of a model for the one it has."""
        if lane.model == TRUTH:
            return self._true_limit(self.system)
        if self.rollout is None:
            return math.nan
        dynamics = self.rollout.dynamics
        return self._limit(dynamics, _scheme_key(scene, lane, dynamics), self.rollout.u)


def _initial(scene: Scene, system: PresetSystem) -> Tensor:
    """The initial state; ValueError for one of another shape."""
    if scene.start is None:
        return system.initial(scene.chosen_seed)
    u = scene.start.state
    if tuple(u.shape) != system.state_shape:
        own, needed = tuple(u.shape), system.state_shape
        raise ValueError(f"{scene.start.label}: has shape {own}, this scene needs {needed}")
    return u.to(system.dtype).to(system.device)


def _scheme_key(scene: Scene, lane: Lane, dynamics: Dynamics) -> str:
    own = dynamics.integrators[0] if isinstance(dynamics, Model) else scene.chosen_integrator
    return lane.integrator or own


def _scheme(scene: Scene, lane: Lane, dynamics: Dynamics) -> Integrator:
    scheme = INTEGRATORS[_scheme_key(scene, lane, dynamics)]
    loose = scene.tol is None and scheme.implicit
    return scheme(tol=live_tol(scene, dynamics) if loose else scene.tol)
