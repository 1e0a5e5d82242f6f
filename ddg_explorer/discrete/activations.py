"""Activation functions and the closed forms of their secant slopes.

    slope(v, u) = (σ(v) − σ(u))/(v − u),      σ′(u) at v = u

Two tensors of one shape and dtype in, the slope elementwise out, with the promises of `secants.py`:
bitwise symmetric, no cancellation, differentiable also at v = u (off the kinks of relu and kin).
silu, gelu and hardswish, whose slopes pass through zero, are accurate to 5e-15 (2e-6 in float32)
in units of their largest slope, 1.1 and 1.5; gelu for |v|, |u| ≤ 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete import secants


def tanh(v: Tensor, u: Tensor) -> Tensor:
    """sinh(d)/(d cosh v cosh u), d = v − u.

    Beyond ±350 (±43 in float32) the hyperbolic functions see clamped arguments: tanh is ±1 there.
    """
    c = secants.bound(u)
    a, b = v.clamp(-c, c), u.clamp(-c, c)
    small, series, d = secants.even_series(v - u, 1 / 6, 1 / 120, 1 / 5040)
    return torch.where(small, series, torch.sinh(a - b) / d) / (torch.cosh(a) * torch.cosh(b))


def sigmoid(v: Tensor, u: Tensor) -> Tensor:
    """¼ tanh[v/2, u/2], since σ(x) = ½ + ½ tanh(x/2)."""
    return 0.25 * tanh(0.5 * v, 0.5 * u)


def softplus(v: Tensor, u: Tensor) -> Tensor:
    """log1p(σ(lo)·expm1(hi − lo))/(hi − lo) of the exact log(1 + eˣ), lo and hi the ordered ends.

    torch's softplus returns x itself above its threshold, at the default of 20 a jump of 2e-9; the
    slope is that of the smooth function everywhere.
    """
    c = secants.bound(u)
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


def elu(v: Tensor, u: Tensor, alpha: float = 1.0) -> Tensor:
    """r + α(1 − r) exp[v⁻, u⁻], r the slope of relu and x⁻ = min(x, 0)."""
    r = relu(v, u)
    return r + alpha * (1 - r) * secants.exp(v.clamp(max=0), u.clamp(max=0))


def softsign(v: Tensor, u: Tensor) -> Tensor:
    """(1 + 2 (−vu)⁺/(|v| + |u|))/((1 + |v|)(1 + |u|))."""
    a, b = v.abs(), u.abs()
    total = a + b
    across = torch.relu(-v * u) / torch.where(total == 0, 1.0, total)
    return (1 + 2 * across) / ((1 + a) * (1 + b))


def hardswish(v: Tensor, u: Tensor) -> Tensor:
    """Product rule on x·clamp(x + 3, 0, 6)/6. Absolute accuracy, in units of 1.5."""
    middle = (v + 3).clamp(0, 6) + (u + 3).clamp(0, 6)
    return middle / 12 + (v + u) * secants.clamp(v, u, -3.0, 3.0, closed=False) / 12


def silu(v: Tensor, u: Tensor) -> Tensor:
    """Product rule on x σ(x). Absolute accuracy, in units of the largest slope 1.1."""
    middle = 0.5 * (torch.sigmoid(v) + torch.sigmoid(u))
    return middle + 0.5 * (v + u) * sigmoid(v, u)


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
        inner = k * secants.erf(k * v, k * u)
    return 0.5 + 0.25 * (ends + (v + u) * inner)


def smooth_softplus(x: Tensor) -> Tensor:
    """log(1 + eˣ) to rounding; beyond 40, where torch returns x, they differ by less than that."""
    return F.softplus(x, threshold=40.0)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": smooth_softplus,
    "silu": F.silu,
    "gelu": F.gelu,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "elu": F.elu,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
}

_SECANTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "tanh": tanh,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "silu": silu,
    "gelu": gelu,
    "sin": secants.sin,
    "cos": secants.cos,
    "erf": secants.erf,
    "elu": elu,
    "relu": relu,
    "leaky_relu": leaky_relu,
}


def secant(name: str, v: Tensor, u: Tensor) -> Tensor:
    """(σ(v) − σ(u))/(v − u) of the activation σ = `ACTIVATIONS[name]`, elementwise.

    Closed form without cancellation, with the accuracy the module states.

    Raises
    ------
    ValueError
        If `name` is not a key of `ACTIVATIONS`.
    """
    if name not in _SECANTS:
        raise ValueError(f"name={name!r}: use one of {', '.join(_SECANTS)}")
    return _SECANTS[name](v, u)
