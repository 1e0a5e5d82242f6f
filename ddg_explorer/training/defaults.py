"""What a training run does where it is not told."""

from __future__ import annotations

import threading

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model
from ddg_explorer.models.networks import EnergyNetwork
from ddg_explorer.training.compiler import compiler
from ddg_explorer.training.fused import fuses

OPTIMISERS = ("lm", "adam", "soap")
NOISE = ("none", "smooth", "weak", "states")
DEFAULT_STEPS = {"lm": 500, "states": 40, "adam": 10_000, "soap": 10_000}
SMALL = 1500
"""Weights up to which second-order training is the default."""
LARGEST = 6000
"""Weights up to which it is there at all: its equations are a dense matrix, 0.3 GB of this many."""

WIDE, LONG = 64, 1000
"""Hidden units and steps from which compiling pays: it takes about half a minute."""


def default_compile(model: Model, optimizer: str, steps: int) -> bool:
    """Whether a first-order run compiles its loss: long ones of wide tanh networks on a CPU.

    Only where there is a compiler, and in the main thread: compiling is not made for several.
    """
    alone = threading.current_thread() is threading.main_thread()
    if optimizer == "lm" or steps < LONG or not alone or not fuses(model):
        return False
    assert isinstance(model.network, EnergyNetwork)
    part = model.network.density
    weight = part.dense[0].weight
    wide = len(weight) >= WIDE and not weight.is_cuda
    return wide and part.activation == "tanh" and compiler() is not None


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
