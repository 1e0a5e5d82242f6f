"""Lanes that keep step, and what is asked of them until their next turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.edits import Edit
from ddg_explorer.app.numerals import number
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import TRUTH
from ddg_explorer.app.turns import Command, GoTo, Outcome, Recall, Turn
from ddg_explorer.frames import Frame

BUDGET = 0.03
"""Seconds one turn may step for: bounds the time from a slider to the frame that shows it."""

BROKEN = "stopped by an internal error: the server's log has the trace"
APART = "the lanes were at different times: all begin again at t = 0"
JOINED = "a lane runs again: it goes on from the truth at t = {}, where the time slider now begins"

log = logging.getLogger(__name__)


class Entry:
    """A lane as the runner sees it: its simulation, and the canvas that shows it."""

    def __init__(self, simulation: Simulation, canvas: LaneCanvas) -> None:
        self.simulation, self.canvas = simulation, canvas
        self.stopped = False


class Group:
    """Lanes that keep step, with their mailboxes."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = list(entries)
        self.steps = 0
        self.reset = False
        self.gather = False
        self.limits: Any = None
        self.commands: list[Command] = []
        self.dirty = True
        self.task: asyncio.Task[None] | None = None
        self.thread: int | None = None
        self.wake = asyncio.Event()

    @property
    def waiting(self) -> bool:
        """Whether something was asked for beside playing."""
        asked = self.dirty or self.reset or self.steps or self.limits or self.commands
        return bool(asked)

    def order(self, command: Command) -> None:
        """Add a command; the newest time to go to replaces an older one, a stroke goes on."""
        last = self.commands[-1] if self.commands else None
        if isinstance(command, GoTo) and isinstance(last, GoTo):
            self.commands.pop()
        elif isinstance(command, Edit) and isinstance(last, Edit) and command.continues(last):
            self.commands.pop()
            command = replace(last, points=last.points + command.points)
        self.commands.append(command)

    @property
    def credited(self) -> bool:
        """Whether every canvas may be sent a frame, where something was asked for one more."""
        credits = [entry.canvas.credits for entry in self.entries]
        return all(each.urgent if self.waiting else each.available for each in credits)

    @property
    def ample(self) -> bool:
        """Whether every canvas may be sent two frames."""
        return all(entry.canvas.credits.left > 1 for entry in self.entries)

    def affordable(self, speed: int) -> int:
        """Steps that all lanes can take within the budget, at least one."""
        costs = [e.simulation.cost for e in self.entries if e.simulation.running]
        if not costs or not all(costs):
            return min(speed, 1)
        return max(1, min(speed, int(BUDGET / sum(costs))))


def take_turn(simulations: Sequence[Simulation], turn: Turn) -> list[Outcome]:
    """Step lanes that keep step one after the other; then encode them, with the truth at hand.

    All run in the scene that the truth holds. A lane that can run again goes on from the truth, or
    from its own remembered moment, and the kept frames of all begin there; lanes that come together
    at different times begin anew. An unforeseen error stops its lane only.

    A step is many small operations: two lanes in two threads would mostly wait for each other. The
    threads serve different sessions.
    """
    first, note = simulations[0], ""
    if turn.gather and _apart(simulations, turn):
        turn, note = replace(turn, reset=True), APART
    failed = [_advance(first, turn, None)]
    leader = first if first.lane.model == TRUTH and failed[0] is None else None
    if leader and leader.scene:
        turn = replace(turn, scene=leader.scene)
    failed += [_advance(simulation, turn, leader) for simulation in simulations[1:]]
    truth = leader.frame if leader else None
    if truth and any(sim.running and sim.began and not first.began for sim in simulations):
        for simulation in simulations:
            simulation.forget()
        own = any(isinstance(command, Recall) for command in turn.commands)
        note = "" if own else JOINED.format(number(truth.t, 4))
    outcomes = [
        failure or _encode(sim, turn, None if sim is first else truth)
        for sim, failure in zip(simulations, failed, strict=True)
    ]
    outcomes[0] = replace(outcomes[0], note=note)
    return outcomes


def _apart(simulations: Sequence[Simulation], turn: Turn) -> bool:
    """Whether the clocks or the kept times of lanes that run differ."""
    times = [known for sim in simulations if len(known := sim.times(turn))]
    return any(
        len(other) != len(times[0]) or not np.allclose(other, times[0], rtol=1e-9, atol=0)
        for other in times[1:]
    )


def _advance(simulation: Simulation, turn: Turn, leader: Simulation | None) -> Outcome | None:
    """Step a lane; its outcome where an error stops it, or has and nothing else is wanted since."""
    wanted = (turn.scene, simulation.lane)
    if simulation.broken == wanted and not (turn.reset or turn.commands):
        return Outcome(None, b"", None, None, BROKEN, "")
    simulation.broken = None
    try:
        simulation.advance(turn, leader)
    except Exception:
        return _break(simulation, turn)
    return None


def _encode(simulation: Simulation, turn: Turn, truth: Frame | None) -> Outcome:
    try:
        return simulation.encode(turn, truth)
    except Exception:
        return _break(simulation, turn)


def _break(simulation: Simulation, turn: Turn) -> Outcome:
    """Log the error that is being handled; the lane waits until something else is wanted."""
    log.exception("a lane's turn failed")
    simulation.broken = (turn.scene, simulation.lane)
    return Outcome(None, b"", None, simulation.setup, BROKEN, "")
