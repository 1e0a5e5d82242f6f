"""The gradient of a DGNet's loss to more digits than float64, for a tanh network on a 1-D field.

    L = mean r²,   r = (v − u)/Δt − G ∇̄H(v, u)

With `SIXTY` digits (mpmath) plain formulas lose nothing that matters, quotients included. For
networks that are too large for these, `EXTENDED` has the 64 bits of x86's long double and slopes
that do not cancel. numpy arrays `(sites, h)` of such numbers; states `(pairs, n)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import mpmath
import numpy as np
import torch
from torch import Tensor

DIGITS = 60
CHUNK = 50
"""Pairs that are worked on at a time."""
SERIES, TERMS = 0.5, 22
"""|d| below which tanh(d)/d is taken from its series, and the terms that 64 bits need there."""


@dataclass(frozen=True)
class Numbers:
    """A kind of number: tensors in it, and t, τ, the slope and its derivatives of a layer."""

    exact: Callable[[Tensor], np.ndarray]
    layer: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]]


def gradient(
    weights: list[tuple[Tensor, Tensor]],
    operator: Callable[[np.ndarray], np.ndarray],
    v: Tensor,
    u: Tensor,
    dt: float,
    numbers: Numbers,
) -> list[np.ndarray]:
    """Gradients of W₁, b₁, W₂, b₂ and the last row, of a network on three-point stencils."""
    layers = [(numbers.exact(a), numbers.exact(b)) for a, b in weights]
    total: list = [0, 0, 0, 0, 0]
    with mpmath.workdps(DIGITS):
        for one, other in zip(u.split(CHUNK), v.split(CHUNK), strict=True):
            begin, end = numbers.exact(one[:, 0]), numbers.exact(other[:, 0])
            part = _part(layers, operator, begin, end, dt, numbers)
            total = [a + len(one) * b for a, b in zip(total, part, strict=True)]
        return [a / len(u) for a in total]


def _part(
    layers: list[tuple[np.ndarray, np.ndarray]],
    operator: Callable[[np.ndarray], np.ndarray],
    u: np.ndarray,
    v: np.ndarray,
    dt: float,
    numbers: Numbers,
) -> list[np.ndarray]:
    """The same of the mean over a few pairs."""
    (w1, b1), (w2, b2), (w3, _) = layers
    w = w3[0]
    x, xi = (np.stack([np.roll(e, 1, -1), e, np.roll(e, -1, -1)], -1) for e in (u, v))
    shape = x.shape
    x, xi = x.reshape(-1, 3), xi.reshape(-1, 3)
    one = numbers.layer(x @ w1.T + b1, xi @ w1.T + b1)
    two = numbers.layer(one[0] @ w2.T + b2, one[1] @ w2.T + b2)
    q = (two[2] * w) @ w2
    s = ((one[2] * q) @ w1).reshape(shape)
    fold = np.roll(s[..., 0], -1, -1) + s[..., 1] + np.roll(s[..., 2], 1, -1)
    r = (v - u) / dt - operator(fold)[0]
    back = operator(-2 * r / r.size)[1]
    c = np.stack([np.roll(back, 1, -1), back, np.roll(back, -1, -1)], -1).reshape(-1, 3)
    p = c @ w1.T
    pull = one[2] * p
    m = pull @ w2.T
    a2, c2 = m * w * two[3], m * w * two[4]
    a1 = q * p * one[3] + (a2 @ w2) * (1 - one[0] ** 2)
    c1 = q * p * one[4] + (c2 @ w2) * (1 - one[1] ** 2)
    return [
        (one[2] * q).T @ c + a1.T @ x + c1.T @ xi,
        (a1 + c1).sum(0),
        (two[2] * w).T @ pull + a2.T @ one[0] + c2.T @ one[1],
        (a2 + c2).sum(0),
        (two[2] * m).sum(0),
    ]


def _quotients(a: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
    tanh = np.vectorize(mpmath.tanh, otypes=[object])
    t, tau = tanh(a), tanh(c)
    d = a - c
    if (d == 0).any():
        raise ValueError("exact_gradient: two ends of a step coincide; take other pairs")
    slope = (t - tau) / d
    return t, tau, slope, (1 - t * t - slope) / d, (slope - 1 + tau * tau) / d


def _products(a: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
    """By tanh a − tanh c = tanh(a − c)(1 − tanh a tanh c)."""
    t, tau = np.tanh(a), np.tanh(c)
    f, df = _tanhc(a - c)
    rest = 1 - t * tau
    return t, tau, f * rest, df * rest - f * (1 - t * t) * tau, -df * rest - f * t * (1 - tau * tau)


def _tanhc(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """tanh(d)/d and its derivative."""
    near = np.abs(d) < SERIES
    x = np.where(near, d, 0)
    f, half = np.zeros_like(x), np.zeros_like(x)
    for k in reversed(range(TERMS)):
        f = f * x * x + _coefficient(k)
        half = half * x * x + (k + 1) * _coefficient(k + 1)
    far = np.where(near, 1, d)
    tanh = np.tanh(far)
    wide = (1 - tanh * tanh - tanh / far) / far
    return np.where(near, f, tanh / far), np.where(near, 2 * x * half, wide)


@cache
def _coefficient(k: int) -> np.longdouble:
    """Of d²ᵏ in tanh(d)/d."""
    n = 2 * (k + 1)
    with mpmath.workdps(DIGITS):
        value = 2**n * (2**n - 1) * mpmath.bernoulli(n) / mpmath.factorial(n)
        return np.longdouble(mpmath.nstr(value, 30))


def _as_sixty(x: np.ndarray) -> np.ndarray:
    return np.vectorize(mpmath.mpmathify, otypes=[object])(x)


def _sixty(x: Tensor) -> np.ndarray:
    return _as_sixty(x.detach().double().numpy())


def _extended(x: Tensor) -> np.ndarray:
    return x.detach().double().numpy().astype(np.longdouble)


SIXTY = Numbers(_sixty, _quotients)
EXTENDED = Numbers(_extended, _products)


def has_extended() -> bool:
    """Whether long double is longer than float64 here; on some platforms it is not."""
    return bool(np.finfo(np.longdouble).eps < 2e-19)


def relative_error(found: list, reference: list[np.ndarray], numbers: Numbers) -> float:
    """‖g − g*‖/‖g*‖ over all weights; g as tensors, or in any numbers against 60 digits."""
    with mpmath.workdps(DIGITS):
        gap = size = 0
        for one, other in zip(found, reference, strict=True):
            value = numbers.exact(one) if isinstance(one, Tensor) else _as_sixty(one)
            gap += ((value.reshape(other.shape) - other) ** 2).sum()
            size += (other**2).sum()
        return float(gap / size) ** 0.5


def laplacian(spacing: float) -> Callable[[np.ndarray], np.ndarray]:
    """D₂ and its transpose, which is itself."""

    def apply(g: np.ndarray) -> np.ndarray:
        image = (np.roll(g, -1, -1) - 2 * g + np.roll(g, 1, -1)) / spacing / spacing
        return np.stack([image, image])

    return apply


def of_model(layers: list[torch.nn.Linear]) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases as `gradient` takes them."""
    return [(layer.weight, layer.bias) for layer in layers]
