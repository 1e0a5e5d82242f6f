"""Checkpoints: one safetensors file, the weights with a JSON recipe in its metadata.

Loading reads tensors and JSON and executes nothing. Files are written under another name and
renamed when complete.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ddg_explorer.io import atomic, checked_path
from ddg_explorer.models.base import Model
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.version import __version__

FORMAT = 1
"""Version of the layout; raised when older files can no longer be read as they are."""
ENTRY = "ddg_explorer"
"""Key of the JSON in the file's metadata: {format, recipe, card, versions, created}."""


def save_model(model: Model, path: str | Path, card: Mapping[str, Any] | None = None) -> Path:
    """Write `model` to `path` (`.safetensors`), with `card` (data, metrics, seed, time) beside it.

    Versions of the libraries and the date are added.

    Raises
    ------
    ValueError
        For another suffix, a missing folder, a card that is no plain data, or a model without a
        recipe.
    """
    target = checked_path(path, (".safetensors",))
    if model.recipe is None:
        raise ValueError("model: has no recipe to rebuild it from; make it with ModelRecipe.build")
    recipe = replace(model.recipe, dtype=str(model.dtype).removeprefix("torch."))
    content = {
        "format": FORMAT,
        "recipe": recipe.to_dict(),
        "card": dict(card or {}),
        "versions": {
            "ddg-explorer": __version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        text = json.dumps(content)
    except TypeError as error:
        raise ValueError(f"card: must be plain data ({error})") from None
    weights = {name: w.detach().cpu().contiguous() for name, w in model.state_dict().items()}
    with atomic(target) as file:
        save_file(weights, file, metadata={ENTRY: text})
    return target


def load_model(path: str | Path) -> Model:
    """The model in a checkpoint, on the CPU, ready to predict.

    Raises
    ------
    ValueError
        One line for a file that is missing, no checkpoint, of a newer format, or whose weights do
        not fit its recipe.
    """
    content, weights = _read(path)
    try:
        model = ModelRecipe.from_dict(content["recipe"]).build()
        _fill(model, weights)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"path={str(path)!r}: cannot be rebuilt ({reason})") from None
    return model.eval()


def read_card(path: str | Path) -> dict[str, Any]:
    """Recipe, card, versions and date of a checkpoint, without building the model.

    Raises
    ------
    ValueError
        As `load_model`.
    """
    return _read(path, weights=False)[0]


def _fill(model: Model, weights: Mapping[str, Tensor]) -> None:
    own = model.state_dict()
    odd = sorted(set(own) ^ set(weights))
    odd += [name for name in set(own) & set(weights) if own[name].shape != weights[name].shape]
    if odd:
        raise ValueError(f"weights do not fit the recipe: {odd[0]}")
    spoiled = [name for name, w in weights.items() if not bool(torch.isfinite(w).all())]
    if spoiled:
        raise ValueError(f"weights are not finite: {spoiled[0]}")
    model.load_state_dict(weights)


def _read(path: str | Path, weights: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    source = checked_path(path, (".safetensors",))
    if not source.is_file():
        raise ValueError(f"path={str(path)!r}: no such file")
    try:
        with safe_open(source, framework="pt") as file:
            content = json.loads((file.metadata() or {})[ENTRY])
            names = file.keys() if weights else ()
            tensors = {name: file.get_tensor(name) for name in names}
        version = content["format"]
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError, OSError) as error:
        raise ValueError(f"path={str(path)!r}: is no checkpoint of a model ({error})") from None
    if version != FORMAT:
        raise ValueError(f"path={str(path)!r}: has format {version}, this version reads {FORMAT}")
    return content, tensors
