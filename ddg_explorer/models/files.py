"""Checkpoints: one safetensors file, the weights with a JSON recipe in its metadata.

Loading reads tensors and JSON and executes nothing, and a recipe may ask for no more numbers than
its file holds. Files are written under another name and renamed when complete.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from reprlib import repr as short
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ddg_explorer.io import atomic, checked_path, existing, one_line, versions
from ddg_explorer.models.base import Model
from ddg_explorer.models.recipe import ModelRecipe

FORMAT = 1
"""Version of the layout; raised when older files can no longer be read as they are."""
ENTRY = "ddg_explorer"
"""Key of the JSON in the file's metadata: {format, recipe, card, versions, created}."""
RUN_ENTRY = "ddg_explorer_training"
"""Key in the files of `training.snapshots`, which are no models."""
SPARE = 1 << 16
"""Numbers that building a model may take besides twice its weights: constants of operators."""
STENCIL_POINTS = 400
"""Points of a stencil or kernel, over all axes, in a file that is read."""
REQUIRED = ("recipe", "card", "created")
CONTEXT: dict[str, type] = {
    "context": dict,
    "context.system": str,
    "context.operator": str,
    "context.structure": dict,
    "context.structure.kind": str,
    "context.parameters": dict,
}
KINDS: dict[str, type] = {
    "recipe": dict,
    **{f"recipe.{name}": kind for name, kind in CONTEXT.items()},
    "card": dict,
    "card.seed": int,
    "card.data": dict,
    "card.data.dt": float,
    "card.data.trajectories": int,
    "card.data.validation": int,
    "card.data.digest": str,
    "card.data.recipe": dict,
    "created": str,
}
"""Parts of the JSON, outer ones first, that must be of this kind where they are there. How the data
were made (`card.data.recipe`) is noted freely."""
WORDS = {dict: "an object", str: "a text", int: "an integer", float: "a finite number"}
LARGEST = {int: 2**63 - 1, float: sys.float_info.max}


def save_model(model: Model, path: str | Path, card: Mapping[str, Any] | None = None) -> Path:
    """Write `model` to `path` (`.safetensors`), with `card` (data, metrics, seed, time) beside it.

    None: the model's own card. Versions of the libraries and the date are added.

    Raises
    ------
    ValueError
        For another suffix, a missing folder, a card that is no plain data, a model without a
        recipe, weights that are not finite, or what `load_model` would refuse.
    """
    target = checked_path(path, (".safetensors",))
    if model.recipe is None:
        raise ValueError("model: has no recipe to rebuild it from; make it with ModelRecipe.build")
    weights = {name: w.detach().cpu().contiguous() for name, w in model.state_dict().items()}
    spoiled = not_finite(weights)
    if spoiled:
        raise ValueError(f"model: cannot be saved, {spoiled}")
    recipe = replace(model.recipe, dtype=str(model.dtype).removeprefix("torch."))
    content = {
        "format": FORMAT,
        "recipe": plain_copy("model.recipe", recipe.to_dict()),
        "card": plain_copy("card", model.card if card is None else card),
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _check_kinds(content)
    try:
        _rebuilt(content, weights)
    except ValueError as error:
        raise ValueError(f"model: cannot be saved, {one_line(error)}") from None
    write_tensors(weights, target, {ENTRY: json.dumps(content)})
    return target


def write_tensors(tensors: dict[str, Tensor], path: Path, notes: dict[str, str]) -> None:
    """Write `tensors` with `notes` to `path`, atomically; OSError where the disk refuses."""
    with atomic(path) as file:
        try:
            save_file(tensors, file, metadata=notes)
        except SafetensorError as error:
            found = re.search(r"os error (\d+)", str(error))
            if found is None:
                raise
            number = int(found[1])
            raise OSError(number, os.strerror(number), str(path)) from None


def plain_copy(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as JSON gives them back; ValueError that names them where it cannot hold them."""
    try:
        return json.loads(json.dumps(dict(values)))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: must be plain data ({one_line(error)})") from None


def check_context(context: Mapping[str, Any]) -> None:
    """ValueError for the context of data or a model that is not of the kinds of `CONTEXT`."""
    content = {"context": plain_copy("context", context)}
    _check_parts(content, CONTEXT)
    _check_parameters("context.parameters", content["context"])


def load_model(path: str | Path) -> Model:
    """The model in a checkpoint with its card, on the CPU, ready to predict.

    Raises
    ------
    ValueError
        One line for a file that is missing, no checkpoint, of a newer format, with a part of
        another kind (`KINDS`), or whose weights do not fit its recipe.
    """
    content, weights = _read(path)
    try:
        model = _rebuilt(content, weights)
    except ValueError as error:
        raise ValueError(f"path={str(path)!r}: cannot be rebuilt ({one_line(error)})") from None
    model.card = dict(content["card"])
    return model.eval()


def not_finite(weights: Mapping[str, Tensor]) -> str:
    """One line that names the first weights with an infinity or NaN, "" where all are finite."""
    for name, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            return f"weights are not finite: {name}"
    return ""


def read_card(path: str | Path) -> dict[str, Any]:
    """Recipe, card, versions and date of a checkpoint, without building the model.

    Raises
    ------
    ValueError
        As `load_model`.
    """
    return _read(path, weights=False)[0]


def _rebuilt(content: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Model:
    """The model of a checkpoint's content; ValueError where recipe and weights do not make one."""
    try:
        recipe = ModelRecipe.from_dict(content["recipe"])
        _check_stencils(recipe)
        with _Budget(2 * sum(w.numel() for w in weights.values()) + SPARE):
            model = recipe.build()
        _fill(model, weights)
    except (AttributeError, LookupError, TypeError, OverflowError, RuntimeError):
        raise ValueError("its recipe is damaged") from None
    return model


class _Budget(TorchFunctionMode):
    """Within it, tensors of weights are made for so many numbers in all, else ValueError.

    A layer is allocated and its first weights are drawn, by a QR decomposition: of a recipe that
    does not fit its file this would take hours, and more memory than there is.
    """

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self._left = numbers

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (torch.empty, torch.randn, torch.eye):
            sizes = args if isinstance(args[0], int) else args[0]
            self._left -= sizes[0] ** 2 if func is torch.eye else math.prod(sizes)
            if self._left < 0:
                raise ValueError("weights do not fit the recipe: it asks for more than there are")
        return func(*args, **(kwargs or {}))


def _check_kinds(content: Mapping[str, Any]) -> None:
    """ValueError for a part of the JSON that is missing, or no such thing as is written there."""
    _check_parts(content, KINDS)
    recipe, data = content["recipe"], content["card"].get("data", {})
    _check_parameters("recipe.context.parameters", recipe.get("context", {}))
    if data.get("dt", 1.0) <= 0:
        raise ValueError(f"card.data.dt={data['dt']}: must be positive")
    shape = recipe.get("state_shape", [1])
    if not isinstance(shape, list) or not shape or any(type(n) is not int or n < 1 for n in shape):
        raise ValueError(f"state_shape={short(shape)}: must be a list of positive integers")


def _check_parts(content: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    for name, kind in kinds.items():
        *outer, key = name.split(".")
        around: Any = content
        for part in outer:
            around = around.get(part, {})
        if key in around or name in REQUIRED:
            _check_kind(name, around.get(key), kind)


def _check_parameters(name: str, context: Mapping[str, Any]) -> None:
    for key, value in context.get("parameters", {}).items():
        _check_kind(f"{name}.{key}", value, float)


def _check_kind(name: str, value: Any, kind: type) -> None:
    right = isinstance(value, (int, float) if kind is float else kind)
    if kind in (int, float):
        right = right and not isinstance(value, bool) and abs(value) <= LARGEST[kind]
    if not right:
        raise ValueError(f"{name}={short(value)}: must be {WORDS[kind]}")


def _check_stencils(recipe: ModelRecipe) -> None:
    """ValueError for stencils that no data call for, and that would be laid out for hours."""
    if recipe.grid is None:
        return
    axes = len(recipe.grid["shape"])
    for width in (recipe.width or 5, (recipe.structure or {}).get("width", 1)):
        if not isinstance(width, int) or width**axes > STENCIL_POINTS:
            raise ValueError(
                f"width={width!r}: must be an integer, with at most {STENCIL_POINTS} points in all"
            )


def _fill(model: Model, weights: Mapping[str, Tensor]) -> None:
    own = model.state_dict()
    odd = sorted(set(own) ^ set(weights))
    both = [name for name in set(own) & set(weights) if not name.endswith(".scale")]
    odd += [name for name in both if own[name].shape != weights[name].shape]
    if odd:
        raise ValueError(f"weights do not fit the recipe: {odd[0]}")
    spoiled = not_finite(weights)
    if spoiled:
        raise ValueError(spoiled)
    model.load_state_dict(weights)


def _read(path: str | Path, weights: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    source, _ = existing(path, (".safetensors",))
    what = "is no checkpoint of a model, or damaged"
    try:
        with safe_open(source, framework="pt") as file:
            metadata = file.metadata() or {}
            if RUN_ENTRY in metadata:
                what = "is a training run, no model yet: go on with it as the checkpoint of train"
            content = json.loads(metadata[ENTRY])
            names = file.keys() if weights else ()
            tensors = {name: file.get_tensor(name) for name in names}
        version = content["format"]
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError):
        raise ValueError(f"path={str(path)!r}: {what}") from None
    if type(version) is not int or version != FORMAT:
        found = short(version)
        raise ValueError(f"path={str(path)!r}: has format {found}, this version reads {FORMAT}")
    try:
        _check_kinds(content)
    except ValueError as error:
        raise ValueError(f"path={str(path)!r}: is damaged ({error})") from None
    return content, tensors
