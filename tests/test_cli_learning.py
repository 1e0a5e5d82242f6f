"""train, compare, reproduce and inspect from the command line, on tiny budgets."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from ddg_explorer import cli
from ddg_explorer.budgets import budget
from ddg_explorer.data import Dataset
from ddg_explorer.evaluation import one_step_error
from ddg_explorer.models import MODELS, ModelRecipe, load_model, read_card
from ddg_explorer.paper import COMMITTED, PUBLISHED
from ddg_explorer.recipes import make_test
from ddg_explorer.simulation import simulate
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.trajectory import load_trajectory
from ddg_explorer.weights import SHIPPED, find_weights
from ddg_explorer.weights.__main__ import main as make_weights

LANE = {
    *("model", "integrator", "energy_mse", "state_mse", "max_energy_drift"),
    *("max_own_energy_drift", "diverged_at", "ms_per_step"),
}
SMALL = ("--hidden", "6", "--trajectories", "8", "--frames", "40")
TINY = ("--trajectories", "4", "--frames", "20")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def call(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict:
    assert cli.main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_train_saves_a_model_with_its_card(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(tmp_path / "m.safetensors")
    options = (
        "--system",
        "kdv",
        "--model",
        "dgnet",
        "--steps",
        "20",
        "--hidden",
        "4",
        "--seed",
        "3",
    )
    options = (*options, *TINY)
    found = call(capsys, "train", *options, "--save", path)
    assert (found["system"], found["model"], found["steps"]) == ("kdv", "dgnet", 20)
    assert (found["optimizer"], found["checkpoint"]) == ("lm", path)
    assert found["validation_loss"] < 0.2
    assert found["wall_s"] > 0
    card = read_card(path)["card"]
    assert card["data"]["digest"] == found["data"]
    assert card["data"]["recipe"]["preset"] == "published"
    assert (card["data"]["trajectories"], card["data"]["validation"]) == (3, 1)
    assert (card["seed"], card["loss"]) == (3, found["loss"])
    assert {"command", "date", "versions", "machine"} <= card.keys()
    model = load_model(path)
    assert model.key == "dgnet"
    again = call(capsys, "train", *options)
    assert again["loss"] == found["loss"]


def test_train_goes_on_where_it_was(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    state = tmp_path / "run.safetensors"
    options = ("--system", "pendulum", "--model", "node", "--steps", "8", *TINY)
    whole = call(capsys, "train", *options, "--resume", str(state))
    assert state.is_file()
    resumed = call(capsys, "train", *options, "--resume", str(state), "--test")
    assert resumed["steps"] is None or resumed["loss"] == whole["loss"]
    assert resumed["state_mse"] > 0
    options = ("--system", "pendulum", "--model", "node", "--steps", "9", *TINY)
    assert cli.main(["train", *options, "--resume", str(state)]) == 2
    line = capsys.readouterr().err
    assert f"error: resume={str(state)!r}: steps was 8, is now 9" in line


def test_train_takes_models_optimisers_noise_and_own_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pendulum = ("--system", "pendulum", "--preset", "friction", *TINY)
    found = call(
        capsys,
        *("train", *pendulum, "--model", "hnnpp", "--structure", "learned_friction"),
        *("--optimizer", "adam", "--steps", "5", "--hidden", "8", "--activation", "sin"),
        *("--noise", "0.01", "--dtype", "float32"),
    )
    assert (found["optimizer"], found["dtype"], found["steps"]) == ("adam", "float32", 5)
    # 2 → 8 → 8 → 1 and one friction
    assert found["parameters"] == 2 * 8 + 8 + 8 * 8 + 8 + 8 + 1 + 1

    path = str(tmp_path / "own.nc")
    assert cli.main(["simulate", "--system", "mass_spring", "--steps", "30", "--save", path]) == 0
    capsys.readouterr()
    own = ("--data", path, "--system", "mass_spring", "--model", "hnn", "--steps", "3")
    found = call(capsys, "train", *own)
    assert found["system"] == "mass_spring"
    assert found["validation_loss"] is None


def test_the_published_budget_takes_levenberg_marquardt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its network of an ODE is float32; second-order training needs float64."""
    options = ("--system", "pendulum", "--model", "dgnet", "--budget", "published", *SMALL)
    found = call(capsys, "train", *options, "--optimizer", "lm", "--steps", "2")
    assert (found["optimizer"], found["dtype"]) == ("lm", "float64")
    assert budget("published", "pendulum", "dgnet").with_optimizer("soap").network["dtype"] == (
        "float32"
    )


@pytest.mark.parametrize("data", ["spring", "pendulum"])
def test_published_noisy_mechanics_train_by_default(
    capsys: pytest.CaptureFixture[str], data: str
) -> None:
    """Rollouts stay within a quarter of the amplitude, root mean square, over 20 time units."""
    found = call(capsys, "train", "--data", data, "--model", "dgnet", "--test")
    power = float(make_test(data).u.square().mean())
    assert (found["reason"], found["diverged"], found["steps"]) == ("", 0, 40)
    assert 0.9 < found["loss"] < 1.1
    assert (found["loss_unit"], found["hints"]) == ("variance of the noise", [])
    assert found["relative_state_mse"] == pytest.approx(
        found["state_mse"] / float(make_test(data).u.var((0, 1), correction=0).mean())
    )
    assert found["state_mse"] < 0.25**2 * power
    assert found["energy_mse"] < 0.01


def test_first_order_options_reach_the_run_and_change_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = str(tmp_path / "m.safetensors")
    options = ("--system", "two_body", "--model", "dgnet", "--optimizer", "adam", *TINY)
    options = (*options, "--steps", "4", "--hidden", "4", "--save", path)
    plain = call(capsys, "train", *options)
    given = ("--lr", "0.01", "--batch", "7", "--schedule", "cosine", "--unroll", "2")
    found = call(capsys, "train", *options, *given)
    training = read_card(path)["card"]["training"]
    assert [training[name] for name in ("lr", "batch", "schedule", "unroll")] == [
        *(0.01, 7, "cosine", 2)
    ]
    assert found["loss"] != plain["loss"]


def test_trajectories_that_are_not_explained_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ("--data", "pendulum", "--model", "node", "--hidden", "1", "--steps", "3")
    assert cli.main(["train", *options, *TINY]) == 0
    assert "in units of the noise: the data are not explained" in capsys.readouterr().err


BAD = {
    "model='x'": ["--system", "kdv", "--model", "x"],
    "system=None": ["--model", "node"],
    "system='x'": ["--system", "x", "--model", "node"],
    "data='x'": ["--data", "x", "--model", "node"],
    "data='ch'": ["--data", "ch", "--system", "kdv", "--model", "node"],
    "noise=-0.1: must be finite": ["--system", "kdv", "--model", "node", "--noise", "-0.1"],
    "noise=nan: must be finite": ["--system", "kdv", "--model", "node", "--noise", "nan"],
    "trajectories=0: must be at least 1": [
        *("--system", "kdv", "--model", "node", "--trajectories", "0")
    ],
    "frames=-1: must be at least 1": ["--system", "kdv", "--model", "node", "--frames", "-1"],
    "frames=0: must be at least 1": ["--system", "kdv", "--model", "node", "--frames", "0"],
    "frames=1: must be at least 5, or --denoise none": [
        *("--system", "kdv", "--model", "dgnet", "--frames", "1", "--noise", "0.1")
    ],
    "denoise='weak': needs a field": [
        *("--system", "pendulum", "--model", "dgnet", "--denoise", "weak", "--frames", "8")
    ],
    "device='meta': not available here": [
        *("--system", "kdv", "--model", "node", "--device", "meta")
    ],
    "save='x.pt': must end in .safetensors": [
        "--system",
        "kdv",
        "--model",
        "node",
        "--save",
        "x.pt",
    ],
    "separable": ["--system", "kdv", "--model", "srnn"],
    "activation='x'": ["--system", "kdv", "--model", "node", "--activation", "x"],
    "structure='x': use one of symplectic, d_dx": [
        *("--system", "kdv", "--model", "dgnet", "--structure", "x")
    ],
    "steps=0": ["--system", "kdv", "--model", "dgnet", "--steps", "0"],
    "lr=0.01: needs --optimizer adam or soap": [
        *("--system", "kdv", "--model", "dgnet", "--lr", "0.01")
    ],
    "schedule='cosine': needs --optimizer adam or soap": [
        *("--system", "kdv", "--model", "dgnet", "--schedule", "cosine")
    ],
    "lr=nan: must be positive and finite": [
        *("--system", "kdv", "--model", "dgnet", "--optimizer", "adam", "--lr", "nan")
    ],
    "batch=0: must be at least 1": ["--system", "kdv", "--model", "dgnet", "--batch", "0"],
    "unroll=4: must lie in [1, 3]": [
        *("--system", "kdv", "--model", "dgnet", "--optimizer", "adam", "--unroll", "4")
    ],
    "resume='k.run': must end in .safetensors": [
        *("--system", "kdv", "--model", "dgnet", "--resume", "k.run")
    ],
    "scheme='dg'": ["--system", "kdv", "--model", "node", "--scheme", "dg"],
    "set=['alpha=1']: data='kdv' has its own": [
        *("--data", "kdv", "--model", "node", "--set", "alpha=1")
    ],
    "n=64: data='kdv' has its own": ["--data", "kdv", "--model", "node", "--n", "64"],
    "preset='soliton': data='kdv'": ["--data", "kdv", "--model", "node", "--preset", "soliton"],
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_of_train_is_one_line(capsys: pytest.CaptureFixture[str], message: str) -> None:
    code = cli.main(["train", "--trajectories", "2", "--frames", "3", *BAD[message]])
    output = capsys.readouterr()
    assert code == 2
    assert message in output.err
    assert output.err.count("\n") == 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A DGNet and a NODE of KdV, briefly trained."""
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for model, steps in (("dgnet", 30), ("node", 20)):
            paths[model] = str(folder / f"{model}.safetensors")
            options = ["--system", "kdv", "--model", model, "--steps", str(steps), *SMALL]
            assert cli.main(["train", *options, "--save", paths[model]]) == 0
    return paths


def test_compare_tells_laws_apart(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: dict[str, str]
) -> None:
    files = [x for path in trained.values() for x in ("--checkpoint", path)]
    saved = tmp_path / "lanes.nc"
    options = ("--system", "kdv", "--steps", "40", "--models", "dgnet,srnn,hnn")
    found = call(capsys, "compare", *options, *files, "--save", str(saved))
    lanes = {lane["model"]: lane for lane in found["lanes"]}
    assert list(lanes) == ["dgnet", "node", "srnn", "hnn"]
    assert all(lane.keys() >= LANE for lane in found["lanes"])
    dgnet, node = lanes["dgnet"], lanes["node"]
    assert (dgnet["integrator"], node["integrator"]) == ("discrete_gradient", "midpoint")
    assert dgnet["max_own_energy_drift"] < 1e-12
    assert node["max_own_energy_drift"] is None
    assert dgnet["max_energy_drift"] > 1e-9
    assert dgnet["state_mse"] < node["state_mse"]
    assert (dgnet["diverged_at"], dgnet["misfit"], dgnet["note"]) == (None, "", "")
    assert "(q, p)" in lanes["srnn"]["misfit"]
    assert "canonical" in lanes["hnn"]["misfit"]
    assert lanes["srnn"]["energy_mse"] is None
    assert found["truth"]["max_energy_drift"] < 1e-12
    with xr.open_dataset(saved) as data:
        assert data["lane"].values.tolist() == ["truth", "dgnet", "node"]
        error = ((data["u"][1] - data["u"][0]) ** 2).mean()
        assert float(error) == pytest.approx(dgnet["state_mse"], rel=1e-9)
    other = call(capsys, "compare", *options, *files, "--seed", "1")
    assert other["lanes"][0]["state_mse"] != dgnet["state_mse"]


def test_compare_tells_two_models_of_a_kind_by_their_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: dict[str, str]
) -> None:
    paths = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    for path in paths:
        path.write_bytes(Path(trained["node"]).read_bytes())
    files = [x for path in paths for x in ("--checkpoint", str(path))]
    saved = tmp_path / "lanes.json"
    options = ("compare", "--system", "kdv", "--steps", "3", *files, "--dt", "2e-3")
    assert cli.main([*options, "--save", str(saved)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    width = head.index("integrator")
    assert [line[:width].rstrip() for line in lines[:2]] == ["node one", "node two"]
    assert [line.partition(": ")[0] for line in lines[2:]] == ["node one", "node two"]
    lanes = json.loads(saved.read_text())["lanes"]
    assert [(lane["model"], lane["checkpoint"]) for lane in lanes] == [
        ("node", str(path)) for path in paths
    ]


def test_what_a_data_seed_drew_is_never_held_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The published test sets have seed 1: data of that seed are tested on another one."""
    starts = {}
    for seed in ("0", "1"):
        path, lanes = str(tmp_path / f"{seed}.safetensors"), tmp_path / f"{seed}.nc"
        options = ("--system", "kdv", "--model", "node", "--steps", "2", "--hidden", "4", *TINY)
        found = call(capsys, "train", *options, "--data-seed", seed, "--test", "--save", path)
        test = make_test("kdv", seed=1 + int(seed))
        assert found["one_step"] == one_step_error(load_model(path), test)
        options = ("--system", "kdv", "--steps", "2", "--checkpoint", path)
        call(capsys, "compare", *options, "--save", str(lanes))
        with xr.open_dataset(lanes) as data:
            starts[seed] = data["u"].values[0, 0]
    for seed, start in starts.items():
        assert (start == make_test("kdv", seed=1 + int(seed), steps=1).u[0, 0].numpy()).all()


def test_compare_says_why_a_model_does_not_fit(
    capsys: pytest.CaptureFixture[str], trained: dict[str, str]
) -> None:
    def misfit(*options: str) -> str:
        arguments = ["compare", *options, "--checkpoint", trained["dgnet"], "--steps", "2"]
        assert cli.main([*arguments, "--json"]) == 1
        output = capsys.readouterr()
        line = json.loads(output.out)["lanes"][0]["misfit"]
        assert line in output.err
        return line

    assert "Δx = 0.2" in misfit("--system", "kdv", "--preset", "soliton")
    assert "trained on kdv" in misfit(
        "--system", "cahn_hilliard", "--n", "16", "--length", "3.2", "--dt", "1e-4"
    )
    same = ("--preset", "published", "--set", "alpha=-5")
    assert "alpha = -6" in misfit("--system", "kdv", *same)
    assert cli.main(["compare", "--system", "wave"]) == 2
    assert "no tanh weights of wave are shipped" in capsys.readouterr().err


def test_a_stencil_runs_on_another_number_of_points(
    capsys: pytest.CaptureFixture[str], trained: dict[str, str]
) -> None:
    wide = ("--preset", "published", "--n", "100", "--length", "20", "--dt", "1e-3")
    options = ("--system", "kdv", *wide, "--steps", "5", "--checkpoint", trained["dgnet"])
    lane = call(capsys, "compare", *options)["lanes"][0]
    assert lane["misfit"] == ""
    assert lane["max_own_energy_drift"] < 1e-12


def test_simulate_runs_a_model_in_the_systems_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: dict[str, str]
) -> None:
    options = ("--system", "kdv", "--preset", "published", "--steps", "20")
    found = call(capsys, "simulate", *options, "--checkpoint", trained["dgnet"])
    assert (found["model"], found["integrator"]) == ("dgnet", "discrete_gradient")
    assert found["max_own_energy_drift"] < 1e-12 < found["max_energy_drift"]
    saved = str(tmp_path / "node.nc")
    node = call(capsys, "simulate", *options, "--checkpoint", trained["node"], "--save", saved)
    assert node["integrator"] == "midpoint"
    own = ("own_energy_start", "own_energy_end", "max_own_energy_drift", "own_energy_rises")
    assert [node[name] for name in own] == [None] * 4
    # the true energy along a learned field is known, and is not kept
    assert node["energy_start"] == found["energy_start"]
    changes = load_trajectory(saved).energy.diff()
    assert changes.abs().min() > 1e-9
    assert node["energy_rises"] == int((changes > 0).sum())
    assert found["own_energy_rises"] == 0
    other = ["simulate", "--system", "kdv", "--checkpoint", trained["dgnet"]]
    assert cli.main([*other, "--preset", "soliton"]) == 2
    assert "trained with Δx = 0.2" in capsys.readouterr().err
    assert cli.main([*other, "--set", "alpha=-5"]) == 2
    line = capsys.readouterr().err
    assert line.endswith("trained with alpha = -6, this system has -5; give --set alpha=-6.0\n")
    # without a preset, the one that the model learned
    assert call(capsys, *other, "--steps", "1")["preset"] == "published"


@pytest.mark.parametrize("shape", [(2, 32), (3, 1, 8, 32), (40,), (40, 20)])
def test_a_state_of_other_channels_or_axes_is_compared_with_the_trained_shape(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    trained: dict[str, str],
    shape: tuple[int, ...],
) -> None:
    trained_shape = load_model(trained["dgnet"]).state_shape
    state = str(tmp_path / "state.npz")
    save_state(state, shape)
    arguments = ["simulate", "--checkpoint", trained["dgnet"], "--initial", state, "--steps", "1"]
    assert cli.main(arguments) == 2
    line = capsys.readouterr().err
    assert f"initial={state!r}: has shape {shape}, needs (..., *{trained_shape})" in line


CH = "cahn_hilliard"
ODE = "pendulum"


def shipped(name: str) -> str:
    (path,) = [str(row.path) for row in SHIPPED if row.name == name]
    return path


@pytest.mark.parametrize(
    ("structure", "kept"),
    [("d_dx", "energy"), ("minus_identity", "nothing"), ("degenerate_mobility", "mass")],
)
def test_structure_puts_a_learned_energy_under_another_operator(
    capsys: pytest.CaptureFixture[str], structure: str, kept: str
) -> None:
    """∂x keeps H_θ, −M and ∇·(m∇) lower it, −M does not keep the mass."""
    options = ("simulate", "--system", CH, "--checkpoint", shipped("ch.dgnet.tanh"))
    options = (*options, "--steps", "20")
    own = call(capsys, *options)
    found = call(capsys, *options, "--structure", structure)
    assert (own["structure"], found["structure"]) == ("laplacian", structure)
    assert found["own_energy_start"] == own["own_energy_start"]
    assert found["own_energy_rises"] == own["own_energy_rises"] == 0
    fell = found["own_energy_start"] - found["own_energy_end"]
    assert abs(fell) < 1e-13 if kept == "energy" else fell > 1e-6
    assert (found["mass_drift"] < 1e-15) == (kept != "nothing")


def test_the_structure_of_the_data_leaves_a_learned_operator_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = shipped("pendulum_damped.dgnet.tanh.learned_friction")
    options = ("simulate", "--system", ODE, "--checkpoint", path, "--steps", "9")
    options = (*options, "--set", "friction=0.2")
    plain = call(capsys, *options)
    named = call(capsys, *options, "--structure", "damped_symplectic")
    assert named["own_energy_end"] == plain["own_energy_end"] < plain["own_energy_start"] - 0.1
    free = call(capsys, *options, "--structure", "symplectic")
    assert abs(free["own_energy_end"] - free["own_energy_start"]) < 1e-12


@pytest.mark.parametrize(
    ("system", "model", "options", "reason", "way_out"),
    [
        (CH, "ch.node.tanh", "--structure d_dx", "has no H to put", "--structure laplacian"),
        (CH, "ch.dgnet.tanh", "--set mobility=2", "mobility = 0", "--structure laplacian"),
        (CH, "ch.dgnet.tanh", "--set gamma=1e-3", "gamma = 0.0005", "--set gamma=0.0005"),
        (ODE, "pendulum.hnn.tanh", "--structure damped_symplectic", "f", "--structure symplectic"),
        (ODE, "pendulum.hnn.tanh", "--structure minus_identity", "own G", "--structure symplectic"),
        (ODE, "pendulum_damped.node.tanh", "", "friction = 0.2", "--set friction=0.2"),
    ],
)
def test_a_model_that_does_not_take_the_structure_says_what_does(
    capsys: pytest.CaptureFixture[str],
    system: str,
    model: str,
    options: str,
    reason: str,
    way_out: str,
) -> None:
    arguments = ["simulate", "--system", system, "--checkpoint", shipped(model), "--steps", "1"]
    assert cli.main([*arguments, *options.split()]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert reason in line
    assert line.endswith(f"; give {way_out}\n")
    call(capsys, *arguments, *way_out.split())


def test_a_model_of_another_structure_is_refused_without_a_parameter_that_tells(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Trained under ∂x of Cahn–Hilliard's H: the true lane's Δ is another equation."""
    made = SYSTEMS[CH]("published", structure="d_dx", dt=1e-6)
    data = Dataset.of(simulate(made, steps=3), made)
    path = str(
        ModelRecipe.fitting("dgnet", data, hidden=2).build().save(tmp_path / "m.safetensors")
    )
    arguments = ["simulate", "--system", CH, "--checkpoint", path, "--steps", "1"]
    arguments += ["--preset", "published"]
    assert cli.main(arguments) == 2
    line = capsys.readouterr().err
    told = "trained under G = d_dx, this system has laplacian; give --structure d_dx\n"
    assert line.endswith(told)
    assert call(capsys, *arguments, "--structure", "d_dx")["structure"] == "d_dx"
    compared = ["compare", "--system", CH, "--checkpoint", path, "--steps", "1", "--json"]
    assert cli.main(compared) == 1
    lane = json.loads(capsys.readouterr().out)["lanes"][0]
    assert lane["misfit"] == "trained under G = d_dx, this system has laplacian"


def save_state(path: str, shape: tuple[int, ...]) -> None:
    """A trajectory of one frame."""
    np.savez(path, u=np.zeros((1, *shape)), t=np.zeros(1))


def test_a_model_alone_takes_another_number_of_points(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: dict[str, str]
) -> None:
    state = str(tmp_path / "state.npz")
    save_state(state, (1, 60))
    options = ("--checkpoint", trained["dgnet"], "--initial", state, "--steps", "1")
    assert call(capsys, "simulate", *options)["n"] == [60]


def test_shipped_weights_alone_take_the_step_of_their_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, saved = shipped("spring.dgnet.tanh"), str(tmp_path / "run.npz")
    alone = ("simulate", "--checkpoint", path, "--initial", "0.7,0", "--steps", "1")
    found = call(capsys, *alone)
    assert (found["dt"], found["note"]) == (20 / 99, "")
    other = call(capsys, *alone, "--dt", "0.02", "--save", saved)
    assert other["note"].startswith("learned at Δt = 0.20202, stepped at 0.02: ")
    assert load_trajectory(saved).note == other["note"]


def test_inspect_reports_operator_and_card(
    capsys: pytest.CaptureFixture[str], trained: dict[str, str]
) -> None:
    found = call(capsys, "inspect", trained["dgnet"])
    assert found["kernel"] == [-2.5, 0.0, 2.5]
    assert found["matrix"] is None
    assert found["sum_over_centre"] == 0
    assert found["verdicts"] == {"mass": True, "energy": "conserved", "isotropic": False}
    assert found["symbol_max_over_abs_min"] is None
    assert found["card"]["steps"] == 30
    node = call(capsys, "inspect", trained["node"])
    assert node["kernel"] is None
    assert node["verdicts"] is None
    assert cli.main(["inspect", trained["dgnet"]]) == 0
    assert "energy is conserved" in capsys.readouterr().out
    assert cli.main(["inspect", "missing.safetensors"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_reproduce_shows_the_committed_results(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert COMMITTED.is_dir()
    table = tmp_path / "table.md"
    found = call(capsys, "reproduce", "kdv", "ch", "--show", "--save", str(table))
    assert list(found) == ["kdv", "ch"]
    for name, rows in found.items():
        row = rows["dgnet@ours/dg/dg"]
        assert row.keys() >= {"energy_mse", "state_mse", "published", "wall_s"}
        assert row["energy_mse"].keys() == {"mean", "median", "stderr", "seeds"}
        assert row["published"] == PUBLISHED[name]["dgnet/dg/dg"]
    assert "2.55e-04" in table.read_text(encoding="utf-8")


def test_bad_input_of_reproduce_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["xyz"], ["kdv", "--seeds", "0"], ["kdv", "--budget", "x"]):
        assert cli.main(["reproduce", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["reproduce", "kdv", "--tests", "x"]) == 2
    assert "test, fresh, long" in capsys.readouterr().err


REFUSED = {
    "models='dgnet/rk2': no such row; use some of node/rk2": ["--models", "dgnet/rk2"],
    "models='srnn': no such row": ["--models", "dgnet,srnn"],
    "results='/dev/null/x': must be a folder": ["--results", "/dev/null/x"],
    "save='x.txt': must end in .md or .json": ["--save", "x.txt"],
    "steps=0: must be at least 1": ["--steps", "0"],
    "device='meta': not available here": ["--device", "meta"],
}


@pytest.mark.parametrize("message", REFUSED)
def test_options_of_reproduce_are_checked_before_it_runs(
    capsys: pytest.CaptureFixture[str], message: str
) -> None:
    assert cli.main(["reproduce", "kdv", *REFUSED[message]]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("inspect", "no.safetensors"), "checkpoint='no.safetensors': no such file"),
        (
            ("compare", "--system", "kdv", "--checkpoint", "no.safetensors"),
            "checkpoint='no.safetensors': no such file",
        ),
        (("compare", "--system", "kdv", "--save", "a.txt"), "save='a.txt': must end in"),
        (("compare", "--data", "no.csv", "--checkpoint", "m"), "data='no.csv': no such file"),
    ],
)
def test_files_are_named_by_their_option(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert cli.main(list(arguments)) == 2
    line = capsys.readouterr().err
    assert message in line
    assert line.count("\n") == 1


def test_the_list_of_models_and_the_table_of_weights(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(capsys, "list")["models"] == list(MODELS)
    names = [row.name for row in SHIPPED]
    assert len(set(names)) == len(names)
    assert {row.model for row in SHIPPED} <= MODELS.keys()
    assert find_weights("kdv", "dgnet", "nothing") is None
    made = [row for row in SHIPPED if row.path.is_file()]
    assert sum(row.path.stat().st_size for row in made) < 10 * 2**20
    for row in made:
        model, card = load_model(row.path), read_card(row.path)["card"]
        assert (model.key, model.context["system"]) == (row.model, row.system)
        # an H with kinks has steps that are not solved, explicit midpoint steps of a learned H blow
        # up on the stiff field, a learned T + V lets the bodies go; cards and rollouts tell
        unstable = ("ch2d.hnnpp.tanh", "two-body.srnn.tanh")
        may_diverge = row.activation == "relu" or row.name in unstable
        assert card["metrics"]["diverged"] == 0 or may_diverge
        assert card["data"]["recipe"]["noise"] == 0


def test_the_cards_of_the_shipped_models_are_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "cards.md"
    assert make_weights(["pendulum.dgnet", "--cards", str(target)]) == 0
    rows = [line for line in target.read_text().splitlines() if line.startswith("| pendulum.dgnet")]
    made = [row for row in SHIPPED if row.name.startswith("pendulum.dgnet") and row.path.is_file()]
    assert [line.split("|")[1].strip() for line in rows] == [row.name for row in made]
    state = read_card(made[0].path)["card"]["metrics"]["state_mse"]
    assert f"{state:.2e}" in rows[0]
    # rollouts that are lost have errors of no meaning
    assert make_weights(["ch2d.hnnpp.tanh", "--cards", str(target)]) == 0
    *_, row = target.read_text().splitlines()
    assert [cell.strip() for cell in row.split("|")].count("diverges") == 2
    with pytest.raises(SystemExit):
        make_weights(["--cards", "cards.txt"])
    assert "cards.txt" in capsys.readouterr().err
