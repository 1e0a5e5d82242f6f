"""Rules of elementwise operations, slopes from `secants.py`; activations in `rules_activations.py`.

    c ↦ c · slope(v, u),      slope = (σ(v) − σ(u))/(v − u)

Shapes are those of the argument.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.discrete import activations, secants
from ddg_explorer.discrete.record import (
    Pair,
    Pull,
    UnsupportedOperation,
    elementwise,
    fit,
    linear,
    mean,
    record,
    rule,
)

_PLAIN = {
    torch.tanh: activations.tanh,
    torch.sigmoid: activations.sigmoid,
    torch.exp: secants.exp,
    torch.expm1: secants.exp,
    torch.log: secants.log,
    torch.log1p: secants.log1p,
    torch.sin: secants.sin,
    torch.cos: secants.cos,
    torch.sinh: secants.sinh,
    torch.cosh: secants.cosh,
    torch.tan: secants.tan,
    torch.atan: secants.atan,
    torch.erf: secants.erf,
    torch.sqrt: secants.sqrt,
    torch.rsqrt: secants.rsqrt,
    torch.reciprocal: secants.reciprocal,
    torch.square: secants.square,
}
_ALIASES = {torch.sigmoid: ("special_expit",), torch.erf: ("special_erf",)}
_ALIASES |= {torch.expm1: ("special_expm1",), torch.log1p: ("special_log1p",)}
_ALIASES |= {torch.atan: ("arctan",)}


def real(x: Any, name: str) -> Any:
    """x itself; UnsupportedOperation if it is complex."""
    if x.is_complex():
        raise UnsupportedOperation(f"discrete_grad: {name} of a complex value has no rule")
    return x


def plain(function: Any, slope: Any) -> None:
    """Register a function of one real argument and its secant slope."""

    @rule(function, *_ALIASES.get(function, ()))
    def _(x: Any) -> Pair:
        if function is torch.square:
            return x * x if x.is_complex() else elementwise(x, function, slope)
        return elementwise(real(x, function.__name__), function, slope)


for _function, _slope in _PLAIN.items():
    plain(_function, _slope)


@rule(torch.abs, torch.absolute)
def _abs(x: Pair) -> Pair:
    """|z|: exact also for complex z, c ↦ c (z_v + z_u)/(|z_v| + |z_u|)."""
    return elementwise(x, torch.abs, secants.absolute)


@rule(torch.clamp, torch.clip)
def _clamp(x: Any, min: Any = None, max: Any = None) -> Pair:
    if isinstance(min, Pair) or isinstance(max, Pair):
        raise UnsupportedOperation("discrete_grad: a bound computed from the state has no rule")
    return elementwise(
        x, lambda y: torch.clamp(y, min, max), lambda v, u: secants.clamp(v, u, min, max)
    )


@rule(torch.clamp_min)
def _clamp_min(x: Any, min: Any) -> Pair:
    return _clamp(x, min)


@rule(torch.clamp_max)
def _clamp_max(x: Any, max: Any) -> Pair:
    return _clamp(x, None, max)


@rule(torch.atan2, torch.arctan2)
def _atan2(y: Any, x: Any) -> Pair:
    """Δθ = turn·(x̄ Δy − ȳ Δx), with the jump of 2π where the ends lie across the cut."""
    v, u = ([getattr(z, end) if isinstance(z, Pair) else z for z in (y, x)] for end in ("v", "u"))
    turn = secants.turn(*v, *u)
    pulls: list[tuple[Pair, Pull]] = []
    if isinstance(y, Pair):
        pulls.append((y, lambda c: fit(c * turn * mean(x), y)))
    if isinstance(x, Pair):
        pulls.append((x, lambda c: fit(-c * turn * mean(y), x)))
    return record(torch.atan2(*v), torch.atan2(*u), *pulls)


@rule(torch.exp2)
def _exp2(x: Any) -> Any:
    return torch.exp(x * math.log(2.0))


@rule(torch.log2)
def _log2(x: Any) -> Any:
    return torch.log(x) / math.log(2.0)


@rule(torch.log10)
def _log10(x: Any) -> Any:
    return torch.log(x) / math.log(10.0)


@rule("pow", "__pow__")
def _pow(x: Any, exponent: Any) -> Any:
    """xᵖ for numbers p, in a tensor too; cˣ and x^y as e^(y log x), for a positive base.

    So are powers by a tensor that is learned, or whose values a compiler cannot see.
    """
    if isinstance(x, int | float) and x <= 0:
        raise ValueError(f"base={x}: a constant to the power of the state must be positive")
    known = isinstance(exponent, Tensor) and not exponent.requires_grad
    if known and isinstance(x, Pair) and not torch.compiler.is_compiling():
        return _known_power(x, exponent)
    if isinstance(exponent, Pair | Tensor):
        log: Any = torch.log(x) if isinstance(x, Pair | Tensor) else math.log(x)  # pyright: ignore
        return torch.exp(log * exponent)
    base = real(x, "pow with a number")
    return elementwise(base, lambda y: y**exponent, lambda v, u: secants.power(v, u, exponent))


def _known_power(x: Any, exponent: Tensor) -> Pair:
    """xᵖ with the numbers p of a tensor, each by its own secant."""
    dtype = torch.result_type(x.u, exponent)
    shape = torch.broadcast_shapes(x.shape, exponent.shape)
    base: Any = real(x, "pow with a number").to(dtype).broadcast_to(shape)

    def slope(v: Tensor, u: Tensor) -> Tensor:
        total = torch.zeros_like(u)
        for p in exponent.unique().tolist():
            at = exponent == p
            a, b = torch.where(at, v, 1.0), torch.where(at, u, 1.0)
            total = torch.where(at, secants.power(a, b, p), total)
        return total

    return elementwise(base, lambda y: y**exponent, slope)


@rule("__rpow__")
def _rpow(exponent: Any, x: Any) -> Any:
    return _pow(x, exponent)


@rule(torch.neg, torch.negative)
def _neg(x: Pair) -> Pair:
    return linear(x, torch.neg, torch.neg)


@rule(torch.positive, "__pos__")
def _positive(x: Pair) -> Pair:
    return x


@rule(torch.clone)
def _clone(x: Pair, **layout: Any) -> Pair:
    return linear(x, lambda y: y.clone(**layout), lambda c: c)


@rule("contiguous")
def _contiguous(x: Pair, **layout: Any) -> Pair:
    return linear(x, lambda y: y.contiguous(**layout), lambda c: c)


@rule("to")
def _to(x: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(x, Pair):
        return x.to(args[0].u, *args[1:], **kwargs)
    args = tuple(a.u if isinstance(a, Pair) else a for a in args)
    return linear(x, lambda y: y.to(*args, **kwargs), lambda c: fit(c.to(x.device), x))


@rule("type_as")
def _type_as(x: Any, other: Any) -> Any:
    return x.to(other.dtype)


@rule("double")
def _double(x: Pair) -> Any:
    return _to(x, torch.float64)


@rule("float")
def _float(x: Pair) -> Any:
    return _to(x, torch.float32)


@rule(torch.conj, torch.conj_physical, torch.resolve_conj)
def _conj(x: Pair) -> Pair:
    return linear(x, torch.conj, torch.conj)


@rule(torch.real, "real")
def _real_part(x: Pair) -> Pair:
    return linear(x, torch.real, lambda c: fit(c, x)) if x.is_complex() else x


@rule(torch.imag, "imag")
def _imaginary_part(x: Pair) -> Pair:
    return linear(x, torch.imag, lambda c: 1j * c)


@rule(torch.view_as_real)
def _view_as_real(x: Pair) -> Pair:
    return linear(x, torch.view_as_real, lambda c: torch.complex(c[..., 0], c[..., 1]))


@rule(torch.view_as_complex)
def _view_as_complex(x: Pair) -> Pair:
    return linear(x, torch.view_as_complex, torch.view_as_real)


@rule(torch.complex)
def _complex(re: Any, im: Any) -> Pair:
    return re + 1j * im


@rule(torch.where)
def _where(condition: Tensor, x: Any, y: Any) -> Pair:
    """A mask that does not depend on the state; one computed from it is refused where it arises."""
    if isinstance(condition, Pair):
        raise UnsupportedOperation("discrete_grad: where needs a condition that is no state")
    v, u = (
        torch.where(condition, *(getattr(z, end) if isinstance(z, Pair) else z for z in (x, y)))
        for end in ("v", "u")
    )
    pulls = [
        (z, functools.partial(_masked, z, mask))
        for z, mask in ((x, condition), (y, ~condition))
        if isinstance(z, Pair)
    ]
    return record(v, u, *pulls)


@rule(torch.masked_fill)
def _masked_fill(x: Any, mask: Tensor, value: Any) -> Pair:
    return _where(mask, value, x)


def _masked(x: Pair, condition: Tensor, c: Tensor) -> Tensor:
    return fit(torch.where(condition, c, 0.0), x)
