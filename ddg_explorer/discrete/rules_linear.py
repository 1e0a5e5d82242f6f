"""Rules of linear operations that mix values: sums and differences along an axis, triangles of
matrices, paddings, convolutions, average pools.

J̄ᵀ = Jᵀ, written out: paddings fold, convolutions transpose. Shapes are those of the
torch operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete.record import Pair, UnsupportedOperation, fit, linear, rule
from ddg_explorer.discrete.rules_shape import embed


@rule(torch.cumsum)
def _cumsum(x: Pair, dim: int, dtype: Any = None) -> Pair:
    return linear(
        x,
        lambda y: torch.cumsum(y, dim, dtype=dtype),
        lambda c: fit(c.flip(dim).cumsum(dim).flip(dim), x),
    )


@rule(torch.diff)
def _diff(x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    if n and (prepend is not None or append is not None):
        x = torch.cat([part for part in (prepend, x, append) if part is not None], dim)
    for _ in range(n):
        m = x.shape[dim] - 1
        x = x.narrow(dim, 1, m) - x.narrow(dim, 0, m)
    return x


@rule(torch.tril)
def _tril(x: Pair, diagonal: int = 0) -> Pair:
    return linear(x, lambda y: torch.tril(y, diagonal), lambda c: torch.tril(c, diagonal))


@rule(torch.triu)
def _triu(x: Pair, diagonal: int = 0) -> Pair:
    return linear(x, lambda y: torch.triu(y, diagonal), lambda c: torch.triu(c, diagonal))


@rule(F.pad)
def _pad(x: Pair, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Pair:
    widths = list(zip(pad[::2], pad[1::2], strict=True))

    def transpose(c: Tensor) -> Tensor:
        if mode == "constant":
            return F.pad(c, [-w for w in pad])
        for i, (left, right) in enumerate(widths):
            fold = _fold_circular if mode == "circular" else _fold_indexed
            c = fold(c, -1 - i, left, right, x.shape[-1 - i], mode)
        return c

    if mode == "circular" and min(pad) < 0:
        raise UnsupportedOperation(f"discrete_grad: circular pad {tuple(pad)} has negative widths")
    return linear(x, lambda y: F.pad(y, list(pad), mode, value), transpose)


def _fold_circular(c: Tensor, dim: int, left: int, right: int, n: int, _: str) -> Tensor:
    out = c.narrow(dim, left, n)
    if left:
        out = out + embed(c.narrow(dim, 0, left), dim, n - left, n)
    if right:
        out = out + embed(c.narrow(dim, left + n, right), dim, 0, n)
    return out


def _fold_indexed(c: Tensor, dim: int, left: int, right: int, n: int, mode: str) -> Tensor:
    """Fold of a reflecting or replicating pad, by the indices the pad itself puts in each place."""
    places = torch.arange(n, dtype=torch.float64, device=c.device)
    index = F.pad(places.reshape(1, 1, n), [left, right], mode).reshape(-1).long()
    shape = list(c.shape)
    shape[dim] = n
    return c.new_zeros(shape).index_add(dim, index, c)


def _each(value: Any, n: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * n if len(values) == 1 else values


def _convolution(
    n: int, forward: Callable[..., Tensor], backward: Callable[..., Tensor]
) -> Callable[..., Pair]:
    def convolve(
        x: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Pair:
        _check_weights(x, weight, bias)
        step, gap, size = _each(stride, n), _each(dilation, n), weight.shape[-n:]
        if padding == "same":
            total = [g * (k - 1) for g, k in zip(gap, size, strict=True)]
            x = F.pad(x, [w for t in reversed(total) for w in (t // 2, t - t // 2)])
        width = (0,) * n if isinstance(padding, str) else _each(padding, n)
        # Inputs beyond the last full stride do not enter; they get a zero cotangent.
        rest = [
            (m + 2 * p - g * (k - 1) - 1) % s
            for m, p, g, k, s in zip(x.shape[-n:], width, gap, size, step, strict=True)
        ]
        return linear(
            x,
            lambda y: forward(y, weight, bias, step, width, gap, groups),
            lambda c: backward(c, weight, None, step, width, rest, groups, gap),
        )

    return convolve


def _transposed_convolution(
    n: int, forward: Callable[..., Tensor], backward: Callable[..., Tensor]
) -> Callable[..., Pair]:
    def convolve(
        x: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Pair:
        _check_weights(x, weight, bias)
        inside = (Ellipsis, *(slice(0, m) for m in x.shape[-n:]))
        return linear(
            x,
            lambda y: forward(y, weight, bias, stride, padding, output_padding, groups, dilation),
            lambda c: backward(c, weight, None, stride, padding, dilation, groups)[inside],
        )

    return convolve


def _check_weights(x: Any, weight: Any, bias: Any) -> None:
    if not isinstance(x, Pair) or isinstance(weight, Pair) or isinstance(bias, Pair):
        raise UnsupportedOperation("discrete_grad: a kernel computed from the state has no rule")


for _n, _name in ((1, "conv1d"), (2, "conv2d"), (3, "conv3d")):
    _direct, _transposed = getattr(F, _name), getattr(F, _name.replace("conv", "conv_transpose"))
    rule(_direct)(_convolution(_n, _direct, _transposed))
    rule(_transposed)(_transposed_convolution(_n, _transposed, _direct))


def _average_pool(n: int, convolve: Callable[..., Any]) -> Callable[..., Any]:
    """Convolution with ones over the number of values that torch counts in each place."""

    def pool(
        x: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:
        if ceil_mode:
            raise UnsupportedOperation("discrete_grad: average pool with ceil_mode has no rule")
        size = _each(kernel_size, n)
        ones, space = x.u.new_ones(1, 1, *size), x.shape[-n:]
        step = size if stride is None or stride == () else stride
        out = convolve(x.reshape(-1, 1, *space), ones, None, step, padding)
        count: Any = divisor_override or math.prod(size)
        if not (count_include_pad or divisor_override):
            count = convolve(x.u.new_ones(1, 1, *space), ones, None, step, padding)
        return (out * (1 / count)).reshape(*x.shape[:-n], *out.shape[2:])

    return pool


for _n in (1, 2, 3):
    rule(f"avg_pool{_n}d")(_average_pool(_n, getattr(F, f"conv{_n}d")))
