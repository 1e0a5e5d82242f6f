"""One hidden layer at both ends of a step: values, secant slope, and the slope's derivatives.

    σ̄(a, c) = (σ(a) − σ(c))/(a − c),    tanh: k(a − c)(1 − tanh a · tanh c),   k(d) = tanh(d)/d

For tanh the slope is formed cheaply, to absolute instead of relative accuracy; that is enough where
it only ever multiplies weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ddg_explorer.discrete import ACTIVATIONS, secant
from ddg_explorer.models.networks import Perceptron

TANHC = (
    1.0,
    -1 / 3,
    2 / 15,
    -17 / 315,
    62 / 2835,
    -1382 / 155925,
    21844 / 6081075,
    -929569 / 638512875,
)
"""Taylor coefficients of tanh(d)/d in d²."""


def dense_layers(part: Perceptron) -> list[nn.Linear]:
    """The layers of a perceptron, the output's last."""
    return [layer for layer in part.layers if isinstance(layer, nn.Linear)]


@dataclass
class Ends:
    """One hidden layer at both ends: values, derivatives, secant slope and its derivatives."""

    t: Tensor
    tau: Tensor
    dt: Tensor
    dtau: Tensor
    slope: Tensor
    slope_a: Tensor
    slope_c: Tensor


@dataclass
class Point:
    """One hidden layer at one end: values, first and second derivatives."""

    t: Tensor
    d1: Tensor
    d2: Tensor


def layer_point(activation: str, a: Tensor) -> Point:
    """σ, σ′ and σ″ at pre-activations a."""
    if activation == "tanh":
        t = torch.tanh(a)
        d1 = 1 - t * t
        return Point(t, d1, -2 * t * d1)
    with torch.enable_grad():
        a = a.detach().requires_grad_()
        t = ACTIVATIONS[activation](a)
        (d1,) = torch.autograd.grad(t.sum(), a, create_graph=True)
        # the derivative of a piecewise linear one depends on nothing
        curved = d1.requires_grad
        d2 = torch.autograd.grad(d1.sum(), a)[0] if curved else torch.zeros_like(a)
    return Point(t.detach(), d1.detach(), d2)


def layer_ends(activation: str, a: Tensor, c: Tensor) -> Ends:
    """σ and its secant slope at pre-activations a (end u) and c (end v)."""
    if activation == "tanh":
        return _tanh_ends(a, c)
    sigma = ACTIVATIONS[activation]
    t, dt = _derivative(sigma, a)
    tau, dtau = _derivative(sigma, c)
    slope, slope_a = _derivative(lambda x: secant(activation, x, c), a)
    _, slope_c = _derivative(lambda x: secant(activation, a, x), c)
    return Ends(t, tau, dt, dtau, slope, slope_a, slope_c)


def _derivative(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """f and f′ of an elementwise f; in reverse mode, which threads do not share."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = f(x)
        (derivative,) = torch.autograd.grad(y.sum(), x)
    return y.detach(), derivative


def _tanh_ends(a: Tensor, c: Tensor) -> Ends:
    """tanh with the cheap slope k(d)(1 − tτ), k = tanh(d)/d: absolute accuracy is enough here."""
    t, tau = torch.tanh(a), torch.tanh(c)
    dt, dtau = 1 - t * t, 1 - tau * tau
    d = a - c
    d2 = d * d
    small = d2 < 0.04
    last = len(TANHC) - 1
    series, odd = torch.full_like(d, TANHC[last]), torch.full_like(d, 2 * last * TANHC[last])
    for j in range(last - 1, 0, -1):
        series, odd = series * d2 + TANHC[j], odd * d2 + 2 * j * TANHC[j]
    series = series * d2 + 1
    inverse = 1 / torch.where(small, 1.0, d)
    h = torch.tanh(d)
    k = torch.where(small, series, h * inverse)
    dk = torch.where(small, odd * d, (1 - h * h - h * inverse) * inverse)
    mixed = 1 - t * tau
    return Ends(t, tau, dt, dtau, k * mixed, dk * mixed - k * tau * dt, -dk * mixed - k * t * dtau)
