"""The recipe file: everything a link carries, and the initial state that a link cannot.

    {"ddg_explorer": format, "version": …, "state": {flat}, "initial": {"shape": […], "data": …}}

The state is `AppState.to_flat`; a drawn, painted or uploaded initial state is little-endian float64
in base64. Reading executes nothing.
"""

from __future__ import annotations

import base64
import json
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
        One line, without the file's name, for one that is none, of a newer format, or asks for what
        there is not.
    """
    if len(data) > LIMIT:
        raise ValueError(f"has {len(data)} bytes, at most {LIMIT} are read")
    try:
        content = json.loads(data)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError("is no recipe of the explorer: it is no JSON") from None
    if not isinstance(content, dict) or "ddg_explorer" not in content:
        raise ValueError("is no recipe of the explorer: it has no entry 'ddg_explorer'")
    version, flat = content["ddg_explorer"], content.get("state")
    if version != FORMAT:
        raise ValueError(f"has format {version!r}, this version reads {FORMAT}")
    if not isinstance(flat, dict) or not all(isinstance(v, str) for v in flat.values()):
        raise ValueError("its state must map names to strings")
    return AppState.from_flat(flat), _initial(content.get("initial"))


def _initial(entry: Any) -> Tensor | None:
    if entry is None:
        return None
    try:
        shape = [int(n) for n in entry["shape"]]
        values = np.frombuffer(base64.b64decode(entry["data"], validate=True), "<f8")
        values = values.reshape(shape).copy()
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError("its initial state needs a shape, and as many numbers in base64") from None
    if not np.isfinite(values).all():
        raise ValueError("its initial state must be of finite numbers")
    return torch.from_numpy(values)
