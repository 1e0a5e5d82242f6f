"""Loss and gradient of a two-layer DGNet in one closed-form pass, in chunks that stay in the cache.

    L = mean r²,   r = (v − u)/Δt − G F s,   c = ∂L/∂s = −(G F)ᵀ 2r/n,   dL = Σ c · ds

s is the discrete gradient of the energy density at every site with respect to its whitened stencil,
F folds stencils onto the grid. For given c the gradient of Σ c · s is that of one row of the
Jacobian (`stencil_jacobian`) summed over sites: nine products of (sites × h) with (h × h), where
automatic differentiation of the same loss keeps and revisits some thirty arrays of all sites. It
equals the automatic gradient to rounding.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.dgnet import DGNet
from ddg_explorer.models.networks import EnergyNetwork, Perceptron
from ddg_explorer.training.ends import dense_layers, layer_ends

CHUNK_SITES = 1250
"""Sites a chunk, at 200 hidden units: a dozen arrays of that size fit into a few MiB."""


def fuses(model: Model) -> TypeGuard[EnergyModel]:
    """Whether `FusedLoss` covers the model: a DGNet of depth 2, any G."""
    if not isinstance(model, DGNet) or not isinstance(model.network, EnergyNetwork):
        return False
    return len(model.network.density.layers) == 3


class FusedLoss:
    """The mean square residual of one DGNet and its gradient.

    Parameters
    ----------
    model
        One that `fuses`; its weights are read at every call.
    dt
        Δt of the data.
    """

    def __init__(self, model: EnergyModel, dt: float) -> None:
        assert isinstance(model.network, EnergyNetwork)
        self.model, self.dt = model, dt
        self.part: Perceptron = model.network.density
        self.gather = model.network.gather
        operator = model.operator
        self.learned = [] if operator is None else list(operator.parameters())
        sites = 1 if model.grid is None else model.grid.size
        weight = dense_layers(self.part)[0].weight
        # a GPU has no such cache, and wants few large operations
        self.count = 10**9 if weight.is_cuda else max(1, CHUNK_SITES * 200 // (len(weight) * sites))

    @torch.no_grad()
    def backward(self, v: Tensor, u: Tensor) -> Tensor:
        """The loss of the pairs (u, v), `(n, *state_shape)`; sets the gradients of all weights."""
        weights = [p for p in self.model.parameters() if p.requires_grad]
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        total = torch.zeros((), dtype=u.dtype, device=u.device)
        for one, other in zip(v.split(self.count), u.split(self.count), strict=True):
            total += self._chunk(one, other, 2 / u.numel())
        return total / u.numel()

    def _chunk(self, v: Tensor, u: Tensor, factor: float) -> Tensor:
        one, two, three = dense_layers(self.part)
        w = three.weight[0] * self.part.scale
        x = (self.gather(u) - self.part.mean) @ self.part.whiten
        xi = (self.gather(v) - self.part.mean) @ self.part.whiten
        shape = x.shape
        x, xi = x.flatten(0, -2), xi.flatten(0, -2)
        first = layer_ends(self.part.activation, one(x), one(xi))
        second = layer_ends(self.part.activation, two(first.t), two(first.tau))
        sigma_w = second.slope * w
        q = sigma_w @ two.weight
        sigma_q = first.slope * q
        s = sigma_q @ one.weight
        mean = None
        if self.part.quadratic is not None:
            mean = (x + xi) / 2
            s = s + mean @ ((self.part.quadratic + self.part.quadratic.mT) / 2)
        r, c, operator = self._residual(s.reshape(shape), v, u, factor)
        for weight, change in zip(self.learned, operator, strict=True):
            _add(weight, change)
        c = c.reshape(x.shape)
        p = c @ one.weight.mT
        pull = first.slope * p
        m = pull @ two.weight.mT
        e2 = m * w
        alpha2, gamma2 = e2 * second.slope_a, e2 * second.slope_c
        e1 = q * p
        alpha1 = e1 * first.slope_a + (alpha2 @ two.weight) * first.dt
        gamma1 = e1 * first.slope_c + (gamma2 @ two.weight) * first.dtau
        _add(one.weight, sigma_q.mT @ c + alpha1.mT @ x + gamma1.mT @ xi)
        _add(one.bias, (alpha1 + gamma1).sum(0))
        _add(two.weight, sigma_w.mT @ pull + alpha2.mT @ first.t + gamma2.mT @ first.tau)
        _add(two.bias, (alpha2 + gamma2).sum(0))
        _add(three.weight, (second.slope * m).sum(0, keepdim=True) * self.part.scale)
        if mean is not None and self.part.quadratic is not None:
            outer = c.mT @ mean
            _add(self.part.quadratic, (outer + outer.mT) / 2)
        return r.square().sum()

    def _residual(
        self, s: Tensor, v: Tensor, u: Tensor, factor: float
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """r, and the derivatives of `factor`/2 · Σr² with respect to s and what G learns."""
        with torch.enable_grad():
            s = s.detach().requires_grad_()
            g = self._fold(s @ self.part.whiten.mT)
            phi = self.model.structure.apply(g, (u + v) / 2)
        r = (v - u) / self.dt - phi.detach()
        c, *rest = torch.autograd.grad(phi, [s, *self.learned], -factor * r)
        return r, c, rest

    def _fold(self, s: Tensor) -> Tensor:
        """Stencils added onto the grid, the transpose of the gathering."""
        grid = self.gather.grid
        if grid is None:
            return s
        parts = s.unflatten(-1, (self.model.state_shape[0], -1)).movedim(-2, -2 - grid.ndim)
        offsets = self.gather.offsets
        rolled = [torch.roll(parts[..., i], o, grid.axes) for i, o in enumerate(offsets)]
        return torch.stack(rolled).sum(0)


def _add(weight: Tensor, change: Tensor) -> None:
    if weight.requires_grad and weight.grad is not None:
        weight.grad.add_(change)
