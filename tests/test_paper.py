"""The published tables as data, resumable cells, metrics on forecasts known exactly, summaries."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ddg_explorer.budgets import SMALL, budget
from ddg_explorer.data import Dataset
from ddg_explorer.evaluation import (
    Forecast,
    derivative_error,
    errors,
    forecast,
    one_step_error,
    own_drift,
    true_drift,
)
from ddg_explorer.models import ModelRecipe
from ddg_explorer.paper import (
    COMMITTED,
    DATA,
    PUBLISHED,
    Cell,
    Study,
    cells,
    markdown,
    summarise,
)
from ddg_explorer.paper.summary import over_seeds
from ddg_explorer.paper.tables import aligned, number
from ddg_explorer.recipes import DATA_RECIPES, make_dataset

SIZES = {"trajectories": 3, "steps": 5}


def test_the_published_rows_are_all_there() -> None:
    assert {name: len(rows) for name, rows in PUBLISHED.items()} == {
        "kdv": 7,
        "ch": 7,
        "spring": 6,
        "pendulum": 6,
        "two-body": 6,
        "real-pendulum": 6,
    }
    assert PUBLISHED["kdv"]["dgnet/dg/dg"]["state_mse"] == 2.55e-4
    assert PUBLISHED["ch"]["dgnet/dg/dg"]["energy_mse"] == 3.40e-7
    assert DATA.keys() == PUBLISHED.keys()
    assert set(DATA.values()) <= DATA_RECIPES.keys()


def test_cells_are_the_trainings_behind_the_rows() -> None:
    kdv = list(cells(["kdv"], budgets=["published"]))
    assert [(c.model, c.train) for c in kdv] == [
        ("node", "rk2"),
        ("node", "dopri5"),
        ("hnnpp", "rk2"),
        ("hnnpp", "dopri5"),
        ("dgnet", "dg"),
    ]
    assert kdv[-1].predictions == ("rk2", "dopri5", "dg")
    assert kdv[-1].how.name == "published"
    lean = list(cells(["kdv"], seeds=2))
    assert {c.train for c in lean} == {"rk2", "dg"}
    assert sorted({c.seed for c in lean}) == [0, 1]
    only = list(cells(["ch"], models=["node/dopri5"], steps=7))
    assert [(c.model, c.train, c.how.name) for c in only] == [("node", "dopri5", "ours-7-steps")]
    for bad in ({"models": ["nodes"]}, {"seeds": 0}, {"budgets": ["mine"]}):
        with pytest.raises(ValueError, match=str(next(iter(bad)))[:5]):
            [cell.how for cell in cells(["kdv"], **bad)]


def test_the_published_budget_is_the_papers() -> None:
    pde = budget("published", "kdv", "dgnet")
    assert pde.training["steps"] == 10_000
    assert pde.training["batch"] == 200
    ode = budget("published", "pendulum", "hnn")
    assert ode.network["dtype"] == "float32"
    assert ode.training["weight_decay"] == 1e-4
    assert ode.training["batch"] is None


def study(folder: Path) -> Study:
    return Study(folder / "results", folder / "work", "pytest", cache=False, sizes=SIZES)


def test_energies_trained_with_dormand_prince_keep_raw_inputs() -> None:
    """Whitened, an untrained energy is so stiff that its first step does not end."""
    pairs = [("hnnpp", "dopri5"), ("node", "dopri5"), ("hnnpp", "rk2")]
    data, options = make_dataset(DATA_RECIPES["kdv"], trajectories=2, steps=2, cache=False), {}
    for model, scheme in pairs:
        how = budget("ours", "kdv", model)
        made = ModelRecipe.fitting(model, data, scheme=scheme, **how.network).build()
        options[model, scheme] = how.options(made)
    assert [options[pair].get("scale") for pair in pairs] == [False, True, None]
    assert [options[pair]["optimizer"] for pair in pairs] == ["adam", "adam", "lm"]


def test_a_cell_runs_once_and_adds_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SMALL, "kdv", 4)
    cell = Cell("kdv", "dgnet", "dg", "ours", 0, steps=15)
    kinds = [event.what for event in study(tmp_path).run(cell)]
    assert list(dict.fromkeys(kinds)) == ["train", "rk2 on test", "dopri5 on test", "dg on test"]
    path = cell.path(tmp_path / "results")
    first = json.loads(path.read_text())
    assert first["predictions"]["dg"]["test"]["max_own_energy_drift"] < 1e-11
    assert first["steps"] == 15
    assert first["command"] == "pytest"
    assert list(study(tmp_path).run(cell)) == []
    more = [event.what for event in study(tmp_path).run(cell, ["test", "fresh"])]
    assert list(dict.fromkeys(more)) == ["rk2 on fresh", "dopri5 on fresh", "dg on fresh"]
    second = json.loads(path.read_text())
    assert second["date"] == first["date"]
    assert second["predictions"]["dg"]["test"] == first["predictions"]["dg"]["test"]
    fresh = second["predictions"]["dg"]["fresh"]
    assert fresh["data"] != first["predictions"]["dg"]["test"]["data"]
    rows = summarise(tmp_path / "results", ["kdv"])["kdv"]
    row = rows["dgnet@ours-15-steps/dg/dg"]
    assert row["energy_mse"]["seeds"] == [first["predictions"]["dg"]["test"]["energy_mse"]]
    assert row["published"] == PUBLISHED["kdv"]["dgnet/dg/dg"]
    assert row["fresh"]["state_mse"]["mean"] == fresh["state_mse"]


def test_a_killed_cell_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    cell = Cell("spring", "srnn", "leapfrog", "ours", 0, steps=6)
    for event in (run := study(tmp_path / "killed").run(cell)):
        if event.what == "train" and event.done == 3:
            run.close()
            break
    assert not cell.path(tmp_path / "killed" / "results").exists()
    resumed = [e for e in study(tmp_path / "killed").run(cell) if e.what == "train"]
    assert [event.done for event in resumed] == [4, 5, 6]
    list(study(tmp_path / "whole").run(cell))
    found = [
        json.loads(cell.path(tmp_path / kind / "results").read_text())["predictions"]
        for kind in ("killed", "whole")
    ]
    one, other = (f["leapfrog"]["test"] for f in found)
    assert one["state_mse"] == other["state_mse"]
    assert one["energy_mse"] == other["energy_mse"]


def test_a_cell_stopped_in_its_first_prediction_keeps_its_training(tmp_path: Path) -> None:
    cell = Cell("spring", "srnn", "leapfrog", "ours", 0, steps=3)
    for event in (run := study(tmp_path).run(cell)):
        if event.what != "train":
            run.close()
            break
    trained = json.loads(cell.path(tmp_path / "results").read_text())
    assert (trained["steps"], trained["predictions"]) == (3, {})
    assert summarise(tmp_path / "results", ["spring"]) == {"spring": {}}
    kinds = {event.what for event in study(tmp_path).run(cell)}
    assert kinds == {"leapfrog on test"}
    found = json.loads(cell.path(tmp_path / "results").read_text())
    assert found["date"] == trained["date"]
    assert found["predictions"].keys() == {"leapfrog"}


def test_the_pendulums_two_energies_are_told_apart(tmp_path: Path) -> None:
    cell = Cell("pendulum", "hnn", "rk2", "ours", 0, steps=2)
    list(study(tmp_path).run(cell))
    figures = json.loads(cell.path(tmp_path / "results").read_text())["predictions"]["rk2"]["test"]
    assert figures["energy_mse"] != figures["true_energy_mse"]
    text = markdown(summarise(tmp_path / "results", ["pendulum"]))
    assert "q² + p²" in text
    assert "4.04e-01" in text


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "kdv").mkdir()
    (tmp_path / "kdv" / "x.json").write_text("[]")
    with pytest.raises(ValueError, match=r"x\.json.*no result"):
        summarise(tmp_path, ["kdv"])


def known_forecast() -> tuple[Forecast, torch.Tensor]:
    """Off by 0.1 and by 0.2 everywhere; the second one lost after two of four frames."""
    truth = torch.arange(16, dtype=torch.float64).reshape(2, 4, 2)
    u = truth.transpose(0, 1) + torch.tensor([0.1, 0.2], dtype=torch.float64)[:, None]
    u[2:, 1] = math.nan
    own = torch.ones(4, 2, dtype=torch.float64)
    own[1:, 0] = 1.5
    own[2:, 1] = math.nan
    return Forecast(u, own, torch.tensor([4, 2]), ["t = 1: lost"], 0.0, 0.6), truth


def test_errors_count_up_to_the_last_good_frame() -> None:
    found, truth = known_forecast()
    figures = errors(found, truth, lambda u: u.sum(-1))
    assert figures["diverged"] == 1
    assert figures["state_mse"] == pytest.approx((4 * 0.01 + 2 * 0.04) / 6)
    assert figures["energy_mse"] == pytest.approx((4 * 0.04 + 2 * 0.16) / 6)
    assert figures["state_mse_median"] == pytest.approx(0.01)
    true, own = true_drift(found, lambda u: u.sum(-1), 0.0), own_drift(found, 0.0)
    assert own == 0.5
    # H = q + p rises from 1.2 to 13.2 along the first one
    assert true == pytest.approx(12 / 1.2)


def test_a_diverging_trajectory_leaves_the_others_alone() -> None:
    """u̇ = 50 max(u, 0): explodes from 1, rests at −1."""
    data = Dataset(torch.zeros(1, 2, 1, dtype=torch.float64), 1.0)
    recipe = ModelRecipe.fitting("node", data, hidden=1, depth=1, activation="relu")
    model = recipe.build()
    with torch.no_grad():
        model.get_parameter("network.field.layers.0.weight").fill_(1.0)
        model.get_parameter("network.field.layers.1.weight").fill_(50.0)
    found = forecast(model, torch.tensor([[1.0], [-1.0]], dtype=torch.float64), 1.0, 5)
    assert found.frames.tolist() == [2, 6]
    assert found.diverged.tolist() == [True, False]
    assert found.u[1, 0] == 1301
    assert found.u[:, 1].tolist() == [[-1.0]] * 6
    assert torch.isnan(found.u[2:, 0]).all()
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith("t = 1: ")
    assert found.reasons[0].endswith("; reduce dt (now 1)")
    assert own_drift(found, 1.0) is None


def test_one_step_error_is_the_mean_square_residual() -> None:
    data = Dataset(torch.tensor([[[0.0], [1.0], [3.0]]], dtype=torch.float64), 0.5)
    model = ModelRecipe.fitting("node", data, hidden=2).build()
    with torch.no_grad():
        model.get_buffer("network.field.scale").zero_()
    # f = 0: the residual is (v − u)/Δt itself, 2 and 4
    assert one_step_error(model, data) == pytest.approx((4 + 16) / 2)


def test_the_derivative_error_is_the_mean_square_difference_of_the_right_hand_sides() -> None:
    """ü = −ω²q in (q, p), H = p² + q², noise σ: f itself has 4σ², a model at rest mean |f|²."""
    recipe = DATA_RECIPES["spring"]
    clean = make_dataset(replace(recipe, noise=0.0), seed=7, cache=False)
    noisy = make_dataset(recipe, seed=7, cache=False)
    system = recipe.make_system()
    rest = ModelRecipe.fitting("node", clean, hidden=2).build()
    with torch.no_grad():
        rest.get_buffer("network.field.scale").zero_()
    assert derivative_error(rest, system, clean, noisy.u) == pytest.approx(
        float((4 * clean.u.square()).mean())
    )
    exact = ModelRecipe.fitting("dgnet", clean, hidden=2, skip=True).build()
    with torch.no_grad():
        for name, weight in exact.named_parameters():
            weight.copy_(torch.eye(2) if name.endswith("quadratic") else torch.zeros_like(weight))
    scale = float((exact.energy(clean.u) / system.energy(clean.u)).detach().mean())
    with torch.no_grad():
        next(w for n, w in exact.named_parameters() if n.endswith("quadratic")).div_(scale)
    assert derivative_error(exact, system, clean, clean.u) < 1e-24
    floor = 4 * float((noisy.u - clean.u).square().mean())
    assert derivative_error(exact, system, clean, noisy.u) == pytest.approx(floor)
    assert floor == pytest.approx(4 * recipe.noise**2, rel=0.05)


def test_noisy_mechanics_have_one_recipe_for_all_budgets_of_ours() -> None:
    for experiment, model, hidden in (("spring", "dgnet", 8), ("pendulum", "srnn", 6)):
        cell = Cell(experiment, model, "dg", "ours", 0)
        for name in ("ours", "quick"):
            found = budget(name, cell.recipe.system, model, noisy=True)
            assert found.network == cell.how.network == {"hidden": hidden, "skip": True}
            assert found.training == cell.how.training
            assert found.training["noise"] == "states"
    assert "noise" not in budget("ours", "pendulum", "dgnet").training
    own = budget("quick", "", "dgnet", ode=True, noisy=True)
    assert own.training["noise"] == "states"
    assert budget("ours", "kdv", "dgnet", noisy=True) == budget("ours", "kdv", "dgnet")
    assert "noise" not in budget("published", "pendulum", "dgnet", noisy=True).training


def test_results_older_than_a_metric_are_shown_without_it(tmp_path: Path) -> None:
    """The KdV DGNet of the published budget: no du/dt error, and 4 of 5 seeds ran `fresh`."""
    key = "dgnet@published/dg/dg"
    for path in COMMITTED.glob("kdv/dgnet@published*.json"):
        result = json.loads(path.read_text())
        for figures in result["predictions"]["dg"].values():
            figures.pop("du_dt", None)
        if result["seed"] == 2:
            result["predictions"]["dg"].pop("fresh", None)
        (tmp_path / "kdv").mkdir(exist_ok=True)
        (tmp_path / "kdv" / path.name).write_text(json.dumps(result))
    row = summarise(tmp_path, ["kdv"])["kdv"][key]
    assert (row["du_dt"]["mean"], row["trained"]) == (None, [0, 1, 2, 3, 4])
    assert row["fresh"]["seed_numbers"] == [0, 1, 3, 4]
    text = markdown({"kdv": {key: row}}, seeds=True)
    main, *every = [line for line in text.splitlines() if line.startswith("| dgnet")][:8]
    cells = [cell.strip() for cell in main.strip("|").split("|")]
    assert cells[7:10] == ["–", "1.75e-02", number(row["one_step"]["mean"])]
    counts = {tuple(c.strip() for c in line.strip("|").split("|"))[1:4:2] for line in every[-6:]}
    assert ("fresh", "4 of 5") in counts
    assert ("test", "5") in counts


def test_a_row_that_is_not_beaten_is_named() -> None:
    found = {m: over_seeds([{"x": 1e-3}], "x") for m in ("du_dt", "one_step", "energy_mse")}
    rest = {"published": {"du_dt": 3.85e-2, "energy_mse": 6.17e-4}, "wall_s": 1.0, "cpu_s": 1.0}
    row = {**found, **rest, "seed_numbers": [0], "trained": [0]}
    line = "Ours is larger than published: dgnet@ours/dg/dg (energy 1.00e-03 against 6.17e-04)."
    assert line in markdown({"spring": {"dgnet@ours/dg/dg": row}})
    assert "larger" not in markdown({"spring": {"dgnet@published/dg/dg": row}})
    assert "larger" not in markdown({"real-pendulum": {"dgnet@ours/dg/dg": row}})


def test_statistics_over_seeds() -> None:
    found = over_seeds([{"x": 1.0}, {"x": 2.0}, {"x": 6.0}, {"x": None}], "x")
    assert found["mean"] == 3
    assert found["median"] == 2
    assert found["stderr"] == pytest.approx(math.sqrt(7 / 3))
    assert found["seeds"] == [1.0, 2.0, 6.0, None]
    assert over_seeds([{"x": 5.0}], "x")["stderr"] is None
    assert over_seeds([{"x": 5.0}, {}], "x")["seeds"] == [5.0, None]


def test_tables_line_up_and_tell_every_seed() -> None:
    figures = over_seeds([{"x": 1e-9}, {"x": 3e-9}], "x")
    lost = over_seeds([{"x": 0}, {"x": 2}], "x")
    row = {
        **{"one_step": figures, "energy_mse": figures, "state_mse": over_seeds([{"x": 1e9}], "x")},
        **{"diverged": lost, "published": {"energy_mse": 2.0}},
        **{"fresh": {"energy_mse": figures, "seed_numbers": [0, 1]}},
        **{"seed_numbers": [0, 1], "trained": [0, 1, 2], "wall_s": 60.0, "cpu_s": None},
    }
    text = markdown({"kdv": {"dgnet@ours/dg/dg": row}}, seeds=True)
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert [len({len(line) for line in block}) for block in blocks] == [1, 1]
    cells = [cell.strip() for cell in blocks[0][2].strip("|").split("|")]
    assert cells[:7] == ["dgnet", "dg", "dg (2 rollouts diverged)", "ours", "2 of 3", "60", "–"]
    assert cells[7:] == ["–", "–", "2.00e-09", "2.00e-09", "2", "diverged", "–"]
    assert len(blocks[0]) == 2 + len(PUBLISHED["kdv"])
    every = [[cell.strip() for cell in line.strip("|").split("|")] for line in blocks[1][2:]]
    assert [line[1:3] for line in every] == [
        ["test", "one step"],
        ["test", "energy"],
        ["test", "state"],
        ["fresh", "energy"],
    ]
    assert every[1][3:] == ["2 of 3", "2.00e-09 ± 1.0e-09", "2.00e-09", "1.00e-09, 3.00e-09"]
    assert "Every seed" not in markdown({"kdv": {"dgnet@ours/dg/dg": row}})
    assert aligned([["a", "b"], ["long", ""]]) == "| a    | b |\n| ---- | - |\n| long |   |"
    assert [number(x) for x in (None, 11.5, 4.57e4, 0.2)] == ["–", "11.5", "4.57e+04", "2.00e-01"]


def budget_of(result: dict) -> tuple[str, int, int | None]:
    """Budget, seed, and steps where the name tells them."""
    name, *steps = result["budget"].removesuffix("-steps").split("-")
    return name, result["seed"], int(steps[0]) if steps else None


@pytest.mark.parametrize("path", sorted(COMMITTED.glob("*/*.json")), ids=lambda p: p.stem)
def test_committed_results_are_of_todays_recipes(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    recipe = DATA_RECIPES[DATA[path.parent.name]].to_dict()
    made = {key: result["data"]["recipe"][key] for key in recipe}
    assert made == recipe
    assert result["reason"] == ""
    cell = Cell(path.parent.name, result["model"], result["train"], *budget_of(result))
    assert cell.how.name == result["budget"]
    for name, value in cell.how.network.items():
        assert result["network"][name] == value
    made_by = {**result["training"], "steps": result["steps"]}
    options = [cell.how.training, *([cell.how.otherwise] if cell.how.otherwise else [])]
    today = [json.loads(json.dumps({**how, "steps": result["steps"]})) for how in options]
    # energies with Dormand–Prince keep raw inputs
    assert made_by in [*today, *({**how, "scale": False} for how in today)]
    if cell.steps is None and "steps" in cell.how.training:
        assert result["steps"] in {how.get("steps") for how in options}
    assert {"command", "date", "versions", "wall_s", "loss"} <= result.keys()


@pytest.mark.parametrize("name", ["kdv", "ch"])
def test_our_dgnet_beats_the_published_one_a_hundred_times(name: str) -> None:
    row = summarise(COMMITTED, [name])[name]["dgnet@ours/dg/dg"]
    published = PUBLISHED[name]["dgnet/dg/dg"]
    for metric in ("energy_mse", "state_mse"):
        assert max(row[metric]["seeds"]) < published[metric] / 100
        assert max(row["fresh"][metric]["seeds"]) < published[metric] / 100
