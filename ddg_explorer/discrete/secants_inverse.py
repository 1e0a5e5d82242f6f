"""Secant slopes of inverse functions, sinc, x log x and Huber's function.

    slope(v, u) = (σ(v) − σ(u))/(v − u),      σ′(u) at v = u

Two tensors of one shape and dtype in, the slope elementwise out, with the promises of `secants.py`
inside the domain of σ: bitwise symmetric, no cancellation, relative error ≤ 1e-15 (4e-7 in
float32; five times that for erfc), differentiable also at v = u. sinc and x log x, whose slopes
pass through zero, are accurate to 1e-15 in units of 1.4 and to 4e-15 in units of 1, x ≤ 1.

The inverse functions are half angles: with tanh½(α − β) = (sinh α − sinh β)/(cosh α + cosh β),

    asinh v − asinh u = 2 atanh((v − u)/(√(1 + v²) + √(1 + u²))),

and acosh, asin and acos likewise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ddg_explorer.discrete import secants

# sin(y)/y = Σ cₖ y²ᵏ, to rounding for |y| ≤ 2.
_SINC_SERIES = [(-1.0) ** k / math.factorial(2 * k + 1) for k in range(1, 13)]


def asinh(v: Tensor, u: Tensor) -> Tensor:
    """2 atanh(t)/(v − u), t = (v − u)/(√(1 + v²) + √(1 + u²))."""
    one = torch.ones_like(u)
    total = torch.hypot(one, v) + torch.hypot(one, u)
    return _half_angle(v, u, total, torch.asinh)


def acosh(v: Tensor, u: Tensor) -> Tensor:
    """2 atanh(t)/(v − u), t = (v − u)/(√(v² − 1) + √(u² − 1)); v, u ≥ 1, infinite at v = u = 1."""
    a, b = (torch.sqrt(x - 1) * torch.sqrt(x + 1) for x in (v, u))
    return _half_angle(v, u, a + b, torch.acosh)


def _half_angle(v: Tensor, u: Tensor, total: Tensor, inverse: Callable[[Tensor], Tensor]) -> Tensor:
    d = v - u
    t = d / torch.where(total == 0, 1.0, total)
    near = t.abs() < 0.5
    close = 2 * _atanhc(torch.where(near, t, 0.25)) / total
    # Ends this far apart differ by more than 1 in σ: nothing cancels.
    rise = inverse(torch.where(near, 2.0, v)) - inverse(torch.where(near, 2.0, u))
    return torch.where(near, close, rise / torch.where(near, 1.0, d))


def atanh(v: Tensor, u: Tensor) -> Tensor:
    """atanh(w)/(v − u), w = (v − u)/(1 − vu); |v|, |u| < 1.

    1 − vu is taken as ½((1 − u)(1 + v) + (1 + u)(1 − v)), which does not cancel near ±1.
    """
    d, up, down = v - u, (1 - u) * (1 + v), (1 + u) * (1 - v)
    total = 0.5 * (up + down)
    w = d / total
    near = w.abs() < 0.5
    close = _atanhc(torch.where(near, w, 0.25)) / total
    swap = v < u
    ratio = torch.where(swap, down, up) / torch.where(swap, up, down)
    far = 0.5 * torch.log(torch.where(near, 2.0, ratio)) / torch.where(near, 1.0, d.abs())
    return torch.where(near, close, far)


def _atanhc(x: Tensor) -> Tensor:
    """atanh(x)/x, |x| ≤ ½."""
    small, series, _ = secants.even_series(x, 1 / 3, 1 / 5, 1 / 7)
    safe = torch.where(small, 0.25, x)
    return torch.where(small, series, torch.atanh(safe) / safe)


def asin(v: Tensor, u: Tensor) -> Tensor:
    """2 arctan(t)/(v − u), t = (v − u)/(√(1 − v²) + √(1 − u²)); infinite at v = u = ±1."""
    d = v - u
    total = torch.sqrt((1 - v) * (1 + v)) + torch.sqrt((1 - u) * (1 + u))
    t = d / torch.where(total == 0, 1.0, total)
    small, series, _ = secants.even_series(t, -1 / 3, 1 / 5, -1 / 7)
    distance = torch.where(small, 1.0, d.abs())
    return 2 * torch.where(small, series / total, torch.atan2(distance, total) / distance)


def acos(v: Tensor, u: Tensor) -> Tensor:
    """−asin[v, u]."""
    return -asin(v, u)


def erfc(v: Tensor, u: Tensor) -> Tensor:
    """−erf[v, u]."""
    return -secants.erf(v, u)


def sinc(v: Tensor, u: Tensor) -> Tensor:
    """Slope of sin(πx)/(πx). Absolute accuracy, in units of the largest slope 1.4.

    With y = πx: a power series where both ends are near 0, the quotient rule where they are near
    each other, the plain quotient where they are 1 or more apart.
    """
    a, b, d = math.pi * v, math.pi * u, math.pi * (v - u)
    near = d.abs() < 1
    inner = near & (a.abs() + b.abs() < 3)
    outer = near & ~inner

    p, q = (torch.where(inner, y * y, 0.0) for y in (a, b))
    total, product = p + q, p * q
    series, power, last = torch.zeros_like(u), torch.ones_like(u), torch.zeros_like(u)
    for c in _SINC_SERIES:
        series = series + c * power
        power, last = total * power - product * last, power

    p, q = (torch.where(outer, y, 1.0) for y in (a, b))
    rise = 0.5 * (1 / p + 1 / q) * secants.sin(p, q)
    quotient = rise - 0.5 * (torch.sin(p) + torch.sin(q)) / (p * q)
    p, q = (torch.where(near, 1.0, x) for x in (v, u))
    far = (torch.sinc(p) - torch.sinc(q)) / torch.where(near, 1.0, d)
    return math.pi * torch.where(inner, (a + b) * series, torch.where(outer, quotient, far))


def x_log_x(v: Tensor, u: Tensor) -> Tensor:
    """log(hi) + lo·log[v, u], lo and hi the ordered ends ≥ 0; log(hi) at lo = 0.

    Absolute accuracy, in units of max(1, |log hi|).
    """
    below = v < u
    low, high = torch.where(below, v, u), torch.where(below, u, v)
    inside = low != 0
    mixed = secants.log(torch.where(inside, v, 1.0), torch.where(inside, u, 1.0))
    return torch.log(high) + torch.where(inside, low * mixed, 0.0)


def huber(v: Tensor, u: Tensor, delta: float) -> Tensor:
    """c̄ + s (x̄ − c̄): x clamped to ±δ, the mean c̄ of both ends, and the slope s of clamping."""
    a, b = v.clamp(-delta, delta), u.clamp(-delta, delta)
    excess = 0.5 * ((v - a) + (u - b))
    return 0.5 * (a + b) + secants.clamp(v, u, -delta, delta) * excess
