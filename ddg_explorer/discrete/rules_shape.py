"""Rules of operations that move values: views, permutations, indexing, joining and splitting.

All are linear, J̄ᵀ = Jᵀ, written out so that every torch transform works on it. Shapes are those of
the torch operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete.record import Pair, UnsupportedOperation, fit, linear, record, rule


def _reshaping(name: str) -> Callable[..., Pair]:
    def reshape(x: Pair, *args: Any, **kwargs: Any) -> Pair:
        if args and isinstance(args[0], torch.dtype):
            raise UnsupportedOperation("discrete_grad: view as another dtype has no rule")
        return linear(x, lambda y: getattr(y, name)(*args, **kwargs), lambda c: c.reshape(x.shape))

    return reshape


for _name in ("reshape", "view", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze"):
    rule(_name)(_reshaping(_name))


@rule("reshape_as", "view_as")
def _reshape_as(x: Any, other: Any) -> Any:
    return x.reshape(other.shape)


@rule("expand", "broadcast_to")
def _expand(x: Pair, *shape: Any, size: Any = None) -> Pair:
    shape = _flat(shape) if size is None else tuple(size)
    return linear(x, lambda y: y.expand(shape), lambda c: fit(c, x))


@rule("expand_as")
def _expand_as(x: Any, other: Any) -> Any:
    return x.expand(other.shape)


@rule(torch.broadcast_tensors)
def _broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    shape = torch.broadcast_shapes(*(t.shape for t in tensors))
    return tuple(t.expand(shape) for t in tensors)


@rule("repeat")
def _repeat(x: Pair, *repeats: Any) -> Pair:
    counts = _flat(repeats)
    sizes = (1,) * (len(counts) - x.ndim) + tuple(x.shape)
    blocks = [m for pair in zip(counts, sizes, strict=True) for m in pair]

    def transpose(c: Tensor) -> Tensor:
        return c.reshape(blocks).sum(tuple(range(0, len(blocks), 2))).reshape(x.shape)

    return linear(x, lambda y: y.repeat(counts), transpose)


def _flat(sizes: Sequence[Any]) -> tuple[int, ...]:
    first: Any = sizes[0]
    return tuple(first) if len(sizes) == 1 and not isinstance(first, int) else tuple(sizes)


@rule("permute")
def _permute(x: Pair, *dims: Any, **kwargs: Any) -> Pair:
    order = [d % x.ndim for d in (_flat(dims) if dims else kwargs["dims"])]
    back = [order.index(d) for d in range(x.ndim)]
    return linear(x, lambda y: y.permute(order), lambda c: c.permute(back))


@rule(torch.transpose, torch.swapaxes, torch.swapdims)
def _transpose(x: Pair, dim0: int, dim1: int) -> Pair:
    return linear(x, lambda y: y.transpose(dim0, dim1), lambda c: c.transpose(dim0, dim1))


@rule(torch.t, "T")
def _reversed_axes(x: Pair) -> Pair:
    return _permute(x, tuple(range(x.ndim))[::-1])


@rule("mT", torch.adjoint, "mH", "H")
def _matrix_transpose(x: Pair) -> Pair:
    if x.is_complex():
        raise UnsupportedOperation(
            "discrete_grad: mT and mH of complex values: use transpose, conj"
        )
    return _transpose(x, -2, -1)


@rule(torch.movedim, torch.moveaxis)
def _movedim(x: Pair, source: Any, destination: Any) -> Pair:
    return linear(
        x,
        lambda y: y.movedim(source, destination),
        lambda c: c.movedim(destination, source),
    )


@rule(torch.roll)
def _roll(x: Pair, shifts: Any, dims: Any = None) -> Pair:
    back = -shifts if isinstance(shifts, int) else tuple(-s for s in shifts)
    return linear(x, lambda y: torch.roll(y, shifts, dims), lambda c: torch.roll(c, back, dims))


@rule(torch.flip)
def _flip(x: Pair, *dims: Any, **kwargs: Any) -> Pair:
    axes = _flat(dims) if dims else kwargs["dims"]
    return linear(x, lambda y: torch.flip(y, axes), lambda c: torch.flip(c, axes))


@rule("getitem", "__getitem__")
def _getitem(x: Any, index: Any) -> Pair:
    if not isinstance(x, Pair):
        raise UnsupportedOperation("discrete_grad: an index computed from the state has no rule")
    items = index if isinstance(index, tuple) else (index,)
    if any(isinstance(i, Pair) for i in items):
        raise UnsupportedOperation("discrete_grad: an index computed from the state has no rule")
    basic = all(i is None or i is Ellipsis or isinstance(i, int | slice) for i in items)

    def transpose(c: Tensor) -> Tensor:
        if basic:
            out = c.new_zeros(x.shape)
            out[index] = c
            return out
        place = torch.arange(x.numel(), device=c.device).reshape(x.shape)[index]
        out = c.new_zeros(x.numel()).index_add(0, place.reshape(-1), c.reshape(-1))
        return out.reshape(x.shape)

    return linear(x, lambda y: y[index], transpose)


@rule(torch.diagonal)
def _diagonal(x: Pair, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Pair:
    return linear(
        x,
        lambda y: torch.diagonal(y, offset, dim1, dim2),
        lambda c: torch.diagonal_scatter(c.new_zeros(x.shape), c, offset, dim1, dim2),
    )


@rule(torch.linalg.diagonal)
def _matrix_diagonal(x: Pair, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Pair:
    return _diagonal(x, offset, dim1, dim2)


@rule(torch.trace)
def _trace(x: Pair) -> Any:
    return _diagonal(x).sum()  # pyright: ignore[reportAttributeAccessIssue]


def embed(c: Tensor, dim: int, start: int, size: int) -> Tensor:
    """`c` from `start` on along `dim` of a tensor of zeros that is `size` long there."""
    after = c.ndim - 1 - dim % c.ndim
    return F.pad(c, (0, 0) * after + (start, size - start - c.shape[dim]))


@rule(torch.narrow)
def _narrow(x: Pair, dim: int, start: int, length: int) -> Pair:
    start = start % x.shape[dim] if start < 0 else start
    return linear(
        x,
        lambda y: y.narrow(dim, start, length),
        lambda c: embed(c, dim, start, x.shape[dim]),
    )


@rule(torch.select)
def _select(x: Pair, dim: int, index: int) -> Pair:
    dim, index = dim % x.ndim, index % x.shape[dim]
    return linear(
        x,
        lambda y: y.select(dim, index),
        lambda c: embed(c.unsqueeze(dim), dim, index, x.shape[dim]),
    )


@rule(torch.unbind)
def _unbind(x: Pair, dim: int = 0) -> tuple[Pair, ...]:
    return tuple(_select(x, dim, i) for i in range(x.shape[dim]))


@rule(torch.split, torch.split_with_sizes)
def _split(x: Pair, split_size_or_sections: Any, dim: int = 0) -> tuple[Pair, ...]:
    n, parts = x.shape[dim], split_size_or_sections
    if isinstance(parts, int):
        parts = [min(parts, n - i) for i in range(0, n, parts)]
    starts = [sum(parts[:i]) for i in range(len(parts))]
    return tuple(_narrow(x, dim, s, k) for s, k in zip(starts, parts, strict=True))


@rule(torch.chunk)
def _chunk(x: Pair, chunks: int, dim: int = 0) -> tuple[Pair, ...]:
    return _split(x, -(-x.shape[dim] // chunks), dim)


@rule(torch.cat, torch.concat, torch.concatenate)
def _cat(tensors: Sequence[Any], dim: int = 0) -> Pair:
    starts = [sum(t.shape[dim] for t in tensors[:i]) for i in range(len(tensors))]
    pulls = [
        (t, lambda c, t=t, s=s: fit(c.narrow(dim, s, t.shape[dim]), t))
        for t, s in zip(tensors, starts, strict=True)
        if isinstance(t, Pair)
    ]
    return record(torch.cat(_ends(tensors, "v"), dim), torch.cat(_ends(tensors, "u"), dim), *pulls)


@rule(torch.hstack)
def _hstack(tensors: Sequence[Any]) -> Pair:
    parts = [t if t.ndim else t.reshape(1) for t in tensors]
    return _cat(parts, 0 if parts[0].ndim == 1 else 1)


@rule(torch.vstack, "row_stack")
def _vstack(tensors: Sequence[Any]) -> Pair:
    return _cat([t if t.ndim > 1 else t.reshape(1, -1) for t in tensors], 0)


@rule(torch.stack)
def _stack(tensors: Sequence[Any], dim: int = 0) -> Pair:
    pulls = [
        (t, lambda c, t=t, i=i: fit(c.select(dim, i), t))
        for i, t in enumerate(tensors)
        if isinstance(t, Pair)
    ]
    return record(
        torch.stack(_ends(tensors, "v"), dim), torch.stack(_ends(tensors, "u"), dim), *pulls
    )


def _ends(tensors: Sequence[Any], end: str) -> list[Tensor]:
    return [getattr(t, end) if isinstance(t, Pair) else t for t in tensors]


@rule(torch.index_select)
def _index_select(x: Pair, dim: int, index: Tensor) -> Pair:
    return linear(
        x,
        lambda y: y.index_select(dim, index),
        lambda c: c.new_zeros(x.shape).index_add(dim, index, c),
    )


@rule(torch.gather)
def _gather(x: Pair, dim: int, index: Tensor) -> Pair:
    return linear(
        x,
        lambda y: y.gather(dim, index),
        lambda c: c.new_zeros(x.shape).scatter_add(dim, index, c),
    )


def _constant(name: str) -> Callable[..., Tensor]:
    return lambda x, *args, **kwargs: getattr(torch, name)(x.u, *args, **kwargs)


def _of_end(name: str) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: getattr(x.u, name)(*args, **kwargs)


for _name in ("zeros_like", "ones_like", "full_like"):
    rule(_name)(_constant(_name))
for _name in ("new_zeros", "new_ones", "new_full", "new_tensor"):
    rule(_name)(_of_end(_name))
for _name in ("size", "dim", "ndimension", "numel", "nelement", "is_complex", "is_floating_point"):
    rule(_name)(_of_end(_name))
