"""The command line: keys and numbers of the JSON object, files, one-line errors, exit codes."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ddg_explorer import cli
from ddg_explorer.commands import options, serve
from ddg_explorer.commands import simulate as simulate_command
from ddg_explorer.commands import train as train_command
from ddg_explorer.commands.report import Report
from ddg_explorer.diagnostics import Summary
from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.frames import Frame
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.models import MODELS, EnergyModel, ModelRecipe
from ddg_explorer.models.operators import OPERATORS
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.trajectory import load_trajectory

KEYS = {
    *("system", "integrator", "dt", "steps", "t", "energy_start", "energy_end"),
    *("own_energy_start", "own_energy_end", "max_energy_drift", "max_own_energy_drift"),
    *("energy_rises", "own_energy_rises", "mass_drift", "max_residual", "structure"),
    *("converged", "reason", "note", "wall_s", "ms_per_step"),
}


def simulate(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict:
    assert cli.main(["simulate", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_runs_and_keeps_its_law(
    capsys: pytest.CaptureFixture[str], system: str
) -> None:
    grid = () if SYSTEMS[system]().grid is None else ("--n", "32")
    found = simulate(capsys, "--system", system, *grid, "--steps", "5")
    assert found.keys() >= KEYS
    assert found["converged"] is True
    assert found["steps"] == 5
    assert found["t"] == pytest.approx(5 * found["dt"])
    assert found["energy_rises"] == found["own_energy_rises"] == 0
    assert found["structure"] == SYSTEMS[system]().structure_key
    assert found["max_own_energy_drift"] == found["max_energy_drift"]
    assert (found["mass_drift"] is None) == (grid == ())
    if SYSTEMS[system]().structure.is_skew:
        assert found["max_energy_drift"] < 1e-11


def test_options_reach_the_system(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = simulate(
        capsys,
        *("--system", "cahn_hilliard_2d", "--n", "16,24", "--length", "1,1.5"),
        *("--set", "gamma=2e-3", "--operator", "spectral", "--dt", "1e-4", "--steps", "4"),
        *("--save-every", "3", "--seed", "9", "--tol", "1e-10", "--save", str(tmp_path / "a.nc")),
    )
    saved = load_trajectory(tmp_path / "a.nc")
    assert saved.u.shape == (3, 1, 16, 24)
    assert saved.t.tolist() == pytest.approx([0, 3e-4, 4e-4])
    recipe = saved.recipe
    assert recipe["parameters"]["gamma"] == 2e-3
    assert (recipe["operator"], recipe["length"], recipe["seed"]) == ("spectral", [1.0, 1.5], 9)
    assert recipe["tol"] == 1e-10
    assert found["energy_end"] == pytest.approx(float(saved.energy[-1]), rel=1e-15)
    assert found["mass_drift"] < 1e-13


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
def test_a_saved_run_can_be_continued(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, suffix: str
) -> None:
    def go(steps: int, name: str, *more: str) -> torch.Tensor:
        path = str(tmp_path / f"{name}{suffix}")
        arguments = ("--system", "pendulum", "--steps", str(steps), "--save", path)
        simulate(capsys, *arguments, *more)
        return load_trajectory(path).u[-1]

    go(5, "half")
    rest = go(5, "rest", "--initial", str(tmp_path / f"half{suffix}"))
    torch.testing.assert_close(rest, go(10, "whole"), rtol=0, atol=1e-11)


def test_explicit_scheme_past_its_limit_ends_with_a_reason(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "run.nc"
    arguments = ["simulate", "--system", "kdv", "--n", "64", "--integrator", "rk4", "--json"]
    code = cli.main([*arguments, "--dt", "1", "--steps", "500", "--save", str(path)])
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert code == 1
    assert found["converged"] is False
    assert "reduce dt" in found["reason"]
    assert found["reason"] in output.err
    assert found["steps"] < 500
    saved = load_trajectory(path)
    assert saved.reason == found["reason"]
    assert torch.isfinite(saved.u).all()


BAD = {
    "system='kvd'": ["--system", "kvd"],
    "preset='x'": ["--system", "kdv", "--preset", "x"],
    "set='gamma=1'": ["--system", "kdv", "--set", "gamma=1"],
    "set='alpha'": ["--system", "kdv", "--set", "alpha"],
    "alpha='six'": ["--system", "kdv", "--set", "alpha=six"],
    "gravity=99": ["--system", "pendulum", "--set", "gravity=99"],
    "'6x4'": ["--system", "kdv", "--n", "6x4"],
    "n=(2,)": ["--system", "kdv", "--n", "2"],
    "operator='fd'": ["--system", "kdv", "--operator", "fd"],
    "structure='x'": ["--system", "kdv", "--structure", "x"],
    "integrator='rk5'": ["--system", "kdv", "--integrator", "rk5"],
    "dt=-1": ["--system", "kdv", "--dt", "-1"],
    "steps=-1": ["--system", "kdv", "--steps", "-1"],
    "save_every=0: must be at least 1": ["--system", "kdv", "--save-every", "0"],
    "tol=2": ["--system", "kdv", "--tol", "2"],
    "initial='missing.nc': no such file": ["--system", "kdv", "--initial", "missing.nc"],
    "save='run.csv': must end in .nc or .npz": ["--system", "kdv", "--save", "run.csv"],
    "device='warp': not available here, use one of cpu": ["--system", "kdv", "--device", "warp"],
    "device='meta': not available here": ["--system", "kdv", "--device", "meta"],
    "n=1000000000000: must make at most": ["--system", "kdv", "--n", "1000000000000"],
    "n=(5000, 4000): must make at most": ["--system", "cahn_hilliard_2d", "--n", "5000,4000"],
    "initial='1': must be 2 finite numbers": ["--system", "pendulum", "--initial", "1"],
    "initial='1,,2': must be 2 finite": ["--system", "pendulum", "--initial", "1,,2"],
    "initial='nan,2': must be 2 finite": ["--system", "pendulum", "--initial", "nan,2"],
    "initial='1,2': a field starts from": ["--system", "kdv", "--initial", "1,2"],
    "is written --initial=-1,2": ["--system", "pendulum", "--initial", "-1,2"],
    "checkpoint='no.safetensors': no such file": ["--checkpoint", "no.safetensors"],
    "invalid choice: 'float16'": ["--system", "kdv", "--dtype", "float16"],
    "--system": [],
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], message: str
) -> None:
    try:
        code = cli.main(["simulate", *BAD[message]])
    except SystemExit as stop:
        code = stop.code
    output = capsys.readouterr()
    assert code == 2
    assert output.out == ""
    assert message in output.err
    assert output.err.count("\n") == 1
    assert "error:" in output.err


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8.00 GiB"),
    ],
)
def test_a_failed_allocation_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(args: object) -> None:
        raise failure

    monkeypatch.setattr(simulate_command, "run", fail)
    assert cli.main(["simulate", "--system", "kdv"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("ddg-explorer simulate: error: out of memory")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "device", "environ", "expected"),
    [
        ("train", "cpu", {}, True),
        ("reproduce", "cpu:0", {"PATH": "/"}, True),
        ("train", "cpu", {"OMP_NUM_THREADS": "4"}, False),
        ("train", "cuda:1", {}, False),
        ("simulate", "cpu", {}, False),
        ("serve", "cpu", {}, False),
    ],
)
def test_who_takes_one_thread(
    command: str, device: str, environ: dict[str, str], expected: bool
) -> None:
    assert cli.takes_one_thread(command, device, environ) is expected


@pytest.mark.parametrize(("given", "expected"), [(None, 1), ("2", 2)])
def test_a_command_takes_one_thread_and_gives_the_others_back(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: int
) -> None:
    seen, before = [], torch.get_num_threads()

    def run(args: object) -> Report:
        seen.append(torch.get_num_threads())
        raise ValueError("enough")

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    monkeypatch.setattr(train_command, "run", run)
    try:
        torch.set_num_threads(2)
        assert cli.main(["train", "--model", "dgnet"]) == 2
        assert (seen, torch.get_num_threads()) == ([expected], 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("command", "told"), [("train", True), ("reproduce", True), ("simulate", False)]
)
def test_help_tells_of_the_thread(
    capsys: pytest.CaptureFixture[str], command: str, told: bool
) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert ("one thread unless OMP_NUM_THREADS is set" in capsys.readouterr().out) is told


def test_a_bug_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(args: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(simulate_command, "run", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        cli.main(["simulate", "--system", "kdv"])


@pytest.mark.parametrize("arguments", [["list"], ["train", "--help"]])
def test_a_terminal_without_the_characters_shows_question_marks(arguments: list[str]) -> None:
    run = [sys.executable, "-m", "ddg_explorer", *arguments]
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(run, capture_output=True, env=environ, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"?" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a Linux device")
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_result_that_cannot_be_written_is_one_line(more: list[str]) -> None:
    run = [sys.executable, "-m", "ddg_explorer", "list", *more]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(run, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("ddg-explorer list: error: ")
    assert done.stderr.count("\n") == 1


def test_an_interrupt_while_a_command_is_imported_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", interrupted)
    assert cli.main(["simulate", "--system", "kdv"]) == 130
    assert capsys.readouterr().err == "ddg-explorer: interrupted\n"


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("nosuch", 2)])
def test_help_and_unknown_commands_import_no_command(argument: str, code: int) -> None:
    program = (
        "import sys\nfrom ddg_explorer import cli\n"
        f"try:\n    cli.main([{argument!r}])\nexcept SystemExit as stop:\n"
        f"    assert stop.code == {code}\n"
        "loaded = [name for name in sys.modules if name.startswith('ddg_explorer.commands')]\n"
        "assert loaded == [], loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)


def test_the_initial_state_of_a_file_must_have_the_systems_shape(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(tmp_path / "run.npz")
    simulate(capsys, "--system", "kdv", "--n", "16", "--steps", "1", "--save", path)
    arguments = ["simulate", "--system", "kdv", "--n", "32", "--initial", path]
    assert cli.main(arguments) == 2
    line = capsys.readouterr().err
    assert f"initial={path!r}: has shape (1, 16), needs (..., *(1, 32))" in line


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("nowhere.invalid", "must be a name or number of this machine"),
        ("192.0.2.1", "is not of this machine"),
    ],
)
def test_serve_refuses_an_address_before_it_loads_the_app(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    reason: str,
) -> None:
    monkeypatch.setattr(serve.importlib, "import_module", pytest.fail)
    assert cli.main(["serve", "--address", address]) == 2
    line = capsys.readouterr().err
    assert line == f"ddg-explorer serve: error: address={address!r}: {reason}\n"


def test_serve_names_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["serve", "--address", "127.0.0.1", "--port", str(port)]) == 2
    line = capsys.readouterr().err
    assert f"port={port}: " in line
    assert line.count("\n") == 1


def test_device_without_float64_gets_one_line_and_float32(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = options.check_device

    def check_device(device: str, dtype: torch.dtype) -> torch.device:
        if dtype == torch.float64:
            raise ValueError(f"device={device!r}: has no float64; use dtype=torch.float32")
        return real(device, dtype)

    monkeypatch.setattr(options, "check_device", check_device)
    arguments = ["simulate", "--system", "pendulum", "--steps", "3", "--json"]
    assert cli.main(arguments) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["dtype"] == "float32"
    assert output.err == "device cpu has no float64: using float32 (--dtype float32)\n"


def test_float32_runs_in_float32(capsys: pytest.CaptureFixture[str]) -> None:
    found = simulate(capsys, "--system", "pendulum", "--steps", "20", "--dtype", "float32")
    assert found["dtype"] == "float32"
    assert 0 < found["max_energy_drift"] < 1e-4


def test_list_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["systems"] == list(SYSTEMS)
    assert found["integrators"] == list(INTEGRATORS)
    assert found["activations"] == list(ACTIVATIONS)
    assert found["models"] == list(MODELS)
    assert cli.main(["list"]) == 0
    text = capsys.readouterr().out
    operators = [name for key in ("structures", "operators") for name in names_in(found[key])]
    assert all(name in text for name in (*SYSTEMS, *INTEGRATORS, *MODELS, *operators))


def names_in(lists: dict[str, list[str]]) -> set[str]:
    return set().union(*lists.values())


def test_what_is_listed_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    """Every structure operator that a system or a model has, and nothing else."""
    assert cli.main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["structures"].keys() == SYSTEMS.keys()
    for name, keys in found["structures"].items():
        for key in keys:
            form = ("--set", "form=strain") if key.endswith("strain_wave") else ()
            grid = ("--n", "8") if SYSTEMS[name].ndim else ()
            chosen = (*("--system", name, "--structure", key), *form, *grid)
            assert simulate(capsys, *chosen, "--steps", "0")["steps"] == 0
    shapes = {"ode": ((2,), None), "field": ((2, 8), {"shape": [8], "length": [1.0]})}
    for where, (shape, grid) in shapes.items():
        for kind in OPERATORS:
            recipe = ModelRecipe("dgnet", shape, grid, {"kind": kind}, hidden=1)
            if kind in found["operators"][where]:
                assert isinstance(recipe.build(), EnergyModel)
            else:
                with pytest.raises(ValueError, match=f"kind='{kind}': needs"):
                    recipe.build()


def test_summary_for_people_has_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["simulate", "--system", "pendulum", "--steps", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} >= KEYS
    told = dict(line.split(maxsplit=1) for line in lines)
    assert told["reason"] == told["note"] == told["model"] == told["saved"] == "-"


def test_serve_without_the_extra_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'panel'", name="panel")

    monkeypatch.setattr(serve.importlib, "import_module", missing)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    assert cli.main(["serve", "--port", port]) == 2
    assert "needs panel" in (line := capsys.readouterr().err)
    assert "pip install 'ddg-explorer[app]'" in line


def test_version_and_module_entry() -> None:
    run = [sys.executable, "-m", "ddg_explorer", "--version"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ddg-explorer ")


def test_interrupt_saves_what_was_reached(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Interrupted(Summary):
        def add(self, frame: Frame) -> None:
            super().add(frame)
            if frame.step == 7:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(simulate_command, "Summary", Interrupted)
    before = signal.getsignal(signal.SIGINT)
    path = tmp_path / "run.nc"
    arguments = ("--system", "pendulum", "--steps", "1000", "--save", str(path))
    found = simulate(capsys, *arguments, code=130)
    assert found["steps"] == 7
    assert found["reason"].startswith("interrupted at t = ")
    assert found["converged"] is True
    saved = load_trajectory(path)
    assert len(saved) == 8
    assert saved.reason == found["reason"]
    assert signal.getsignal(signal.SIGINT) is before
