"""Checkpoints: one safetensors file, the weights with a JSON recipe in its metadata.

Loading reads tensors and JSON and executes nothing. Files are written under another name and
renamed when complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ddg_explorer.io import atomic, checked_path
from ddg_explorer.models.base import Model
from ddg_explorer.models.recipe import ModelRecipe

FORMAT = 1
"""Version of the layout; raised when older files can no longer be read as they are."""


def save_model(model: Model, path: str | Path, card: Mapping[str, Any] | None = None) -> Path:
    """Write `model` to `path` (`.safetensors`), with `card` (data, metrics, versions) beside it.

    Raises
    ------
    ValueError
        For another suffix, a missing folder, or a model without a recipe.
    """
    target = checked_path(path, (".safetensors",))
    if model.recipe is None:
        raise ValueError("model: has no recipe to rebuild it from; make it with ModelRecipe.build")
    content = {"format": FORMAT, "recipe": model.recipe.to_dict(), "card": dict(card or {})}
    weights = {name: w.detach().cpu().contiguous() for name, w in model.state_dict().items()}
    with atomic(target) as file:
        save_file(weights, file, metadata={"ddg_explorer": json.dumps(content)})
    return target


def load_model(path: str | Path) -> Model:
    """The model in a checkpoint, ready to predict.

    Raises
    ------
    ValueError
        One line for a file that is missing, no checkpoint, of a newer format, or whose weights do
        not fit its recipe.
    """
    source = checked_path(path, (".safetensors",))
    content, weights = _read(source)
    if content.get("format") != FORMAT:
        raise ValueError(f"path={str(path)!r}: format {content.get('format')}, this reads {FORMAT}")
    try:
        model = ModelRecipe.from_dict(content["recipe"]).build()
        model.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"path={str(path)!r}: weights do not fit the recipe ({reason})") from None
    return model.eval()


def read_card(path: str | Path) -> dict[str, Any]:
    """Recipe and card of a checkpoint, without building the model."""
    return _read(checked_path(path, (".safetensors",)), weights=False)[0]


def _read(path: Path, weights: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    if not path.is_file():
        raise ValueError(f"path={str(path)!r}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads((file.metadata() or {})["ddg_explorer"])
            names = file.keys() if weights else ()
            return content, {name: file.get_tensor(name) for name in names}
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ValueError(f"path={str(path)!r}: is no checkpoint of a model ({error})") from None
