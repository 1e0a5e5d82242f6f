"""Exact N-soliton solutions of the Korteweg–de Vries equation on the line, without overflow.

    w_τ + 6 w w_x + w_xxx = 0,    w = 2 ∂²/∂x² log F,
    F = Σ_S exp(Σ_{i∈S} θᵢ + Σ_{i<j∈S} log aᵢⱼ),
    θᵢ = 2kᵢ(x − xᵢ) − 8kᵢ³τ,    aᵢⱼ = ((kᵢ − kⱼ)/(kᵢ + kⱼ))²,

the sum over all subsets S of the solitons (Hirota, 1971, doi:10.1103/PhysRevLett.27.1192). With
p_S the softmax of the exponents and s_S = Σ_{i∈S} 2kᵢ their slopes, ∂² log F is the variance of s
under p. Written as Σ_{S<T} p_S p_T (s_S − s_T)² it has only non-negative terms: nothing overflows
and nothing cancels, however far out x lies. N = 1 gives 2k² sech²(k(x − x₁ − 4k²τ)).
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor


def soliton_exponents(k: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes s_S and constant parts of the exponents, shape (2ᴺ, batch) each, at τ = 0.

    The phase shift of soliton i by those to its left is put into its own constant, so that at τ = 0
    well-separated solitons sit at `centres`.
    """
    count = k.shape[1]
    log_a = {
        (i, j): 2 * torch.log((k[:, i] - k[:, j]).abs() / (k[:, i] + k[:, j]))
        for i, j in combinations(range(count), 2)
    }
    shifts = [-2 * k[:, i] * centres[:, i] for i in range(count)]
    for (i, j), value in log_a.items():
        i_is_right = centres[:, i] > centres[:, j]
        shifts[i] = shifts[i] - torch.where(i_is_right, value, 0.0)
        shifts[j] = shifts[j] - torch.where(i_is_right, 0.0, value)
    slopes, constants = [], []
    for size in range(count + 1):
        for subset in combinations(range(count), size):
            zero = torch.zeros_like(k[:, 0])
            slopes.append(sum((2 * k[:, i] for i in subset), zero))
            pairs = sum((log_a[pair] for pair in combinations(subset, 2)), zero)
            constants.append(pairs + sum((shifts[i] for i in subset), zero))
    return torch.stack(slopes), torch.stack(constants)


def n_soliton(x: Tensor, tau: float, k: Tensor, centres: Tensor) -> Tensor:
    """w(x, τ) for batches of solitons.

    Parameters
    ----------
    x
        Positions, (batch, n).
    tau
        Time in the standard form above.
    k, centres
        Wavenumbers (distinct, positive) and positions at τ = 0, (batch, N) each; N ≤ 6.

    Returns
    -------
    Tensor
        w, (batch, n), relatively accurate out into the tails.
    """
    slopes, constants = soliton_exponents(k, centres)
    speeds = torch.stack(
        [
            sum((8 * k[:, i] ** 3 for i in subset), torch.zeros_like(k[:, 0]))
            for size in range(k.shape[1] + 1)
            for subset in combinations(range(k.shape[1]), size)
        ]
    )
    exponents = slopes[..., None] * x + (constants - speeds * tau)[..., None]
    p = torch.softmax(exponents, 0)
    variance = torch.zeros_like(x)
    for s, t in combinations(range(len(p)), 2):
        variance = variance + p[s] * p[t] * ((slopes[s] - slopes[t]) ** 2)[:, None]
    return 2 * variance


def soliton_group(x: Tensor, length: float, tau: float, k: Tensor, places: Tensor) -> Tensor:
    """N-soliton solution on nodes x of a period, cut half a period from the group's middle.

    `k` and `places` are (batch, N); returns (batch, 1, n). ValueError once the solitons, taken as
    free, are more than half a period apart: the infinite line is then no guide to the ring.
    """
    positions = places + 4 * tau * k**2
    if bool((positions.amax(1) - positions.amin(1) > length / 2).any()):
        spread = "the solitons have spread over more than half the period"
        raise ValueError(f"no exact solution at τ={tau:.4g}: {spread}")
    middle = positions.mean(1, keepdim=True)
    x = middle + torch.remainder(x - middle + length / 2, length) - length / 2
    return n_soliton(x, tau, k, places)[:, None]


def soliton_row(x: Tensor, k: Tensor, centres: Tensor, period: float | None = None) -> Tensor:
    """Σᵢ 2kᵢ² sech²(kᵢ(x − centreᵢ)), (batch, 1, n): solitons side by side, no solution together.

    With a period each takes the shortest way round; without one they are not periodised.
    """
    offset = x - centres[..., None]
    if period is not None:
        offset = torch.remainder(offset + period / 2, period) - period / 2
    bumps = 2 * (k[..., None] / torch.cosh(k[..., None] * offset)) ** 2
    return bumps.sum(1, keepdim=True)
