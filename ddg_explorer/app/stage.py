"""Brings a lane's rollout to the scene that is wanted.

A change of grid, preset or seed begins time anew; everything else acts on the running state. What
cannot be built is refused with one line, and the old scene goes on; a model that does not fit the
scene leaves the lane without a rollout, and the reason.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from ddg_explorer.app.asked import belonging, initial_state, scheme, scheme_key
from ddg_explorer.app.entrants import Misfit, Shelf, entrant
from ddg_explorer.app.history import Moment
from ddg_explorer.app.measures import References
from ddg_explorer.app.pictures import Picture, outgrown, picture, refreshed
from ddg_explorer.app.stability_marks import LaneLimit
from ddg_explorer.app.state import TRUTH, Lane, Scene
from ddg_explorer.app.stops import told
from ddg_explorer.app.turns import Setup, build, suitable
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.frames import Frame, measure
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


def resume(rollout: Rollout, frame: Frame, bound: Tensor) -> None:
    """Let a rollout go on from a frame, at its time, and diverge where max|u| exceeds `bound`."""
    clock = (frame.t, 0, rollout.dt)
    rollout.restore(replace(rollout.snapshot(), frame=frame, clock=clock, bound=bound))


class Stage:
    """A lane's rollout and picture in the scene that holds.

    Attributes
    ----------
    rollout
        None where nobody runs; `misfit` then says why.
    scene, system, picture
        What holds; `scene` is None and the others are unset until a scene could be built.
    references
        What drifts are relative to.
    epoch
        Counts how often time began anew.
    remade
        How often the dynamics have changed since the start, those of a lane that was joined too.
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
        self.remade = 0
        self._start: Tensor

    @property
    def moment(self) -> Moment:
        """Where the lane is, while somebody runs."""
        assert self.rollout is not None
        now = self.rollout.snapshot()
        return Moment(now.frame, self.references, self.remade, now.bound)

    @property
    def stopped(self) -> str:
        """The failed step's line, as the page says it."""
        return "" if self.rollout is None else told(self.rollout.frame.stop)

    def reconcile(self, wanted: Scene, lane: Lane) -> tuple[Setup | None, str]:
        """Make `wanted` hold; what is refused is reported once and, for this lane, not tried again.

        The scene before goes on then; where there is none, nobody runs.
        """
        asked = (wanted, lane)
        if asked in ((self.scene, self._lane), self._refused):
            return None, ""
        try:
            setup = self._apply(wanted, lane)
        except ValueError as problem:
            self._refused = asked
            if self.scene is None:
                self.misfit = str(problem)
            return None, str(problem)
        self.scene, self._refused, self._lane = wanted, None, lane
        return setup, ""

    def restart(self) -> tuple[Setup | None, str]:
        """Back to t = 0, at the initial state of the scene as it is by now, with its picture.

        Where the present parameters have none: at the one that the run began with, and one line.
        """
        if self.rollout is None:
            return None, ""
        scene, lane, line = self.scene, self._lane, ""
        assert scene is not None
        assert lane is not None
        if self.remade:
            try:
                other = not torch.equal(initial_state(scene, self.system), self._start)
            except ValueError as problem:
                other, line = False, f"back at the state that the run began with: {problem}"
            if other:
                self._begin(scene, lane, self.system, self.rollout.dynamics)
                return self._describe(scene, lane, restarted=True), ""
        self.rollout.reset()
        self.epoch += 1
        self.remade = self.remade if line else 0
        self.refer()
        return None, line

    def exact(self, t: float) -> Tensor | None:
        """The exact solution, while one system has acted on its own initial state.

        ValueError past the times that it holds for.
        """
        assert self.scene is not None
        own = not self.remade and self.scene.start is None
        if self.picture.kind != "profile" or not own or not self.system.has_exact:
            return None
        return self.system.exact(t, seed=self.scene.chosen_seed)

    def join(self, other: Frame) -> None:
        """Go on from another lane's state, at its time; drifts and growth are taken from there."""
        rollout = self.rollout
        assert rollout is not None
        rollout.replace(other.u)
        here = rollout.snapshot()
        resume(rollout, replace(here.frame, t=other.t, step=other.step), here.bound)
        self.remade += 1
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
        if not changed:
            self._pace(wanted, lane)
            return self._describe(wanted, lane, restarted=False)
        anew, system = bool(changed.intersection(RESTART)), build(wanted)
        try:
            dynamics = entrant(lane, wanted, system, self._shelf)
        except Misfit as misfit:
            self._retire(wanted, system, str(misfit), anew=anew)
            return self._describe(wanted, lane, restarted=True)
        restarted = anew or self.rollout is None
        if restarted:
            self._begin(wanted, lane, system, dynamics)
        else:
            self._retune(wanted, lane, system, dynamics)
        return self._describe(wanted, lane, restarted)

    def _retire(self, wanted: Scene, system: PresetSystem, misfit: str, *, anew: bool) -> None:
        """Nobody runs in this scene; where the state's shape stays, so does the picture."""
        if anew:
            self.picture = picture(system, initial_state(wanted, system))
        self.rollout, self.misfit, self.system = None, misfit, system
        self.epoch += 1

    def _begin(self, wanted: Scene, lane: Lane, system: PresetSystem, dynamics: Dynamics) -> None:
        u0 = initial_state(wanted, system)
        rollout = Rollout(
            dynamics,
            u0,
            wanted.dt or system.dt,
            scheme(wanted, lane, dynamics),
            truth=system,
            growth=GROWTH_LIMIT if lane.model == TRUTH else MODEL_GROWTH,
        )
        references = References.of(rollout.frame, system)
        self.picture, self.references, self._start = picture(system, u0), references, u0
        self.rollout, self.system, self.misfit = rollout, system, ""
        self.remade = 0
        self.epoch += 1

    def _retune(self, wanted: Scene, lane: Lane, system: PresetSystem, dynamics: Dynamics) -> None:
        """Let other dynamics act on the running state; the scheme changes with them or neither."""
        rollout = self.rollout
        assert rollout is not None
        frame = measure(dynamics, system, rollout.t, rollout.steps, rollout.u)
        references = References.of(frame, system)
        shown = refreshed(self.picture, system, frame.u)
        rollout.set_dynamics(dynamics, scheme(wanted, lane, dynamics), truth=system)
        rollout.set_dt(wanted.dt or system.dt)
        self.system, self.references, self.picture = system, references, shown
        self.remade += 1

    def _pace(self, wanted: Scene, lane: Lane) -> None:
        """Another scheme, tolerance or Δt from the next step on."""
        old, rollout = self.scene, self.rollout
        assert old is not None
        if rollout is None:
            return
        asked = (wanted.chosen_integrator, wanted.tol, lane.integrator)
        if asked != (old.chosen_integrator, old.tol, self._lane and self._lane.integrator):
            rollout.set_integrator(scheme(wanted, lane, rollout.dynamics))
        rollout.set_dt(wanted.dt or self.system.dt)

    def refer(self) -> None:
        """Take drifts relative to the present state."""
        assert self.rollout is not None
        self.references = References.of(self.rollout.frame, self.system)

    def _describe(self, scene: Scene, lane: Lane, restarted: bool) -> Setup:
        run = self.rollout
        belongs = ("", "") if run is None else belonging(run)
        return Setup(
            scene,
            self.system,
            self.picture,
            "" if run is None else scheme_key(scene, lane, run.dynamics),
            () if run is None else self._suitable(run.dynamics),
            self.misfit,
            *belongs,
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
        return self._limit(dynamics, scheme_key(scene, lane, dynamics), self.rollout.u)
