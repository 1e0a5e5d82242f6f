"""What a training run does where it is not told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeGuard

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.training.compiled import compile_problem
from ddg_explorer.training.compiler import compiler
from ddg_explorer.training.fused import density, fuses
from ddg_explorer.training.snapshots import kept_settings

log = logging.getLogger(__name__)

OPTIMISERS = ("lm", "adam", "soap")
NOISE = ("none", "smooth", "weak", "states")
DEFAULT_STEPS = {"lm": 500, "states": 40, "adam": 10_000, "soap": 10_000}
SMALL = 1500
"""Weights up to which second-order training is the default."""
LARGEST = 6000
"""Weights up to which it is there at all: its equations are a dense matrix, 0.3 GB of this many."""

WIDE, LONG = 64, 1000
"""Hidden units and steps from which compiling pays: it takes half a minute, or one where others
share the cores."""


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


def all_settings(model: Model, data: Dataset, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What is trained on what, and how, as plain data: the arguments of `train`, none left None."""
    settings = {k: v for k, v in arguments.items() if k not in ("report_every", "checkpoint")}
    chosen = arguments["optimizer"] or default_optimizer(model)
    treatment = arguments["noise"] or default_noise(chosen, data)
    usual = DEFAULT_STEPS["states" if treatment == "states" else chosen]
    scale = arguments["scale"]
    return {
        **settings,
        "recipe": None if model.recipe is None else asdict(model.recipe),
        "data": data.digest(),
        "optimizer": chosen,
        "noise": treatment,
        "steps": usual if arguments["steps"] is None else arguments["steps"],
        "scale": chosen == "lm" if scale is None else scale,
        "compile": chosen_compile(model, **arguments),
    }


def chosen_compile(
    model: Model,
    checkpoint: str | Path | None,
    *,
    optimizer: str | None = None,
    steps: int | None = None,
    unroll: int = 1,
    compile: bool | None = None,
    **others: Any,
) -> bool:
    """Whether `train` compiles the loss of a run with these options: as told, else as the run in
    `checkpoint` did, else by `default_compile`.

    Raises
    ------
    ValueError
        Where that run was compiled and this machine cannot.
    """
    if compile is not None:
        return compile
    kept = kept_settings(checkpoint)
    if kept is None:
        chosen = default_optimizer(model) if optimizer is None else optimizer
        steps = DEFAULT_STEPS[chosen] if steps is None else steps
        return default_compile(model, chosen, steps, unroll)
    if problem := resume_problem(checkpoint):
        raise ValueError(
            f"checkpoint={str(checkpoint)!r}: was compiled, and this machine cannot compile "
            f"({problem}); compile=False goes on without, equal to rounding"
        )
    return bool(kept.get("compile"))


def resume_problem(checkpoint: str | Path | None) -> str:
    """Why the run in `checkpoint`, which was compiled, cannot be so here; "" where it can or was
    not."""
    kept = kept_settings(checkpoint)
    return compile_problem() if kept is not None and kept.get("compile") else ""


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
