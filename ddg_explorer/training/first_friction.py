"""A first friction r of an ODE, from the data alone and before any network.

    q̇ = ∂H/∂p,   ṗ = −∂H/∂q − r ∂H/∂p,   r ≥ 0, one number for each momentum

By the first equation the second is ṗ + r q̇ = −∂H/∂q: with H a sum of fixed functions, squares and
tanh in random directions, both are linear in its coefficients and r together. That solution starts
Gauss–Newton steps on the residual of u̇ itself, where noise in q̇ does not make r smaller. r is the
number for which one H explains all states; one degree of freedom takes a few hundredths of a
second, and without noise r is good to per mille.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.structure import Friction
from ddg_explorer.training.layout import LEAST, raw_of
from ddg_explorer.training.scaling import EMPTY

PAIRS, EQUATIONS = 2000, 8000
"""Of the data that are used, at most."""
FEATURES, WIDTH, SEED = 128, 0.8, 0
"""Number, standard deviation and draw of the directions in whitened states."""
PER_FUNCTION = 4
"""Equations for each function, at least."""
DEPENDENT = 1e-5
"""Singular value, relative to the largest, below which functions count as dependent."""
REFINEMENTS = 4
OFF, SHARE, FLOOR = 3.0, 0.1, 0.01
"""Bound of its error, where q and p have size 1: by the root of what is left, r, and at least."""
EXPLAINED = 0.1
"""Share of the mean square of u̇ that must not be left: then noise, or another G, hides r."""


def friction_ends(
    model: Model, found: tuple[Tensor, Tensor] | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """Where a learned friction by component ends in training, by its name, below and above.

    Near what the data tell (`usable_friction`); elsewhere between `LEAST` and infinity.
    """
    module = model.structure.module if isinstance(model, EnergyModel) else None
    if not isinstance(module, Friction) or module.raw.ndim > 1:
        return {}
    low, high = torch.full_like(module.raw, LEAST), torch.full_like(module.raw, math.inf)
    if found is not None:
        friction, error = found
        low, high = (friction - error).clamp_min(LEAST), friction + error
    return {
        name: (low.detach(), high.detach())
        for name, weight in model.named_parameters()
        if weight is module.raw
    }


@torch.no_grad()
def start_friction(model: Model, data: Dataset) -> None:
    """Start a learned friction of an ODE, one for each momentum, where the data put it.

    It stays where they do not tell, and so does any other model.
    """
    found = usable_friction(model, data)
    if found is not None:
        model.get_submodule("operator").get_parameter("raw").copy_(raw_of(found[0]))


def usable_friction(model: Model, data: Dataset) -> tuple[Tensor, Tensor] | None:
    """r > 0 of a model of an ODE in its own units, and how far it may be off; None for others."""
    if not isinstance(model, EnergyModel) or model.grid is not None:
        return None
    module = model.structure.module
    if not isinstance(module, Friction) or module.raw.shape != (model.state_shape[0] // 2,):
        return None
    found = first_friction(data)
    if found is None:
        return None
    if module.units is not None:
        found = [x / module.units.to(x) for x in found]
    friction, error = found
    return friction.clamp_min(LEAST), error


@torch.no_grad()
def first_friction(data: Dataset) -> tuple[Tensor, Tensor] | None:
    """r ≥ 0 of an ODE and how far it may be off, `(d/2,)` in float64 and units of the data.

    The same from the same data; the bound is some times what errors were measured.

    None where these do not tell: too few states, a component that never changes, too much noise, or
    a motion that no such G and H explain.
    """
    u, v = data.pairs()
    if len(u) < 2 or u.shape[1] % 2:
        return None
    every = math.ceil(len(u) / min(PAIRS, max(2, EQUATIONS // u.shape[1])))
    u, v = u[::every].double().cpu(), v[::every].double().cpu()
    middle, rate = (u + v) / 2, (v - u) / data.dt
    spread = middle.std(0)
    if not bool((spread > 0).all()):
        return None
    slopes = _slopes((middle - middle.mean(0)) / spread)
    if slopes is None:
        return None
    q, p = spread.chunk(2)
    # ∂H/∂p = q̇ for every pair (q, p) of size 1: energies of different pairs are one
    area = (q * p).repeat(2)[:, None]
    basis, rate = _orthonormal(slopes * (area.log().mean().exp() / area)), rate / spread
    friction, left = _refined(basis, rate, _linear(basis, rate))
    if not left < EXPLAINED:
        return None
    friction = friction.clamp_min(0)
    error = OFF * math.sqrt(left) + SHARE * friction + FLOOR
    return friction * p / q, error * p / q


def _slopes(x: Tensor) -> Tensor | None:
    """∇ of the functions at the states, `(n, d, k)`; None where these are too few for squares."""
    variance, axes = torch.linalg.eigh(x.mT @ x / len(x))
    seen = variance > EMPTY * variance[-1]
    whiten = axes[:, seen] / variance[seen].sqrt()
    y, width = x @ whiten, whiten.shape[1]
    squares = torch.tensor(list(combinations_with_replacement(range(width), 2)))
    most = x.numel() // PER_FUNCTION - width - len(squares)
    if most < 0:
        return None
    generator = torch.Generator().manual_seed(SEED)
    count = min(FEATURES, most)
    axis = WIDTH * torch.randn(width, count, generator=generator, dtype=torch.float64)
    shift = 2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1
    bent = (1 - (y @ axis + shift).tanh().square())[:, None] * axis
    linear = torch.eye(width, dtype=x.dtype).expand(len(x), -1, -1)
    i, j = squares.mT
    square = linear[..., i] * y[:, None, j] + linear[..., j] * y[:, None, i]
    return whiten @ torch.cat([linear, square, bent], -1)


def _orthonormal(slopes: Tensor) -> Tensor:
    """Gradients of independent functions with the same span, orthonormal over all states."""
    flat = slopes.flatten(0, 1)
    flat = flat / flat.norm(dim=0).clamp_min(torch.finfo(flat.dtype).tiny)
    basis, values, _ = torch.linalg.svd(flat, full_matrices=False)
    return basis[:, values > DEPENDENT * values[0]].unflatten(0, slopes.shape[:2])


def _linear(basis: Tensor, rate: Tensor) -> Tensor:
    """r for which (−ṗ − r q̇, q̇) is a gradient as nearly as can be."""
    q, p = rate.chunk(2, 1)
    flat = basis.flatten(0, 1)
    wanted = torch.cat([-p, q], 1).flatten()[:, None]
    pushed = torch.cat([torch.diag_embed(q), torch.diag_embed(0 * q)], 1).flatten(0, 1)
    wanted, pushed = (x - flat @ (flat.mT @ x) for x in (wanted, pushed))
    return torch.linalg.lstsq(pushed, wanted, driver="gelsd").solution[:, 0]


def _refined(basis: Tensor, rate: Tensor, friction: Tensor) -> tuple[Tensor, float]:
    """r that leaves least of Σ|u̇|² beside the best H, of all on the way, and the share it leaves.

    The coefficients of H are eliminated at every step.
    """
    to_q, to_p = basis.chunk(2, 1)
    goal = rate.flatten()[:, None]
    best, left = friction, math.inf
    for _ in range(REFINEMENTS):
        columns = torch.cat([to_p, -to_q - friction[:, None] * to_p], 1).flatten(0, 1)
        factor, failed = torch.linalg.cholesky_ex(columns.mT @ columns)
        if failed:
            break
        energy = torch.cholesky_solve(columns.mT @ goal, factor)
        rest = goal - columns @ energy
        share = float(rest.square().sum() / goal.square().sum())
        if not share < left:
            break
        best, left = friction, share
        pushed = -torch.diag_embed((to_p @ energy)[..., 0])
        pushed = torch.cat([torch.zeros_like(pushed), pushed], 1).flatten(0, 1)
        pushed = pushed - columns @ torch.cholesky_solve(columns.mT @ pushed, factor)
        friction = friction + torch.linalg.lstsq(pushed, rest, driver="gelsd").solution[:, 0]
    return best, left
