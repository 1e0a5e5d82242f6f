"""What a training run starts with, and the loss on data it does not see.

Scales are fitted, and losses of held-out data taken, on a sample of the pairs; see `scaling`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.units import FAR, sizes, spread
from ddg_explorer.training.first_friction import start_friction
from ddg_explorer.training.first_matrix import start_matrix
from ddg_explorer.training.scaling import (
    fit_inputs,
    fit_linear,
    fit_output,
    fit_units,
    initialise_small,
    linear_terms,
)
from ddg_explorer.training.weak import averaged

Scale = float | Tensor
"""What residuals, or their squares, are divided by: one number, or one for each component or
channel, which then has the dimensions of a state, `(C, 1, …)`."""
WEIGHTS = ("components", "none")
"""What components count by, see `train`."""
SAMPLE_SITES = 60_000
VALIDATION_SITES = 12_000
"""Fewer for the loss on held-out data, which is taken a hundred times a run."""


@torch.no_grad()
def prepare(
    model: Model,
    data: Dataset,
    generator: torch.Generator,
    *,
    small: bool,
    unit: Scale = 1.0,
) -> None:
    """Fit the scales of the network to the data; `small` also starts the weights anew for lm.

    `unit`, of `loss_unit`, counts where it is one number for each component: they are whitened, and
    their slopes fitted, divided by its root each.
    """
    size = unit.sqrt() if isinstance(unit, Tensor) else None
    weight = next(model.parameters())
    u, v = data.pairs()
    count = _pairs(data, SAMPLE_SITES)
    rows = torch.randperm(len(u), generator=generator)[:count]
    u, v = (x[rows].to(weight.device, weight.dtype) for x in (u, v))
    fit_inputs(model, torch.cat([u, v]), size)
    if small:
        initialise_small(model, generator, size)
        start_matrix(model, data)
        start_friction(model, data)
    if size is not None:
        fit_units(model, u, size)
    # a third of the sites is enough for the few coefficients of the output
    u, v = u[: max(1, count // 3)], v[: max(1, count // 3)]
    fit_output(model, v, u, data.dt, size)
    if isinstance(model, EnergyModel) and linear_terms(model):
        fit_linear(model, v, u, data.dt, size)


def _pairs(data: Dataset, sites: int) -> int:
    """Pairs that have about so many sites, at least two; a state of an ODE counts as twenty."""
    return max(2, sites // (20 if data.grid is None else data.grid.size))


def default_weights(data: Dataset) -> str | None:
    """What `weights=None` means: "components" where they change `FAR` times as much as others."""
    apart = data.u.shape[2] > 1 and spread(sizes(data)) >= FAR
    return "components" if apart else None


def loss_unit(data: Dataset, *, weak: bool = False, weighted: bool = False) -> Scale:
    """What squares of the residual are divided by, such that no change has the loss 1.

    The mean square of (v − u)/Δt; `weighted`: that of every component, `(C, 1, …)`, and for one
    that never changes that of them all.
    """
    whole = mean_change(data, weak=weak)
    if not weighted:
        return whole
    rate = data.u.diff(1, 1) / data.dt
    if weak and data.grid is not None:
        rate = averaged(rate, data.grid)
    rest = [0, 1, *range(3, rate.ndim)]
    moving = sizes(data) > 0
    found = torch.where(moving, rate.square().mean(rest).double(), whole)
    share = float(moving.double().mean())
    return (share * found).reshape(-1, *[1] * (rate.ndim - 3))


def root(unit: Scale) -> Scale:
    """What residuals are divided by themselves."""
    return unit.sqrt() if isinstance(unit, Tensor) else math.sqrt(unit)


def mean_change(data: Dataset, *, weak: bool = False) -> float:
    """Mean square of (v − u)/Δt over the data, or of its average with ψ: the unit of the loss."""
    rate = data.u.diff(1, 1) / data.dt
    if weak and data.grid is not None:
        rate = averaged(rate, data.grid)
    return float(rate.square().mean())


@torch.no_grad()
def relative_loss(model: Model, data: Dataset, unit: Scale, *, weak: bool = False) -> float:
    """The loss on some of the pairs, evenly spread over the data; `weak`: that of the weak form.

    `unit` is that of the data that are trained on (`loss_unit`), whatever `data` are.
    """
    weight = next(model.parameters())
    u, v = data.pairs()
    every = max(1, len(u) // _pairs(data, VALIDATION_SITES))

    def prepared(x: Tensor) -> Tensor:
        return x[::every].to(weight.device, weight.dtype)

    residual = model.residual(prepared(v), prepared(u), data.dt)
    if weak and data.grid is not None:
        residual = averaged(residual, data.grid)
    if isinstance(unit, Tensor):
        return float((residual.square() / unit.to(residual)).mean())
    return float(residual.square().mean()) / unit
