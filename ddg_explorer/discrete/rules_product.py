"""Rules of sums, products and contractions of one or two varying operands.

    Δ(x·y) = Δx·ȳ + x̄·Δy,      x̄ = (x_v + x_u)/2, a constant being its own mean

holds for every bilinear product: elementwise, matrix, einsum. Shapes are those of the torch
operation; broadcasting is transposed by summation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete.record import Pair, Pull, fit, mean, record, rule


def _end(x: Any, end: str) -> Any:
    return getattr(x, end) if isinstance(x, Pair) else x


def _bilinear(
    x: Any,
    y: Any,
    product: Callable[[Any, Any], Tensor],
    pull_x: Callable[[Tensor, Any], Tensor],
    pull_y: Callable[[Tensor, Any], Tensor],
) -> Pair:
    """Record product(x, y); `pull_x(c, ȳ)` and `pull_y(c, x̄)` are its two partial transposes."""
    pulls: list[tuple[Pair, Pull]] = []
    if isinstance(x, Pair):
        pulls.append((x, lambda c: fit(pull_x(c, mean(y)), x)))
    if isinstance(y, Pair):
        pulls.append((y, lambda c: fit(pull_y(c, mean(x)), y)))
    return record(product(_end(x, "v"), _end(y, "v")), product(_end(x, "u"), _end(y, "u")), *pulls)


def _conj(y: Any) -> Any:
    if isinstance(y, Tensor):
        return y.conj() if y.is_complex() else y
    return y.conjugate() if isinstance(y, complex) else y


@rule(torch.mul, torch.multiply, "__mul__", "__rmul__")
def _mul(x: Any, y: Any) -> Pair:
    return _bilinear(x, y, lambda a, b: a * b, lambda c, b: c * _conj(b), lambda c, a: c * _conj(a))


@rule(torch.div, torch.divide, torch.true_divide, "__truediv__", "__rtruediv__")
def _div(x: Any, y: Any, rounding_mode: str | None = None) -> Pair:
    if rounding_mode is not None:
        raise ValueError(f"rounding_mode={rounding_mode!r}: only true division is differentiable")
    if isinstance(y, Pair):
        return x * torch.reciprocal(y)  # pyright: ignore[reportArgumentType]
    return record(x.v / y, x.u / y, (x, lambda c: fit(c / _conj(y), x)))


@rule(torch.add, "__add__", "__radd__")
def _add(x: Any, y: Any, alpha: Any = 1) -> Pair:
    y = y if alpha == 1 else alpha * y
    pulls = [(z, lambda c, z=z: fit(c, z)) for z in (x, y) if isinstance(z, Pair)]
    return record(_end(x, "v") + _end(y, "v"), _end(x, "u") + _end(y, "u"), *pulls)


@rule(torch.sub, torch.subtract, "__sub__")
def _sub(x: Any, y: Any, alpha: Any = 1) -> Pair:
    y = y if alpha == 1 else alpha * y
    pulls: list[tuple[Pair, Pull]] = []
    if isinstance(x, Pair):
        pulls.append((x, lambda c: fit(c, x)))
    if isinstance(y, Pair):
        pulls.append((y, lambda c: fit(-c, y)))
    return record(_end(x, "v") - _end(y, "v"), _end(x, "u") - _end(y, "u"), *pulls)


@rule(torch.rsub, "__rsub__")
def _rsub(x: Any, y: Any, alpha: Any = 1) -> Pair:
    return _sub(y, x, alpha)


@rule(F.linear)
def _linear(x: Any, weight: Any, bias: Any = None) -> Pair:
    if isinstance(weight, Pair) or isinstance(bias, Pair):
        out = x @ weight.transpose(-2, -1)
        return out if bias is None else out + bias
    return record(
        F.linear(x.v, weight, bias), F.linear(x.u, weight, bias), (x, lambda c: c @ weight.conj())
    )


@rule(torch.matmul, torch.mm, torch.bmm, torch.mv, torch.dot, "__matmul__", "__rmatmul__")
def _matmul(x: Any, y: Any) -> Pair:
    """Matrix product, vectors as rows (left) or columns (right) as in torch."""
    left, right = x.ndim == 1, y.ndim == 1

    def grow(c: Tensor) -> Tensor:
        c = c.unsqueeze(-1) if right else c
        return c.unsqueeze(-2) if left else c

    def pull_x(c: Tensor, b: Tensor) -> Tensor:
        out = grow(c) @ (b.unsqueeze(-1) if right else b).mH
        return out.squeeze(-2) if left else out

    def pull_y(c: Tensor, a: Tensor) -> Tensor:
        out = (a.unsqueeze(-2) if left else a).mH @ grow(c)
        return out.squeeze(-1) if right else out

    return _bilinear(x, y, torch.matmul, pull_x, pull_y)
