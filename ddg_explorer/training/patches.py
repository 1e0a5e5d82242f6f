"""The one-step residual at single sites of a field, from the patch of values around each.

A stencil model's residual at a site depends on the values within its reach only. On a patch that is
2·reach + 1 wide, taken as a small periodic grid of its own, the wrapped-around values do not reach
the centre: the model, rebuilt on that grid with the same weights, gives there exactly the residual
of the large grid. Second-order training samples sites this way.

Patches are `(n, C, *widths)`, an ODE's are its states `(n, d)`; everything nondimensional.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.training.weak import RADIUS, averaged_inside

Weights = dict[str, Tensor]
WITH_NEIGHBOURS = (
    "d_dx",
    "laplacian",
    "strain_wave",
    "learned_kernel",
    "learned_skew_kernel",
    "learned_dissipative_kernel",
    "learned_mobility",
)
"""Operators that look one point (or half their width) beyond a site."""
STAGES = {"dg": 1, "rk2": 2, "leapfrog": 1}


def reach(model: Model) -> int:
    """Points on either side of a site that its residual depends on; 0 for an ODE.

    At least 1 for a field, whose grids have no fewer than three points.

    Raises
    ------
    ValueError
        For a training scheme or an operator that has no finite reach (Dormand–Prince, spectral G).
    """
    if model.scheme not in STAGES:
        raise ValueError(f"scheme={model.scheme!r}: has no finite reach; train with dg or rk2")
    if model.grid is None:
        return 0
    assert model.recipe is not None
    radius = (model.recipe.width or (3 if isinstance(model, EnergyModel) else 5)) // 2
    if not isinstance(model, EnergyModel):
        return max(1, STAGES[model.scheme] * radius)
    operator = dict(model.recipe.structure or {})
    if operator.get("operator") == "spectral":
        raise ValueError("structure operator='spectral': has no finite reach; use Adam")
    own = operator.get("width", 3) // 2 if operator["kind"] in WITH_NEIGHBOURS else 0
    gradient = 2 * radius if model.recipe.prior is None else 1
    return max(1, STAGES[model.scheme] * (gradient + own))


def patch_model(model: Model, margin: int = 0) -> Model:
    """The same model on the grid of one patch, to be called with the large model's weights.

    Residuals are right up to `margin` points from the centre.
    """
    if model.grid is None or model.recipe is None:
        return model
    width = 2 * (reach(model) + margin) + 1
    shape = [width] * model.grid.ndim
    grid = {"shape": shape, "length": [h * width for h in model.grid.spacing]}
    recipe = replace(model.recipe, grid=grid, state_shape=(model.state_shape[0], *shape))
    return recipe.build()


class Windows:
    """Random windows of residual sites of a data set, with the values their residuals depend on.

    Parameters
    ----------
    data
        Training trajectories.
    radius
        Reach of the model.
    width
        Residual sites per axis and window; neighbours share the work on their stencils.
    early
        Fraction of the draws taken from the first 20 steps, where fast modes still grow.
    """

    def __init__(self, data: Dataset, radius: int, width: int = 1, early: float = 0.1) -> None:
        self.data, self.early = data, early
        self.width = 1 if data.grid is None else width
        self.points = torch.arange(self.width + 2 * radius) - radius
        self.sites = self.width ** (0 if data.grid is None else data.grid.ndim)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` windows (v, u) at random trajectories, times and places.

        Of an ODE that has no more pairs than that, each once.
        """

        def integers(high: int, size: int = count) -> Tensor:
            return torch.randint(high, (size,), generator=generator)

        data, pairs = self.data, self.data.frames - 1
        if data.grid is None and count >= data.trajectories * pairs:
            u, v = data.pairs()
            return v, u
        rows, times = integers(data.trajectories), integers(pairs)
        first = int(self.early * count)
        times[:first] = integers(min(20, pairs), first)
        if data.grid is None:
            return data.u[rows, times + 1], data.u[rows, times]
        index = []
        for axis, n in enumerate(data.grid.shape):
            view = [count, *[1] * data.grid.ndim]
            view[1 + axis] = len(self.points)
            index.append(((integers(n)[:, None] + self.points) % n).reshape(view))
        lead = (count, *[1] * data.grid.ndim)
        rows, times = rows.reshape(lead), times.reshape(lead)
        field = data.u.movedim(2, -1)
        v, u = field[(rows, times + 1, *index)], field[(rows, times, *index)]
        return v.movedim(-1, 1), u.movedim(-1, 1)


def centre_residual(
    model: Model, dt: float, *, weak: bool = False
) -> Callable[[Weights, Tensor, Tensor], Tensor]:
    """`(weights, v, u) → residual` of one patch at its centre, shape (C,); (d,) for an ODE.

    `weak`: its average with ψ, on a patch that is wider by 6.
    """
    margin = RADIUS if weak else 0
    small = patch_model(model, margin)
    grid = small.grid
    middle = () if grid is None else tuple(n // 2 for n in grid.shape)

    def residual(weights: Weights, v: Tensor, u: Tensor) -> Tensor:
        r = torch.func.functional_call(small, weights, (v, u, dt))
        if not weak:
            return r[(..., *middle)]
        for axis, n in enumerate(middle, 1):
            r = r.narrow(axis, n - margin, 2 * margin + 1)
        return averaged_inside(r[None])[(0, ..., *(0,) * len(middle))]

    return residual
