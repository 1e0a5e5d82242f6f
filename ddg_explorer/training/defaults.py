"""What a training run does where it is not told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeGuard

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.training.first_order import BATCH
from ddg_explorer.training.fused import density, fuses
from ddg_explorer.training.native import compile_problem, compiler
from ddg_explorer.training.prepare import default_weights
from ddg_explorer.training.snapshots import kept_settings

log = logging.getLogger(__name__)

OPTIMISERS = ("lm", "adam", "soap")
NOISE = ("none", "smooth", "weak", "states")
DEFAULT_STEPS = {"lm": 500, "states": 40, "adam": 10_000, "soap": 10_000}
SMALL = 1500
"""Weights up to which second-order training is the default."""
LARGEST = 6000
"""Weights up to which it is there at all: its equations are a dense matrix, 0.3 GB of this many."""

WORTH = 10**8
"""Sites × hidden units × steps from which compiling pays. It takes two or three seconds, and saves
some 50 ns of each of these."""


def compiles(model: Model, optimizer: str, unroll: int) -> TypeGuard[EnergyModel]:
    """Whether the loss of such a run can be compiled: the one-step loss of a tanh DGNet on the
    CPU."""
    if optimizer == "lm" or unroll != 1 or not fuses(model):
        return False
    return density(model).activation == "tanh" and model.device.type == "cpu"


def worth_compiling(model: Model, optimizer: str, steps: int, batch: int, unroll: int) -> bool:
    """Whether compiling saves more time than it takes."""
    if not compiles(model, optimizer, unroll):
        return False
    sites = batch * (1 if model.grid is None else model.grid.size)
    return sites * len(density(model).dense[0].weight) * steps >= WORTH


def default_compile(
    model: Model, optimizer: str, steps: int, batch: int = BATCH, unroll: int = 1
) -> bool:
    """Whether a run that is not told compiles its loss: where it pays, and a compiler works."""
    if not worth_compiling(model, optimizer, steps, batch, unroll):
        return False
    problem = compile_problem()
    if problem and compiler() is not None:
        log.warning("training is not compiled: %s", problem)
    return not problem


def all_settings(model: Model, data: Dataset, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What is trained on what, and how, as plain data: the arguments of `train`, none left None but
    `rows` and, where components are not weighted, `weights`."""
    settings = {k: v for k, v in arguments.items() if k not in ("report_every", "checkpoint")}
    chosen = arguments["optimizer"] or default_optimizer(model)
    treatment = arguments["noise"] or default_noise(chosen, data)
    usual = DEFAULT_STEPS["states" if treatment == "states" else chosen]
    scale, weights = arguments["scale"], chosen_weights(arguments["weights"], data)
    return {
        **settings,
        "recipe": None if model.recipe is None else asdict(model.recipe),
        "data": data.digest(),
        "optimizer": chosen,
        "noise": treatment,
        "steps": usual if arguments["steps"] is None else arguments["steps"],
        "weights": weights,
        "scale": chosen == "lm" or weights is not None if scale is None else scale,
        "compile": chosen_compile(model, **arguments),
    }


def chosen_weights(weights: str | None, data: Dataset) -> str | None:
    """What components count by in a run on these data: as told, else by `default_weights`; "none"
    is None."""
    chosen = default_weights(data) if weights is None else weights
    return None if chosen == "none" else chosen


def chosen_compile(
    model: Model,
    checkpoint: str | Path | None,
    *,
    optimizer: str | None = None,
    steps: int | None = None,
    batch: int | None = BATCH,
    unroll: int = 1,
    compile: bool | None = None,
    **others: Any,
) -> bool:
    """Whether `train` compiles the loss of a run with these options: as told, else as the run in
    `checkpoint` did, else by `default_compile`.

    Raises
    ------
    ValueError
        Where that run was compiled, and this one cannot be.
    """
    if compile is not None:
        return compile
    kept = kept_settings(checkpoint)
    if kept is None:
        chosen = default_optimizer(model) if optimizer is None else optimizer
        steps = DEFAULT_STEPS[chosen] if steps is None else steps
        return default_compile(model, chosen, steps, batch or BATCH, unroll)
    compiled = bool(kept.get("compile"))
    problem = compile_problem() if compiled else ""
    if compiled and model.device.type != "cpu":
        problem = "only steps on the CPU are compiled"
    if problem:
        raise ValueError(
            f"checkpoint={str(checkpoint)!r}: was compiled, and cannot be here ({problem}); "
            "compile=False goes on without, equal to rounding"
        )
    return compiled


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
