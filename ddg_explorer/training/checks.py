"""What a training run refuses before it touches the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model
from ddg_explorer.models.recipe import check_dataset
from ddg_explorer.training.compiled import compile_problem
from ddg_explorer.training.defaults import LARGEST, NOISE, OPTIMISERS, compiles
from ddg_explorer.training.prepare import mean_change


def check_known(optimizer: str, noise: str) -> None:
    """ValueError for an optimiser or a treatment of noise that does not exist."""
    for name, value, allowed in (
        ("optimizer", optimizer, OPTIMISERS),
        ("noise", noise, NOISE),
    ):
        if value not in allowed:
            raise ValueError(f"{name}={value!r}: use one of {', '.join(allowed)}")


def check_numbers(settings: Mapping[str, Any]) -> None:
    """ValueError for numbers that are none of their kind, or out of range."""
    for name in ("steps", "batch", "unroll", "seed"):
        value = settings[name]
        if not (name == "batch" and value is None) and type(value) is not int:
            raise ValueError(f"{name}={value!r}: must be an int")
    for name in ("steps", "batch"):
        if settings[name] is not None and settings[name] < 1:
            raise ValueError(f"{name}={settings[name]}: must be at least 1")
    if not 0 <= settings["seed"] < 2**63:
        raise ValueError(f"seed={settings['seed']}: must be from 0 to 2⁶³ − 1")
    if not 0 < settings["lr"] < math.inf:
        raise ValueError(f"lr={settings['lr']}: must be positive and finite")
    for name in ("weight_decay", "ridge"):
        if not 0 <= settings[name] < math.inf:
            raise ValueError(f"{name}={settings[name]}: must be 0 or more, and finite")
    rows = settings["rows"]
    if rows is not None and (len(rows) != 2 or not 1 <= rows[0] <= rows[1]):
        raise ValueError(f"rows={tuple(rows)}: needs 1 ≤ first ≤ last")


def check_data(model: Model, data: Dataset, validation: Dataset | None) -> None:
    """ValueError for what is no data set, for data of other states, or data that never change."""
    given = {"data": data} if validation is None else {"data": data, "validation": validation}
    for name, found in given.items():
        check_dataset(name, found)
        if found.state_shape != model.state_shape:
            own = model.state_shape
            raise ValueError(f"{name} have states {found.state_shape}: the model's are {own}")
    if not mean_change(data):
        raise ValueError("data: no state ever changes, so there is nothing to learn")


def check_settings(model: Model, settings: Mapping[str, Any]) -> None:
    """ValueError for settings of `train` that do not suit the model, or each other."""
    second_order = settings["optimizer"] == "lm"
    if second_order:
        _check_second_order(model)
    if settings["noise"] in ("weak", "states") and not second_order:
        raise ValueError(f"noise={settings['noise']!r}: needs optimizer='lm'")
    if settings["unroll"] != 1 and second_order:
        raise ValueError(f"unroll={settings['unroll']}: needs optimizer='adam' or 'soap'")
    if settings.get("compile"):
        if not compiles(model, settings["optimizer"], settings["unroll"]):
            raise ValueError(
                "compile=True: needs a dgnet of depth 2 with tanh, unroll=1, and adam or soap"
            )
        if problem := compile_problem():
            raise ValueError(f"compile=True: {problem}")


def _check_second_order(model: Model) -> None:
    """ValueError for a model that Levenberg–Marquardt cannot train."""
    if model.recipe is None:
        raise ValueError(
            "optimizer='lm': needs a model made by ModelRecipe.build; use adam or soap"
        )
    if any(p.dtype != torch.float64 for p in model.parameters()):
        raise ValueError("optimizer='lm': needs a model in float64")
    weights = sum(p.numel() for p in model.parameters())
    if weights > LARGEST:
        raise ValueError(
            f"optimizer='lm': solves dense equations of all {weights} weights, at most {LARGEST}; "
            "use adam or soap, or fewer hidden units"
        )
