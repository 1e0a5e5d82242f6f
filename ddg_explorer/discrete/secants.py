"""Closed forms of divided differences (secant slopes) that do not cancel.

    slope(v, u) = (σ(v) − σ(u))/(v − u),      σ′(u) at v = u

Every function takes two tensors of one shape and dtype (`turn`: two points of the plane) and
returns the slope elementwise; all are bitwise symmetric in (v, u) and differentiable, also at v = u
(clamp: off its kinks). Relative error ≤ 5e-15 in float64 and ≤ 2e-6 in float32 for |v|, |u| ≤ 20
(erf: 5, tan: 1.5) and |v − u| ≤ 10, equal arguments included, wherever the slope is a normal
number; sin and cos, whose slopes pass through zero, promise it in units of 1.

Where a quotient f(d)/d is needed, a short even series takes over below |d| = ε^(1/8). Above it the
quotient is accurate by itself; the series is there for the derivatives. Every branch of a
`torch.where` is an identity in (v, u), so derivatives agree across the switch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# Positive nodes and weights of 8-point Gauss–Legendre quadrature on [−1, 1], for erf.
_ERF_NODES = (
    (0.18343464249564978, 0.36268378337836166),
    (0.525532409916329, 0.3137066458778869),
    (0.7966664774136267, 0.22238103445337443),
    (0.9602898564975362, 0.10122853629037706),
)
_ERF_REACH = 0.25


def even_series(x: Tensor, c1: float, c2: float, c3: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where |x| is small, 1 + c₁x² + c₂x⁴ + c₃x⁶, and x with 1 put where it is small."""
    square = x * x
    small = square < torch.finfo(x.dtype).eps ** 0.25
    series = 1 + square * (c1 + square * (c2 + square * c3))
    return small, series, torch.where(small, 1.0, x)


def _sinc(x: Tensor) -> Tensor:
    """sin(x)/x."""
    small, series, safe = even_series(x, -1 / 6, 1 / 120, -1 / 5040)
    return torch.where(small, series, torch.sin(safe) / safe)


def _sinhc(x: Tensor) -> Tensor:
    """sinh(x)/x."""
    small, series, safe = even_series(x, 1 / 6, 1 / 120, 1 / 5040)
    return torch.where(small, series, torch.sinh(safe) / safe)


def bound(x: Tensor) -> float:
    """Largest c for which sinh(2c) and cosh(c)² are finite in x's dtype, with a margin."""
    return 0.49 * math.log(torch.finfo(x.dtype).max)


def exp(v: Tensor, u: Tensor) -> Tensor:
    """e^((v + u)/2) sinh(d/2)/(d/2), d = v − u; far ends enter as max(v, u) and d alone.

    0 where an end is −∞.
    """
    lowest = torch.finfo(u.dtype).min / 4
    v, u = v.clamp_min(lowest), u.clamp_min(lowest)
    d = v - u
    # Beyond this distance the lower end is below rounding, and sinh(d/2) could overflow.
    c = -1.5 * math.log(torch.finfo(u.dtype).eps)
    near = d.clamp(-c, c)
    middle = 0.5 * (v + u + (d - near).abs())
    small, series, half = even_series(0.5 * d, 1 / 6, 1 / 120, 1 / 5040)
    return torch.exp(middle) * torch.where(small, series, torch.sinh(0.5 * near) / half)


def log(v: Tensor, u: Tensor) -> Tensor:
    """log1p(d/lo)/d, d = v − u."""
    return _log(v, u, v - u)


def log1p(v: Tensor, u: Tensor) -> Tensor:
    """The slope of log at (1 + v, 1 + u), with d = v − u itself."""
    return _log(1 + v, 1 + u, v - u)


def _log(v: Tensor, u: Tensor, d: Tensor) -> Tensor:
    total = v + u
    # log(v/u) = 2 atanh(d/(v + u)), as a series.
    small, series, _ = even_series(d / total, 1 / 3, 1 / 5, 1 / 7)
    distance, below = torch.where(small, 1.0, d.abs()), v < u
    low, high = torch.where(below, v, u), torch.where(below, u, v)
    # Ends many decades apart: nothing cancels, and distance/low could overflow.
    far = ~small & (low < distance * torch.finfo(u.dtype).eps ** 2)
    near = torch.log1p(distance / torch.where(far | small, 1.0, low))
    apart = torch.log(torch.where(far, high, 1.0)) - torch.log(torch.where(far, low, 1.0))
    return torch.where(small, 2 * series / total, torch.where(far, apart, near) / distance)


def sin(v: Tensor, u: Tensor) -> Tensor:
    """cos((v + u)/2) sin(d/2)/(d/2), d = v − u. Absolute accuracy, in units of 1."""
    return torch.cos(0.5 * (v + u)) * _sinc(0.5 * (v - u))


def cos(v: Tensor, u: Tensor) -> Tensor:
    """−sin((v + u)/2) sin(d/2)/(d/2), d = v − u. Absolute accuracy, in units of 1."""
    return -torch.sin(0.5 * (v + u)) * _sinc(0.5 * (v - u))


def sinh(v: Tensor, u: Tensor) -> Tensor:
    """cosh((v + u)/2) sinh(d/2)/(d/2), d = v − u."""
    return torch.cosh(0.5 * (v + u)) * _sinhc(0.5 * (v - u))


def cosh(v: Tensor, u: Tensor) -> Tensor:
    """sinh((v + u)/2) sinh(d/2)/(d/2), d = v − u."""
    return torch.sinh(0.5 * (v + u)) * _sinhc(0.5 * (v - u))


def tan(v: Tensor, u: Tensor) -> Tensor:
    """sin(d)/(d cos v cos u), d = v − u; the ends between the same two poles."""
    return _sinc(v - u) / (torch.cos(v) * torch.cos(u))


def atan(v: Tensor, u: Tensor) -> Tensor:
    """The angle of 1 + uv + i(v − u), over v − u."""
    return _arc(v - u, 1 + v * u)


def _arc(cross: Tensor, dot: Tensor) -> Tensor:
    """The angle of dot + i·cross, over cross."""
    ahead = dot > 0
    safe = torch.where(ahead, dot, 1.0)
    small, series, _ = even_series(torch.where(ahead, cross / safe, 1.0), -1 / 3, 1 / 5, -1 / 7)
    distance = torch.where(small, 1.0, cross.abs())
    return torch.where(small, series / safe, torch.atan2(distance, dot) / distance)


def turn(y_v: Tensor, x_v: Tensor, y_u: Tensor, x_u: Tensor) -> Tensor:
    """(θ_v − θ_u)/(x_u y_v − y_u x_v), θ = atan2(y, x); infinite for opposite ends, NaN for zero.

    Where the short way between the ends crosses the cut of atan2, the jump of 2π is counted in.
    """
    cross = x_u * y_v - y_u * x_v
    rise = torch.atan2(y_v, x_v) - torch.atan2(y_u, x_u)
    cut = rise.abs() > math.pi
    jump = rise / torch.where(cut, cross, 1.0)
    return torch.where(cut, jump, _arc(cross, x_u * x_v + y_u * y_v))


def sqrt(v: Tensor, u: Tensor) -> Tensor:
    """1/(√v + √u)."""
    return 1 / (torch.sqrt(v) + torch.sqrt(u))


def rsqrt(v: Tensor, u: Tensor) -> Tensor:
    """−1/(√v √u (√v + √u))."""
    a, b = torch.sqrt(v), torch.sqrt(u)
    return -1 / (a * b * (a + b))


def reciprocal(v: Tensor, u: Tensor) -> Tensor:
    """−1/(v u)."""
    return -torch.reciprocal(v) * torch.reciprocal(u)


def square(v: Tensor, u: Tensor) -> Tensor:
    """v + u."""
    return v + u


def power(v: Tensor, u: Tensor, exponent: float) -> Tensor:
    """Slope of xᵖ for a number p; v, u ≥ 0 unless p is an integer.

    Integers: factored sums of products, accurate as stated up to |p| = 17. Others: for |pL| < 2,
    L = log(v/u), p (v u)^(p/2) · log[v, u] · sinh(pL/2)/(pL/2); for ends farther apart the plain
    quotient, which loses no digits there. Tiny ends are scaled, by the slope's degree p − 1.
    """
    if exponent in (0.5, -0.5):
        return sqrt(v, u) if exponent > 0 else rsqrt(v, u)
    if not float(exponent).is_integer():
        return _real_power(v, u, float(exponent))
    n = int(exponent)
    if n > 0:
        return _power_sum(v, u, v + u, n)
    if n == 0:
        return torch.zeros_like(u)
    a, b = torch.reciprocal(v), torch.reciprocal(u)
    return -_power_sum(a, b, (v + u) * (a * b), -n) * (a * b)


def _power_sum(v: Tensor, u: Tensor, total: Tensor, n: int) -> Tensor:
    """Σ vʲ u^(n−1−j), j < n, n ≥ 1, factored: only v + u = `total` cancels, and without loss."""
    k = n // 2
    if n == 1:
        return torch.ones_like(u)
    if n == 2:
        return total
    squares, product = v * v + u * u, v * u
    if n % 3 == 0:
        first = squares + product
        if n == 3:
            return first
        return first * _power_sum(v**3, u**3, total * (squares - product), n // 3)
    ends = total * _power_sum(v, -u, v - u, k) if k % 2 else v**k + u**k
    if n % 2:
        return ends * _power_sum(v, u, total, k + 1) - product**k
    return ends * _power_sum(v, u, total, k)


def _real_power(v: Tensor, u: Tensor, p: float) -> Tensor:
    size = torch.maximum(v, u).detach()
    tiny = (size > 0) & (size < torch.finfo(u.dtype).eps)
    scale = torch.where(tiny, torch.exp2(torch.log2(size).floor()), 1.0)
    v, u, below = v / scale, u / scale, v < u
    low, high = torch.where(below, v, u), torch.where(below, u, v)
    touches, zero = low == 0, (low == 0) & (high == 0)
    a, b = torch.where(touches, 1.0, v), torch.where(touches, 1.0, u)
    slope = log(a, b)
    ratio = slope * (a - b).abs()
    near = ~touches & (abs(p) * ratio < 2)
    slope, a, b = (torch.where(near, x, 1.0) for x in (slope, a, b))
    # Factors of the square root of the result's size: none under- or overflows before it does.
    root = torch.sqrt(slope)
    middle = (a ** (0.5 * p) * root) * (b ** (0.5 * p) * root)
    close = p * middle * _sinhc(0.5 * p * slope * (a - b))

    high = torch.where(zero, 1.0, high)
    distance = torch.where(near | zero, 1.0, high - low)
    edge = (high if p > 0 else low) ** (0.5 * p) / torch.sqrt(distance)
    # (low/high)^|p|; a zero keeps its infinite slope there for |p| < 1
    rest = torch.where(touches, low, 1.0) ** abs(p)
    rest = torch.where(touches, rest, torch.exp(-abs(p) * ratio))
    far = math.copysign(1.0, p) * edge * (edge * (1 - rest))
    far = torch.where(zero, 0.0 if p > 1 else math.copysign(math.inf, p), far)
    slope = torch.where(near, close, far)
    # p − 1 is exact from 1/2 on only, and its rounding would be multiplied by log(scale).
    return scale ** (p - 1) * slope if p > 0.5 else scale**p * slope / scale


def erf(v: Tensor, u: Tensor) -> Tensor:
    """2/√π times the mean of e^(−x²) over [u, v].

    Near ends: Gauss–Legendre, with e^(−vu) taken out so that m² = vu + h² is never rounded
    (m = (v + u)/2, h = (v − u)/2). Far ones: the difference of erfc on the side where it is small.
    """
    d = v - u
    near = d.abs() < _ERF_REACH
    span = torch.where(near, d, 0.0)
    square, product = 0.25 * span * span, (0.5 * (v + u) * span).clamp(-30, 30)
    total = torch.zeros_like(u)
    for node, weight in _ERF_NODES:
        total = total + weight * torch.exp(-(1 + node * node) * square) * torch.cosh(node * product)
    close = 2 / math.sqrt(math.pi) * torch.exp(torch.where(near, -v * u, 0.0)) * total

    side = torch.where(v + u < 0, -1.0, 1.0).to(u.dtype)
    far = side * (torch.erfc(side * u) - torch.erfc(side * v)) / torch.where(near, 1.0, d)
    return torch.where(near, close, far)


def absolute(v: Tensor, u: Tensor) -> Tensor:
    """Exact: (v + u)/(|v| + |u|), also for complex values; 0 at v = u = 0."""
    total = v.abs() + u.abs()
    return (v + u) / torch.where(total == 0, 1.0, total)


def clamp(v: Tensor, u: Tensor, low: Any, high: Any, closed: bool = True) -> Tensor:
    """Exact slope of x clamped to [low, high]; at v = u on a bound 1 if `closed`, else 0."""
    a, b = torch.clamp(v, low, high), torch.clamp(u, low, high)
    inner, flat = (v == a) & (u == b), a == b
    if not closed:
        inner = inner & (low < v) & (v < high) & (low < u) & (u < high)
    rise = (a - b) / torch.where(inner | flat, 1.0, v - u)
    return torch.where(inner, 1.0, torch.where(flat, 0.0, rise))
