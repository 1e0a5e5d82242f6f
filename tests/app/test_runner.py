"""The session's loop: credits, pacing by them, mailboxes, failures and its end."""

import asyncio
import gc
import logging
import sys
import threading
import time
import weakref
from dataclasses import replace

import pytest

from ddg_explorer.app import canvas as canvas_module
from ddg_explorer.app import runner as runner_module
from ddg_explorer.app.canvas import WINDOW, Credits
from ddg_explorer.app.runner import Runner
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import AppState, Lane, Scene, View
from ddg_explorer.app.workers import Workers, workers

ALONE = (Lane(),)
STATE = AppState(Scene("kdv", "two_solitons", n=32), ALONE)


class FakeCanvas:
    """Takes frames; acknowledges them at once if `answers`."""

    def __init__(self, answers: bool = True) -> None:
        self.credits = Credits()
        self.frames: list[bytes] = []
        self.rests = 0
        self.status = ""
        self.answers = answers
        self.on_wake = self.on_limits = self.on_choice = None
        self.spec = {}

    def draws(self, spec) -> bool:
        return self.spec == spec

    def paint(self, frame, *, follows=False) -> None:
        seq = self.credits.spend()
        self.frames.append(frame(seq))
        if follows:
            self.credits.settle(seq)
        elif self.answers:
            self.credits.acknowledge(seq)

    def rest(self) -> None:
        self.rests += 1


def make(canvas, simulation=None, outcomes=None):
    seen = outcomes if outcomes is not None else []
    runner = Runner(
        STATE,
        on_outcomes=lambda pairs: seen.extend(outcome for _, outcome in pairs),
        on_playing=lambda playing: None,
        on_ready=lambda: None,
    )
    runner.set_lanes([(simulation or Simulation(Lane()), canvas)])
    return runner


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def test_it_shows_the_first_state_and_then_rests():
    async def scenario():
        canvas, outcomes = FakeCanvas(), []
        runner = make(canvas, outcomes=outcomes)
        runner.start()
        await until(lambda: canvas.rests == 1)
        assert len(canvas.frames) == 1
        assert outcomes[0].header.t == 0
        runner.close()

    asyncio.run(scenario())


def test_frames_go_before_what_stands_beside_them_but_after_another_picture():
    async def scenario():
        canvas, order = FakeCanvas(), []
        paint = canvas.paint

        def note(frame, **kw):
            order.append("frame")
            paint(frame, **kw)

        def show(pairs):
            order.append("rest")
            for _, outcome in pairs:
                if outcome.setup is not None:
                    canvas.spec = outcome.setup.picture.spec

        canvas.paint = note
        runner = Runner(
            STATE, on_outcomes=show, on_playing=lambda playing: None, on_ready=lambda: None
        )
        runner.set_lanes([(Simulation(Lane()), canvas)])
        runner.start()
        await until(lambda: canvas.rests == 1)
        assert order == ["rest", "frame"]
        runner.want(AppState(replace(STATE.scene, dt=1e-3), ALONE))
        await until(lambda: canvas.rests == 2)
        assert order[2:] == ["frame", "rest"]
        runner.want(AppState(replace(STATE.scene, n=64), ALONE))
        await until(lambda: canvas.rests == 3)
        assert order[4:] == ["rest", "frame"]
        runner.close()

    asyncio.run(scenario())


def test_an_unanswering_browser_gets_a_window_of_frames_and_no_more(monkeypatch):
    monkeypatch.setattr(runner_module, "GRACE", 60.0)

    async def scenario():
        canvas = FakeCanvas(answers=False)
        runner = make(canvas)
        runner.play(True)
        runner.start()
        await until(lambda: len(canvas.frames) == WINDOW)
        await asyncio.sleep(0.3)
        assert len(canvas.frames) == WINDOW
        canvas.credits.acknowledge(1)
        canvas.on_wake(False)
        await until(lambda: len(canvas.frames) == WINDOW + 1)
        runner.close()

    asyncio.run(scenario())


def test_a_change_waits_for_no_acknowledgement_but_hidden_tabs_get_none(monkeypatch):
    monkeypatch.setattr(runner_module, "GRACE", 60.0)

    async def scenario():
        canvas, outcomes = FakeCanvas(answers=False), []
        runner = make(canvas, outcomes=outcomes)
        runner.play(True)
        runner.start()
        await until(lambda: len(canvas.frames) == WINDOW)
        for dt in (0.001, 0.002):
            runner.want(AppState(replace(STATE.scene, dt=dt), ALONE))
            await until(lambda: outcomes[-1].header.dt == 0.001)
            await asyncio.sleep(0.2)
            assert len(canvas.frames) == WINDOW + 1, "one more, whatever else is asked for"
        canvas.credits.acknowledge(1)
        canvas.on_wake(False)
        await until(lambda: outcomes[-1].header.dt == 0.002)
        canvas.credits.renew()
        canvas.credits.visible = False
        seen = len(canvas.frames)
        runner.want(AppState(replace(STATE.scene, dt=0.003), ALONE))
        await asyncio.sleep(0.2)
        assert len(canvas.frames) == seen
        runner.close()

    asyncio.run(scenario())


def test_lanes_in_lock_step_are_acknowledged_by_the_first(monkeypatch):
    monkeypatch.setattr(runner_module, "GRACE", 60.0)

    async def scenario():
        first, second = FakeCanvas(), FakeCanvas(answers=False)
        runner = make(first)
        runner.set_lanes([(Simulation(Lane()), first), (Simulation(Lane()), second)])
        runner.play(True)
        runner.start()
        await until(lambda: len(second.frames) > WINDOW + 2)
        first.answers = False
        await until(lambda: not first.credits.available)
        seen = len(second.frames)
        await asyncio.sleep(0.2)
        assert len(second.frames) == seen
        runner.close()

    asyncio.run(scenario())


def test_a_lost_acknowledgement_does_not_deadlock(monkeypatch):
    monkeypatch.setattr(runner_module, "GRACE", 0.05)

    async def scenario():
        canvas = FakeCanvas(answers=False)
        runner = make(canvas)
        runner.play(True)
        runner.start()
        await until(lambda: len(canvas.frames) >= WINDOW + 3)
        runner.close()

    asyncio.run(scenario())


def test_a_session_whose_connection_is_lost_computes_no_more_until_it_is_back(monkeypatch):
    """It then goes on from where it was."""
    monkeypatch.setattr(runner_module, "GRACE", 0.05)
    monkeypatch.setattr(canvas_module, "PATIENCE", 0.5)

    async def scenario():
        canvas, simulation = FakeCanvas(), Simulation(Lane())
        runner = make(canvas, simulation)
        runner.play(True)
        runner.start()
        await until(lambda: len(canvas.frames) > 3)
        canvas.answers = False
        await until(lambda: canvas.credits.silence > 0.7)
        t, turns = simulation.rollout.t, len(canvas.frames)
        await asyncio.sleep(0.5)
        assert (simulation.rollout.t, len(canvas.frames)) == (t, turns)
        assert runner.playing
        canvas.answers = True
        canvas.credits.renew()
        canvas.on_wake(True)
        await until(lambda: len(canvas.frames) > turns + 3)
        assert simulation.rollout.t > t
        runner.close()

    asyncio.run(scenario())


def test_a_hidden_tab_gets_nothing(monkeypatch):
    monkeypatch.setattr(runner_module, "GRACE", 0.02)

    async def scenario():
        canvas = FakeCanvas()
        canvas.credits.visible = False
        runner = make(canvas)
        runner.play(True)
        runner.start()
        await asyncio.sleep(0.3)
        assert not canvas.frames
        runner.close()

    asyncio.run(scenario())


def test_step_advances_by_one_and_newest_scene_wins():
    async def scenario():
        canvas, outcomes = FakeCanvas(), []
        runner = make(canvas, outcomes=outcomes)
        runner.start()
        await until(lambda: canvas.rests == 1)
        for dt in (0.001, 0.002, 0.004):
            scene = replace(STATE.scene, dt=dt)
            runner.want(AppState(scene, ALONE, View(speed=5)))
        runner.step()
        await until(lambda: outcomes[-1].header.steps == 1)
        assert outcomes[-1].header.t == pytest.approx(0.004)
        assert outcomes[-1].header.dt == 0.004
        runner.close()

    asyncio.run(scenario())


def test_two_quick_steps_are_two_steps():
    async def scenario():
        canvas, outcomes = FakeCanvas(), []
        runner = make(canvas, outcomes=outcomes)
        runner.step()
        runner.step()
        runner.start()
        await until(lambda: outcomes and outcomes[-1].header.steps == 2)
        runner.close()

    asyncio.run(scenario())


def test_an_internal_error_is_logged_shown_as_one_line_and_survived(caplog):
    class Broken(Simulation):
        faulty = True

        def advance(self, turn, leader=None):
            if self.faulty:
                raise RuntimeError("deliberate")
            super().advance(turn, leader)

    async def scenario():
        canvas, simulation, outcomes = FakeCanvas(), Broken(Lane()), []
        runner = make(canvas, simulation, outcomes)
        runner.play(True)
        runner.start()
        with caplog.at_level(logging.ERROR):
            await until(lambda: not runner.playing)
        assert outcomes[-1].stopped.startswith("stopped by an internal error")
        assert "deliberate" not in outcomes[-1].stopped
        assert "deliberate" in caplog.text
        simulation.faulty = False
        runner.reset()
        await until(lambda: canvas.frames)
        runner.close()

    asyncio.run(scenario())


def test_an_error_of_the_views_is_logged_shown_as_one_line_and_survived(caplog):
    async def scenario():
        canvas, runner = FakeCanvas(), make(FakeCanvas())
        runner.set_lanes([(Simulation(Lane()), canvas)])
        seen = []

        def fail(pairs):
            seen.extend(pairs)
            if len(seen) == 1:
                raise RuntimeError("deliberate")

        runner._on_outcomes = fail
        runner.play(True)
        runner.start()
        with caplog.at_level(logging.ERROR):
            await until(lambda: canvas.status)
        assert not runner.playing
        assert "deliberate" not in canvas.status
        assert "deliberate" in caplog.text
        runner.play(True)
        await until(lambda: len(seen) > 3)
        runner.close()

    asyncio.run(scenario())


def test_frames_are_published_under_the_documents_lock():
    class Context:
        locked = False

        async def with_locked_document(self, publish):
            self.locked = True
            await publish(None)
            self.locked = False

    class Served:
        def __init__(self, context) -> None:
            self.session_context = context

    async def scenario():
        canvas, context, seen = FakeCanvas(), Context(), []
        runner = make(canvas)
        runner._on_outcomes = lambda _: seen.append(context.locked)
        runner.start()
        runner._document = Served(context)
        runner.play(True)
        await until(lambda: len(seen) > 3)
        runner.close()
        assert all(seen)

    asyncio.run(scenario())


def test_closing_ends_the_task_and_frees_the_objects():
    async def scenario():
        canvas = FakeCanvas()
        runner = make(canvas)
        runner.play(True)
        runner.start()
        await until(lambda: len(canvas.frames) > 3)
        alive = weakref.ref(runner)
        runner.close()
        del runner
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == 1
        gc.collect()
        return alive

    assert asyncio.run(scenario())() is None


def test_many_runners_share_the_pool():
    async def scenario():
        canvases = [FakeCanvas() for _ in range(12)]
        runners = [make(c) for c in canvases]
        for r in runners:
            r.play(True)
            r.start()
        await until(lambda: all(len(c.frames) > 2 for c in canvases), 30)
        workers = [t for t in threading.enumerate() if t.name.startswith("simulation")]
        for r in runners:
            r.close()
        return len(workers)

    assert asyncio.run(scenario()) <= len(workers())


def test_lanes_stay_with_their_thread_unless_it_is_busy_and_another_is_not():
    threads, gate = Workers(2), threading.Event()
    assert [threads.choose(), threads.choose(1)] == [0, 1]
    blocked = threads.submit(1, gate.wait, 30)
    assert [threads.choose(1), threads.choose(0)] == [0, 0]
    also = threads.submit(0, gate.wait, 30)
    assert [threads.choose(1), threads.choose(0)] == [1, 0]
    gate.set()
    assert blocked.result(30)
    assert also.result(30)
    names = [threads.submit(1, lambda: threading.current_thread().name).result() for _ in range(3)]
    assert len(set(names)) == 1


def test_a_thread_can_be_chosen_while_others_end_their_calls():
    threads, interval, ended = Workers(2), sys.getswitchinterval(), time.monotonic() + 1.0
    sys.setswitchinterval(1e-6)
    try:
        while time.monotonic() < ended:
            calls = [threads.submit(i % 2, int) for i in range(20)]
            while not all(call.done() for call in calls):
                assert threads.choose(0) in (0, 1)
    finally:
        sys.setswitchinterval(interval)


def test_what_is_urgent_goes_ahead_of_what_waits():
    threads, gate, order = Workers(1), threading.Event(), []
    threads.submit(0, gate.wait, 30)
    calls = [threads.submit(0, order.append, name) for name in "abc"]
    calls.append(threads.submit(0, order.append, "now", urgent=True))
    assert calls[1].cancel()
    failed = threads.submit(0, lambda: 1 / 0)
    gate.set()
    with pytest.raises(ZeroDivisionError):
        failed.result(30)
    assert order == ["now", "a", "c"]
    assert threads.submit(0, threads.choose).result(30) == 0


def test_the_turn_of_a_change_goes_ahead_of_the_turns_of_other_sessions(monkeypatch):
    class Noted(Simulation):
        def advance(self, turn, leader=None):
            order.append(turn.scene.dt)
            super().advance(turn, leader)

    async def scenario():
        runners = [make(FakeCanvas(), Noted(Lane())) for _ in range(6)]
        for runner in runners:
            runner.play(runner is not runners[-1])
            runner.start()
        await until(lambda: len(order) > 20)
        held = pool.submit(0, gate.wait, 30, urgent=True)
        await until(held.running)
        await until(lambda: pool._waiting[0] == len(runners))  # all that play wait, and `held`
        before = len(order)
        runners[-1].want(AppState(replace(STATE.scene, dt=0.001), ALONE))
        await until(lambda: pool._waiting[0] == len(runners) + 1)
        gate.set()
        await until(lambda: 0.001 in order)
        for runner in runners:
            runner.close()
        return order[before]

    pool, gate, order = Workers(1), threading.Event(), []
    monkeypatch.setattr(runner_module, "workers", lambda: pool)
    assert asyncio.run(scenario()) == 0.001


@pytest.mark.parametrize("end", ["regroup", "close"])
def test_a_turn_begun_ahead_ends_with_its_group(end, monkeypatch):
    class Slow(Simulation):
        def advance(self, turn, leader=None):
            turns.append(turn.grouping)
            time.sleep(0.03)
            super().advance(turn, leader)

    async def scenario():
        runner = make(FakeCanvas(), Slow(Lane()))
        begin = runner._begin

        def busy(group):
            if turns:
                pool.submit(0, gate.wait, 10)
            return begin(group)

        async def hold(group, outcomes):
            held.set()
            await asyncio.Event().wait()

        held = asyncio.Event()
        monkeypatch.setattr(runner, "_begin", busy)
        monkeypatch.setattr(runner, "_hand_over", hold)
        runner.play(True)
        runner.start()
        await asyncio.wait_for(held.wait(), 10)
        if end == "close":
            runner.close()
        else:
            runner.want(replace(runner._wanted, view=View(lockstep=False)))
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.sleep(0.2)
        runner.close()

    turns, gate, pool = [], threading.Event(), Workers(1)
    monkeypatch.setattr(runner_module, "workers", lambda: pool)
    asyncio.run(scenario())
    assert turns.count(1) == 1, "the one that was shown, not the one begun ahead"
    assert (2 in turns) == (end == "regroup")


def test_turns_tell_which_grouping_of_the_lanes_they_are_of():
    async def scenario():
        runner = make(FakeCanvas())
        before = runner._take(runner._groups[0])
        runner.want(replace(runner._wanted, view=View(lockstep=False)))
        apart = runner._take(runner._groups[0])
        runner.want(replace(runner._wanted, view=View()))
        together = runner._take(runner._groups[0])
        runner.close()
        assert before.grouping < apart.grouping < together.grouping
        assert [turn.reset for turn in (before, apart, together)] == [True, False, False]
        assert [turn.gather for turn in (before, apart, together)] == [False, False, True]


def test_a_reset_that_waits_outlives_another_grouping():
    async def scenario():
        runner = make(FakeCanvas())
        runner.want(replace(runner._wanted, view=View(lockstep=False)))
        turn = runner._take(runner._groups[0])
        runner.close()
        assert turn.reset

    asyncio.run(scenario())


def test_the_run_goes_on_where_lock_step_is_left_and_taken_up_again():
    async def scenario():
        first, second, outcomes = FakeCanvas(), FakeCanvas(), []
        runner = make(first, outcomes=outcomes)
        runner.set_lanes([(Simulation(Lane()), first), (Simulation(Lane()), second)])
        lanes = (Lane(), Lane())
        runner.want(AppState(STATE.scene, lanes))
        runner.start()
        for _ in range(3):
            runner.step()
        await until(lambda: [o.header.steps for o in outcomes[-2:]] == [3, 3])
        for lockstep in (False, True):
            seen = len(outcomes)
            runner.want(AppState(STATE.scene, lanes, View(lockstep=lockstep)))
            await until(lambda n=seen: len(outcomes) >= n + 2)
            assert [o.header.steps for o in outcomes[-2:]] == [3, 3]
            assert not any(o.error for o in outcomes)
        runner.close()

    asyncio.run(scenario())

    asyncio.run(scenario())
