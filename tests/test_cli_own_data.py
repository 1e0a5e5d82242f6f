"""A person's own trajectories from a file to a model that runs: train, compare, simulate."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

import ddg_explorer as ddg
from ddg_explorer import cli
from ddg_explorer.budgets import ODE_ROWS, budget
from ddg_explorer.compare import unseen
from ddg_explorer.models import read_card
from ddg_explorer.models.operators import make_operator
from ddg_explorer.own_data import read_dataset
from ddg_explorer.structure import DampedSymplectic

FRICTION, DT, FRAMES = 0.1, 0.05, 80


def energy(u: Tensor) -> Tensor:
    """A particle in two wells, u = (q, p)."""
    q, p = u[..., 0], u[..., 1]
    return p.square() / 2 + q**4 / 4 - q.square() / 2


def measured(trajectories: int) -> Tensor:
    """(trajectories, FRAMES, 2)."""
    starts = torch.rand(
        (trajectories, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    starts = 3 * starts - 1.5
    system = ddg.System(energy, DampedSymplectic(friction=FRICTION), initial=starts[0])
    run = ddg.simulate(system, starts, dt=DT, steps=FRAMES - 1, integrator="collocation6")
    return run.u.transpose(0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`wells.csv`, `one.npz` of its first trajectory, and two models of the table."""
    home = tmp_path_factory.mktemp("own")
    u = measured(10)
    rows = [(k, n * DT, *state) for k, run in enumerate(u.tolist()) for n, state in enumerate(run)]
    np.savetxt(home / "wells.csv", rows, "%.17g", ",", header="trial,t,q,p", comments="")
    np.savez(home / "one.npz", u=u[:1].numpy(), t=np.arange(FRAMES) * DT)
    data = ("--data", str(home / "wells.csv"), "--budget", "quick")
    dgnet = ("--model", "dgnet", "--structure", "learned_friction")
    for name, options in (("dgnet", dgnet), ("node", ("--model", "node"))):
        save = ("--save", str(home / f"{name}.safetensors"))
        assert cli.main(["train", *data, *options, *save]) == 0
    return home


NAMED = (
    *("symplectic", "minus_identity", "learned_friction", "learned_matrix"),
    *("learned_skew_matrix", "learned_dissipative_matrix"),
)
"""Kinds of G of an ODE that need no numbers, in the order of the list."""


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict:
    assert cli.main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(list(arguments)) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


UNUSED = {
    "trajectories=3: the file has its own": ("--trajectories", "3"),
    "frames=9: the file has its own": ("--frames", "9"),
    "data_seed=1: the file has its own initial states": ("--data-seed", "1"),
    "set=['friction=1']: needs a --system": ("--set", "friction=1"),
    "n=64: needs a --system": ("--n", "64"),
    "preset='friction': needs a --system": ("--preset", "friction"),
}


@pytest.mark.parametrize("line", UNUSED)
def test_an_option_that_a_file_leaves_without_effect_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    options = ("train", "--data", str(folder / "one.npz"), "--model", "node", "--steps", "1")
    assert line in refused(capsys, *options, *UNUSED[line])


def test_the_data_seed_draws_the_noise_that_is_added_to_a_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--data", str(folder / "one.npz"), "--model", "node", "--steps", "1")
    options = (*options, "--noise", "0.1", "--optimizer", "adam")
    found = [call(capsys, "train", *options, "--data-seed", seed)["data"] for seed in "011"]
    assert found[0] != found[1] == found[2]


def test_the_friction_of_the_data_is_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = call(capsys, "inspect", str(folder / "dgnet.safetensors"))
    matrix = np.array(found["matrix"])
    assert matrix[1, 1] / matrix[0, 1] == pytest.approx(-FRICTION, rel=0.02)


def test_models_are_compared_on_what_none_has_learned(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    paths = [str(folder / f"{name}.safetensors") for name in ("dgnet", "node")]
    data = read_dataset(folder / "wells.csv")
    (row,) = unseen(data, [read_card(path)["card"] for path in paths])
    assert unseen(data, []) == list(range(10))
    checkpoints = [word for path in paths for word in ("--checkpoint", path)]
    own = ("compare", "--data", str(folder / "wells.csv"), *checkpoints)
    found = call(capsys, *own, "--save", str(tmp_path / "lanes.nc"))
    dgnet, node = found["lanes"]
    assert (found["system"], found["truth"], found["steps"]) == (None, {}, FRAMES - 1)
    assert dgnet["state_mse"] < 1e-4
    assert dgnet["energy_mse"] is dgnet["max_energy_drift"] is node["max_own_energy_drift"] is None
    with xr.open_dataset(tmp_path / "lanes.nc") as lanes:
        assert np.array_equal(lanes["u"][0], data.u[row])
        error = ((lanes["u"][1] - lanes["u"][0]) ** 2).mean()
        assert float(error) == pytest.approx(dgnet["state_mse"], rel=1e-9)
        assert bool(lanes["energy"].isnull().all())
        own_energy = lanes["own_energy"].sel(lane="dgnet").values
    assert (np.diff(own_energy) <= 1e-13).all()
    assert cli.main(list(own)) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"truth: trajectory {row} of the file")
    assert dgnet["note"] == node["note"] == ""
    assert "must lie in [0, 0]" in refused(capsys, *own, "--seed", "1")
    assert "must lie in [1, 79]" in refused(capsys, *own, "--steps", "80")


def test_a_model_of_a_single_trajectory_says_that_it_has_learned_it(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data, model = ("--data", str(folder / "one.npz")), str(tmp_path / "m.safetensors")
    train = ("train", *data, "--model", "node", "--steps", "3")
    assert "none is held out" in refused(capsys, *train, "--test")
    assert cli.main([*train, "--save", model]) == 0
    capsys.readouterr()
    assert cli.main(["compare", *data, "--checkpoint", model]) == 0
    assert "which a model has learned" in capsys.readouterr().out


def test_what_a_model_has_learned_with_noise_is_not_held_out(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data, model = ("--data", str(folder / "wells.csv")), str(tmp_path / "m.safetensors")
    train = ("train", *data, "--model", "node", "--steps", "3", "--optimizer", "adam")
    assert cli.main([*train, "--noise", "0.01", "--save", model]) == 0
    (row,) = read_dataset(folder / "wells.csv").order(0)[:1].tolist()
    for dt in ((), ("--dt", str(1.002 * DT))):
        capsys.readouterr()
        assert cli.main(["compare", *data, "--checkpoint", model, *dt]) == 0
        told = capsys.readouterr().out
        assert f"truth: trajectory {row} of the file" in told
        assert ("node: learned at Δt = 0.05, stepped at 0.0501: " in told) == bool(dt)


@pytest.mark.parametrize("budget_name", ["ours", "quick"])
def test_an_unknown_ode_is_trained_as_the_known_ones_are(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, budget_name: str
) -> None:
    path = str(tmp_path / "m.safetensors")
    options = ("--data", str(folder / "one.npz"), "--model", "node", "--steps", "2")
    call(capsys, "train", *options, "--budget", budget_name, "--save", path)
    assert read_card(path)["card"]["training"]["rows"] == list(ODE_ROWS)
    assert budget("ours", "", "dgnet", ode=True) == budget("ours", "pendulum", "dgnet")


def test_a_run_that_has_learned_nothing_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A loss relative to no change at all; that of whole trajectories is in units of the noise."""
    options = ("--data", str(folder / "wells.csv"), "--model", "node")
    adam = ("--optimizer", "adam", "--steps", "1")
    assert cli.main(["train", *options, *adam]) == 0
    line = capsys.readouterr().err
    assert "hardly better than no change; try more steps, another seed or more hidden" in line
    assert line.count("\n") == 1
    assert cli.main(["train", *options, "--steps", "20", "--hidden", "4"]) == 0
    assert capsys.readouterr().err == ""
    noisy = ("--noise", "0.05", "--denoise", "states", "--steps", "8", "--hidden", "4")
    found = call(capsys, "train", *options, *noisy)
    assert found["loss"] > 2
    assert cli.main(["train", *options, *noisy]) == 0
    line = capsys.readouterr().err
    assert "in units of the noise: the data are not explained; try more steps" in line
    assert line.count("\n") == 1


def test_training_tests_on_the_held_out_trajectories(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", str(folder / "wells.csv"), "--budget", "quick")
    found = call(capsys, "train", *data, "--model", "node", "--test")
    assert 0 < found["state_mse"] < 1e-3
    assert found["one_step"] < 1e-4
    assert "energy_mse" not in found


def test_a_model_runs_on_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It never gains energy, at its data's Δt or at ten times that, and goes on from a file."""
    path, saved = str(folder / "dgnet.safetensors"), str(tmp_path / "run.nc")
    alone = ("simulate", "--checkpoint", path, "--steps", "200")
    for dt in ((), ("--dt", "0.5")):
        found = call(capsys, *alone, "--initial=-0.2,0.9", *dt, "--save", saved)
        assert (found["system"], found["dt"]) == (None, float(dt[1]) if dt else DT)
        assert (found["energy_rises"], found["own_energy_rises"]) == (None, 0)
        assert found["energy_start"] is found["energy_end"] is found["max_energy_drift"] is None
        assert found["own_energy_end"] < found["own_energy_start"]
        assert found["note"].startswith("learned at Δt = 0.05, stepped at 0.5: " if dt else "")
        assert bool(found["note"]) == bool(dt)
    again = call(capsys, *alone, "--initial", saved)
    assert again["own_energy_start"] == pytest.approx(found["own_energy_end"], abs=1e-15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "initial=None"),
        (("--initial", "1,2,3"), "initial='1,2,3': must be 2 finite numbers"),
        (("--initial", "1,x"), "initial='1,x': must be 2 finite numbers, or a .nc or .npz file"),
        (("--initial", "1,0", "--n", "8"), "n=8: needs a --system"),
        (("--initial", "1,0", "--length", "0"), "length=0.0: needs a --system"),
        (("--initial", "1,0", "--dt", "0"), "dt=0.0"),
    ],
)
def test_bad_starts_are_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    path = str(folder / "dgnet.safetensors")
    assert message in refused(capsys, "simulate", "--checkpoint", path, *options)


def test_bad_comparisons_are_refused_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("compare", "--data", str(folder / "wells.csv"))
    assert "checkpoint=None" in refused(capsys, *own)
    assert "data='wells.xyz': use one of kdv" in refused(capsys, "compare", "--data", "wells.xyz")
    structure = refused(capsys, "train", *own[1:], "--model", "dgnet")
    offered = structure.partition("needs one of ")[2].strip().split(", ")
    assert offered == [*NAMED, "learned_state_matrix"]


@pytest.mark.parametrize("kind", ["matrix", "damped_symplectic", "laplacian", "x"])
def test_a_structure_that_a_name_does_not_settle_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    options = ("--data", str(folder / "wells.csv"), "--model", "dgnet", "--structure", kind)
    line = refused(capsys, "train", *options)
    assert f"structure={kind!r}: use one of {', '.join(NAMED)}" in line


def test_a_file_of_other_parameters_is_no_data_of_the_system(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Else its model would be told that the energy is conserved."""
    path, model = str(tmp_path / "p.nc"), str(tmp_path / "m.safetensors")
    run = ("simulate", "--system", "pendulum", "--set", "friction=0.3", "--steps", "40")
    assert cli.main([*run, "--save", path]) == 0
    capsys.readouterr()
    train = ("train", "--data", path, "--system", "pendulum", "--model", "dgnet", "--steps", "2")
    line = refused(capsys, *train)
    assert "made with friction = 0.3, this pendulum has 0" in line
    assert cli.main([*train, "--set", "friction=0.3", "--save", model]) == 0
    card = read_card(model)
    assert card["recipe"]["structure"] == {"kind": "damped_symplectic", "friction": 0.3}
    assert card["card"]["data"]["recipe"]["integrator"] == "discrete_gradient"


def swung(folder: Path, header: str) -> Path:
    """Twelve short swings under column names of the caller's choice; "" for none."""
    u = measured(3)[:, :12].tolist()
    rows = [(n * DT, k, *state) for k, run in enumerate(u) for n, state in enumerate(run)]
    path = folder / "swings.csv"
    np.savetxt(path, rows, "%.17g", ",", header=header, comments="")
    return path


QUICK = ("--model", "node", "--steps", "1", "--hidden", "2", "--optimizer", "adam")


def test_columns_of_a_table_are_named_on_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """By name or number, alike for `train` and `compare`."""
    model = str(tmp_path / "m.safetensors")
    usual = str(swung(tmp_path, "t,trial,q,p"))
    wanted = call(capsys, "train", "--data", usual, *QUICK)["data"]
    for header, options in (
        ("clock,run,q,p", ("--time", "clock", "--trajectory", "run")),
        ("clock,run,q,p", ("--time", "0", "--trajectory", "run", "--variable", "q,p")),
        ("", ("--time", "0", "--trajectory", "1")),
    ):
        data = ("--data", str(swung(tmp_path, header)), *options)
        assert call(capsys, "train", *data, *QUICK, "--save", model)["data"] == wanted
        assert call(capsys, "compare", *data, "--checkpoint", model)["steps"] == 11
    turned = ("--data", str(swung(tmp_path, "t,trial,q,p")), "--variable", "p,q")
    assert call(capsys, "train", *turned, *QUICK)["data"] != wanted


@pytest.mark.parametrize(
    ("header", "options", "line"),
    [
        ("", (), "(t, q, p), or give --time or --variable"),
        ("q1,trial,q,p", (), "rename it time or t, or give --time or --variable"),
        ("t,run,q,p", (), "column trajectory, or sort the rows, or give --trajectory"),
        ("t,trial,q,p", ("--variable", "v"), "has no column 'v', only t, trial, q, p"),
        ("t,trial,q,p", ("--dt", "1"), "dt=1: time of trajectory 0 has steps of 0.05, convert"),
    ],
)
def test_ways_out_are_told_as_the_command_line_has_them(
    header: str,
    options: tuple[str, ...],
    line: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    data = ("--data", str(swung(tmp_path, header)), *options)
    for command in (("train", *QUICK), ("compare", "--checkpoint", "m.safetensors")):
        told = refused(capsys, *command, *data)
        assert told.startswith(f"ddg-explorer {command[0]}: error: data=")
        assert line in told


def test_what_arrays_need_is_told_as_the_command_line_has_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, u = tmp_path / "a.npz", measured(3)[:, :12].numpy()
    t = np.arange(12) * DT
    for arrays, line in (
        ({"u": u}, "has no times: give --dt"),
        ({"v": u, "t": t}, "has no variable 'u', only t, v: rename one u, or give --variable"),
        ({"u": u[:, :, None, None], "t": t}, "or channel needs no dimension: give --length"),
    ):
        np.savez(path, **arrays)
        assert line in refused(capsys, "train", "--data", str(path), *QUICK)
    np.savez(path, u=u, v=u, t=t)
    assert cli.main(["train", "--data", str(path), *QUICK]) == 0
    line = "u is read alone, without v; --variable u,v takes all of them"
    assert line in capsys.readouterr().err
    kept = read_dataset(path).save(tmp_path / "kept.nc")
    assert cli.main(["train", "--data", str(kept), *QUICK]) == 0
    assert "read alone" not in capsys.readouterr().err
    np.savez(path, v=u, t=t)
    assert call(capsys, "train", "--data", str(path), "--variable", "v", *QUICK)["data"]


@pytest.mark.parametrize("option", ["--variable", "--time", "--trajectory"])
def test_what_is_what_in_a_file_needs_a_file(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, "train", "--system", "pendulum", *QUICK, option, "q")
    assert f"{option.removeprefix('--')}='q': needs a file as --data" in told
    told = refused(capsys, "compare", "--data", "pendulum", option, "q")
    assert "needs a file as --data" in told


def test_a_model_starts_from_the_data_that_it_learned(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """From the last state of every trajectory, whatever the kind of file."""
    data, path = read_dataset(folder / "wells.csv"), str(folder / "dgnet.safetensors")
    for suffix in (".nc", ".npz"):
        start = str(data.save(tmp_path / f"data{suffix}"))
        saved = str(tmp_path / "run.npz")
        options = ("--initial", start, "--steps", "1", "--save", saved)
        call(capsys, "simulate", "--checkpoint", path, *options)
        assert np.array_equal(np.load(saved)["u"][0], data.u[:, -1])


def test_an_operator_says_which_numbers_it_needs() -> None:
    for kind, needed in (("matrix", "entries"), ("damped_symplectic", "friction")):
        with pytest.raises(ValueError, match=f"^structure kind='{kind}': needs {needed}$"):
            make_operator({"kind": kind}, (2,), None, torch.Generator())
