"""Energy networks written plainly, their gradient, and the operators G that act on it.

    H(u) = Σ conv₁(σ(conv₁(σ(conv₃ u))))

States `(batch, 1, n)`, of an ODE `(batch, d)`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


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

    def forward(self, u: Tensor) -> Tensor:
        one, two, three = self.layers
        return three(torch.tanh(two(torch.tanh(one(u))))).sum((1, 2))


class StateEnergy(nn.Module):
    """Energy of an ODE state, `(batch, d) → (batch,)`."""

    def __init__(self, size: int, hidden: int, dtype: torch.dtype) -> None:
        super().__init__()
        sizes = [(size, hidden), (hidden, hidden), (hidden, 1)]
        self.layers = nn.ModuleList([nn.Linear(a, b, dtype=dtype) for a, b in sizes])

    def forward(self, u: Tensor) -> Tensor:
        one, two, three = self.layers
        return three(torch.tanh(two(torch.tanh(one(u)))))[:, 0]


class QuadraticEnergy(nn.Module):
    """½ xᵀQx summed over the grid, x = conv₃ u with three channels: `(batch, 1, n) → (batch,)`."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.features = nn.Conv1d(1, 3, 3, padding=1, padding_mode="circular", dtype=dtype)
        self.form = nn.Conv1d(3, 3, 1, bias=False, dtype=dtype)

    def forward(self, u: Tensor) -> Tensor:
        x = self.features(u)
        return (x * self.form(x)).sum((1, 2)) / 2

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """∇̄H(v, u), which for a quadratic energy is the gradient at the midpoint."""
        return gradient(self, (v + u) / 2)


def load(plain: nn.Module, weights: list[tuple[Tensor, Tensor]]) -> None:
    """Give a plain network the weights and biases of three dense layers."""
    with torch.no_grad():
        for layer, (weight, bias) in zip(plain.get_submodule("layers"), weights, strict=True):
            layer.weight.copy_(weight.reshape(layer.weight.shape))
            layer.bias.copy_(bias)


def gradient(energy: nn.Module, u: Tensor) -> Tensor:
    """∇H(u), differentiable."""
    u = u if u.requires_grad else u.detach().requires_grad_()
    (g,) = torch.autograd.grad(energy(u).sum(), u, create_graph=True)
    return g


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
