"""Constants of energy-preserving collocation on s orthonormal shifted Legendre modes, k nodes.

    u(σ) = u + Σⱼ aⱼ ∫₀^σ Pⱼ,   γⱼ = ∫₀¹ Pⱼ ∇H(u(σ)) dσ ≈ Σᵢ bᵢ Pⱼ(cᵢ) ∇H(u(cᵢ)),   0 ≤ j < s

with Pⱼ(σ) = √(2j+1) Lⱼ(2σ − 1) and Gauss nodes cᵢ, weights bᵢ on [0, 1]. X_jl = ∫₀¹ Pⱼ ∫₀^σ P_l is
tridiagonal and skew but for X₀₀ = ½; its eigenvalues are those of the Gauss method with s stages.

Source: L. Brugnano, F. Iavernaro, Line Integral Methods for Conservative Problems (2016),
doi 10.1201/b19319; E. Hairer, JNAIAM 5 (2010) 73.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.polynomial import legendre
from torch import Tensor

Array = np.ndarray


@dataclass(frozen=True)
class Tableau:
    """Matrices for one pair (s, k), on one device.

    Attributes
    ----------
    evaluate
        (k, 1 + s): (u, a) → u(cᵢ).
    project
        (s, k): f(cᵢ) → ∫ Pⱼ f.
    integral
        (s, s): X.
    moments
        (s, 1 + s): (u, a) → ∫ Pⱼ u(σ) dσ, exactly.
    determinant, adjugates
        det(1 − zX) = Σ zᵐ dₘ and adj(1 − zX) = Σ zᵐ Nₘ: s + 1 numbers and s matrices.
    gauss_evaluate, gauss_values, gauss_project
        At the s Gauss nodes: (u, a) → u(cᵢ), modes → values, and values → modes (its inverse).
    """

    s: int
    k: int
    evaluate: Tensor
    project: Tensor
    integral: Tensor
    moments: Tensor
    determinant: tuple[float, ...]
    adjugates: tuple[Tensor, ...]
    gauss_evaluate: Tensor
    gauss_values: Tensor
    gauss_project: Tensor


def modes_at(s: int, x: Array) -> Array:
    """Pⱼ(x) for j < s, (s, len(x))."""
    return np.stack([_basis(j, x) * math.sqrt(2 * j + 1) for j in range(s)])


def integrals_at(s: int, x: Array) -> Array:
    """∫₀ˣ Pⱼ for j < s, (s, len(x)), from (2j+1) Lⱼ = (Lⱼ₊₁ − Lⱼ₋₁)′."""
    rows = [x]
    for j in range(1, s):
        rows.append((_basis(j + 1, x) - _basis(j - 1, x)) / (2 * math.sqrt(2 * j + 1)))
    return np.stack(rows)


def gauss(k: int) -> tuple[Array, Array]:
    """Nodes and weights of k-point Gauss quadrature on [0, 1]."""
    x, w = legendre.leggauss(k)
    return (x + 1) / 2, w / 2


def _basis(j: int, x: Array) -> Array:
    return legendre.legval(2 * x - 1, [0.0] * j + [1.0])


def _integral(s: int) -> Array:
    x = np.zeros((s, s))
    x[0, 0] = 0.5
    for j in range(1, s):
        x[j, j - 1] = 0.5 / math.sqrt(4 * j * j - 1)
        x[j - 1, j] = -x[j, j - 1]
    return x


def _resolvent(x: Array) -> tuple[list[float], list[Array]]:
    """Coefficients of det(1 − zX) and adj(1 − zX) by the recurrence of Faddeev and LeVerrier."""
    s = len(x)
    determinant, adjugates, n = [1.0], [], np.eye(s)
    for m in range(1, s + 1):
        adjugates.append(n)
        product = x @ n
        determinant.append(-float(np.trace(product)) / m)
        n = product + determinant[-1] * np.eye(s)
    return determinant, adjugates


def tableau(s: int, k: int, dtype: torch.dtype, device: torch.device | str = "cpu") -> Tableau:
    """The constants for s modes and k ≥ s nodes, computed in float64 and rounded once."""

    def tensor(a: Array) -> Tensor:
        return torch.as_tensor(a, dtype=dtype, device=device)

    def evaluation(nodes: Array) -> Array:
        return np.concatenate([np.ones((len(nodes), 1)), integrals_at(s, nodes).T], 1)

    nodes, weights = gauss(k)
    few, few_weights = gauss(s)
    x = _integral(s)
    determinant, adjugates = _resolvent(x)
    first = np.eye(s)[:, :1]
    return Tableau(
        s=s,
        k=k,
        evaluate=tensor(evaluation(nodes)),
        project=tensor(modes_at(s, nodes) * weights),
        integral=tensor(x),
        moments=tensor(np.concatenate([first, x], 1)),
        determinant=tuple(determinant),
        adjugates=tuple(tensor(n) for n in adjugates),
        gauss_evaluate=tensor(evaluation(few)),
        gauss_values=tensor(modes_at(s, few).T),
        gauss_project=tensor(modes_at(s, few) * few_weights),
    )


def extrapolation(s: int, ratio: float) -> Array:
    """(s, s): modes of a step → modes of its polynomial on the next step, `ratio` times as long.

    Exact for u̇ of degree < s. A negative ratio (time reversed) is as good as any.
    """
    x, w = gauss(s)
    return ratio * (modes_at(s, x) * w) @ modes_at(s, 1 + ratio * x).T


def nodes_for_degree(s: int, degree: int) -> int:
    """Nodes that integrate Pⱼ ∇H(u(σ)) exactly for a polynomial H: ⌈degree·s/2⌉, at least s."""
    return max(s, -(-degree * s // 2))
