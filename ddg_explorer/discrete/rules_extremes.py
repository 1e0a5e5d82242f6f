"""Rules of the larger and the smaller of two values, and of extremes over axes.

max is linear between its kinks. With A and B the indicators of the largest value at v and at u,
each of sum 1 (ties share evenly), p = max v − B·v ≥ 0 and q = max u − A·u ≥ 0,

    w = (p A + q B)/(p + q),      w·(v − u) = max v − max u

exactly, with weights w ≥ 0 of sum 1: symmetric in (v, u), indifferent to the order of the values,
and at v = u the gradient that torch gives. Shapes are those of the torch operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddg_explorer.discrete.record import Pair, Pull, UnsupportedOperation, fit, record, rule

_INDICES = "discrete_grad: max and min along an axis have a rule for their values, not the indices"


class _Indices:
    """Where an extreme lies: a decision by the state's values, refused as soon as it is used."""

    __hash__ = object.__hash__

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        raise UnsupportedOperation(_INDICES)

    def __getattr__(self, name: str) -> Any:
        raise UnsupportedOperation(_INDICES)


def _refuse(self: _Indices, *operands: Any) -> Any:
    raise UnsupportedOperation(_INDICES)


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(_Indices, f"__{_name}__", _refuse)
    setattr(_Indices, f"__r{_name}__", _refuse)
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "bool", "int", "float", "index"):
    setattr(_Indices, f"__{_name}__", _refuse)
for _name in ("getitem", "len", "iter", "contains"):
    setattr(_Indices, f"__{_name}__", _refuse)


class Extreme(NamedTuple):
    """What `max` and `min` along an axis return."""

    values: Pair
    indices: Any


def _end(x: Any, end: str) -> Any:
    return getattr(x, end) if isinstance(x, Pair) else x


def _of_two(x: Any, y: Any, function: Callable[..., Tensor], sign: float) -> Pair:
    """c ↦ c (a⁺_v + a⁺_u)/(|a_v| + |a_u|) to x and the rest to y, a = ±(x − y)."""
    (x_v, y_v), (x_u, y_u) = ([_end(z, end) for z in (x, y)] for end in ("v", "u"))

    def pull(source: Pair, side: float) -> Pull:
        def share(c: Tensor) -> Tensor:
            most = torch.finfo(source.dtype).max / 4
            a, b = ((side * (p - q)).clamp(-most, most) for p, q in ((x_v, y_v), (x_u, y_u)))
            total = a.abs() + b.abs()
            part = (torch.relu(a) + torch.relu(b)) / torch.where(total == 0, 1.0, total)
            return fit(c * torch.where(total == 0, 0.5, part), source)

        return share

    pulls = [(z, pull(z, s)) for z, s in ((x, sign), (y, -sign)) if isinstance(z, Pair)]
    return record(function(x_v, y_v), function(x_u, y_u), *pulls)


@rule(torch.maximum)
def _maximum(x: Any, y: Any) -> Pair:
    return _of_two(x, y, torch.maximum, 1.0)


@rule(torch.minimum)
def _minimum(x: Any, y: Any) -> Pair:
    return _of_two(x, y, torch.minimum, -1.0)


def _indicator(x: Tensor, top: Tensor, dims: tuple[int, ...]) -> Tensor:
    """1/k at the k values that equal `top`, else 0."""
    ties = x == top
    return ties.to(x.dtype) / ties.sum(dims, keepdim=True)


def _distance(weight: Tensor, x: Tensor, top: Tensor, dims: tuple[int, ...]) -> Tensor:
    """top − weight·x, of differences."""
    return torch.where(weight > 0, weight * (top - x), 0.0).sum(dims, keepdim=True).abs()


def _over_axes(x: Pair, dim: Any, keepdim: bool, function: Callable[..., Tensor]) -> Any:
    dims = (dim,) if isinstance(dim, int) else tuple(dim or range(x.ndim))
    v, u = function(x.v, dims, True), function(x.u, dims, True)

    def pull(c: Tensor) -> Tensor:
        a, b = _indicator(x.v, v, dims), _indicator(x.u, u, dims)
        p, q = _distance(b, x.v, v, dims), _distance(a, x.u, u, dims)
        total = p + q
        share = torch.where(total == 0, 0.5, p / torch.where(total == 0, 1.0, total))
        rest = torch.where(total == 0, 0.5, q / torch.where(total == 0, 1.0, total))
        return c * (share * a + rest * b)

    out: Any = record(v, u, (x, pull))
    return out if keepdim else out.squeeze(dims)


@rule(torch.amax)
def _amax(x: Pair, dim: Any = (), keepdim: bool = False) -> Any:
    return _over_axes(x, dim, keepdim, torch.amax)


@rule(torch.amin)
def _amin(x: Pair, dim: Any = (), keepdim: bool = False) -> Any:
    return _over_axes(x, dim, keepdim, torch.amin)


@rule(torch.max)
def _max(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """Of all values, along an axis with indices that must not be used, or of two arguments.

    Ties share the gradient evenly, also along an axis, where torch gives it to one of them.
    """
    if isinstance(dim, Pair | Tensor):
        return _maximum(x, dim)
    return _amax(x) if dim is None else Extreme(_amax(x, dim, keepdim), _Indices())


@rule(torch.min)
def _min(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    """As `max`."""
    if isinstance(dim, Pair | Tensor):
        return _minimum(x, dim)
    return _amin(x) if dim is None else Extreme(_amin(x, dim, keepdim), _Indices())
