"""Rough stability limit of explicit time stepping, Δt ≈ 2.8 / ρ(J), J = ∂(G δH/δu)/∂u.

2.8 is where the classical Runge–Kutta scheme of order 4 leaves its stability region, on the real
(2.785) and on the imaginary axis (2√2) alike; explicit Euler stops at 2/ρ on the real axis and is
unstable on the imaginary one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics

RK4_RADIUS = 2.8
ITERATIONS = 24


@torch.no_grad()
def explicit_limit(dynamics: Dynamics, u: Tensor) -> float:
    """2.8/ρ for the dynamics linearised about `u`; inf where nothing moves.

    Where H has a quadratic symbol Q and G a symbol, ρ is the largest |Ĝ(k)(Q(k) + s)| over the
    grid's wavenumbers, s between the extreme slopes of the nonlinear force. Elsewhere ρ comes from
    power iteration on the finite-differenced right-hand side.
    """
    q = dynamics.quadratic_symbol()
    g = dynamics.structure.symbol(u.dtype, u.device) if dynamics.grid is not None else None
    if q is None or g is None or dynamics.state_shape[0] != 1:
        radius = power_iteration(dynamics, u)
    else:
        radius = max(float((g * (q + s)).abs().max()) for s in (0.0, *_slopes(dynamics, u)))
    return RK4_RADIUS / radius if radius > 0 else math.inf


def _slopes(dynamics: Dynamics, u: Tensor) -> tuple[float, float]:
    """Least and greatest pointwise slope of the nonlinear force, which acts site by site."""
    h = 1e-4 * float(u.abs().max().clamp(min=1.0))
    force = dynamics.nonlinear_gradient
    slope = (force(u + h) - force(u - h)) / (2 * h)
    return float(slope.min()), float(slope.max())


def power_iteration(dynamics: Dynamics, u: Tensor) -> float:
    """Growth rate of repeated products J·w, over the last two of them.

    Two, because the growth of a single one alternates where J swaps components of very
    different size (q̇ = p, ṗ = −ω²q).
    """
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(u.shape, generator=generator, dtype=torch.float64).to(u)
    h = 1e-4 * float(u.norm().clamp(min=1.0))
    growth = [0.0, 0.0]
    w = w / w.norm()
    for _ in range(ITERATIONS // 2):
        for i in range(2):
            w = (dynamics.rhs(u + h * w) - dynamics.rhs(u - h * w)) / (2 * h)
            growth[i] = float(w.norm())
            if not 0 < growth[i] < math.inf:
                return 0.0
            w = w / growth[i]
    return math.sqrt(growth[0] * growth[1])
