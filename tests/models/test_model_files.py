"""Checkpoints: they come back bit by bit, refuse everything else in one line, execute nothing."""

from __future__ import annotations

import copy
import errno
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from zoo import FIELD, ODE, RECIPES, lively, states

from ddg_explorer import Grid, io
from ddg_explorer.budgets import Budget
from ddg_explorer.compare import learned_seeds
from ddg_explorer.data import Dataset
from ddg_explorer.fitting import Fit
from ddg_explorer.models import EnergyModel, load_model, networks, read_card, save_model
from ddg_explorer.models.files import ENTRY
from ddg_explorer.models.own_step import learned_dt
from ddg_explorer.recipes import make_dataset
from ddg_explorer.structure import Laplacian
from ddg_explorer.training import train

SPECIAL = {
    **RECIPES,
    "learned": replace(FIELD, structure={"kind": "learned_kernel", "zero_sum": True}),
    "mobility": replace(FIELD, structure={"kind": "learned_mobility"}),
    "state": replace(ODE, structure={"kind": "learned_state_matrix", "law": "free"}),
}


@pytest.mark.parametrize("key", list(SPECIAL))
def test_round_trip_is_exact(key: str, tmp_path: Path) -> None:
    """Weights, buffers, recipe and context: the loaded model has bitwise the same slope."""
    recipe = replace(SPECIAL[key], context={"system": "kdv", "parameters": {"alpha": -6.0}})
    model = lively(recipe.build())
    path = model.save(tmp_path / "model.safetensors", {"seed": 3})
    again = load_model(path)
    assert type(again) is type(model)
    assert again.recipe == model.recipe
    assert again.context == model.context
    u, v = states(model, 3, 1), states(model, 3, 2)
    assert torch.equal(again.slope(v, u, 0.1), model.slope(v, u, 0.1))
    assert not again.training


def test_float32_weights_come_back_as_float32(tmp_path: Path) -> None:
    """The file knows the dtype the model had when it was saved."""
    model = lively(ODE.build()).float()
    again = load_model(model.save(tmp_path / "model.safetensors"))
    assert again.dtype == torch.float32
    u = states(again, 2)
    assert torch.equal(again.rhs(u), model.rhs(u))


def test_card_is_read_without_the_model(tmp_path: Path) -> None:
    model = ODE.build()
    path = model.save(tmp_path / "model.safetensors", {"loss": 1e-9, "data": {"seed": 2024}})
    card = read_card(path)
    assert card["card"] == {"loss": 1e-9, "data": {"seed": 2024}}
    assert card["recipe"]["model"] == "dgnet"
    assert card["versions"]["torch"] == torch.__version__
    assert card["created"][:2] == "20"


def test_a_model_keeps_its_card_wherever_it_goes(tmp_path: Path) -> None:
    """Loaded, copied, on another grid, and saved once more without being told."""
    card = {"seed": 3, "data": {"recipe": {"seed": 2024}, "dt": 0.01}}
    first = FIELD.build().save(tmp_path / "first.safetensors", card)
    model = load_model(first)
    assert model.grid is not None
    twice = Grid((32,), (2 * model.grid.length[0],))
    other = model.on_grid(twice)
    for kept in (model, copy.deepcopy(model).float(), other):
        assert kept.card == card
        assert read_card(kept.save(tmp_path / "again.safetensors"))["card"] == card
    assert isinstance(other, EnergyModel)
    assert other.under(Laplacian(twice), {}).card == card
    assert read_card(model.save(tmp_path / "told.safetensors", {}))["card"] == {}


def test_the_card_is_that_of_the_last_training(tmp_path: Path) -> None:
    data = make_dataset("spring", trajectories=3, steps=4, cache=False)
    how = Budget("tiny", {"hidden": 2}, {"optimizer": "adam", "steps": 1})
    fit = Fit("dgnet", data, how)
    list(fit)
    assert fit.model.card == {}
    card = fit.card("here")
    again = load_model(fit.model.save(tmp_path / "model.safetensors"))
    assert again.card == json.loads(json.dumps(card))
    assert learned_seeds([again.card]) == {data.recipe["seed"]}
    list(train(again, data, optimizer="adam", steps=1))
    assert again.card == {}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch) -> None:
    path = ODE.build().save(tmp_path / "model.safetensors")
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(io, "publish", fail)
    with pytest.raises(OSError, match="disk full"):
        replace(ODE, seed=1).build().save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_what_cannot_be_saved_is_refused(tmp_path: Path) -> None:
    model = ODE.build()
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        model.save(tmp_path / "model.pt")
    with pytest.raises(ValueError, match="does not exist"):
        model.save(tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(ValueError, match="card: must be plain data"):
        model.save(tmp_path / "model.safetensors", {"weights": torch.ones(1)})
    spoiled = ODE.build()
    spoiled.get_submodule("network.density").get_buffer("scale").fill_(torch.inf)
    with pytest.raises(
        ValueError, match=r"cannot be saved, weights are not finite: network\.density"
    ):
        spoiled.save(tmp_path / "model.safetensors")
    model.recipe = None
    with pytest.raises(ValueError, match="no recipe"):
        save_model(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("card", "line"),
    [
        ({"seed": "a"}, "^card.seed='a': must be an integer"),
        ({"data": {"dt": None}}, "^card.data.dt=None: must be a finite number"),
        ({"data": {"dt": -1.0}}, "^card.data.dt=-1.0: must be positive"),
        ({"data": []}, r"^card.data=\[\]: must be an object"),
    ],
)
def test_what_could_not_be_opened_is_not_saved(card: dict, line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=line):
        ODE.build().save(tmp_path / "model.safetensors", card)
    assert not list(tmp_path.iterdir())


def test_a_model_that_its_recipe_does_not_describe_is_not_saved(tmp_path: Path) -> None:
    model = ODE.build()
    model.recipe = replace(ODE, hidden=7)
    with pytest.raises(ValueError, match=r"^model: cannot be saved, weights do not fit the recipe"):
        model.save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "recipe", [{"dt": None}, {"dt": "0.1 s"}, {"dt": [0.1, 0.2]}, {"seed": "a"}, {"integrator": 3}]
)
def test_data_with_notes_of_their_own_train_a_model_that_opens(
    recipe: dict, tmp_path: Path
) -> None:
    """What they note as dt is not taken for the Δt of the data, which the card has."""
    u = torch.rand((3, 4, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    how = Budget("tiny", {"hidden": 2}, {"optimizer": "adam", "steps": 1})
    fit = Fit("node", Dataset(u, 0.1, recipe=recipe), how)
    list(fit)
    fit.card("here")
    again = load_model(fit.model.save(tmp_path / "model.safetensors"))
    assert again.card["data"]["recipe"] == recipe
    assert learned_dt(again) == 0.1
    again.card = {"data": {"recipe": recipe}}
    assert learned_dt(again) is None


class Trap:
    """Creates a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    path, mark = tmp_path / "model.safetensors", tmp_path / "executed"
    path.write_bytes(pickle.dumps(Trap(mark)))
    for read in (load_model, read_card):
        with pytest.raises(ValueError, match="is no checkpoint of a model"):
            read(path)
    assert not mark.exists()


def rewrite(path: Path, change: Callable[[dict, dict], None]) -> None:
    """Change content and weights of a checkpoint in place."""
    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()[ENTRY])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(content, weights)
    save_file(weights, path, metadata={ENTRY: json.dumps(content)})


def put(name: str, value: object) -> Callable[[dict, dict], None]:
    """The change that sets what has this dotted name."""

    def change(content: dict, _: dict) -> None:
        *outer, last = name.split(".")
        for key in outer:
            content = content.setdefault(key, {})
        content[last] = value

    return change


def newer(content: dict, _: dict) -> None:
    content["format"] = 99


def other_size(content: dict, _: dict) -> None:
    content["recipe"]["hidden"] = 7


def unknown_model(content: dict, _: dict) -> None:
    content["recipe"]["model"] = "oracle"


def unknown_key(content: dict, _: dict) -> None:
    content["recipe"]["colour"] = "red"


def no_recipe(content: dict, _: dict) -> None:
    del content["recipe"]


def endless_size(content: dict, _: dict) -> None:
    content["recipe"] |= {"hidden": 10_000, "depth": 20}


def wide_stencil(content: dict, _: dict) -> None:
    content["recipe"] |= {
        "grid": {"shape": [9_999, 9_999], "length": [1.0, 1.0]},
        "state_shape": [1, 9_999, 9_999],
        "width": 9_999,
    }


def wide_kernel(content: dict, _: dict) -> None:
    wide_stencil(content, {})
    content["recipe"] |= {"width": 3, "structure": {"kind": "learned_kernel", "width": 9_999}}


def no_card(content: dict, _: dict) -> None:
    del content["card"]


def no_date(content: dict, _: dict) -> None:
    del content["created"]


def lost_weight(_: dict, weights: dict) -> None:
    del weights["network.density.layers.0.weight"]


def extra_weight(_: dict, weights: dict) -> None:
    weights["more"] = torch.ones(1)


def spoiled_weight(_: dict, weights: dict) -> None:
    weights["network.density.layers.0.bias"][0] = float("nan")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (newer, "has format 99, this version reads 1"),
        (other_size, "weights do not fit the recipe: network.density.layers"),
        (unknown_model, "model='oracle'"),
        (unknown_key, "unknown keys colour"),
        (put("format", True), "has format True, this version reads 1"),
        (put("format", 1.0), "has format 1.0, this version reads 1"),
        (no_recipe, r"is damaged \(recipe=None: must be an object\)"),
        (no_card, r"is damaged \(card=None: must be an object\)"),
        (no_date, r"is damaged \(created=None: must be a text\)"),
        (put("created", 7), "created=7: must be a text"),
        (put("card", 7), "card=7: must be an object"),
        (put("card.data", [1]), r"card.data=\[1\]: must be an object"),
        (put("card.data.dt", "x"), "card.data.dt='x': must be a finite number"),
        (put("card.data.dt", None), "card.data.dt=None: must be a finite number"),
        (put("card.data.dt", float("nan")), "card.data.dt=nan: must be a finite number"),
        (put("card.data.dt", 10**400), "card.data.dt=1000.*: must be a finite number"),
        (put("card.seed", 10**40), "card.seed=1000.*: must be an integer"),
        (put("card.data.dt", -0.1), "card.data.dt=-0.1: must be positive"),
        (put("recipe", [1, 2]), r"recipe=\[1, 2\]: must be an object"),
        (put("recipe.grid", 5), r"cannot be rebuilt \(its recipe is damaged\)"),
        (put("recipe.state_shape", "2"), "state_shape='2': must be a list of positive integers"),
        (put("recipe.state_shape", []), r"state_shape=\[\]: must be a list of positive"),
        (put("recipe.state_shape", [True]), r"state_shape=\[True\]: must be a list of positive"),
        (put("recipe.context", [1]), r"recipe.context=\[1\]: must be an object"),
        (put("recipe.context.system", 5), "recipe.context.system=5: must be a text"),
        (put("recipe.context.structure", "x"), "context.structure='x': must be an object"),
        (put("recipe.context.parameters", [1]), r"parameters=\[1\]: must be an object"),
        (put("recipe.context.parameters", {"g": "9"}), "parameters.g='9': must be a finite number"),
        (put("recipe.context.parameters", {"g": None}), "parameters.g=None: must be a finite"),
        (put("recipe.context.parameters", {"g": True}), "parameters.g=True: must be a finite"),
        (endless_size, "weights do not fit the recipe: it asks for more than there are"),
        (wide_stencil, "width=9999: must be an integer, with at most 400 points in all"),
        (wide_kernel, "width=9999: must be an integer, with at most 400 points in all"),
        (lost_weight, "weights do not fit the recipe: network.density.layers.0.weight"),
        (extra_weight, "weights do not fit the recipe: more"),
        (spoiled_weight, "weights are not finite: network.density.layers.0.bias"),
    ],
)
def test_damaged_checkpoints_are_refused_in_one_line(
    change: Callable[[dict, dict], None], line: str, tmp_path: Path
) -> None:
    path = ODE.build().save(tmp_path / "model.safetensors")
    rewrite(path, change)
    with pytest.raises(ValueError, match=line) as error:
        load_model(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_card_is_checked_without_the_model_too(tmp_path: Path) -> None:
    path = ODE.build().save(tmp_path / "model.safetensors")
    rewrite(path, no_date)
    with pytest.raises(ValueError, match="created=None: must be a text"):
        read_card(path)


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    with pytest.raises(ValueError, match="no such file"):
        load_model(path)
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        load_model(tmp_path / "model.pt")
    for content in (b"", b"junk" * 100, HUGE_HEADER):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is no checkpoint of a model, or damaged$"):
            load_model(path)
    save_file({"w": torch.ones(2)}, path)
    with pytest.raises(ValueError, match="is no checkpoint of a model"):
        load_model(path)
    save_file({"w": torch.ones(2)}, path, metadata={ENTRY: "{not json"})
    with pytest.raises(ValueError, match="is no checkpoint of a model"):
        load_model(path)


def test_a_training_run_is_told_from_a_model(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    data = Dataset(states(ODE.build(), 6).unflatten(0, (2, 3)), 0.1)
    list(train(ODE.build(), data, optimizer="adam", steps=2, checkpoint=path))
    with pytest.raises(ValueError, match="is a training run, no model yet: go on with it"):
        load_model(path)


HUGE_HEADER = (2**62).to_bytes(8, "little") + b"{}"
"""A safetensors header that claims to be larger than any file."""


def test_a_recipe_that_does_not_fit_is_refused_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No weights are drawn for layers that the file does not hold."""
    path = ODE.build().save(tmp_path / "model.safetensors")
    rewrite(path, endless_size)
    drawn, draw = [], networks.orthogonal

    def spy(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
        drawn.append(rows * columns)
        return draw(rows, columns, generator)

    monkeypatch.setattr(networks, "orthogonal", spy)
    with pytest.raises(ValueError, match="asks for more than there are"):
        load_model(path)
    assert sum(drawn) <= 10_000 * 2


def test_a_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    model = ODE.build()
    path = model.save(tmp_path / "model.safetensors").rename(tmp_path / "MODEL.SAFETENSORS")
    assert load_model(path).recipe == model.recipe


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = ODE.build().save(tmp_path / "model.safetensors")
    whole = path.read_bytes()
    for size in (4, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="is no checkpoint of a model"):
            load_model(path)


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("Error while serializing: I/O error: no room (os error 28)")

    model = ODE.build()
    monkeypatch.setattr("ddg_explorer.models.files.save_file", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        model.save(tmp_path / "m.safetensors")
    assert (error.value.errno, error.value.filename) == (
        errno.ENOSPC,
        str(tmp_path / "m.safetensors"),
    )
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_as_readable_as_other_files(tmp_path):
    (tmp_path / "plain").touch()
    path = ODE.build().save(tmp_path / "m.safetensors")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
