"""One lane's running simulation, as a worker thread sees it.

Everything here runs in a worker thread, one call at a time. The session hands in the scene it wants
(`Turn`); the simulation brings itself to that scene between steps and advances (`advance`), then
hands back an `Outcome` of plain bytes and numbers (`encode`). Bad input and failed steps come back
as one line of text; the last good state stays.
"""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.measures import measured
from ddg_explorer.app.pacing import Pace
from ddg_explorer.app.past import Past
from ddg_explorer.app.pictures import Picture
from ddg_explorer.app.scales import Scales
from ddg_explorer.app.stage import Stage
from ddg_explorer.app.state import TRUTH, Lane, Scene
from ddg_explorer.app.turns import Kept, Mark, Outcome, Recall, Sample, Setup, Turn
from ddg_explorer.app.wire import Header
from ddg_explorer.frames import Frame
from ddg_explorer.rollout import Rollout


class Simulation:
    """A lane's rollout and running statistics; one thread at a time.

    Parameters
    ----------
    lane
        What runs in it.
    shelf
        The models of the session.
    scales
        Limits of colours and axes that all lanes share; the true system's lane sets them.

    Attributes
    ----------
    began
        Whether time began anew in the last turn, or was taken over from the leader.
    origin
        The time that the last turn stepped from; NaN of a lane that could not.
    broken
        What was wanted when an unforeseen error stopped the lane.
    past, setup
        What the lane can go back to, and the setup of the last turn.
    """

    def __init__(
        self, lane: Lane, shelf: Shelf | None = None, scales: Scales | None = None
    ) -> None:
        self.lane = lane
        self.scales = scales or Scales()
        self.began = False
        self.origin = math.nan
        self.broken: tuple[Scene, Lane] | None = None
        self._stage = Stage(shelf or Shelf())
        self._pace = Pace()
        self._frames: list[Frame] = []
        self._difference: Tensor | None = None
        self.past = Past()
        self.setup: Setup | None = None
        self._error = self._inexact = ""
        self._refused: Scene | None = None
        self._grouping = 0
        # lanes that are put into another group may have a turn of the old one under way
        self._lock = threading.Lock()

    @property
    def rollout(self) -> Rollout | None:
        """What runs, None where the lane's model does not fit the scene."""
        return self._stage.rollout

    @property
    def frame(self) -> Frame | None:
        """The newest frame, None where nobody runs."""
        return None if self.rollout is None else self.rollout.frame

    @property
    def cost(self) -> float:
        """Seconds that a step takes."""
        return self._pace.cost

    @property
    def running(self) -> bool:
        """Whether a further step can be taken."""
        return self.rollout is not None and not (self.rollout.stopped or self.broken)

    @property
    def scene(self) -> Scene | None:
        """The scene that holds."""
        return self._stage.scene

    def kept(self) -> Kept | None:
        """What the lane has run through, None where nobody runs."""
        with self._lock:
            rollout, stage, history = self.rollout, self._stage, self.past.history
            if rollout is None or not len(history):
                return None
            shown = (stage.system, stage.picture, self.scales.state.value)
            return Kept(rollout.dynamics, *shown, history.times, history.states)

    def open(self, scene: Scene) -> Setup:
        """Bring a new lane to its first scene; ValueError if that cannot be built."""
        self.advance(Turn(scene, steps=0))
        if self.setup is None:
            raise ValueError(self._error)
        return self.setup

    def turn(self, turn: Turn) -> Outcome:
        """`advance`, then `encode`."""
        self.advance(turn)
        return self.encode(turn)

    def advance(self, turn: Turn, leader: Simulation | None = None) -> None:
        """Bring the rollout to the wanted scene and step it.

        A turn of a group that the lane has left does nothing. Where time begins anew here, but has
        not in the `leader`, who has taken the turn, or where a lane that had stopped runs again, it
        goes on from the leader's state and time.
        """
        with self._lock:
            if turn.grouping >= self._grouping:
                self._grouping = turn.grouping
                self._advance(turn, leader)

    def times(self, turn: Turn) -> np.ndarray:
        """Those of the kept frames and the present one, none of a lane that does not run.

        No turn of an earlier group will change them any more.
        """
        with self._lock:
            self._grouping = max(self._grouping, turn.grouping)
            if not self.running or self.rollout is None:
                return np.array([])
            return np.append(self.past.history.times, self.rollout.t)

    def forget(self) -> None:
        """Let the kept frames begin with the present one."""
        with self._lock:
            if self.rollout is not None:
                self.past.begin(self._stage.moment)

    def encode(self, turn: Turn, reference: Frame | None = None) -> Outcome:
        """What is to be seen of the last `advance`; nothing where that did nothing.

        From `reference`, the true lane's frame, the distance is measured where the times agree.
        """
        with self._lock:
            if turn.grouping < self._grouping:
                return Outcome(None, b"", None, None, "", "")
            return self._encode(turn, reference)

    def _advance(self, turn: Turn, leader: Simulation | None) -> None:
        stage, self.setup = self._stage, None
        self.setup, self._error = stage.reconcile(turn.scene, self.lane)
        self._refused = turn.scene if self._error else None
        if turn.reset and not (self.setup and self.setup.restarted):
            again, line = stage.restart()
            self.setup, self._error = again or self.setup, self._error or line
        restarted = self.setup is not None and self.setup.restarted
        self.began = restarted or turn.reset
        if restarted:
            self._pace.begin()
            if self.lane.model == TRUTH:
                self.scales.start(stage.picture)
        if stage.rollout is None:
            return
        recalled = any(isinstance(c, Recall) and self.past.key in c.moments for c in turn.commands)
        if self.began and leader and leader.frame and not (leader.began or recalled):
            stage.join(leader.frame)
            marks = tuple(c for c in turn.commands if isinstance(c, Mark))
            turn = replace(turn, steps=0, commands=marks)
        if self.began:
            self._difference = None
            self.past.begin(stage.moment)
        if self.setup:
            self.past.lift()
        for command in turn.commands:
            self._error = self.past.obey(command, stage) or self._error
        self.origin = stage.rollout.t if self.running else math.nan
        gap = abs(self.origin - leader.origin) if leader and turn.steps else 0.0
        if leader and leader.frame and gap > 1e-6 * stage.rollout.dt:
            stage.join(leader.frame)
            self.began, self._difference, turn = True, None, replace(turn, steps=0)
            self.past.begin(stage.moment)
        self._frames = self._step(stage.rollout, turn)
        if wider := stage.widen(self.lane):
            self.setup = replace(wider, restarted=restarted)

    def _encode(self, turn: Turn, reference: Frame | None) -> Outcome:
        rollout = self.rollout
        if rollout is None:
            unbuilt = self._stage.misfit if self._stage.scene is None else ""
            return Outcome(None, b"", None, self.setup, unbuilt, self._error, self._refused)
        if reference is not None and abs(reference.t - rollout.t) >= 1e-6 * rollout.dt:
            reference = None
        error = self._follow(turn, self._frames[-1], reference) or self._error
        sample = measured(self._frames, self._stage.references, reference, rollout.integrator)
        before, self._inexact = self._inexact, ""
        count, payload, extra = self._payload(turn, reference)
        if not (error or before):
            error = self._inexact
        header = self._header(turn, rollout, sample, count, extra)
        return Outcome(
            header,
            payload,
            sample,
            self.setup,
            self._stage.stopped,
            error,
            self._refused,
            span=self.past.history.span,
            undoable=self.past.undoable,
            visiting=self.past.visiting,
        )

    def _step(self, rollout: Rollout, turn: Turn) -> list[Frame]:
        """The frames that are reached, at least one: of an ODE every step, for its trail."""
        if turn.steps == 0 or rollout.stopped:
            return [rollout.frame]
        self.past.go_on(rollout.t)
        frames = self._pace.step(rollout, turn, single=self._stage.picture.kind == "phase")
        self.past.keep(frames, self._stage)
        return frames

    def _follow(self, turn: Turn, last: Frame, reference: Frame | None) -> str:
        """Let the shared limits follow the truth and the differences from it."""
        if reference is not None and self._stage.picture.kind != "phase":
            self._difference = last.u - reference.u
            self.scales.difference.follow(self._stage.picture.span(self._difference))
        if self.lane.model != TRUTH:
            return ""
        return self.scales.obey(turn, self._stage.picture.span(last.u))

    def _payload(self, turn: Turn, reference: Frame | None) -> tuple[int, bytes, int]:
        """Number of states, bytes, and which further curve a profile has (`wire`)."""
        picture, frames = self._stage.picture, self._frames
        if _differs(turn, picture, self.lane):
            known = self._difference
            u = torch.zeros_like(frames[-1].u) if known is None else known
            return *picture.payload([replace(frames[-1], u=u)], self.scales.difference.value), 0
        overlay, extra = self._exact(frames[-1].t) if turn.exact else None, 1
        if overlay is None and self.lane.model != TRUTH and reference is not None:
            overlay, extra = reference.u, 2
        if overlay is None or picture.kind != "profile":
            return *picture.payload(frames, self.scales.state.value), 0
        return *picture.payload(frames, self.scales.state.value, overlay), extra

    def _exact(self, t: float) -> Tensor | None:
        """The exact solution where it is known; past its times `_inexact` says why it is not."""
        try:
            return None if self.past.edited else self._stage.exact(t)
        except ValueError as problem:
            self._inexact = str(problem)
            return None

    def _header(
        self, turn: Turn, rollout: Rollout, sample: Sample, count: int, extra: int
    ) -> Header:
        picture = self._stage.picture
        differs = _differs(turn, picture, self.lane)
        low, high = (self.scales.difference if differs else self.scales.state).value
        return Header(
            epoch=self._stage.epoch,
            count=count,
            kind=picture.kind,
            t=sample.t,
            dt=rollout.dt,
            low=low,
            high=high,
            residual=sample.residual,
            iterations=max(float(f.iterations) for f in self._frames),
            ms=self._pace.shown * 1e3,
            rate=self._pace.rate,
            energy=sample.energy,
            drift=sample.drift,
            own_drift=sample.own_drift,
            error=sample.error,
            steps=rollout.steps,
            extra=extra,
        )


def _differs(turn: Turn, picture: Picture, lane: Lane) -> bool:
    """Whether the lane is to show its difference from the truth."""
    return turn.show == "difference" and picture.kind != "phase" and lane.model != TRUTH


def first_setup(scene: Scene) -> Setup:
    """What a session shows of a scene before anything has run; ValueError if it cannot be built."""
    return Simulation(Lane()).open(scene)
