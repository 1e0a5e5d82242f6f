"""What a training run does where it is not told."""

from __future__ import annotations

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model

OPTIMISERS = ("lm", "adam")
NOISE = ("none", "smooth", "states")
DEFAULT_STEPS = {"lm": 500, "states": 60, "adam": 10_000}
SMALL = 1500
"""Weights up to which second-order training is the default."""


def default_optimizer(model: Model) -> str:
    """ "lm" for a small float64 network with a finite reach, else "adam"."""
    small = sum(p.numel() for p in model.parameters()) <= SMALL
    double = all(p.dtype == torch.float64 for p in model.parameters())
    spectral = model.recipe is not None and (model.recipe.structure or {}).get("operator")
    local = model.scheme != "dopri5" and spectral != "spectral"
    return "lm" if small and double and local else "adam"


def default_noise(optimizer: str, data: Dataset) -> str:
    """What `noise=None` means; Adam is left as published."""
    noisy = data.recipe.get("noise") or data.recipe.get("relative_noise")
    if optimizer != "lm" or not noisy:
        return "none"
    return "states" if data.grid is None else "smooth"
