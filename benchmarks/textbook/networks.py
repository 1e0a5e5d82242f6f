"""DGNet and HNN++ written plainly: convolutions, quotient slopes, double backward.

    H(u) = Σ conv₁(σ(conv₁(σ(conv₃ u))))      σ̄ = (σ(a) − σ(b))/(a − b),  σ′ for |a − b| small

The discrete gradient is an ordinary backward pass through both ends of a step at once, stacked
along the batch, with the derivative of the activation replaced by the slope between its halves. The
loss then needs a gradient of that gradient. States `(batch, 1, n)`, of an ODE `(batch, d)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

THRESHOLD = {torch.float64: 1e-12, torch.float32: 1e-6}
"""|a − b| below which the derivative stands for the slope."""


class PairedTanh(torch.autograd.Function):
    """tanh whose backward pass uses the slope between the first and the second half of a batch."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        # values anew, so that a second derivative differentiates tanh and not this slope
        t = torch.tanh(x)
        (a, b), (s, r) = x.chunk(2), t.chunk(2)
        far = (a - b).abs() > THRESHOLD[x.dtype]
        quotient = (s - r) / torch.where(far, a - b, 1.0)
        slope = torch.where(far, quotient, 1 - s * s)
        return grads[0] * torch.cat([slope, slope])


class FieldEnergy(nn.Module):
    """Energy density of a 1-D field, summed over the grid: `(batch, 1, n) → (batch,)`."""

    def __init__(self, hidden: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv1d(1, hidden, 3, padding=1, padding_mode="circular", dtype=dtype),
                nn.Conv1d(hidden, hidden, 1, dtype=dtype),
                nn.Conv1d(hidden, 1, 1, dtype=dtype),
            ]
        )

    def forward(self, u: Tensor, sigma: Callable[[Tensor], Tensor]) -> Tensor:
        one, two, three = self.layers
        return three(sigma(two(sigma(one(u))))).sum((1, 2))


class StateEnergy(nn.Module):
    """Energy of an ODE state, `(batch, d) → (batch,)`."""

    def __init__(self, size: int, hidden: int, dtype: torch.dtype) -> None:
        super().__init__()
        sizes = [(size, hidden), (hidden, hidden), (hidden, 1)]
        self.layers = nn.ModuleList([nn.Linear(a, b, dtype=dtype) for a, b in sizes])

    def forward(self, u: Tensor, sigma: Callable[[Tensor], Tensor]) -> Tensor:
        one, two, three = self.layers
        return three(sigma(two(sigma(one(u)))))[:, 0]


def load(plain: nn.Module, weights: list[tuple[Tensor, Tensor]]) -> None:
    """Give a plain network the weights and biases of three dense layers."""
    with torch.no_grad():
        for layer, (weight, bias) in zip(plain.get_submodule("layers"), weights, strict=True):
            layer.weight.copy_(weight.reshape(layer.weight.shape))
            layer.bias.copy_(bias)


def gradient(energy: nn.Module, u: Tensor) -> Tensor:
    """∇H(u), differentiable."""
    u = u if u.requires_grad else u.detach().requires_grad_()
    (g,) = torch.autograd.grad(energy(u, torch.tanh).sum(), u, create_graph=True)
    return g


def discrete_gradient(energy: nn.Module, v: Tensor, u: Tensor) -> Tensor:
    """∇̄H(v, u), differentiable with respect to the weights."""
    both = torch.cat([v, u]).requires_grad_()
    value = energy(both, PairedTanh.apply)
    (g,) = torch.autograd.grad(value.sum(), both, create_graph=True)
    one, other = g.chunk(2)
    return (one + other) / 2


def central_difference(spacing: float) -> Callable[[Tensor], Tensor]:
    """∂x of a periodic field."""
    return lambda g: (torch.roll(g, -1, -1) - torch.roll(g, 1, -1)) / (2 * spacing)


def second_difference(spacing: float) -> Callable[[Tensor], Tensor]:
    """∂xx of a periodic field."""
    return lambda g: (torch.roll(g, -1, -1) - 2 * g + torch.roll(g, 1, -1)) / spacing**2


def canonical(g: Tensor) -> Tensor:
    """S g of an ODE state (q, p)."""
    dq, dp = g.chunk(2, -1)
    return torch.cat([dp, -dq], -1)
