"""tanh and its secant slope at both ends of a step, and the slope's derivatives, in few operations.

    σ̄ = k(d) g,   g = 1 − tτ,   d = a − c,   k(d) = tanh(d)/d
    ∂σ̄/∂a = k′g − kτ(1 − t²),   ∂σ̄/∂c = −k′g − kt(1 − τ²)

Ends closer than `NEAR`, as nearly all are at a training step's Δt, need one evaluation of tanh:
with h = d·k(d) from the series of k, g = (1 − t²)/(1 − th) and τ = t − hg. For others k g is the
quotient, which loses nothing at that distance. All to absolute accuracy, which is enough where
they only ever multiply weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NEAR = 0.2
TANHC = (
    1.0,
    -0.333333333333332979,
    0.133333333333147316,
    -0.0539682539310037393,
    0.0218694848699580085,
    -0.0088630393187020344,
    0.00358629526629732076,
    -0.00136495893320922151,
)
"""tanh(d)/d by powers of d², interpolated at Chebyshev points of |d| < `NEAR`: there it and its
derivative are right to rounding, where the Taylor polynomial's derivative errs by 3e-13."""


@dataclass
class Ends:
    """One hidden layer at both ends: values, derivatives, secant slope and its derivatives."""

    t: Tensor
    tau: Tensor
    dt: Tensor
    dtau: Tensor
    slope: Tensor
    slope_a: Tensor
    slope_c: Tensor


def tanh_ends(a: Tensor, c: Tensor) -> Ends:
    """tanh at pre-activations a (end u) and c (end v)."""
    d = a - c
    largest = float(d.detach().abs().max())
    if largest < NEAR:
        return near_ends(tanh(a), d, terms(largest, torch.finfo(a.dtype).eps))
    return far_ends(torch.tanh(a), torch.tanh(c), d)


def terms(largest: float, eps: float) -> int:
    """Coefficients of the series that matter up to this |d|, for k and for k′/d alike."""
    for n in range(2, len(TANHC)):
        if 2 * n * abs(TANHC[n]) * largest ** (2 * n - 2) < eps / 4:
            return n
    return len(TANHC)


def near_ends(t: Tensor, d: Tensor, count: int = len(TANHC)) -> Ends:
    """From t = tanh a and d = a − c, all |d| < `NEAR`."""
    k, odd = series(d * d, count)
    h = k * d
    dt = 1 - t * t
    g = dt / (1 - t * h)
    tau = t - h * g
    dtau = 1 - tau * tau
    turn = odd * d * g
    return Ends(t, tau, dt, dtau, k * g, turn - k * tau * dt, -turn - k * t * dtau)


def tanh(a: Tensor) -> Tensor:
    """By the sigmoid, which costs half as much, to absolute accuracy."""
    return torch.sigmoid(2 * a) * 2 - 1


def far_ends(t: Tensor, tau: Tensor, d: Tensor) -> Ends:
    """From t = tanh a, τ = tanh c and d = a − c of any size."""
    near, k, odd, g, inverse = _parts(t, tau, d)
    dt, dtau = 1 - t * t, 1 - tau * tau
    quotient = (t - tau) * inverse
    close = near == d
    turn = odd * near * g
    return Ends(
        t,
        tau,
        dt,
        dtau,
        torch.where(close, k * g, quotient),
        torch.where(close, turn - k * tau * dt, (dt - quotient) * inverse),
        torch.where(close, -turn - k * t * dtau, (quotient - dtau) * inverse),
    )


def _parts(t: Tensor, tau: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """d where it is below `NEAR` and else 0, with k, k′/d and g there; 1/d where it is not."""
    close = d.abs() < NEAR
    near = torch.where(close, d, 0.0)
    k, odd = series(near * near, len(TANHC))
    return near, k, odd, 1 - t * tau, 1 / torch.where(close, 1.0, d)


def series(d2: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """k(d) and k′(d)/d from d², by so many coefficients."""
    last = count - 1
    k = d2 * TANHC[last] + TANHC[last - 1]
    odd = torch.full_like(d2, 2 * last * TANHC[last])
    for j in range(last - 1, 0, -1):
        odd = odd * d2 + 2 * j * TANHC[j]
        k = k * d2 + TANHC[j - 1]
    return k, odd
