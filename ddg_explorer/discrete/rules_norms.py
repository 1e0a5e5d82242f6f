"""Rules of norms of any order, normalisations and distances between points.

    ‖x‖ₚ:  |x|ᵢ ↦ |x|ᵖ[|vᵢ|, |uᵢ|] / xᵖ[‖v‖ₚ, ‖u‖ₚ],

with xᵖ[·, ·] the secant of the power: the chain rule holds since ‖x‖ₚᵖ = Σ|xᵢ|ᵖ at both ends. The
others are made of operations that have rules. Shapes are those of the torch operation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete import secants
from ddg_explorer.discrete.record import UnsupportedOperation, record, rule


def norm_of_order(x: Any, p: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """‖x‖ₚ for 1 < p ≤ ∞, and min |x| for p = −∞, over the axes `dim`; 0 where both ends are 0.

    Raises
    ------
    UnsupportedOperation
        For another p: not a number, or below 1, where the slope at zero is infinite.
    """
    size: Any = torch.abs(x)
    if p in (math.inf, -math.inf):
        return size.amax(dim, keepdim) if p > 0 else size.amin(dim, keepdim)
    if not (isinstance(p, int | float) and p > 1):
        raise UnsupportedOperation(
            f"discrete_grad: norm of order {p!r} has no rule; 1 ≤ p ≤ inf and -inf have"
        )
    v, u = (torch.linalg.vector_norm(y, p, dim, True) for y in (size.v, size.u))

    def pull(c: Tensor) -> Tensor:
        # Both slopes are of one degree, so a common scale drops out.
        scale = torch.maximum(size.v.amax(dim, True), size.u.amax(dim, True)).detach()
        scale = torch.where(scale == 0, 1.0, scale)
        part = secants.power(size.v / scale, size.u / scale, p)
        whole = secants.power(v / scale, u / scale, p)
        return c * part / torch.where(whole == 0, 1.0, whole)

    out: Any = record(v, u, (size, pull))
    return out if keepdim else out.squeeze(dim)


def _length(x: Any, p: Any, dim: Any, eps: float) -> Any:
    return torch.clamp_min(torch.linalg.vector_norm(x, p, dim, True), eps)


@rule(F.normalize)
def _normalize(x: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    return x / _length(x, p, dim, eps)


@rule(F.cosine_similarity)
def _cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    a, b = torch.broadcast_tensors(x1, x2)
    return ((a / _length(a, 2, dim, eps)) * (b / _length(b, 2, dim, eps))).sum(dim)


def _scaled(x: Any, weight: Any, bias: Any = None) -> Any:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _standard(x: Any, dim: tuple[int, ...], eps: float) -> Any:
    """(x − mean)/√(variance + eps)."""
    y = x - x.mean(dim, True)
    return y * torch.rsqrt(y.square().mean(dim, True) + eps)


@rule(F.layer_norm)
def _layer_norm(
    x: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    axes = tuple(range(-len(normalized_shape), 0))
    return _scaled(_standard(x, axes, eps), weight, bias)


@rule(F.rms_norm)
def _rms_norm(
    x: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Any:
    axes = tuple(range(-len(normalized_shape), 0))
    floor = torch.finfo(x.dtype).eps if eps is None else eps
    return _scaled(x * torch.rsqrt(x.square().mean(axes, True) + floor), weight)


@rule(F.group_norm)
def _group_norm(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    groups = _standard(x.reshape(x.shape[0], num_groups, -1), (-1,), eps)
    channels = (-1, *(1,) * (x.ndim - 2))
    weight, bias = (None if z is None else z.reshape(channels) for z in (weight, bias))
    return _scaled(groups.reshape(x.shape), weight, bias)


@rule(torch.cdist)
def _cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    """‖x1ᵢ − x2ⱼ‖ₚ of every pair, by differences whatever `compute_mode` is.

    torch takes Euclidean distances of more than 25 points by a matrix product unless `compute_mode`
    forbids it, and is then off by about √ε where points are near; the law holds for the distances.
    """
    return torch.linalg.vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


@rule(F.pdist)
def _pdist(x: Any, p: float = 2.0) -> Any:
    i, j = torch.triu_indices(x.shape[0], x.shape[0], 1, device=x.device)
    return torch.linalg.vector_norm(x.index_select(0, i) - x.index_select(0, j), p, -1)


@rule(F.pairwise_distance)
def _pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    return torch.linalg.vector_norm(x1 - x2 + eps, p, -1, keepdim)


@rule(torch.dist)
def _dist(x: Any, y: Any, p: float = 2.0) -> Any:
    return torch.linalg.vector_norm(x - y, p)
