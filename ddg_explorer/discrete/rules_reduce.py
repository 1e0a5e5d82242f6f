"""Rules of reductions: sums, means, variances, norms, products and log-sum-exp over axes.

Sums expand; the others have exact secants of their own,

    ‖x‖: (v + u)/(‖v‖ + ‖u‖),    log Σeˣ: exp[vᵢ, uᵢ]/exp[L_v, L_u],    Πx: products of means,

with exp[·, ·] the secant of exp and L the value itself. Shapes are those of the torch operation.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.discrete import secants
from ddg_explorer.discrete.record import Pair, UnsupportedOperation, fit, linear, record, rule
from ddg_explorer.discrete.rules_norms import norm_of_order


def _dims(x: Pair, dim: Any) -> tuple[int, ...]:
    dims = (dim,) if isinstance(dim, int) else tuple(dim or ())
    if not (dims and x.ndim):
        return tuple(range(x.ndim))
    return tuple(sorted(d % x.ndim for d in dims))


def _count(x: Pair, dims: tuple[int, ...]) -> int:
    return math.prod([x.shape[d] for d in dims])


def _spread(x: Pair, dims: tuple[int, ...], keepdim: bool, c: Tensor) -> Tensor:
    if not keepdim:
        for d in dims:
            c = c.unsqueeze(d)
    return fit(c.expand(x.shape), x)


@rule(torch.sum)
def _sum(x: Pair, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Pair:
    dims = _dims(x, dim)
    return linear(
        x,
        lambda y: torch.sum(y, dims, keepdim, dtype=dtype) if dims else y,
        lambda c: _spread(x, dims, keepdim, c),
    )


@rule(torch.mean)
def _mean(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return x.sum(dim, keepdim, dtype=dtype) / _count(x, _dims(x, dim))


def _centred(
    x: Any, dim: Any, unbiased: bool | None, correction: float | None
) -> tuple[Any, Any, float]:
    """x − mean(x), the axes, and the number that the sum of its squares is divided by."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None:
        correction = int(unbiased)
    count = _count(x, _dims(x, dim)) - (1 if correction is None else correction)
    return x - _mean(x, dim, True), dim, max(count, 0)


@rule(torch.var)
def _var(
    x: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    correction: float | None = None,
) -> Any:
    y, dim, count = _centred(x, dim, unbiased, correction)
    return (y.abs() if x.is_complex() else y).square().sum(dim, keepdim) / count


@rule(torch.std)
def _std(
    x: Any,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    correction: float | None = None,
) -> Any:
    """A norm, so that it is right also where all values agree."""
    y, dim, count = _centred(x, dim, unbiased, correction)
    return _vector_norm(y, 2, dim, keepdim) / math.sqrt(count)


@rule(torch.linalg.vector_norm)
def _vector_norm(
    x: Pair, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    """‖x‖: exact also for complex x, c ↦ c (v + u)/(‖v‖ + ‖u‖); 0 where both ends are 0."""
    x = x if dtype is None else x.to(dtype)
    if ord == 1:
        return torch.abs(x).sum(dim, keepdim)  # pyright: ignore
    dims = _dims(x, dim)
    if ord != 2:
        return norm_of_order(x, ord, dims, keepdim)
    v, u = (torch.linalg.vector_norm(y, 2, dims, keepdim) for y in (x.v, x.u))
    total = v + u

    def pull(c: Tensor) -> Tensor:
        share = c / torch.where(total == 0, 1.0, total)
        return _spread(x, dims, keepdim, share) * (x.v + x.u)

    return record(v, u, (x, pull))


@rule(torch.norm)
def _norm(x: Pair, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return _vector_norm(x, 2 if p == "fro" else p, dim, keepdim, dtype)


@rule(torch.linalg.norm)
def _linalg_norm(
    x: Pair, ord: Any = None, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    """The vector norms, and of the matrix norms Frobenius', which is one of them."""
    matrix = x.ndim == 2 if dim is None else not isinstance(dim, int) and len(dim) == 2
    if ord == "fro" or ord is None:
        ord = 2
    elif matrix:
        raise UnsupportedOperation(f"discrete_grad: matrix norm {ord!r} has no rule; 'fro' has")
    return _vector_norm(x, ord, dim, keepdim, dtype)


@rule(torch.linalg.matrix_norm)
def _matrix_norm(
    x: Pair, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, dtype: Any = None
) -> Any:
    return _linalg_norm(x, ord, dim, keepdim, dtype)


@rule(torch.hypot)
def _hypot(x: Any, y: Any) -> Any:
    return torch.linalg.vector_norm(torch.stack(list(torch.broadcast_tensors(x, y)), -1), dim=-1)


@rule(torch.prod)
def _prod(x: Any, dim: int | None = None, keepdim: bool = False, dtype: Any = None) -> Any:
    """By halves, Π = (Π of one half)·(Π of the other), each product with the means of both ends."""
    if dim is None or not x.ndim:
        x, dim = x.reshape(-1), 0
    x = x if dtype is None else x.to(dtype)
    if not x.shape[dim]:
        return 1 + x.sum(dim, keepdim)
    while (n := x.shape[dim]) > 1:
        half = n // 2
        product = x.narrow(dim, 0, half) * x.narrow(dim, half, half)
        x = torch.cat([product, x.narrow(dim, n - 1, 1)], dim) if n % 2 else product
    return x if keepdim else x.select(dim, 0)


@rule(torch.logsumexp, "special_logsumexp")
def _logsumexp(x: Pair, dim: Any, keepdim: bool = False) -> Pair:
    dims = _dims(x, dim)
    if not dims:
        return x
    largest = torch.maximum(x.v.amax(dims, True), x.u.amax(dims, True)).detach()
    a, b = x.v - largest, x.u - largest
    v, u = (torch.logsumexp(y, dims, True) for y in (a, b))

    def pull(c: Tensor) -> Tensor:
        return _spread(x, dims, keepdim, c) * secants.exp(a, b) / secants.exp(v, u)

    high, low = (torch.logsumexp(y, dims, keepdim) for y in (x.v, x.u))
    return record(high, low, (x, pull))


@rule(torch.logaddexp)
def _logaddexp(x: Any, y: Any) -> Any:
    return torch.logsumexp(torch.stack(list(torch.broadcast_tensors(x, y)), -1), -1)


@rule(torch.log_softmax, "special_log_softmax")
def _log_softmax(x: Any, dim: int, dtype: Any = None, _stacklevel: int = 3) -> Any:
    if dim is None:
        raise UnsupportedOperation(
            "discrete_grad: softmax without `dim` has no rule; name the axis"
        )
    x = x if dtype is None else x.to(dtype)
    return x - torch.logsumexp(x, dim, True)


@rule(torch.softmax, "special_softmax")
def _softmax(x: Any, dim: int, dtype: Any = None, _stacklevel: int = 3) -> Any:
    return torch.exp(_log_softmax(x, dim, dtype))


@rule(torch.trapezoid, torch.trapz)
def _trapezoid(y: Any, x: Any = None, dx: Any = 1, dim: int = -1) -> Any:
    dim = dim if dim < 0 else dim - y.ndim
    n = y.shape[dim] - 1
    middle = 0.5 * (y.narrow(dim, 0, n) + y.narrow(dim, 1, n))
    if x is None:
        return dx * middle.sum(dim)
    if x.ndim == 1:
        x = x.reshape(-1, *(1,) * (-dim - 1))
    return (middle * torch.diff(x, dim=dim)).sum(dim)
