"""Small data sets and models that the training tests share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ddg_explorer import SYSTEMS, simulate
from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model
from ddg_explorer.models.recipe import ModelRecipe

G_OF = {
    "kdv": "d_dx",
    "cahn_hilliard": "laplacian",
    "cahn_hilliard_2d": "laplacian",
    "pendulum": "symplectic",
    "wave": "strain_wave",
    "two_body": "symplectic",
}


def trajectories(
    name: str, *, count: int, steps: int, dt: float, seed: int = 0, **options: Any
) -> Dataset:
    """True trajectories of a system, made by its own discrete-gradient scheme."""
    preset = "published" if "published" in SYSTEMS[name].presets else None
    system = SYSTEMS[name](preset, **options)
    run = simulate(system, system.initial(seed, count), dt=dt, steps=steps)
    assert run.reason == ""
    context = {"system": system.name, "structure": {"kind": G_OF[name]}}
    return Dataset(run.u.transpose(0, 1).contiguous(), dt, system.grid, context=context)


def kdv(**changes: Any) -> Dataset:
    return trajectories("kdv", **{"count": 6, "steps": 60, "dt": 1e-3, **changes})


def pendulum(**changes: Any) -> Dataset:
    return trajectories("pendulum", **{"count": 4, "steps": 40, "dt": 0.1, **changes})


def dgnet(
    data: Dataset, *, structure: Mapping[str, Any] | None = None, hidden: int = 8, **options: Any
) -> Model:
    return ModelRecipe.fitting("dgnet", data, structure=structure, hidden=hidden, **options).build()


def shaken(model: Model, seed: int = 0) -> Model:
    """The model with random whitening, biases and quadratic part, as after some training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            if "network" in name:
                value.add_(0.3 * noise)
    return model


def gradients(model: Model) -> dict[str, Tensor]:
    """Of all weights; zero where there is none."""
    return {
        n: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for n, p in model.named_parameters()
    }


def largest_gap(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Between two sets of gradients, relative to the largest of `other`."""
    size = max(float(g.abs().max()) for g in other.values())
    return max(float((one[n].double() - g).abs().max()) for n, g in other.items()) / size
