"""What a training run does where it is not told."""

from __future__ import annotations

import logging
import threading
from typing import TypeGuard

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.training.compiled import compile_problem
from ddg_explorer.training.compiler import compiler
from ddg_explorer.training.fused import density, fuses

log = logging.getLogger(__name__)

OPTIMISERS = ("lm", "adam", "soap")
NOISE = ("none", "smooth", "weak", "states")
DEFAULT_STEPS = {"lm": 500, "states": 40, "adam": 10_000, "soap": 10_000}
SMALL = 1500
"""Weights up to which second-order training is the default."""
LARGEST = 6000
"""Weights up to which it is there at all: its equations are a dense matrix, 0.3 GB of this many."""

WIDE, LONG = 64, 1000
"""Hidden units and steps from which compiling pays: it takes about half a minute."""


def compiles(model: Model, optimizer: str, unroll: int) -> TypeGuard[EnergyModel]:
    """Whether the loss of such a run can be compiled: the one-step loss of a tanh DGNet."""
    return (
        optimizer != "lm" and unroll == 1 and fuses(model) and density(model).activation == "tanh"
    )


def worth_compiling(model: Model, optimizer: str, steps: int, unroll: int = 1) -> bool:
    """Whether compiling saves more time than it takes: in long runs of wide networks on a CPU."""
    if steps < LONG or not compiles(model, optimizer, unroll):
        return False
    weight = density(model).dense[0].weight
    return len(weight) >= WIDE and not weight.is_cuda


def default_compile(model: Model, optimizer: str, steps: int, unroll: int = 1) -> bool:
    """Whether a run compiles its loss where it is not told: where that pays, and a compiler works.

    In the main thread alone: compiling is not made for several.
    """
    alone = threading.current_thread() is threading.main_thread()
    if not alone or not worth_compiling(model, optimizer, steps, unroll):
        return False
    problem = compile_problem()
    if problem and compiler() is not None:
        log.warning("training is not compiled: %s", problem)
    return not problem


def default_optimizer(model: Model) -> str:
    """ "lm" for a small float64 network of a recipe with a finite reach, else "adam"."""
    if model.recipe is None:
        return "adam"
    small = sum(p.numel() for p in model.parameters()) <= SMALL
    double = all(p.dtype == torch.float64 for p in model.parameters())
    spectral = (model.recipe.structure or {}).get("operator")
    local = model.scheme != "dopri5" and spectral != "spectral"
    return "lm" if small and double and local else "adam"


def default_noise(optimizer: str, data: Dataset) -> str:
    """What `noise=None` means; Adam is left as published."""
    noisy = data.recipe.get("noise") or data.recipe.get("relative_noise")
    if optimizer != "lm" or not noisy:
        return "none"
    return "states" if data.grid is None else "smooth"
