"""How far one kernel or matrix is from a true one, τ, up to the scale that data leave free.

    max|cκ − τ| / max_{j≠0}|τⱼ|

with c such that the centres agree, or where τ has no centre the least-squares one.
"""

from __future__ import annotations

from torch import Tensor


def distance(found: Tensor, true: Tensor) -> float:
    """max|c·found − true| over the largest weight of `true` beside its centre; see the module."""
    return gap(matching_scale(found, true) * found, true)


def matching_scale(found: Tensor, true: Tensor) -> float:
    """c with which c·found is compared to `true`; see the module."""
    centre = tuple(n // 2 for n in true.shape)
    if true.shape == found.shape and _is_centred(true) and found[centre] != 0:
        return float(true[centre] / found[centre])
    return float((found * true).sum() / found.square().sum())


def gap(found: Tensor, true: Tensor) -> float:
    """max|found − true|, as they are, over the largest weight of `true` beside its centre, or the
    centre where that is all there is."""
    beside = true.clone()
    if true.shape == found.shape and _is_centred(true):
        beside[tuple(n // 2 for n in true.shape)] = 0
    return float((found - true).abs().max() / (beside if beside.any() else true).abs().max())


def _is_centred(true: Tensor) -> bool:
    """Whether the largest weight is the centre of an odd box, as that of a Laplacian is."""
    odd = all(n % 2 for n in true.shape)
    centre = true[tuple(n // 2 for n in true.shape)]
    return odd and bool((centre != 0) & (centre.abs() == true.abs().max()))


def padded(kernel: Tensor, shape: list[int]) -> Tensor:
    """The kernel in the middle of a larger odd box of zeros."""
    out = kernel.new_zeros(shape)
    cut = [slice((n - m) // 2, (n + m) // 2) for n, m in zip(shape, kernel.shape, strict=True)]
    out[tuple(cut)] = kernel
    return out
