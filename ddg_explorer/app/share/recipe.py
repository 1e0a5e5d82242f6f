"""The recipe file: everything a link carries, and the initial state that a link cannot.

    {"ddg_explorer": format, "version": …, "state": {flat}, "initial": {"shape": […], "data": …}}

The state is `AppState.to_flat`; a drawn, painted or uploaded initial state is little-endian float64
in base64. Reading executes nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.app.state import AppState
from ddg_explorer.version import __version__

FORMAT = 1
LIMIT = 64 << 20
"""Bytes of a file that is read."""


def dump_recipe(state: AppState, initial: Tensor | None = None) -> bytes:
    """The file's bytes; `initial` is the initial state where it is not the scene's own."""
    content: dict[str, Any] = {
        "ddg_explorer": FORMAT,
        "version": __version__,
        "state": state.to_flat(),
    }
    if initial is not None:
        data = initial.detach().cpu().double().numpy().astype("<f8")
        content["initial"] = {
            "shape": list(data.shape),
            "data": base64.b64encode(data.tobytes()).decode("ascii"),
        }
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def load_recipe(data: bytes) -> tuple[AppState, Tensor | None]:
    """State and initial state of a recipe file.

    Raises
    ------
    ValueError
        One line for a file that is none, of a newer format, or asks for what there is not.
    """
    if len(data) > LIMIT:
        raise ValueError(f"recipe: has {len(data)} bytes, at most {LIMIT} are read")
    try:
        content = json.loads(data)
        version, flat = content["ddg_explorer"], content["state"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"recipe: is no recipe of the explorer ({error})") from None
    if version != FORMAT:
        raise ValueError(f"recipe: has format {version}, this version reads {FORMAT}")
    if not isinstance(flat, Mapping) or not all(isinstance(v, str) for v in flat.values()):
        raise ValueError("recipe: its state must map names to strings")
    return AppState.from_flat(flat), _initial(content.get("initial"))


def _initial(entry: Any) -> Tensor | None:
    if entry is None:
        return None
    try:
        shape = tuple(int(n) for n in entry["shape"])
        values = np.frombuffer(base64.b64decode(entry["data"], validate=True), "<f8")
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ValueError(f"recipe: its initial state cannot be read ({error})") from None
    if math.prod(shape) != values.size or not np.isfinite(values).all():
        raise ValueError(f"recipe: its initial state does not hold {shape} finite numbers")
    return torch.from_numpy(values.reshape(shape).copy())
