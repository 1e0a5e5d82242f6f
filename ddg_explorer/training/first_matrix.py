"""A first free matrix G of an ODE, from the data alone and before any network.

    u̇ = f(u) = G ∇H(u),   G invertible   ⇒   G⁻¹ Df(u) = ∇²H(u) is symmetric in every state

so M = G⁻¹ solves a linear system of equations, M Df = (M Df)ᵀ, once Df is known: here from
polynomials around some of the states. That is good to per cents in a tenth of a second, where from
a random G training can end in a wrong basin. A separable H has more solutions than one
(`models.freedom`): of these, one that is skew or dissipative if there is one.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.freedom import falling, nearly_symmetrising
from ddg_explorer.structure.coefficients import Free
from ddg_explorer.structure.dense import DissipativeMatrix, SkewMatrix

DEGREE = 3
"""Higher ones are better without noise and far worse with it."""
SHARES = (1.0, 0.3, 0.1, 0.03)
"""Of the states, that are neighbours of one."""
GOOD = 1e-4
"""Share of the mean square of u̇ that a good polynomial may leave."""
POOR = 1e-2
"""Relative error of f around a state by which its Df counts half as much."""
PAIRS_PER_TERM = 4
PAIRS, STATES = 2000, 64
"""Of the data that are used, and of them those in which Df is wanted."""
EXPLAINED = 0.1
"""Share that it must not leave: then noise hides f."""
SHARE = 0.1
"""Of the matrix, that a constrained one must be able to take."""
SMALLEST = 1e-4
"""A dissipated direction starts with this share of the strongest one at least, to have a slope."""


def learned_matrix(model: Model) -> Free | SkewMatrix | DissipativeMatrix | None:
    """What makes the matrix G of an ODE that is learned; None for any other model."""
    if not isinstance(model, EnergyModel) or model.grid is not None:
        return None
    module = model.structure.module
    return module if isinstance(module, Free | SkewMatrix | DissipativeMatrix) else None


@torch.no_grad()
def start_matrix(model: Model, data: Dataset) -> None:
    """Start a learned matrix where the data put it; it stays as drawn where they do not tell.

    A skew one takes the skew part, a dissipative one the nearest negative semi-definite part too.
    """
    module, found = learned_matrix(model), usable_matrix(model, data)
    if module is None or found is None:
        return
    half_skew = (found - found.mT) / 4
    if isinstance(module, Free):
        module.raw.copy_(found)
    elif isinstance(module, SkewMatrix):
        module.raw.copy_(half_skew)
    else:
        values, axes = torch.linalg.eigh(-(found + found.mT) / 2)
        values, rank = values.clamp_min(SMALLEST * values.abs().max()), module.raw.shape[1]
        module.raw.copy_((axes * values.sqrt()).flip(-1)[:, :rank])
        if module.skew is not None:
            module.skew.copy_(half_skew)


def usable_matrix(model: Model, data: Dataset) -> Tensor | None:
    """The matrix, of norm √d in units of the model's, from which its learned one starts.

    None for a model without one, where the data do not tell (`first_matrix`), and where less than
    `SHARE` of what they tell is of the learned one's kind: for a skew one, of a gradient flow's.
    """
    module = learned_matrix(model)
    found = None if module is None else first_matrix(data)
    if module is None or found is None:
        return None
    if module.units is not None:
        found = found / module.units.to(found)
    found = found * (math.sqrt(len(found)) / found.norm())
    return found if bool(_taken(module, found).norm() >= SHARE * found.norm()) else None


def _taken(module: Free | SkewMatrix | DissipativeMatrix, found: Tensor) -> Tensor:
    """The part of a matrix that is of the module's kind."""
    if isinstance(module, Free):
        return found
    skew = (found - found.mT) / 2
    if isinstance(module, SkewMatrix):
        return skew
    values, axes = torch.linalg.eigh((found + found.mT) / 2)
    falling_part = axes * values.clamp_max(0) @ axes.mT
    return falling_part if module.skew is None else falling_part + skew


def first_matrix(data: Dataset) -> Tensor | None:
    """G of an ODE up to a factor, `(d, d)` in float64; the same from the same data.

    None where these do not tell: too few states, too much noise, or no invertible G.
    """
    u, v = (x[:: max(1, math.ceil(len(x) / PAIRS))].double() for x in data.pairs())
    if len(u) < 2:
        return None
    middle, rate = (u + v) / 2, (v - u) / data.dt
    spread = middle.std(0)
    if not bool((spread > 0).all()):
        return None
    jacobians = _jacobians((middle - middle.mean(0)) / spread, rate / spread)
    if jacobians is None:
        return None
    inverse = falling(nearly_symmetrising(jacobians))
    if inverse is None:
        return None
    return spread[:, None] * torch.linalg.inv(inverse) * spread


def _jacobians(x: Tensor, rate: Tensor) -> Tensor | None:
    """Df at some of the states `x`, `(n, d, d)`, each times how well it is known; None if badly.

    From a polynomial around the state, fitted to its neighbours: as many as fit nearly as well as
    any number, for one through all turns of a pendulum is good nowhere.
    """
    d = x.shape[1]
    terms = _terms(len(x), d)
    if len(terms) <= d:
        return None
    fits = []
    for share in SHARES:
        count = max(round(share * len(x)), PAIRS_PER_TERM * len(terms))
        some = x[:: max(1, len(x) // STATES)]
        found = zip(*(_around(at, x, rate, terms, count) for at in some), strict=True)
        slopes, left, whole = map(torch.stack, found)
        weights = 1 / ((left / whole).sqrt() + POOR)
        fits.append((float(left.sum() / whole.sum()), slopes * weights[:, None, None]))
    best = min(error for error, _ in fits)
    if not best < EXPLAINED:
        return None
    return next(found for error, found in fits if error <= 2 * best + GOOD)


def _terms(count: int, d: int) -> list[tuple[int, ...]]:
    """Monomials, each by its components, that so many states can determine; 1 and xᵢ first."""
    terms: list[tuple[int, ...]] = [()]
    for degree in range(1, DEGREE + 1):
        more = list(combinations_with_replacement(range(d), degree))
        if count < PAIRS_PER_TERM * (len(terms) + len(more)):
            break
        terms += more
    return terms


def _around(
    at: Tensor, x: Tensor, rate: Tensor, terms: list[tuple[int, ...]], count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Df at one state from its `count` neighbours, what they leave of Σ|f|², and that itself."""
    distance, near = (x - at).norm(dim=1).topk(min(count, len(x)), largest=False)
    reach = distance[-1].clamp_min(torch.finfo(x.dtype).tiny)
    weight = (1 - (distance / reach) ** 3)[:, None] ** 1.5
    y = (x[near] - at) / reach
    columns = torch.stack([y[:, term].prod(1) for term in terms], 1) * weight
    wanted = rate[near] * weight
    found = torch.linalg.lstsq(columns.cpu(), wanted.cpu(), driver="gelsd").solution.to(x)
    left = (columns @ found - wanted).square().sum()
    return found[1 : 1 + x.shape[1]].mT / reach, left, wanted.square().sum()
