"""Lanes that keep step, and what is asked of them until their next turn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.edits import Edit
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import TRUTH
from ddg_explorer.app.turns import Command, GoTo, Outcome, Turn

BUDGET = 0.03
"""Seconds one turn may step for: bounds the time from a slider to the frame that shows it."""


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
        """Whether every canvas may be sent a frame."""
        return all(entry.canvas.credits.available for entry in self.entries)

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

    A step is many small operations: two lanes in two threads would mostly wait for each other. The
    threads serve different sessions.
    """
    for simulation in simulations:
        simulation.advance(turn)
    first = simulations[0]
    truth = first.frame if first.lane.model == TRUTH else None
    return [sim.encode(turn, None if sim is first else truth) for sim in simulations]
