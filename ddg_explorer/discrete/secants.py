"""Closed forms of divided differences (secant slopes) that do not cancel.

    slope(v, u) = (σ(v) − σ(u))/(v − u),      σ′(u) at v = u

Every function takes two tensors of one shape and dtype and returns the slope elementwise; all are
symmetric in (v, u) and differentiable to any order, also at v = u (except on the kinks of relu, abs
and their kin). Relative error ≤ 5e-15 in float64 and ≤ 2e-6 in float32 for |v|, |u| ≤ 20 (erf, gelu:
5) and |v − u| ≤ 10, equal arguments included, wherever the slope is a normal number. sin, cos, silu
and gelu, whose slopes pass through zero, promise the same in units of their largest slope.

Where a quotient f(d)/d is needed, a short even series takes over below |d| = ε^(1/8). Above it the
quotient is accurate by itself; the series is there for the derivatives. Every branch of a
`torch.where` is an identity in (v, u), so derivatives agree across the switch.
"""

from __future__ import annotations

import math

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


def _even(x: Tensor, c1: float, c2: float, c3: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where |x| is small, 1 + c₁x² + c₂x⁴ + c₃x⁶, and x with 1 put where it is small."""
    square = x * x
    small = square < torch.finfo(x.dtype).eps ** 0.25
    series = 1 + square * (c1 + square * (c2 + square * c3))
    return small, series, torch.where(small, 1.0, x)


def _sinc(x: Tensor) -> Tensor:
    """sin(x)/x."""
    small, series, safe = _even(x, -1 / 6, 1 / 120, -1 / 5040)
    return torch.where(small, series, torch.sin(safe) / safe)


def _sinhc(x: Tensor) -> Tensor:
    """sinh(x)/x."""
    small, series, safe = _even(x, 1 / 6, 1 / 120, 1 / 5040)
    return torch.where(small, series, torch.sinh(safe) / safe)


def _bound(x: Tensor) -> float:
    """Largest c for which sinh(2c) and cosh(c)² are finite in x's dtype, with a margin."""
    return 0.49 * math.log(torch.finfo(x.dtype).max)


def tanh(v: Tensor, u: Tensor) -> Tensor:
    """sinh(d)/(d cosh v cosh u), d = v − u.

    Beyond ±350 (±43 in float32) the hyperbolic functions see clamped arguments: tanh is ±1 there.
    """
    c = _bound(u)
    a, b = v.clamp(-c, c), u.clamp(-c, c)
    small, series, d = _even(v - u, 1 / 6, 1 / 120, 1 / 5040)
    return torch.where(small, series, torch.sinh(a - b) / d) / (torch.cosh(a) * torch.cosh(b))


def sigmoid(v: Tensor, u: Tensor) -> Tensor:
    """¼ tanh[v/2, u/2], since σ(x) = ½ + ½ tanh(x/2)."""
    return 0.25 * tanh(0.5 * v, 0.5 * u)


def softplus(v: Tensor, u: Tensor) -> Tensor:
    """log1p(σ(lo)·expm1(hi − lo))/(hi − lo) of the exact log(1 + eˣ), lo and hi the ordered ends.

    torch's softplus returns x itself above its threshold (20), a jump of 2e-9; the slope is that
    of the smooth function everywhere.
    """
    c = _bound(u)
    d = v - u
    small = d * d < torch.finfo(u.dtype).eps ** 0.25
    # Taylor about the midpoint m, p = σ(m): σ″ = w(1 − 2p), σ⁗ = σ″(1 − 12w), … with w = p(1 − p).
    p = torch.sigmoid(0.5 * (v + u))
    w, h = p * (1 - p), 0.25 * d * d
    tail = h * (1 / 6 + h * ((1 - 12 * w) / 120 + h * (1 - 60 * w + 360 * w * w) / 5040))
    series = p * (1 + (1 - p) * (1 - 2 * p) * tail)

    a, b = v.clamp(-c, c), u.clamp(-c, c)
    swap = v < u
    low, high = torch.where(swap, a, b), torch.where(swap, b, a)
    linear = (torch.relu(v - c) - torch.relu(u - c)).abs()
    rise = torch.log1p(torch.sigmoid(low) * torch.expm1(high - low)) + linear
    return torch.where(small, series, rise / torch.where(small, 1.0, d.abs()))


def exp(v: Tensor, u: Tensor) -> Tensor:
    """e^((v + u)/2) sinh(d/2)/(d/2), d = v − u; far ends enter as max(v, u) and d alone."""
    d = v - u
    # Beyond this distance the lower end is below rounding, and sinh(d/2) could overflow.
    c = -1.5 * math.log(torch.finfo(u.dtype).eps)
    near = d.clamp(-c, c)
    middle = 0.5 * (v + u + (d - near).abs())
    small, series, half = _even(0.5 * d, 1 / 6, 1 / 120, 1 / 5040)
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
    small, series, _ = _even(d / total, 1 / 3, 1 / 5, 1 / 7)
    distance = torch.where(small, 1.0, d.abs())
    low = torch.where(v < u, v, u)
    return torch.where(small, 2 * series / total, torch.log1p(distance / low) / distance)


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
    """Slope of x^p for a number p: sums of products for integers, `v, u ≥ 0` otherwise.

    For 0 < |pL| < 2, L = log(v/u): p (v u)^(p/2) log[v, u] sinh(pL/2)/(pL/2); the plain quotient,
    which loses no digits there, for ends farther apart.
    """
    if float(exponent).is_integer():
        n = int(exponent)
        if n < 0:
            a, b = torch.reciprocal(v), torch.reciprocal(u)
            return -_power_sum(a, b, -n) * (a * b)
        return _power_sum(v, u, n) if n else torch.zeros_like(u)
    if exponent == 0.5:
        return sqrt(v, u)
    if exponent == -0.5:
        return rsqrt(v, u)
    return _real_power(v, u, float(exponent))


def _power_sum(v: Tensor, u: Tensor, n: int) -> Tensor:
    """Σ vʲ u^(n−1−j), j < n, n ≥ 1, factored so that opposite signs do not cancel."""
    if n == 1:
        return torch.ones_like(u)
    if n == 3:
        return v * v + u * u + v * u
    k = n // 2
    if k == 1:
        ends = v + u
    elif k % 2:
        ends = (v + u) * _power_sum(v, -u, k)
    else:
        ends = v**k + u**k
    if n == 2:
        return ends
    return (
        ends * _power_sum(v, u, k) if n % 2 == 0 else ends * _power_sum(v, u, k + 1) - (v * u) ** k
    )


def _real_power(v: Tensor, u: Tensor, p: float) -> Tensor:
    info, low, d = torch.finfo(u.dtype), torch.where(v < u, v, u), v - u
    ratio = torch.log1p(d.abs() / low.clamp(min=info.tiny / info.eps))
    near, both_zero = (low > 0) & (math.fabs(p) * ratio < 2), (v == 0) & (u == 0)
    a, b = torch.where(near, v, 1.0), torch.where(near, u, 1.0)
    slope = log(a, b)
    middle = a ** (0.5 * p) * b ** (0.5 * p)
    close = p * middle * slope * _sinhc(0.5 * p * slope * (a - b))
    far = (v**p - u**p) / torch.where(near | both_zero, 1.0, d)
    return torch.where(near, close, torch.where(both_zero, 0.0 if p > 1 else math.inf, far))


def leaky_relu(v: Tensor, u: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Exact: (v⁺ + u⁺ + s(v⁻ + u⁻))/(|v| + |u|), x = x⁺ − x⁻; s at v = u = 0, as torch has it."""
    a, b = v.abs(), u.abs()
    total = a + b
    zero = total == 0
    rise = torch.relu(v) + torch.relu(u)
    if negative_slope:
        rise = rise + negative_slope * (torch.relu(-v) + torch.relu(-u))
    return torch.where(zero, negative_slope, rise / torch.where(zero, 1.0, total))


def relu(v: Tensor, u: Tensor) -> Tensor:
    """Exact: (relu v + relu u)/(|v| + |u|); 0 at v = u = 0."""
    return leaky_relu(v, u, 0.0)


def absolute(v: Tensor, u: Tensor) -> Tensor:
    """Exact: (v + u)/(|v| + |u|), also for complex values; 0 at v = u = 0."""
    total = v.abs() + u.abs()
    return (v + u) / torch.where(total == 0, 1.0, total)


def elu(v: Tensor, u: Tensor, alpha: float = 1.0) -> Tensor:
    """r + α(1 − r) exp[v⁻, u⁻], r the slope of relu and x⁻ = min(x, 0)."""
    r = relu(v, u)
    return r + alpha * (1 - r) * exp(v.clamp(max=0), u.clamp(max=0))


def silu(v: Tensor, u: Tensor) -> Tensor:
    """Product rule on x σ(x). Absolute accuracy, in units of the largest slope 1.1."""
    middle = 0.5 * (torch.sigmoid(v) + torch.sigmoid(u))
    return middle + 0.5 * (v + u) * sigmoid(v, u)


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
    close = 2 / math.sqrt(math.pi) * torch.exp(-v * u) * total

    side = torch.where(v + u < 0, -1.0, 1.0).to(u.dtype)
    far = side * (torch.erfc(side * u) - torch.erfc(side * v)) / torch.where(near, 1.0, d)
    return torch.where(near, close, far)


def gelu(v: Tensor, u: Tensor, approximate: str = "none") -> Tensor:
    """Product rule on x Φ(x), Φ exact or of tanh form. Absolute accuracy, in units of 1.13."""
    if approximate == "tanh":
        k, c = math.sqrt(2 / math.pi), 0.044715
        a, b = k * (v + c * v**3), k * (u + c * u**3)
        ends = torch.tanh(a) + torch.tanh(b)
        inner = tanh(a, b) * (k * (1 + c * (v * v + u * u + v * u)))
    else:
        k = math.sqrt(0.5)
        ends = torch.erf(k * v) + torch.erf(k * u)
        inner = k * erf(k * v, k * u)
    return 0.5 + 0.25 * (ends + (v + u) * inner)


SECANTS = {
    "tanh": tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "silu": silu,
    "gelu": gelu,
    "sin": sin,
    "cos": cos,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "erf": erf,
    "exp": exp,
    "log": log,
    "log1p": log1p,
    "sqrt": sqrt,
    "rsqrt": rsqrt,
    "reciprocal": reciprocal,
    "square": square,
    "abs": absolute,
    "sinh": sinh,
    "cosh": cosh,
}
