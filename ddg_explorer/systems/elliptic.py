"""Jacobi's elliptic functions sn, cn, dn by the arithmetic–geometric mean.

Abramowitz and Stegun (1964), Handbook of Mathematical Functions, §16.4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# The mean converges quadratically: seven steps reach rounding for k′ down to 1e-16.
AGM_STEPS = 7


def elliptic_functions(u: float, k: Tensor, k_prime: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """sn, cn and dn of argument u and modulus k in [0, 1), with k′ = √(1 − k²) > 0; shape of `k`.

    u is reduced by the period 4K = 2π/agm(1, k′) first. k′ is asked for beside k because it cannot
    be recovered from k near 1.
    """
    means, halves = [torch.ones_like(k)], [k]
    b = k_prime
    for _ in range(AGM_STEPS):
        a = means[-1]
        means.append((a + b) / 2)
        halves.append((a - b) / 2)
        b = (a * b).sqrt()
    reduced = torch.remainder(torch.full_like(k, u), 2 * math.pi / means[-1])
    phase = 2**AGM_STEPS * means[-1] * reduced
    for a, c in zip(means[:0:-1], halves[:0:-1], strict=True):
        phase = (phase + torch.asin(c / a * torch.sin(phase))) / 2
    sn, cn = torch.sin(phase), torch.cos(phase)
    return sn, cn, (k_prime**2 + (k * cn) ** 2).sqrt()
