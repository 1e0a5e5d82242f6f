"""Discrete differentiation in reverse mode, operation by operation, as the paper's algorithm reads.

    forward:  every operation maps both ends of a step, (a, b) ↦ (σ(a), σ(b))
    back:     a cotangent meets (σ(a) − σ(b))/(a − b), or σ′((a + b)/2) for |a − b| small

The loss needs a gradient of the discrete gradient: the way back is recorded too, and its record
goes back through the same operations by ordinary derivatives.
T. Matsubara, A. Ishikawa and T. Yaguchi, NeurIPS 2020, arXiv:1905.08604.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

THRESHOLD = {torch.float64: 1e-12, torch.float32: 1e-6}
"""|a − b| up to which the derivative at the midpoint stands for the quotient."""


class Sweep:
    """One evaluation of a network; `discrete` while its discrete gradient is pulled back."""

    discrete = False


class Tanh(torch.autograd.Function):
    """(a, b) ↦ (tanh a, tanh b); while `sweep.discrete`, a's cotangent meets the slope."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, sweep: Sweep) -> tuple[Tensor, Tensor]:
        s, t = torch.tanh(a), torch.tanh(b)
        ctx.sweep = sweep
        ctx.save_for_backward(a, b, s, t)
        return s, t

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        a, b, s, t = ctx.saved_tensors
        to_s, to_t = cotangents
        if not ctx.sweep.discrete:
            return derivative(a) * to_s, derivative(b) * to_t, None
        slope = derivative((a + b) / 2)
        far = (a - b).abs() > THRESHOLD[a.dtype]
        slope[far] = (s[far] - t[far]) / (a[far] - b[far])
        return slope * to_s, None, None


def derivative(x: Tensor) -> Tensor:
    """tanh′(x)."""
    return torch.cosh(x).pow(-2)


def discrete_gradient(energy: nn.Module, v: Tensor, u: Tensor) -> Tensor:
    """∇̄H(v, u) of `layers` with tanh between them, differentiable with respect to the weights."""
    sweep, start = Sweep(), v.detach().requires_grad_()
    *hidden, last = energy.get_submodule("layers").children()
    a, b = start, u
    for layer in hidden:
        a, b = Tanh.apply(layer(a), layer(b), sweep)
    sweep.discrete = True
    (g,) = torch.autograd.grad(last(a).sum(), start, create_graph=True)
    sweep.discrete = False
    return g
