"""One training step written plainly: zero_grad, loss, backward, Adam.

    DGNet: L = mean |(v − u)/Δt − G ∇̄H(v, u)|²      HNN++: L = mean |(v − Φ(u))/Δt|²

Φ is a step of Dormand–Prince with adaptive substeps, differentiated through its arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.textbook import lean
from benchmarks.textbook.discrete_autograd import discrete_gradient
from benchmarks.textbook.networks import gradient

TOL = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Local error allowed to Dormand–Prince, as the package's own training allows."""


def dgnet_loss(
    energy: nn.Module, operator: Callable[[Tensor], Tensor], v: Tensor, u: Tensor, dt: float
) -> Tensor:
    """Mean square residual of the discrete-gradient equation."""
    return ((v - u) / dt - operator(discrete_gradient(energy, v, u))).square().mean()


def lean_dgnet_loss(
    energy: nn.Module, operator: Callable[[Tensor], Tensor], v: Tensor, u: Tensor, dt: float
) -> Tensor:
    """The same by a linear twin network."""
    return ((v - u) / dt - operator(lean.discrete_gradient(energy, v, u))).square().mean()


def hnnpp_loss(
    energy: nn.Module, operator: Callable[[Tensor], Tensor], v: Tensor, u: Tensor, dt: float
) -> Tensor:
    """Mean square residual of a step of Dormand–Prince."""
    from torchdiffeq import odeint

    times = torch.tensor([0.0, dt], dtype=torch.float64, device=u.device)
    tol = TOL[u.dtype]
    path = odeint(
        lambda _, x: operator(gradient(energy, x)), u, times, method="dopri5", rtol=tol, atol=tol
    )
    assert isinstance(path, Tensor)
    return ((v - path[-1]) / dt).square().mean()


class Step:
    """Adam on one of these losses; call it with a batch."""

    def __init__(
        self, loss: Callable[..., Tensor], energy: nn.Module, operator, dt: float, lr: float = 1e-3
    ) -> None:
        self.loss, self.energy, self.operator, self.dt = loss, energy, operator, dt
        self.optimizer = torch.optim.Adam(energy.parameters(), lr=lr)

    def __call__(self, v: Tensor, u: Tensor) -> float:
        self.optimizer.zero_grad()
        loss = self.loss(self.energy, self.operator, v, u, self.dt)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())
