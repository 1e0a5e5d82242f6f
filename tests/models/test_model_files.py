"""Checkpoints: they come back bit by bit, refuse everything else in one line, execute nothing."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from zoo import FIELD, ODE, RECIPES, lively, states

from ddg_explorer import io
from ddg_explorer.models import load_model, networks, read_card, save_model
from ddg_explorer.models.files import ENTRY

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
    model.recipe = None
    with pytest.raises(ValueError, match="no recipe"):
        save_model(model, tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


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


def wrong_type(content: dict, _: dict) -> None:
    content["recipe"]["state_shape"] = "two"


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


def list_recipe(content: dict, _: dict) -> None:
    content["recipe"] = [1, 2]


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
        (no_recipe, r"cannot be rebuilt \(its recipe is damaged\)"),
        (wrong_type, "cannot be rebuilt"),
        (list_recipe, r"cannot be rebuilt \(its recipe is damaged\)"),
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
