"""What a training run starts with, and the loss on data it does not see.

Scales are fitted, and losses of held-out data taken, on a sample of the pairs; see `scaling`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.training.first_matrix import start_matrix
from ddg_explorer.training.scaling import (
    fit_inputs,
    fit_linear,
    fit_output,
    initialise_small,
    linear_terms,
)
from ddg_explorer.training.weak import averaged

SAMPLE_SITES = 60_000
VALIDATION_SITES = 12_000
"""Fewer for the loss on held-out data, which is taken a hundred times a run."""


@torch.no_grad()
def prepare(model: Model, data: Dataset, generator: torch.Generator, *, small: bool) -> None:
    """Fit the scales of the network to the data; `small` also starts the weights anew for lm."""
    weight = next(model.parameters())
    u, v = data.pairs()
    count = _pairs(data, SAMPLE_SITES)
    rows = torch.randperm(len(u), generator=generator)[:count]
    u, v = (x[rows].to(weight.device, weight.dtype) for x in (u, v))
    fit_inputs(model, torch.cat([u, v]))
    if small:
        initialise_small(model, generator)
        start_matrix(model, data)
    # a third of the sites is enough for the few coefficients of the output
    u, v = u[: max(1, count // 3)], v[: max(1, count // 3)]
    fit_output(model, v, u, data.dt)
    if isinstance(model, EnergyModel) and linear_terms(model):
        fit_linear(model, v, u, data.dt)


def _pairs(data: Dataset, sites: int) -> int:
    """Pairs that have about so many sites, at least two; a state of an ODE counts as twenty."""
    return max(2, sites // (20 if data.grid is None else data.grid.size))


def mean_change(data: Dataset, *, weak: bool = False) -> float:
    """Mean square of (v − u)/Δt over the data, or of its average with ψ: the unit of the loss."""
    rate = data.u.diff(1, 1) / data.dt
    if weak and data.grid is not None:
        rate = averaged(rate, data.grid)
    return float(rate.square().mean())


@torch.no_grad()
def relative_loss(model: Model, data: Dataset, unit: float, *, weak: bool = False) -> float:
    """The loss on some of the pairs, evenly spread over the data; `weak`: that of the weak form."""
    weight = next(model.parameters())
    u, v = data.pairs()
    every = max(1, len(u) // _pairs(data, VALIDATION_SITES))

    def prepared(x: Tensor) -> Tensor:
        return x[::every].to(weight.device, weight.dtype)

    residual = model.residual(prepared(v), prepared(u), data.dt)
    if weak and data.grid is not None:
        residual = averaged(residual, data.grid)
    return float(residual.square().mean()) / unit
