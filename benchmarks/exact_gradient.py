"""The gradient of a DGNet's loss in 60 digits, for a two-layer tanh network on a 1-D field.

    L = mean r²,   r = (v − u)/Δt − G ∇̄H(v, u)

Plain formulas, quotients included: at 60 digits they lose nothing that matters. numpy arrays of
mpmath numbers, `(sites, h)`; states `(pairs, n)`.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import torch
from torch import Tensor

DIGITS = 60


def exact(x: Tensor) -> np.ndarray:
    """The very numbers of a tensor, as mpmath numbers."""
    return np.vectorize(mpmath.mpf, otypes=[object])(x.detach().double().numpy())


def gradient(
    weights: list[tuple[Tensor, Tensor]],
    operator: Callable[[np.ndarray], np.ndarray],
    v: Tensor,
    u: Tensor,
    dt: float,
) -> list[np.ndarray]:
    """Gradients of W₁, b₁, W₂, b₂ and the last row, of a network on three-point stencils."""
    with mpmath.workdps(DIGITS):
        (w1, b1), (w2, b2), (w3, _) = [(exact(a), exact(b)) for a, b in weights]
        w = w3[0]
        ends = [exact(x[:, 0]) for x in (u, v)]
        x, xi = (np.stack([np.roll(e, 1, -1), e, np.roll(e, -1, -1)], -1) for e in ends)
        shape = x.shape
        x, xi = x.reshape(-1, 3), xi.reshape(-1, 3)
        one = _layer(x @ w1.T + b1, xi @ w1.T + b1)
        two = _layer(one[0] @ w2.T + b2, one[1] @ w2.T + b2)
        q = (two[2] * w) @ w2
        s = ((one[2] * q) @ w1).reshape(shape)
        fold = np.roll(s[..., 0], -1, -1) + s[..., 1] + np.roll(s[..., 2], 1, -1)
        r = (ends[1] - ends[0]) / mpmath.mpf(dt) - operator(fold)[0]
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


def _layer(a: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, ...]:
    """t, τ, the slope and its derivatives to a and c."""
    tanh = np.vectorize(mpmath.tanh, otypes=[object])
    t, tau = tanh(a), tanh(c)
    d = a - c
    if (d == 0).any():
        raise ValueError("exact_gradient: two ends of a step coincide; take other pairs")
    slope = (t - tau) / d
    return t, tau, slope, (1 - t * t - slope) / d, (slope - 1 + tau * tau) / d


def relative_error(found: list[Tensor], reference: list[np.ndarray]) -> float:
    """‖g − g*‖/‖g*‖ over all weights."""
    with mpmath.workdps(DIGITS):
        gap, size = mpmath.mpf(0), mpmath.mpf(0)
        for one, other in zip(found, reference, strict=True):
            other = other.reshape(one.shape)
            gap += ((exact(one) - other) ** 2).sum()
            size += (other**2).sum()
        return float(mpmath.sqrt(gap / size))


def laplacian(spacing: float) -> Callable[[np.ndarray], np.ndarray]:
    """D₂ and its transpose, which is itself."""

    def apply(g: np.ndarray) -> np.ndarray:
        h = mpmath.mpf(spacing)
        image = (np.roll(g, -1, -1) - 2 * g + np.roll(g, 1, -1)) / (h * h)
        return np.stack([image, image])

    return apply


def of_model(layers: list[torch.nn.Linear]) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases as `gradient` takes them."""
    return [(layer.weight, layer.bias) for layer in layers]
