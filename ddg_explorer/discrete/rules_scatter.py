"""Rules of operations that gather, scatter and repeat values, of windows and Kronecker products.

    scatter_add:  c ↦ c to the target,  c[index] to what is added

All but the product are linear, J̄ᵀ = Jᵀ, and indices are constants. Shapes are those of the torch
operation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete.record import Pair, Pull, UnsupportedOperation, fit, linear, record, rule


def _end(x: Any, end: str) -> Any:
    return getattr(x, end) if isinstance(x, Pair) else x


def _check_index(*index: Any) -> None:
    if any(isinstance(i, Pair) for i in index):
        raise UnsupportedOperation("discrete_grad: an index computed from the state has no rule")


@rule(torch.scatter_add)
def _scatter_add(x: Any, dim: int, index: Tensor, src: Any) -> Pair:
    """As torch, of the leading part of `src` that `index` covers."""
    _check_index(index)
    part = src[tuple(slice(0, n) for n in index.shape)]
    return _added(
        x,
        part,
        lambda a, b: torch.scatter_add(a, dim, index, b),
        lambda c: c.gather(dim, index),
    )


@rule(torch.index_add)
def _index_add(x: Any, dim: int, index: Tensor, source: Any, alpha: float = 1) -> Pair:
    _check_index(index)

    def pull(c: Tensor) -> Tensor:
        return alpha * c.index_select(dim, index)

    return _added(x, source, lambda a, b: torch.index_add(a, dim, index, b, alpha=alpha), pull)


def _added(x: Any, y: Any, add: Any, pull: Pull) -> Pair:
    pulls: list[tuple[Pair, Pull]] = []
    if isinstance(x, Pair):
        pulls.append((x, lambda c: fit(c, x)))
    if isinstance(y, Pair):
        pulls.append((y, lambda c: fit(pull(c), y)))
    return record(add(_end(x, "v"), _end(y, "v")), add(_end(x, "u"), _end(y, "u")), *pulls)


@rule(torch.take)
def _take(x: Any, index: Tensor) -> Any:
    _check_index(index)
    return x.reshape(-1)[index]


@rule(torch.take_along_dim)
def _take_along_dim(x: Any, indices: Tensor, dim: int | None = None) -> Any:
    _check_index(indices)
    if dim is None:
        return x.reshape(-1).gather(0, indices.reshape(-1))
    axis: int = dim % x.ndim
    shapes = [list(z.shape) for z in (x, indices)]
    for shape in shapes:
        shape[axis] = 1
    left, right = (torch.broadcast_shapes(*shapes)[s] for s in (slice(axis), slice(axis + 1, None)))
    wide, index = (z.expand(*left, z.shape[axis], *right) for z in (x, indices))
    return wide.gather(axis, index)


@rule(torch.repeat_interleave)
def _repeat_interleave(
    x: Any, repeats: Any, dim: int | None = None, output_size: int | None = None
) -> Any:
    _check_index(repeats)
    if dim is None:
        x, dim = x.reshape(-1), 0
    index = torch.arange(x.shape[dim], device=x.device)
    return x.index_select(dim, index.repeat_interleave(repeats, output_size=output_size))


@rule(torch.tile)
def _tile(x: Any, *dims: Any) -> Any:
    counts = tuple(dims[0]) if dims and not isinstance(dims[0], int) else dims
    return x.repeat((1,) * (x.ndim - len(counts)) + counts)


@rule("unfold")
def _unfold(x: Any, *sizes: Any, **options: Any) -> Any:
    """`Tensor.unfold(dimension, size, step)`, or the patches of `torch.nn.functional.unfold`."""
    if not {"dilation", "padding", "stride"} & set(options):
        return _windows(x, *sizes, **options)
    (kernel,) = sizes
    return linear(
        x,
        lambda y: F.unfold(y, kernel, **options),
        lambda c: F.fold(c, x.shape[-2:], kernel, **options),
    )


def _windows(x: Any, dimension: int, size: int, step: int) -> Any:
    dim = dimension % x.ndim
    starts = torch.arange(0, x.shape[dim] - size + 1, step, device=x.device)
    index = starts[:, None] + torch.arange(size, device=x.device)
    return x.index_select(dim, index.reshape(-1)).unflatten(dim, index.shape).movedim(dim + 1, -1)


@rule(torch.kron)
def _kron(x: Any, y: Any) -> Any:
    n = max(x.ndim, y.ndim)
    a, b = ((1,) * (n - z.ndim) + tuple(z.shape) for z in (x, y))
    left = x.reshape([m for size in a for m in (size, 1)])
    right = y.reshape([m for size in b for m in (1, size)])
    return (left * right).reshape([p * q for p, q in zip(a, b, strict=True)])


@rule(torch.rot90)
def _rot90(x: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    first, second = dims
    for _ in range(k % 4):
        x = x.transpose(first, second).flip(first)
    return x


@rule(torch.fliplr)
def _fliplr(x: Any) -> Any:
    return x.flip(1)


@rule(torch.flipud)
def _flipud(x: Any) -> Any:
    return x.flip(0)


@rule(torch.diag_embed)
def _diag_embed(x: Pair, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Pair:
    return linear(
        x,
        lambda y: torch.diag_embed(y, offset, dim1, dim2),
        lambda c: torch.diagonal(c, offset, dim1, dim2),
    )


@rule(torch.diag)
def _diag(x: Any, diagonal: int = 0) -> Any:
    return _diag_embed(x, diagonal) if x.ndim == 1 else torch.diagonal(x, diagonal)
