"""Initial states that both sides of a comparison start from, the same function on every grid."""

from __future__ import annotations

import torch
from torch import Tensor

GAMMA = 5e-4
SEED = 0


def spinodal_start(n: int, *, modes: int = 8, size: float = 0.05, seed: int = SEED) -> Tensor:
    """Band-limited noise (1, n, n) on the unit square: `modes` waves per axis, mean 0, rms `size`.

    Smooth, so that the error of a scheme in time is that of the dynamics, and the same function for
    every n; the fastest-growing Cahn–Hilliard mode for γ = 5·10⁻⁴ is 5.
    """
    generator = torch.Generator().manual_seed(seed)
    base = 2 * (modes + 1)
    noise = torch.randn(base, base, generator=generator, dtype=torch.float64)
    noise = resample(noise - noise.mean(), base - 1)
    return (size / noise.square().mean().sqrt()) * resample(noise, n)[None]


def resample(u: Tensor, n: int) -> Tensor:
    """Trigonometric interpolation of (..., m, m) to (..., n, n); modes that do not fit are cut.

    The Nyquist mode of an even grid is dropped: it belongs to no one function.
    """
    m = u.shape[-1]
    keep = (min(m, n) - 1) // 2
    u_hat = torch.fft.rfft2(u)
    out = u_hat.new_zeros(*u.shape[:-2], n, n // 2 + 1)
    out[..., : keep + 1, : keep + 1] = u_hat[..., : keep + 1, : keep + 1]
    if keep:
        out[..., -keep:, : keep + 1] = u_hat[..., -keep:, : keep + 1]
    return torch.fft.irfft2(out, s=(n, n)) * (n / m) ** 2
