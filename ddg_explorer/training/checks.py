"""What a training run refuses before it touches the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model
from ddg_explorer.training.defaults import LARGEST, NOISE, OPTIMISERS
from ddg_explorer.training.fused import fuses
from ddg_explorer.training.prepare import mean_change


def check_known(optimizer: str, noise: str) -> None:
    """ValueError for an optimiser or a treatment of noise that does not exist."""
    for name, value, allowed in (
        ("optimizer", optimizer, OPTIMISERS),
        ("noise", noise, NOISE),
    ):
        if value not in allowed:
            raise ValueError(f"{name}={value!r}: use one of {', '.join(allowed)}")


def check_data(model: Model, data: Dataset) -> None:
    """ValueError for data of other states, or data that never change."""
    if data.state_shape != model.state_shape:
        own = model.state_shape
        raise ValueError(f"data have states {data.state_shape}: the model's are {own}")
    if not mean_change(data):
        raise ValueError("data: no state ever changes, so there is nothing to learn")


def check_settings(model: Model, settings: Mapping[str, Any]) -> None:
    """ValueError for settings of `train` that do not suit the model, or each other."""
    second_order = settings["optimizer"] == "lm"
    if second_order:
        _check_second_order(model)
    if settings["noise"] in ("weak", "states") and not second_order:
        raise ValueError(f"noise={settings['noise']!r}: needs optimizer='lm'")
    if settings.get("compile") and not (fuses(model) and not second_order):
        raise ValueError("compile=True: needs a dgnet of depth 2, and not lm")
    if settings["unroll"] != 1 and second_order:
        raise ValueError(f"unroll={settings['unroll']}: needs optimizer='adam' or 'soap'")


def _check_second_order(model: Model) -> None:
    """ValueError for a model that Levenberg–Marquardt cannot train."""
    if any(p.dtype != torch.float64 for p in model.parameters()):
        raise ValueError("optimizer='lm': needs a model in float64")
    weights = sum(p.numel() for p in model.parameters())
    if weights > LARGEST:
        raise ValueError(
            f"optimizer='lm': solves dense equations of all {weights} weights, at most {LARGEST}; "
            "use adam or soap, or fewer hidden units"
        )
