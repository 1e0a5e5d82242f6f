"""One hidden layer at both ends of a step: values, secant slope, and the slope's derivatives.

    σ̄(a, c) = (σ(a) − σ(c))/(a − c)

tanh has a fast form of its own (`near_ends`); the others are differentiated automatically, element
by element.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ddg_explorer.discrete import ACTIVATIONS, secant
from ddg_explorer.training.near_ends import Ends, tanh_ends


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
        return tanh_ends(a, c)
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
