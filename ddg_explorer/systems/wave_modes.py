"""Exact Fourier modes of the damped wave equation u_tt + r u_t = c² u_xx.

Every mode is an oscillator. With ω = ck, z = √(r²/4 − ω²), C = cosh zt and S = sinh(zt)/z,

    u(t) = e^(−rt/2) [(C + ½rS) u₀ + S v₀],    v(t) = e^(−rt/2) [−ω²S u₀ + (C − ½rS) v₀],

and in strain form e = iku. z may be real, imaginary or zero (S = t).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def propagate(
    u_hat: Tensor, k: Tensor, t: float, *, speed: float, friction: float, strain: bool
) -> Tensor:
    """Half spectra `(..., 2, half)` of (u, v), or of (u_x, v) in strain form, a time t later."""
    half = friction / 2
    k = k.to(torch.complex128)
    z = torch.sqrt(half**2 - (speed * k) ** 2)
    up, down = torch.exp((z - half) * t), torch.exp((-z - half) * t)
    cosh = (up + down) / 2
    # up − down cancels for small zt, and sinh overflows for large: each has its own half.
    near = (z * t).abs() < 1
    safe = torch.where(z == 0, 1.0, z)
    series = math.exp(-half * t) * torch.sinh(torch.where(near, z * t, 0.0)) / safe
    series = torch.where(z == 0, t * math.exp(-half * t), series)
    sinh = torch.where(near, series, (up - down) / (2 * safe))
    if strain:
        to_first, to_second = 1j * k * sinh, 1j * k * speed**2 * sinh
    else:
        to_first, to_second = sinh, -((speed * k) ** 2) * sinh
    first, second = u_hat[..., 0, :], u_hat[..., 1, :]
    rows = [
        (cosh + half * sinh) * first + to_first * second,
        to_second * first + (cosh - half * sinh) * second,
    ]
    return torch.stack(rows, -2)
