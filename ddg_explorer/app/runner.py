"""The session's loop: one asyncio task that steps its lanes in a shared pool and paints them.

wait for credit → snapshot what is wanted → one turn per lane in the pool → publish → pace.

Nothing is computed on the event loop. There is no queue: the wanted scene, limits and commands are
one-slot mailboxes whose newest value wins, and a frame is computed only when a canvas may be sent
one. The pool is shared by all sessions of the process and has about as many threads as cores.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from bokeh.document import Document
from panel.io.document import unlocked
from panel.io.state import set_curdoc, state

from ddg_explorer.app.canvas import GRACE, LaneCanvas
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import Scene, View
from ddg_explorer.app.turns import Outcome, Turn

TARGET_FPS = 60
BUDGET = 0.03
"""Seconds one turn may step for: bounds the time from a slider to the frame that shows it."""

log = logging.getLogger(__name__)


@cache
def pool() -> ThreadPoolExecutor:
    """The process's worker threads, made when first needed."""
    return ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="simulation")


class Runner:
    """Drives the lanes of one session.

    Parameters
    ----------
    lanes
        Pairs of a simulation and the canvas that shows it; stepped in lock step.
    scene
        The scene wanted at first.
    on_outcomes
        Called on the event loop with one outcome per lane after every turn.
    on_playing
        Called when playing starts or stops.
    on_ready
        Called when a browser shows a canvas, again after a reconnect; must see to `start`.
    """

    def __init__(
        self,
        lanes: Sequence[tuple[Simulation, LaneCanvas]],
        scene: Scene,
        *,
        on_outcomes: Callable[[Sequence[Outcome]], None],
        on_playing: Callable[[bool], None],
        on_ready: Callable[[], None],
    ) -> None:
        self._lanes = list(lanes)
        self._scene = scene
        self._on_outcomes = on_outcomes
        self._on_playing = on_playing
        self._on_ready = on_ready
        self._view = View()
        self._steps = 0
        self._reset = False
        self._limits: Any = None
        self._dirty = True
        self._closed = False
        self.playing = False
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Event | None = None
        for _, canvas in self._lanes:
            canvas.on_wake = self._on_browser
            canvas.on_limits = self.set_limits

    def start(self) -> None:
        """Begin the loop; must be called on the event loop, further calls do nothing."""
        if self._task is None and not self._closed:
            self._wake = asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._run(state.curdoc))

    def close(self) -> None:
        """End the loop. A turn under way finishes in its thread and is dropped."""
        self._closed = True
        for _, canvas in self._lanes:
            canvas.on_wake = canvas.on_limits = None
        if self._task is not None:
            self._task.cancel()

    def play(self, playing: bool) -> None:
        if playing != self.playing:
            self.playing = playing
            self._on_playing(playing)
            self._dirty = True
            self._stir()

    def step(self) -> None:
        """Pause, and advance by one step."""
        self.play(False)
        self._steps += 1
        self._stir()

    def reset(self) -> None:
        """Back to t = 0; playing goes on."""
        self._reset = True
        self._stir()

    def want(self, scene: Scene, view: View) -> None:
        """The scene and the view to use from the next turn on."""
        self._dirty = self._dirty or scene != self._scene or view.exact != self._view.exact
        self._scene, self._view = scene, view
        self._stir()

    def set_limits(self, limits: Any) -> None:
        """ "auto" or (low, high), for the colours of every lane."""
        self._limits = limits
        self._stir()

    def _on_browser(self, ready: bool) -> None:
        if ready:
            self._dirty = True
            self._on_ready()
        self._stir()

    def _stir(self) -> None:
        if self._wake is not None:
            self._wake.set()

    @property
    def _due(self) -> bool:
        work = self.playing or self._dirty or self._reset or self._steps or self._limits
        return bool(work) and all(canvas.credits.available for _, canvas in self._lanes)

    async def _run(self, document: Document | None) -> None:
        """Turns until closed; in the task's own context its session's document is the current one.

        Left to itself the task would see whichever session's callback happens to be running.
        """
        period, due = 1 / TARGET_FPS, 0.0
        with set_curdoc(document):
            while not self._closed:
                await self._await_turn()
                due = max(due + period, time.perf_counter())
                try:
                    self._publish(await self._compute(self._take()))
                except Exception:
                    log.exception("a turn failed")
                    self._fail("internal error: the server's log has the details")
                await asyncio.sleep(due - time.perf_counter())

    async def _await_turn(self) -> None:
        assert self._wake is not None
        while not self._due:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), GRACE)
            except TimeoutError:
                for _, canvas in self._lanes:
                    canvas.credits.grant()

    def _take(self) -> Turn:
        """Empty the mailboxes into one turn."""
        steps = self._view.speed if self.playing else min(self._steps, 1)
        turn = Turn(self._scene, steps, BUDGET, self._reset, self._limits, self._view.exact)
        self._steps = 0 if self.playing else max(self._steps - 1, 0)
        self._reset, self._limits, self._dirty = False, None, False
        return turn

    async def _compute(self, turn: Turn) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        jobs = [loop.run_in_executor(pool(), sim.turn, turn) for sim, _ in self._lanes]
        return list(await asyncio.gather(*jobs))

    def _publish(self, outcomes: Sequence[Outcome]) -> None:
        """Hand everything to the views in one batch of messages."""
        with unlocked():
            self._on_outcomes(outcomes)
            for (_, canvas), outcome in zip(self._lanes, outcomes, strict=True):
                canvas.paint(lambda seq, o=outcome: o.header.pack(seq) + o.payload)
            if self.playing and all(o.stopped for o in outcomes):
                self.play(False)
            if not self.playing and not self._steps:
                for _, canvas in self._lanes:
                    canvas.rest()

    def _fail(self, line: str) -> None:
        self.play(False)
        self._dirty = False
        for _, canvas in self._lanes:
            canvas.status = line
