"""The session's loops: asyncio tasks that step the lanes in shared threads and paint them.

wait for credit → snapshot what is wanted → one turn of all lanes in a thread → publish → pace.

In lock step all lanes are one group and take equally many steps in a turn, as many as the slowest
can afford; running freely, every lane is a group of its own with its own clock. Nothing is stepped,
measured or encoded on the event loop; the views compute there what they add after a change, as the
report of an edited G and small pictures of remembered moments. There is no queue: the wanted scene,
limits and commands are one-slot mailboxes whose newest value wins, and a frame is computed only
when a canvas may be sent one. The threads are shared by all sessions of the process (`workers`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from bokeh.document import Document
from panel.io.document import unlocked
from panel.io.state import set_curdoc, state

from ddg_explorer.app.canvas import GRACE, LaneCanvas
from ddg_explorer.app.groups import BROKEN, BUDGET, Entry, Group, take_turn
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import AppState
from ddg_explorer.app.turns import Command, GoTo, Outcome, Turn
from ddg_explorer.app.workers import workers

TARGET_FPS = 60

log = logging.getLogger(__name__)


class Runner:
    """Drives the lanes of one session.

    Parameters
    ----------
    wanted
        The state wanted at first.
    on_outcomes
        Called on the event loop with (canvas, outcome) of every lane after every turn.
    on_playing
        Called when playing starts or stops.
    on_ready
        Called when a browser shows a canvas, again after a reconnect; must see to `start`.
    """

    def __init__(
        self,
        wanted: AppState,
        *,
        on_outcomes: Callable[[Sequence[tuple[LaneCanvas, Outcome]]], None],
        on_playing: Callable[[bool], None],
        on_ready: Callable[[], None],
    ) -> None:
        self._wanted = wanted
        self._on_outcomes = on_outcomes
        self._on_playing = on_playing
        self._on_ready = on_ready
        self._groups: list[Group] = []
        self._grouping = 0
        self._document: Document | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self.playing = False

    @property
    def entries(self) -> list[Entry]:
        """All lanes, in their order."""
        return [entry for group in self._groups for entry in group.entries]

    def set_lanes(self, lanes: Sequence[tuple[Simulation, LaneCanvas]]) -> None:
        """Run these lanes, all from t = 0."""
        for entry in self.entries:
            entry.canvas.on_wake = entry.canvas.on_limits = None
        entries = [Entry(*lane) for lane in lanes]
        for entry in entries:
            entry.canvas.on_wake = self._on_browser
            entry.canvas.on_limits = self.set_limits
        self._regroup(entries)
        self.reset()

    def start(self) -> None:
        """Begin the loops; must be called on the event loop, further calls do nothing."""
        if self._loop is None and not self._closed:
            self._document, self._loop = state.curdoc, asyncio.get_running_loop()
            for group in self._groups:
                self._launch(group)

    def close(self) -> None:
        """End the loops. A turn under way finishes in its thread and is dropped."""
        self._closed = True
        for group in self._groups:
            for entry in group.entries:
                entry.canvas.on_wake = entry.canvas.on_limits = None
            if group.task is not None:
                group.task.cancel()

    def play(self, playing: bool) -> None:
        if playing != self.playing:
            self.playing = playing
            self._on_playing(playing)
            self._command(dirty=True)

    def step(self) -> None:
        """Pause, and advance by one step."""
        self.play(False)
        for group in self._groups:
            group.steps += 1
        self._stir()

    def reset(self) -> None:
        """Back to t = 0; playing goes on."""
        self._command(reset=True)

    def order(self, command: Command) -> None:
        """Let every lane obey a command in its next turn; going to another time pauses."""
        if isinstance(command, GoTo):
            self.play(False)
        for group in self._groups:
            group.order(command)
        self._stir()

    def want(self, wanted: AppState) -> None:
        """The state to use from the next turn on; its lanes come by `set_lanes`."""
        old, self._wanted = self._wanted, wanted
        if wanted.view.lockstep != old.view.lockstep and self._groups:
            self._regroup(self.entries)
            self._groups[0].gather = wanted.view.lockstep
        shown = [(s.view.exact, s.view.show) for s in (old, wanted)]
        integrators = [[lane.integrator for lane in s.lanes] for s in (old, wanted)]
        changed = wanted.scene != old.scene or shown[0] != shown[1]
        self._command(dirty=changed or integrators[0] != integrators[1])

    def set_limits(self, limits: Any) -> None:
        """ "auto" or (low, high), for the colours of every lane."""
        self._command(limits=limits)

    def _command(self, *, dirty: bool = False, reset: bool = False, limits: Any = None) -> None:
        for group in self._groups:
            group.dirty = group.dirty or dirty
            group.reset = group.reset or reset
            group.limits = limits or group.limits
        self._stir()

    def _regroup(self, entries: Sequence[Entry]) -> None:
        for group in self._groups:
            if group.task is not None:
                group.task.cancel()
        # a turn that the old groups have under way must not step lanes after their reset
        self._grouping += 1
        reset = any(group.reset for group in self._groups)
        lockstep = self._wanted.view.lockstep
        self._groups = [Group(entries)] if lockstep else [Group([entry]) for entry in entries]
        self._command(reset=reset)
        if self._loop is not None:
            for group in self._groups:
                self._launch(group)

    def _launch(self, group: Group) -> None:
        assert self._loop is not None
        group.task = self._loop.create_task(self._run(group))

    def _on_browser(self, ready: bool) -> None:
        if ready:
            self._on_ready()
        self._command(dirty=ready)

    def _stir(self) -> None:
        for group in self._groups:
            group.wake.set()

    async def _run(self, group: Group) -> None:
        """Turns until closed; in the task's own context its session's document is the current one.

        Left to itself the task would see whichever session's callback happens to be running. Where
        turns take longer than a frame should, the next one is begun before this one is published.
        """
        period, due = 1 / TARGET_FPS, 0.0
        turn: asyncio.Future[list[Outcome]] | None = None
        with set_curdoc(self._document):
            try:
                while not self._closed:
                    if turn is None:
                        await self._await_turn(group)
                    due = max(due + period, time.perf_counter())
                    try:
                        present, turn = turn or self._begin(group), None
                        outcomes = await present
                        if self.playing and group.ample and time.perf_counter() >= due:
                            turn = self._begin(group)
                        await self._hand_over(group, outcomes)
                    except Exception:
                        log.exception("a turn failed")
                        self._fail(group, BROKEN)
                    await asyncio.sleep(due - time.perf_counter())
            finally:
                if turn is not None:
                    turn.cancel()

    async def _await_turn(self, group: Group) -> None:
        while not ((self.playing or group.waiting) and group.credited):
            group.wake.clear()
            try:
                await asyncio.wait_for(group.wake.wait(), GRACE)
            except TimeoutError:
                for entry in group.entries:
                    entry.canvas.credits.grant()

    def _take(self, group: Group) -> Turn:
        """Empty the mailboxes into one turn."""
        wanted, view = self._wanted, self._wanted.view
        together = len(group.entries) > 1
        speed = group.affordable(wanted.speed) if together else wanted.speed
        turn = Turn(
            wanted.scene,
            steps=speed if self.playing else min(group.steps, 1),
            budget=None if together else BUDGET,
            reset=group.reset,
            limits=group.limits,
            exact=view.exact,
            show=view.show if view.lockstep else "state",
            commands=tuple(group.commands),
            grouping=self._grouping,
            gather=group.gather,
        )
        group.commands.clear()
        group.steps = 0 if self.playing else max(group.steps - 1, 0)
        group.reset = group.gather = group.dirty = False
        group.limits = None
        return turn

    def _begin(self, group: Group) -> asyncio.Future[list[Outcome]]:
        """Begin the turn that is wanted now, in a thread; one that was asked for goes first."""
        urgent, turn = group.waiting, self._take(group)
        simulations = [entry.simulation for entry in group.entries]
        group.thread = workers().choose(group.thread)
        submitted = workers().submit(group.thread, take_turn, simulations, turn, urgent=urgent)
        return asyncio.wrap_future(submitted)

    async def _hand_over(self, group: Group, outcomes: Sequence[Outcome]) -> None:
        """Publish under the document's lock: what Panel cannot write at once, Bokeh writes then.

        A group that is disbanded meanwhile publishes nothing more, but ends what it is writing.
        """

        async def publish(_: Document | None) -> None:
            if group in self._groups:
                self._publish(group, outcomes)

        context = None if self._document is None else self._document.session_context
        locked = publish(None) if context is None else context.with_locked_document(publish)
        await asyncio.shield(locked)

    def _publish(self, group: Group, outcomes: Sequence[Outcome]) -> None:
        """Hand everything to the views in one batch of messages.

        Frames of another scene go ahead of it: what stands beside the pictures takes many times
        longer then. Where the pictures are others, the canvases have to hear of it first.
        """
        pairs = list(zip(group.entries, outcomes, strict=True))
        anew = [(entry, outcome.setup) for entry, outcome in pairs if outcome.setup is not None]
        ahead = anew and all(entry.canvas.draws(setup.picture.spec) for entry, setup in anew)
        if ahead:
            with unlocked():
                self._paint(group, pairs)
        with unlocked():
            self._on_outcomes([(entry.canvas, outcome) for entry, outcome in pairs])
            if not ahead:
                self._paint(group, pairs)
            if self.playing and all(entry.stopped for entry in self.entries):
                self.play(False)
            if not self.playing and not group.steps:
                for entry in group.entries:
                    entry.canvas.rest()

    def _paint(self, group: Group, pairs: Sequence[tuple[Entry, Outcome]]) -> None:
        for entry, outcome in pairs:
            entry.stopped = bool(outcome.stopped) or outcome.header is None
            if (header := outcome.header) is not None:
                entry.canvas.paint(
                    lambda seq, h=header, o=outcome: h.pack(seq) + o.payload,
                    follows=entry is not group.entries[0],
                )

    def _fail(self, group: Group, line: str) -> None:
        self.play(False)
        group.dirty = False
        for entry in group.entries:
            entry.canvas.status = line
