"""Ctrl-C, SIGTERM and a closed terminal: what is told, and that what is complete is kept.

Commands run in processes of their own, which stop at a chosen call, say HERE and wait for a line.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
import torch
import tqdm

from ddg_explorer import cli
from ddg_explorer.commands import interruption, reproduce
from ddg_explorer.models import load_model, read_card
from ddg_explorer.paper.runs import Event, Study
from ddg_explorer.training.snapshots import read_snapshot
from ddg_explorer.trajectory import load_trajectory

ENDINGS = [getattr(signal, name) for name in cli.INTERRUPTS if hasattr(signal, name)]
PAUSES = """
import contextlib, signal, sys
from ddg_explorer import cli

def pause():
    sys.stderr.write("HERE\\n")
    sys.stderr.flush()
    with contextlib.suppress(OSError):  # the terminal was closed
        sys.stdin.readline()

def at_call(number, function, pause=pause):
    calls = iter(range(1, 10**9))
    def paused(*arguments, **options):
        result = function(*arguments, **options)
        if next(calls) == number:
            pause()
        return result
    return paused
"""
STOPPING = "ddg-explorer: stopping after this {}; again to end at once, without it"
SIMULATE = ("simulate", "--system", "kdv", "--n", "32", "--steps", "9", "--json", "--save", "k.nc")
TRAIN = (
    *("train", "--system", "mass_spring", "--model", "dgnet", "--hidden", "4", "--steps", "9"),
    *("--trajectories", "4", "--frames", "10", "--denoise", "none", "--save", "m.safetensors"),
    *("--resume", "r.safetensors", "--json"),
)
STEP = "from ddg_explorer.rollout import Rollout\nRollout.step = at_call({}, Rollout.step)\n"
ITERATION = (
    "from ddg_explorer.training.levenberg_marquardt import LevenbergMarquardt as Method\n"
    "Method.step = at_call({}, Method.step)\n"
)
COMPARE = ("compare", "--system", "mass_spring", "--models", "hnn,dgnet", "--steps", "3", "--json")
LANE = "from ddg_explorer.compare import Contest\nContest.lane = at_call({}, Contest.lane)\n"


class Running:
    """A command in a process of its own, with Python lines that are run before it."""

    def __init__(self, folder: Path, lines: str, arguments: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{PAUSES}{lines}sys.exit(cli.main({list(arguments)!r}))"],
            cwd=folder,
            env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def reaches(self, line: str) -> None:
        """Read stderr up to this line."""
        seen = []
        for text in stream(self.process.stderr):
            seen.append(text)
            if text == line + "\n":
                return
        pytest.fail(f"{line!r} is not in {seen}")

    def interrupt(self, told: str = "", number: int = signal.SIGINT) -> None:
        """Send a signal, and wait for the line that answers it."""
        self.process.send_signal(number)
        if told:
            self.reaches(told)

    def end(self) -> tuple[int, str, str]:
        """Let it go on: the exit code, stdout and the rest of stderr."""
        out, err = self.process.communicate("\n")
        return self.process.returncode, out, err


def stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextmanager
def running(folder: Path, lines: str, arguments: tuple[str, ...]) -> Iterator[Running]:
    command = Running(folder, lines, arguments)
    with command.process:
        try:
            yield command
        finally:
            command.process.kill()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"cache"}


@pytest.mark.parametrize("number", ENDINGS)
@pytest.mark.parametrize("module", ["torch", "torch.nn", "ddg_explorer.systems"])
def test_while_a_command_is_imported_it_is_one_line(
    tmp_path: Path, module: str, number: int
) -> None:
    lines = (
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            pause()\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    with running(tmp_path, lines, ("list",)) as command:
        command.reaches("HERE")
        command.interrupt("ddg-explorer: interrupted", number)
        assert command.end() == (130, "", "")


@pytest.mark.parametrize("argument", ["--version", "--help", "nosuch"])
def test_what_needs_no_command_imports_no_torch(argument: str) -> None:
    program = (
        f"import sys\nfrom ddg_explorer import cli\ntry:\n    cli.main([{argument!r}])\n"
        "except SystemExit:\n    assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)


def test_public_names_are_found_at_their_first_use() -> None:
    program = (
        "import sys, ddg_explorer as ddg\nassert 'torch' not in sys.modules\n"
        "assert set(ddg.__all__) <= set(dir(ddg))\nfrom ddg_explorer import *\n"
        "assert all(globals()[name] is getattr(ddg, name) for name in ddg.__all__)\n"
        "from ddg_explorer.simulation import simulate as inner\nassert simulate is inner\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("number", ENDINGS)
def test_a_first_signal_lets_the_step_end_and_saves_it(tmp_path: Path, number: int) -> None:
    with running(tmp_path, STEP.format(4), SIMULATE) as command:
        command.reaches("HERE")
        command.interrupt(STOPPING.format("frame"), number)
        code, out, _ = command.end()
    saved = load_trajectory(tmp_path / "k.nc")
    assert (code, json.loads(out)["steps"], len(saved)) == (130, 4, 5)
    assert saved.reason == json.loads(out)["reason"]
    assert saved.reason.startswith("interrupted at t = ")
    assert files(tmp_path) == {"k.nc"}


def test_a_second_signal_loses_the_step_alone(tmp_path: Path) -> None:
    with running(tmp_path, STEP.format(4), SIMULATE) as command:
        command.reaches("HERE")
        command.interrupt(STOPPING.format("frame"))
        command.interrupt()
        # no line is needed for it to go on
        code = command.process.wait()
    saved = load_trajectory(tmp_path / "k.nc")
    assert (code, len(saved)) == (130, 4)
    assert torch.isfinite(saved.energy).all()
    assert files(tmp_path) == {"k.nc"}


def test_no_signal_breaks_off_what_is_being_written(tmp_path: Path) -> None:
    """Frames go to the file one by one; both signals arrive while the third step's is written."""
    lines = (
        "from ddg_explorer import recording\nrecording.BUFFER_BYTES = 1\n"
        "def twice():\n    signal.raise_signal(signal.SIGINT)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "recording.append_netcdf = at_call(3, recording.append_netcdf, twice)\n"
    )
    with running(tmp_path, lines, SIMULATE) as command:
        command.reaches(STOPPING.format("frame"))
        code, out, _ = command.end()
    saved = load_trajectory(tmp_path / "k.nc")
    assert (code, json.loads(out)["steps"], len(saved)) == (130, 3, 4)
    dt = json.loads(out)["dt"]
    torch.testing.assert_close(saved.t, dt * torch.arange(4.0, dtype=torch.float64))
    assert len(saved.u) == 4


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal")
def test_a_closed_terminal_leaves_what_was_reached(tmp_path: Path) -> None:
    import pty

    terminal, end = pty.openpty()
    program = (
        "import fcntl, termios\nfcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
        f"{PAUSES}{STEP.format(4)}sys.exit(cli.main({list(SIMULATE)!r}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    shown = b""
    while b"HERE" not in shown:
        shown += os.read(terminal, 1000)
    os.close(terminal)
    process.wait()
    saved = load_trajectory(tmp_path / "k.nc")
    assert saved.reason.startswith("interrupted at t = ")
    assert 5 <= len(saved) < 10
    assert files(tmp_path) == {"k.nc"}


@pytest.mark.parametrize("number", ENDINGS)
def test_an_interrupted_training_is_saved_as_far_as_it_came(tmp_path: Path, number: int) -> None:
    with running(tmp_path, ITERATION.format(3), (*TRAIN, "--test")) as command:
        command.reaches("HERE")
        command.interrupt(STOPPING.format("step"), number)
        code, out, err = command.end()
    assert (code, json.loads(out)["steps"], json.loads(out)["reason"]) == (130, 3, "interrupted")
    assert "one_step" not in json.loads(out)
    assert err == "ddg-explorer train: interrupted\n"
    assert read_card(tmp_path / "m.safetensors")["card"]["steps"] == 3


def test_a_second_signal_leaves_the_model_of_the_event_before(tmp_path: Path) -> None:
    with running(tmp_path, ITERATION.format(3), TRAIN) as command:
        command.reaches("HERE")
        command.interrupt(STOPPING.format("step"))
        command.interrupt()
        assert command.process.wait() == 130
    model, event = load_model(tmp_path / "m.safetensors"), read_snapshot(tmp_path / "r.safetensors")
    assert event is not None
    assert (model.card["steps"], event.step) == (2, 2)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, event.weights[name], rtol=0, atol=0)


def test_without_any_event_there_is_no_model(tmp_path: Path) -> None:
    with running(tmp_path, ITERATION.format(1), TRAIN) as command:
        command.reaches("HERE")
        command.interrupt(STOPPING.format("step"))
        command.interrupt()
        code, out, _ = command.end()
    assert (code, json.loads(out)["checkpoint"], json.loads(out)["steps"]) == (130, None, None)
    assert files(tmp_path) == set()


@pytest.mark.parametrize("number", ENDINGS)
def test_an_interrupted_test_leaves_the_model(tmp_path: Path, number: int) -> None:
    lines = (
        "from ddg_explorer import evaluation\nclass Rollout(evaluation.Rollout):\n"
        "    step = at_call(5, evaluation.Rollout.step)\nevaluation.Rollout = Rollout\n"
    )
    with running(tmp_path, lines, (*TRAIN, "--test")) as command:
        command.reaches("HERE")
        command.interrupt("ddg-explorer train: test interrupted; model saved", number)
        code, out, err = command.end()
    found = json.loads(out)
    assert (code, err, found["steps"]) == (130, "", 9)
    assert found["reason"] == "test interrupted; model saved"
    card = read_card(tmp_path / "m.safetensors")["card"]
    assert (card["steps"], card["metrics"]) == (9, {})


def test_an_interrupt_in_the_last_step_leaves_the_test_out(tmp_path: Path) -> None:
    with running(tmp_path, ITERATION.format(9), (*TRAIN, "--test")) as command:
        command.reaches("HERE")
        command.interrupt(STOPPING.format("step"))
        code, out, err = command.end()
    assert (code, json.loads(out)["steps"]) == (130, 9)
    assert err == "ddg-explorer train: test interrupted; model saved\n"
    assert read_card(tmp_path / "m.safetensors")["card"]["steps"] == 9


@pytest.mark.parametrize(("again", "kept"), [(False, ["hnn", "dgnet"]), (True, ["hnn"])])
def test_compare_keeps_complete_lanes(tmp_path: Path, again: bool, kept: list[str]) -> None:
    arguments = (*COMPARE[:4], "hnn,dgnet,node", *COMPARE[5:], "--save", "c.json")
    with running(tmp_path, LANE.format(2), arguments) as command:
        command.reaches("HERE")
        command.interrupt(STOPPING.format("lane"))
        if again:
            command.interrupt()
        code, out, err = command.end()
    assert (code, err) == (130, "ddg-explorer compare: interrupted\n")
    assert [lane["model"] for lane in json.loads(out)["lanes"]] == kept
    assert json.loads((tmp_path / "c.json").read_text()) == json.loads(out)


def test_compare_without_a_lane_shows_nothing(tmp_path: Path) -> None:
    with running(tmp_path, LANE.format(1), COMPARE) as command:
        command.reaches("HERE")
        command.interrupt(STOPPING.format("lane"))
        command.interrupt()
        assert command.end() == (130, "", "ddg-explorer compare: interrupted\n")


class Shown(tqdm.tqdm):
    """A bar as on a terminal, that writes every change."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **{**options, "disable": False, "mininterval": 0})


def test_reproduce_tells_how_many_trainings_there_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tqdm, "tqdm", Shown)
    monkeypatch.setattr(Study, "run", lambda study, cell, tests: [Event(cell, "train", 1, 1)])
    arguments = ["--models", "dgnet", "--seeds", "3", "--results", str(tmp_path)]
    assert cli.main(["reproduce", "kdv", *arguments]) == 0
    shown = capsys.readouterr().err
    assert [f"{n}/3 kdv dgnet@ours/" in shown for n in (1, 2, 3)] == [True] * 3


def test_reproduce_stops_between_two_events(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = []

    def run(study: Study, cell: object, tests: list[str]) -> Iterator[object]:
        begun.append(cell)
        signal.raise_signal(signal.SIGTERM)
        yield Event(begun[0], "train", 1, 2)
        pytest.fail("went on")

    monkeypatch.setattr(reproduce.Study, "run", run)
    arguments = ["--models", "dgnet", "--seeds", "3", "--results", str(tmp_path)]
    assert cli.main(["reproduce", "kdv", *arguments]) == 130
    assert len(begun) == 1


def test_the_rollouts_of_a_test_have_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tqdm, "tqdm", Shown)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cli.main([*TRAIN, "--test"]) == 0
    shown = re.findall(r"test: .*? (\d+)/(\d+)", capsys.readouterr().err)
    steps = int(shown[0][1])
    assert steps > 10
    assert [int(done) for done, _ in shown] == list(range(steps + 1))
    assert read_card(tmp_path / "m.safetensors")["card"]["metrics"]["rollouts"] > 0


@pytest.mark.parametrize("number", ENDINGS)
def test_an_ignored_signal_stays_ignored(number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with interruption.interruptible() as interrupt:
            signal.raise_signal(number)
            assert not interrupt.asked
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_handlers_are_put_back_and_other_threads_take_none() -> None:
    before = [signal.getsignal(number) for number in ENDINGS]
    seen = []

    def enter(then: Callable[[], object]) -> None:
        with interruption.interruptible():
            seen.append([signal.getsignal(number) for number in ENDINGS])
            then()

    thread = threading.Thread(target=enter, args=(lambda: None,))
    thread.start()
    thread.join()
    assert seen == [before]
    with pytest.raises(ZeroDivisionError):
        enter(lambda: 1 / 0)
    assert all(new != old for new, old in zip(seen[1], before, strict=True))
    assert [signal.getsignal(number) for number in ENDINGS] == before
