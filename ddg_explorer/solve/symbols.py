"""Algebra of Fourier symbols, and the symbol of an operator that is only given by its action.

A symbol is a tensor of the grid's half shape where the operator acts alike on every channel, or
(C, C, *half) where channels mix. Coefficients have shape (B, C, *half).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

LEAK = 1e-3


def mixes(a: Tensor, ndim: int) -> bool:
    """Whether the symbol `a` on an `ndim`-dimensional grid is a matrix over channels."""
    return a.ndim == ndim + 2


def product(a: Tensor, b: Tensor, ndim: int) -> Tensor:
    """Symbol of the composition of two operators."""
    if mixes(a, ndim) and mixes(b, ndim):
        dtype = torch.promote_types(a.dtype, b.dtype)
        return torch.einsum("ij...,jk...->ik...", a.to(dtype), b.to(dtype))
    return a * b


def apply(a: Tensor, x: Tensor, ndim: int) -> Tensor:
    """The symbol `a` applied to Fourier coefficients x, (B, C, *half)."""
    return (a * x.unsqueeze(1)).sum(2) if mixes(a, ndim) else a * x


def identity(like: Tensor, ndim: int) -> Tensor:
    """The identity over channels beside a mixing symbol, (C, C, 1, …)."""
    eye = torch.eye(like.shape[0], dtype=like.dtype, device=like.device)
    return eye.reshape(*eye.shape, *(1,) * ndim)


def one_minus(a: Tensor, ndim: int) -> Tensor:
    """Symbol of 1 − A."""
    return identity(a, ndim) - a if mixes(a, ndim) else 1 - a


def inverse(a: Tensor, ndim: int) -> Tensor:
    """Symbol of A⁻¹, not finite at modes where A is singular."""
    if not mixes(a, ndim):
        return 1 / a
    return matrix_inverse(a.movedim((0, 1), (-2, -1))).movedim((-2, -1), (0, 1))


def matrix_inverse(a: Tensor) -> Tensor:
    """Inverses of matrices (..., n, n), NaN for those that are singular."""
    found, singular = torch.linalg.inv_ex(a)
    return torch.where((singular > 0)[..., None, None], torch.nan, found)


def safe_inverse(a: Tensor, ndim: int, floor: float) -> Tensor:
    """A⁻¹ with singular values of A below `floor` raised to it: a preconditioner stays bounded.

    Not finite at modes where A is not: a solve that takes it does not converge, and says so.
    """
    if not mixes(a, ndim):
        size = a.abs()
        return 1 / torch.where(size < floor, a.new_tensor(floor), a)
    a = a.movedim((0, 1), (-2, -1))
    finite = torch.isfinite(a).all(-1).all(-1)[..., None, None]
    u, s, vh = torch.linalg.svd(torch.where(finite, a, 0.0), full_matrices=False)
    inv = vh.mH @ ((1 / s.clamp_min(floor)).unsqueeze(-1) * u.mH)
    return torch.where(finite, inv, torch.nan).movedim((-2, -1), (0, 1))


def adjoint(a: Tensor, ndim: int) -> Tensor:
    """Symbol of Aᵀ."""
    return (a.transpose(0, 1) if mixes(a, ndim) else a).conj().resolve_conj()


def _comb(shape: tuple[int, ...], gap: int, shift: int) -> tuple[list[Tensor], list[int]]:
    """Node indices `gap` (or a little more) apart along each axis, and the gaps kept."""
    nodes, gaps = [], []
    for n in shape:
        count = max(1, n // gap)
        nodes.append((torch.arange(count) * (n // count) + shift) % n)
        gaps.append(n // count)
    return nodes, gaps


def _mean_stencil(
    linear: Callable[[Tensor], Tensor], like: Tensor, ndim: int, gap: int, combs: int
) -> tuple[Tensor, float]:
    """Mean response to unit impulses, (C, C, *grid) about the origin, and its edge/peak ratio."""
    shape = tuple(like.shape[-ndim:])
    channels = like.shape[1]
    total = like.new_zeros(channels, channels, *shape)
    edge = 0.0
    for comb in range(combs):
        nodes, gaps = _comb(shape, gap, shift=comb * max(1, gap // combs))
        where = torch.meshgrid(*nodes, indexing="ij")
        half = [(g - 1) // 2 for g in gaps]
        offsets = list(itertools.product(*(range(-h, h + 1) for h in half)))
        for c in range(channels):
            impulse = torch.zeros_like(like)
            impulse[:, c][(slice(None), *where)] = 1.0
            response = linear(impulse)
            for offset in offsets:
                at = tuple((w + o) % n for w, o, n in zip(where, offset, shape, strict=True))
                mean = response[(slice(None), slice(None), *at)].flatten(2).mean((0, 2))
                index = tuple(o % n for o, n in zip(offset, shape, strict=True))
                total[(slice(None), c, *index)] += mean / combs
                if any(abs(o) == h for o, h in zip(offset, half, strict=True)) and all(
                    h < n // 2 for h, n in zip(half, shape, strict=True)
                ):
                    edge = max(edge, float(mean.abs().max()))
    peak = float(total.abs().max())
    return total, edge / peak if peak > 0 else 0.0


def measured_symbol(
    linear: Callable[[Tensor], Tensor],
    like: Tensor,
    ndim: int,
    *,
    gap: int = 8,
    combs: int = 2,
) -> Tensor:
    """Symbol of the translation-averaged operator, from its response to combs of unit impulses.

    The impulses stand `gap` nodes apart, so the responses of a stencil of reach < gap/2 do not
    overlap and their mean is the mean stencil. Where the mean response has not died down at the
    middle between two impulses, the gap is doubled, up to the whole grid; a stencil with holes
    wider than that goes unseen. The average runs over
    `combs` shifted combs and over the batch.

    Parameters
    ----------
    linear
        A linear map of fields, (B, C, *grid) → (B, C, *grid).
    like
        A field of that shape.

    Returns
    -------
    Complex symbol, (*half) for one channel, else (C, C, *half). Exact for a constant-coefficient
    operator whose stencil fits into the gap; for any other a preconditioner's worth.
    """
    gap = min(gap, max(like.shape[-ndim:]))
    while True:
        stencil, edge = _mean_stencil(linear, like, ndim, gap, combs)
        if edge <= LEAK or gap >= max(like.shape[-ndim:]):
            break
        gap = min(2 * gap, max(like.shape[-ndim:]))
        combs = 1
    symbol = torch.fft.rfftn(stencil, dim=tuple(range(-ndim, 0)))
    return symbol[0, 0] if like.shape[1] == 1 else symbol
