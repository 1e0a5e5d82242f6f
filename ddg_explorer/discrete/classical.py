"""Classical discrete gradients of any differentiable energy, to compare with the automatic one.

    Gonzalez     ∇H(m) + (H(v) − H(u) − ∇H(m)·d) d/|d|²,        m = (u + v)/2, d = v − u
    mean value   ∫₀¹ ∇H(u + s d) ds
    Itoh–Abe     (H(v₁ … vᵢ, uᵢ₊₁ … ) − H(v₁ … vᵢ₋₁, uᵢ … ))/(vᵢ − uᵢ)      in component i

States have shape (*batch, *state), energies (*batch); the results have the state's shape. They need
∇H only, not the rules of `discrete_grad`, and are differentiable torch programs like it. Their
quotients are of energies, so for near ends they inherit the rounding of H: a numerator below it is
taken as zero, which keeps the chain rule to rounding of H and the limit v → u right.

Sources: Gonzalez, J. Nonlinear Sci. 6 (1996) 449, doi 10.1007/BF02440162; McLachlan, Quispel,
Robidoux, Phil. Trans. R. Soc. A 357 (1999) 1021, doi 10.1098/rsta.1999.0363; Itoh, Abe, J. Comput.
Phys. 76 (1988) 85, doi 10.1016/0021-9991(88)90132-5.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.discrete.gradient import DiscreteGradient, Energy, check_ends, check_energy


def gonzalez(energy: Energy) -> DiscreteGradient:
    """Midpoint discrete gradient of Gonzalez; second order, symmetric, in general nonlocal.

    Parameters
    ----------
    energy
        State (*batch, *state) → energy (*batch), differentiable by torch.

    Returns
    -------
    Callable
        `(v, u) ↦ ∇̄H(v, u)` of the state's shape; the chain rule holds to the rounding of H.
    """

    def gradient(v: Tensor, u: Tensor) -> Tensor:
        check_ends(v, u)
        middle, d = 0.5 * (v + u), v - u
        high, low, slope = energy(v), energy(u), _gradient(energy, middle)
        state = tuple(range(low.ndim, u.ndim))
        square = (d * d).sum(state) if state else d * d
        along = (slope * d).sum(state) if state else slope * d
        excess = _quotient(high, low, along, square)
        return slope + excess.reshape(low.shape + (1,) * len(state)) * d

    return gradient


def mean_value(energy: Energy, nodes: int = 4) -> DiscreteGradient:
    """Mean-value discrete gradient (average vector field) by Gauss–Legendre quadrature.

    Parameters
    ----------
    energy
        State (*batch, *state) → energy (*batch), differentiable by torch.
    nodes
        Number of quadrature nodes, ≥ 1: the chain rule is exact for polynomials of degree
        ≤ 2·nodes, otherwise its defect decreases exponentially in `nodes` for smooth H.

    Returns
    -------
    Callable
        `(v, u) ↦ ∇̄H(v, u)` of the state's shape; no cancellation at any distance.
    """
    if nodes < 1:
        raise ValueError(f"nodes={nodes}: needs at least one quadrature node")
    points, weights = np.polynomial.legendre.leggauss(nodes)
    rule = [(0.5 + 0.5 * float(x), 0.5 * float(w)) for x, w in zip(points, weights, strict=True)]

    def gradient(v: Tensor, u: Tensor) -> Tensor:
        check_ends(v, u)
        total = torch.zeros_like(u)
        for s, weight in rule:
            total = total + weight * _gradient(energy, (1 - s) * u + s * v)
        return total

    return gradient


def itoh_abe(energy: Energy) -> DiscreteGradient:
    """Coordinate-increment discrete gradient of Itoh and Abe; first order, not symmetric.

    The energy is evaluated, by `torch.func.vmap`, at all n + 1 corners of the staircase from u to v
    and differentiated at the n midpoints of its steps: meant for states of few components n.

    Parameters
    ----------
    energy
        State (*batch, *state) → energy (*batch), differentiable by torch.

    Returns
    -------
    Callable
        `(v, u) ↦ ∇̄H(v, u)` of the state's shape; the chain rule holds to n times the rounding of H.
    """

    def gradient(v: Tensor, u: Tensor) -> Tensor:
        check_ends(v, u)
        low = energy(u)
        check_energy(low, u)
        batch, state = low.shape, u.shape[low.ndim :]
        a, b = v.reshape(*batch, -1), u.reshape(*batch, -1)
        n, d = b.shape[-1], (a - b).movedim(-1, 0)
        done = torch.ones(n + 1, n, dtype=torch.bool, device=u.device).tril(-1)
        done = done.reshape(n + 1, *(1,) * low.ndim, n)
        corners = torch.where(done, a, b)
        heights = torch.func.vmap(energy)(corners.reshape(n + 1, *batch, *state))
        middles = (0.5 * (corners[1:] + corners[:-1])).reshape(n, *batch, *state)
        slopes = _gradient(torch.func.vmap(energy), middles).reshape(n, *batch, n)
        slope = torch.diagonal(slopes, 0, 0, -1).movedim(-1, 0)
        excess = _quotient(heights[1:], heights[:-1], slope * d, d)
        return (slope + excess).movedim(0, -1).reshape(u.shape)

    return gradient


def _gradient(energy: Energy, u: Tensor) -> Tensor:
    """∇H(u), itself differentiable."""

    def total(x: Tensor) -> Tensor:
        h = energy(x)
        check_energy(h, x)
        return h.sum()

    return torch.func.grad(total)(u)


def _quotient(high: Tensor, low: Tensor, part: Tensor, divisor: Tensor) -> Tensor:
    """(high − low − part)/divisor, 0 where the numerator is below the rounding of the energies."""
    excess = high - low - part
    rounding = 4 * torch.finfo(low.dtype).eps * (high.abs() + low.abs())
    known = excess.abs() > rounding
    return torch.where(known, excess, 0.0) / torch.where(known, divisor, 1.0)
