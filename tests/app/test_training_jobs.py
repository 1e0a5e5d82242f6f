"""Training jobs in processes of their own: order, cancel, exact resumption, crashes, ends."""

import asyncio
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from math import cos, sin
from pathlib import Path

import psutil
import pytest
import torch

from ddg_explorer.app.training import process as process_module
from ddg_explorer.app.training import work as work_module
from ddg_explorer.app.training.jobs import WAITING, Jobs
from ddg_explorer.app.training.process import WorkerProcess
from ddg_explorer.app.training.pump import PERIOD, Pump
from ddg_explorer.app.training.specification import DataSpec, JobSpec
from ddg_explorer.app.training.work import work
from ddg_explorer.budgets import Budget, quick
from ddg_explorer.models import load_model
from ddg_explorer.models.files import read_card
from ddg_explorer.training import defaults
from ddg_explorer.training.native import compiler

SECONDS = 120


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def jobs():
    found = Jobs(limit=1)
    owners = found.owners = [object()]  # type: ignore[attr-defined]
    yield found
    for owner in owners:
        found.release(owner)


class Changes:
    """A listener, and waiting for what it hears of."""

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def __call__(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def until(self, condition) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, SECONDS)


def kdv(steps=8, **network) -> JobSpec:
    data = DataSpec(system="kdv", preset="published", options={"n": 24}, trajectories=3, frames=6)
    budget = quick("kdv", "dgnet").with_steps(steps).with_options(rows=(60, 200))
    return JobSpec(data, "dgnet", budget, {"hidden": 4, **network}, seed=3, name="small")


def endless() -> JobSpec:
    data = DataSpec(system="pendulum", preset="published", trajectories=2, frames=5)
    budget = quick("pendulum", "node").with_optimizer("adam").with_steps(200_000)
    return JobSpec(data, "node", budget, {"hidden": 8})


def short() -> Budget:
    return quick("pendulum", "node").with_optimizer("adam").with_steps(2)


def weights(path) -> dict[str, torch.Tensor]:
    return load_model(path).state_dict()


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_specification_survives_json():
    spec = kdv(structure={"kind": "learned_kernel"})
    text = json.dumps(spec.to_dict())
    assert json.dumps(JobSpec.from_dict(json.loads(text)).to_dict()) == text


BAD = {
    "data: needs one of": lambda: DataSpec(),
    "trajectories=0": lambda: DataSpec(recipe="kdv", trajectories=0),
    "noise=2": lambda: DataSpec(recipe="kdv", noise=2.0),
    "GiB": lambda: DataSpec(recipe="ch2d", trajectories=2000, frames=5000).resolved(),
    "data='x'": lambda: DataSpec(recipe="x").resolved(),
    "system='x'": lambda: DataSpec(system="x").resolved(),
    "no such file": lambda: JobSpec(
        DataSpec(file="nowhere.npz"), "node", quick("", "node")
    ).checked(),
    "separable": lambda: JobSpec(DataSpec(recipe="kdv"), "srnn", quick("kdv", "srnn")).checked(),
    "steps=0": lambda: kdv(steps=0).checked(),
    "activation='x'": lambda: kdv(activation="x").checked(),
    "device='cuda': Levenberg": lambda: replace(kdv(), device="cuda").checked(),
    "device='nowhere'": lambda: replace(endless(), device="nowhere").checked(),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_trained_is_refused_in_one_line(message):
    with pytest.raises(ValueError, match=message) as refused:
        BAD[message]()
    assert "\n" not in str(refused.value)


def test_the_checkpoint_tells_optimiser_and_device(tmp_path):
    budget = quick("kdv", "dgnet").with_optimizer("soap").with_steps(3)
    *_, last = work(replace(kdv(), budget=budget), tmp_path)
    card = read_card(last["checkpoint"])["card"]
    assert (card["training"]["optimizer"], card["device"]) == ("soap", "cpu")


@pytest.mark.parametrize(
    ("steps", "hidden", "problem", "said"),
    [
        (1000, 64, "", True),
        (1000, 64, "the C++ compiler is there, but fails: out of order", False),
        (1000, 8, "", False),
        (9, 64, "", False),
    ],
)
def test_a_run_that_is_compiled_first_says_so(tmp_path, monkeypatch, steps, hidden, problem, said):
    monkeypatch.setattr(defaults, "compile_problem", lambda: problem)
    monkeypatch.setattr(work_module.Fit, "__iter__", lambda fit: iter(()))
    monkeypatch.setattr(work_module.Fit, "card", lambda fit, *_, **__: {})
    spec = kdv(hidden=hidden)
    spec = replace(spec, budget=spec.budget.with_optimizer("adam").with_steps(steps))
    assert ({"event": "compiling"} in list(work(spec, tmp_path))) == said


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
def test_a_compiled_job_goes_on_where_nothing_compiles_any_more_and_says_so(tmp_path, monkeypatch):
    spec = kdv(hidden=6)
    spec = replace(spec, budget=Budget("own", {}, {"optimizer": "adam", "steps": 6, "batch": 4}))
    compiled = replace(spec, budget=spec.budget.with_options(compile=True))
    begun = work(compiled, tmp_path)
    while next(begun)["event"] != "progress":
        pass
    begun.close()
    problem = "the C++ compiler is there, but fails: out of order"
    monkeypatch.setattr(defaults, "compile_problem", lambda: problem)
    events = list(work(spec, tmp_path))
    kinds = [event["event"] for event in events]
    assert kinds[-1] == "done"
    assert "compiling" not in kinds
    (line,) = [event["line"] for event in events if event["event"] == "note"]
    assert line == f"it goes on without compiling, equal to rounding: {problem}"
    assert [event["step"] for event in events if event["event"] == "progress"] == [2, 3, 4, 5, 6]
    assert events[-1]["card"]["training"]["compile"] is False


def test_the_first_preview_comes_soon_and_is_short(tmp_path, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(work_module.time, "process_time", lambda: 0.1 * next(ticks))
    previews = [e for e in work(kdv(steps=30), tmp_path) if e["event"] == "preview"]
    assert previews[0]["step"] <= 4
    assert previews[0]["t"] < previews[-1]["t"]
    assert previews[1]["step"] - previews[0]["step"] > 4


def test_jobs_run_in_order_one_at_a_time_and_a_full_queue_refuses(jobs):
    owner, changes, ended = jobs.owners[0], Changes(), []
    long = jobs.submit(endless(), owner, changes)
    waiting = [jobs.submit(kdv(), owner, changes) for _ in range(2)]
    assert [jobs.position(job) for job in (long, *waiting)] == [0, 1, 2]
    changes.until(lambda: long.state == "training")
    assert [job.state for job in waiting] == ["queued", "queued"]
    assert (jobs.running, jobs.waiting) == (1, 2)
    others = [jobs.submit(kdv(), owner, changes) for _ in range(WAITING - 2)]
    with pytest.raises(ValueError, match="waiting already"):
        jobs.submit(kdv(), owner, changes)
    for job in others:
        jobs.cancel(job)
    assert {job.state for job in others} == {"cancelled"}

    def note() -> bool:
        ended.extend(job for job in waiting if job.state == "finished" and job not in ended)
        assert jobs.running <= 1
        return len(ended) == 2

    jobs.cancel(long)
    changes.until(note)
    assert ended == waiting
    assert long.state == "cancelled"


def test_a_job_reports_and_leaves_a_model(jobs):
    changes = Changes()
    job = jobs.submit(kdv(), jobs.owners[0], changes)
    changes.until(lambda: not job.active)
    assert (job.state, job.line) == ("finished", "")
    assert [p.step for p in job.points] == list(range(1, 9))
    assert job.points[-1].loss < job.points[0].loss
    assert job.points[-1].validation is not None
    assert job.progress["step"] == job.progress["steps"] == 8
    assert job.progress["rate"] > 0
    assert job.preview is not None
    assert job.preview["kind"] == "profile"
    assert len(job.preview["truth"]) == len(job.preview["model"]) == len(job.preview["x"]) == 24
    assert job.preview["errors"][0] == 0
    assert len(json.dumps(job.preview)) < 20_000
    assert job.card["name"] == "small"
    assert job.card["machine"]["threads"] == 1
    assert load_model(job.checkpoint).key == "dgnet"


def test_cancel_ends_the_process(jobs):
    changes = Changes()
    job = jobs.submit(endless(), jobs.owners[0], changes)
    changes.until(lambda: job.state == "training")
    worker = psutil.Process(job.process.pid)
    if hasattr(os, "nice"):
        assert worker.nice() > psutil.Process().nice()
    jobs.cancel(job)
    worker.wait(5)
    changes.until(lambda: job.state == "cancelled")
    assert jobs.running == 0
    assert list(job.folder.glob(".*")) == []


def test_a_cancelled_job_goes_on_and_ends_with_the_same_weights(jobs):
    changes = Changes()
    whole = jobs.submit(kdv(40), jobs.owners[0], changes)
    changes.until(lambda: not whole.active)
    broken = jobs.submit(kdv(40), jobs.owners[0], changes)
    changes.until(lambda: len(broken.points) >= 3)
    jobs.cancel(broken)
    changes.until(lambda: not broken.active)
    assert broken.state == "cancelled"
    reached = broken.points[-1].step
    assert reached < 40
    jobs.resume(broken)
    changes.until(lambda: not broken.active)
    assert broken.state == "finished"
    assert broken.elapsed > broken.before > 0
    assert [p.loss for p in broken.points] == [p.loss for p in whole.points]
    assert same(weights(whole.checkpoint), weights(broken.checkpoint))


def test_a_crash_is_one_line_and_the_log_has_it(jobs, caplog):
    changes = Changes()
    job = jobs.submit(endless(), jobs.owners[0], changes)
    changes.until(lambda: job.state == "training")
    with caplog.at_level(logging.ERROR):
        os.kill(job.process.pid, signal.SIGKILL)
        changes.until(lambda: not job.active)
    assert (job.state, job.line) == ("failed", "the training process was ended by SIGKILL")
    assert "training job 1 failed" in caplog.text


def test_an_error_in_the_worker_is_one_line_and_the_log_has_its_trace(jobs, caplog, monkeypatch):
    monkeypatch.setattr(JobSpec, "checked", lambda spec: spec)
    changes = Changes()
    with caplog.at_level(logging.ERROR):
        job = jobs.submit(replace(endless(), device="meta"), jobs.owners[0], changes)
        changes.until(lambda: not job.active)
    assert job.state == "failed"
    assert "\n" not in job.line
    assert "Error" in job.line
    assert "Traceback" in caplog.text


def test_a_file_that_cannot_be_read_is_one_line(jobs, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("time,q,p\n0,1,0\n1,x,0\n")
    changes = Changes()
    spec = JobSpec(DataSpec(file=str(path)), "node", quick("", "node"))
    job = jobs.submit(spec, jobs.owners[0], changes)
    changes.until(lambda: not job.active)
    assert job.state == "failed"
    assert job.line.startswith("own.csv: ")
    assert "\n" not in job.line
    assert not job.resumable
    jobs.resume(job)
    assert job.state == "failed"


def test_published_data_need_no_cache_of_the_user_s(tmp_path, monkeypatch, caplog):
    """They are kept with the job then, so that it can be resumed."""
    folder, spec = tmp_path / "job", DataSpec(recipe="pendulum", trajectories=2, frames=5)
    folder.mkdir()
    events = list(work(replace(endless(), data=spec, budget=short()), folder))
    assert events[-1]["event"] == "done"
    assert list(folder.glob("*.nc")) == []
    assert len(list((tmp_path / "cache").rglob("*.nc"))) == 1

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    blocked = list(work(replace(endless(), data=spec, budget=short()), folder))
    assert blocked[-1]["card"]["data"] == events[-1]["card"]["data"]
    assert len(list(folder.glob("*.nc"))) == 1
    assert "cannot be written to" in caplog.text


def test_a_waiting_job_keeps_its_file(jobs, tmp_path):
    path, changes = tmp_path / "own.csv", Changes()
    angles = [0.1 * i for i in range(40)]
    path.write_text("\n".join(["time,q,p", *(f"{t},{cos(t)},{-sin(t)}" for t in angles)]))
    data = DataSpec(file=str(path))
    blocker = jobs.submit(endless(), jobs.owners[0], changes)
    spec = JobSpec(data, "node", quick("", "node").with_steps(2))
    job = jobs.submit(spec, jobs.owners[0], changes)
    path.write_text("time,a,b,c\n0,1,0,0\n1,0,0,0\n2,0,0,0\n")
    jobs.cancel(blocker)
    changes.until(lambda: not job.active)
    assert (job.state, job.line) == ("finished", "")
    assert load_model(job.checkpoint).state_shape == (2,)


def test_the_end_of_a_session_ends_its_jobs_only(jobs):
    changes, other = Changes(), object()
    jobs.owners.append(other)
    first = jobs.submit(endless(), jobs.owners[0], changes)
    queued = jobs.submit(endless(), jobs.owners[0], changes)
    theirs = jobs.submit(kdv(), other, changes)
    changes.until(lambda: first.state == "training")
    worker = psutil.Process(first.process.pid)
    jobs.release(jobs.owners[0])
    worker.wait(5)
    changes.until(lambda: not theirs.active)
    assert theirs.state == "finished"
    assert not first.folder.exists()
    assert not queued.folder.exists()


ORPHAN = """
import sys, time
from ddg_explorer.app.training.jobs import Jobs
sys.path.insert(0, sys.argv[1])
from test_training_jobs import Changes, endless
changes = Changes()
job = Jobs(1).submit(endless(), "me", changes)
changes.until(lambda: job.state == "training")
print(job.process.pid, flush=True)
sys.stdin.read()
"""


def test_a_killed_server_leaves_no_worker():
    command = [sys.executable, "-c", ORPHAN, str(Path(__file__).parent)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    worker = psutil.Process(int(server.stdout.readline()))
    server.kill()
    server.communicate()
    worker.wait(10)


def test_a_worker_that_does_not_listen_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr(process_module, "GRACE", 0.05)
    deaf = "import signal,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    deaf += "print('{\\\"event\\\": 1}', flush=True); time.sleep(60)"
    real = subprocess.Popen
    monkeypatch.setattr(
        process_module.subprocess, "Popen", lambda _, **k: real([sys.executable, "-c", deaf], **k)
    )
    worker = WorkerProcess({}, tmp_path)
    events = worker.events()
    assert next(events) == {"event": 1}
    worker.stop()
    assert list(events) == []
    assert worker.verdict() == "the training process was ended by SIGKILL"


def test_the_workers_side_imports_nothing_of_a_page():
    code = (
        "import sys; import ddg_explorer.app.training.work, ddg_explorer.app.training.worker; "
        "print(sorted({'panel', 'bokeh', 'param', 'panel_material_ui'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_wake_ups_are_merged_and_reach_the_loop_only():
    async def scenario():
        loop, shown, seen = asyncio.get_running_loop(), [], asyncio.Event()

        def show() -> None:
            shown.append((threading.current_thread(), loop.time()))
            seen.set()

        async def wake(times: int) -> None:
            seen.clear()
            thread = threading.Thread(target=lambda: [pump.wake() for _ in range(times)])
            thread.start()
            thread.join()
            async with asyncio.timeout(10):
                await seen.wait()

        pump = Pump(show)
        pump.wake()
        pump.start()
        await wake(500)
        await wake(500)
        assert [thread for thread, _ in shown] == [threading.current_thread()] * 2
        assert shown[1][1] - shown[0][1] >= 0.9 * PERIOD
        pump.close()
        pump.wake()

    asyncio.run(scenario())
