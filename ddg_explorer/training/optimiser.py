"""The optimiser of a training run, from its settings."""

from __future__ import annotations

from typing import Any

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model
from ddg_explorer.training.first_order import FirstOrder
from ddg_explorer.training.levenberg_marquardt import LevenbergMarquardt
from ddg_explorer.training.prepare import Scale, loss_unit
from ddg_explorer.training.shooting import Shooting

Optimiser = LevenbergMarquardt | Shooting | FirstOrder


def unit_of(data: Dataset, settings: dict[str, Any]) -> Scale:
    """The unit of the loss of these data."""
    weighted = settings["weights"] is not None
    return loss_unit(data, weak=settings["noise"] == "weak", weighted=weighted)


def optimiser(
    model: Model,
    data: Dataset,
    generator: torch.Generator,
    settings: dict[str, Any],
    unit: Scale,
) -> Optimiser:
    """What trains this model on these data with these settings; `unit` is that of the loss.

    Raises
    ------
    ValueError
        For a model or data that it does not suit.
    """
    steps, weighted = settings["steps"], settings["weights"] is not None
    treatment = settings["noise"]
    rows = None if settings["rows"] is None else tuple(settings["rows"])
    if treatment == "states":
        ridge = settings["ridge"]
        return Shooting(
            model, data, generator, steps=steps, rows=rows, ridge=ridge, weighted=weighted
        )
    if settings["optimizer"] == "lm":
        weak = treatment == "weak"
        return LevenbergMarquardt(
            model, data, generator, steps=steps, rows=rows, weak=weak, weighted=weighted
        )
    options = {
        name: settings[name] for name in ("batch", "lr", "weight_decay", "schedule", "unroll")
    }
    return FirstOrder(
        model,
        data,
        generator,
        steps=steps,
        compiled=settings["compile"],
        optimizer=settings["optimizer"],
        scale=unit.sqrt() if isinstance(unit, torch.Tensor) else None,
        **options,
    )
