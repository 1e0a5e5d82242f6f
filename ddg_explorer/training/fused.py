"""Loss and gradient of a two-layer DGNet in one closed-form pass, in chunks that stay in the cache.

    L = mean r²,   r = (v − u)/Δt − G F s,   c = ∂L/∂s = −(G F)ᵀ 2r/n,   dL = Σ c · ds

s is the discrete gradient of the energy density at every site with respect to its whitened stencil,
F folds stencils onto the grid. For given c the gradient of Σ c · s is that of one row of the
Jacobian (`stencil_jacobian`) summed over sites: nine products of (sites × h) with (h × h), where
automatic differentiation of the same loss keeps and revisits some thirty arrays of all sites. It
equals the automatic gradient to rounding.

A state of more sites than a chunk passes the layers in parts, and all but the first pass them again
for their gradients: what a large grid needs is the memory of one chunk, for a third more products.
"""

from __future__ import annotations

from typing import Protocol, TypeGuard

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.closed_form import scatter
from ddg_explorer.models.dgnet import DGNet
from ddg_explorer.models.networks import EnergyNetwork, Perceptron
from ddg_explorer.training.compiled import CompiledLayers, Weights
from ddg_explorer.training.ends import layer_ends

CHUNK_SITES = {False: 250, True: 500}
"""Sites a chunk, at 200 hidden units, of the uncompiled pass and of the compiled one: what the two
keep of a chunk fits into a cache."""
GPU_SITES = {1: 10_240, 2: 5_120}
"""The same on a GPU by dimensions of the grid: few large operations, yet a bound on memory."""


def fuses(model: Model) -> TypeGuard[EnergyModel]:
    """Whether `FusedLoss` covers the model: a DGNet of depth 2, any G."""
    if not isinstance(model, DGNet) or not isinstance(model.network, EnergyNetwork):
        return False
    return len(density(model).layers) == 3


def density(model: EnergyModel) -> Perceptron:
    """The network of one site, of a model that `fuses`."""
    assert isinstance(model.network, EnergyNetwork)
    return model.network.density


class Layers(Protocol):
    """What a chunk asks of its two hidden layers."""

    @property
    def s(self) -> Tensor: ...
    def gradients(self, c: Tensor) -> list[Tensor]: ...


class FusedLoss:
    """The mean square residual of one DGNet and its gradient.

    Parameters
    ----------
    model
        One that `fuses`; its weights are read at every call.
    dt
        Δt of the data.
    compiled
        Compile the hidden layers of a tanh network (`compiled`); equal to rounding.
    """

    def __init__(self, model: EnergyModel, dt: float, *, compiled: bool = False) -> None:
        assert isinstance(model.network, EnergyNetwork)
        self.model, self.dt = model, dt
        self.part = density(model)
        self.gather = model.network.gather
        learned = () if model.operator is None else model.operator.parameters()
        self.learned = [p for p in learned if p.requires_grad]
        sites, dims = (1, 1) if model.grid is None else (model.grid.size, model.grid.ndim)
        weight = self.part.dense[0].weight
        self.compiled = CompiledLayers(weight.device) if compiled else None
        chunk = GPU_SITES[dims] if weight.is_cuda else CHUNK_SITES[compiled]
        self.rows = max(1, chunk * 200 // len(weight))
        self.largest = max(1, self.rows // sites)

    @torch.no_grad()
    def backward(self, v: Tensor, u: Tensor) -> Tensor:
        """The loss of the pairs (u, v), `(n, *state_shape)`; sets the gradients of all weights."""
        weights = [p for p in self.model.parameters() if p.requires_grad]
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        total = torch.zeros((), dtype=u.dtype, device=u.device)
        count = self._pairs(len(u))
        for one, other in zip(v.split(count), u.split(count), strict=True):
            total += self._chunk(one, other, 2 / u.numel())
        return total / u.numel()

    def _pairs(self, n: int) -> int:
        """Pairs a chunk: such that all chunks are of one shape, unless they would be small."""
        fitting = range(min(self.largest, n), self.largest // 2, -1)
        return next((count for count in fitting if n % count == 0), self.largest)

    def _chunk(self, v: Tensor, u: Tensor, factor: float) -> Tensor:
        one, two, three = self.part.dense
        stencils = self.gather(torch.cat([u, v]))
        both = ((stencils - self.part.mean) @ self.part.whiten).flatten(0, -2)
        w = three.weight[0] * self.part.scale
        weights = (one.weight, one.bias, two.weight, two.bias, w)
        x, xi = both.chunk(2)
        ends = zip(x.split(self.rows), xi.split(self.rows), strict=True)
        parts = [torch.cat(part) for part in ends]
        first = self._layers(parts[0], weights)
        s = torch.cat([first.s, *(self._layers(part, weights).s for part in parts[1:])])
        mean = None
        if self.part.quadratic is not None:
            mean = (x + xi) / 2
            s = s + mean @ ((self.part.quadratic + self.part.quadratic.mT) / 2)
        shape = (len(u), *stencils.shape[1:])
        r, c, operator = self._residual(s.reshape(shape), v, u, factor)
        for weight, change in zip(self.learned, operator, strict=True):
            _add(weight, change)
        c = c.reshape(s.shape)
        for index, (part, pull) in enumerate(zip(parts, c.split(self.rows), strict=True)):
            layers = self._layers(part, weights) if index else first
            *found, last = layers.gradients(pull)
            for weight, change in zip(weights[:4], found, strict=True):
                _add(weight, change)
            _add(three.weight, last[None] * self.part.scale)
        if mean is not None and self.part.quadratic is not None:
            outer = c.mT @ mean
            _add(self.part.quadratic, (outer + outer.mT) / 2)
        return r.square().sum()

    def _layers(self, both: Tensor, weights: Weights) -> Layers:
        """Both hidden layers, compiled where that was asked for."""
        if self.compiled is not None and self.part.activation == "tanh":
            return self.compiled(both, weights)
        return EagerLayers(self.part.activation, both, weights)

    def _residual(
        self, s: Tensor, v: Tensor, u: Tensor, factor: float
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """r, and the derivatives of `factor`/2 · Σr² with respect to s and what G learns."""
        with torch.enable_grad():
            s = s.detach().requires_grad_()
            g = scatter(self.gather, s @ self.part.whiten.mT)
            phi = self.model.structure.apply(g, (u + v) / 2)
        r = (v - u) / self.dt - phi.detach()
        c, *rest = torch.autograd.grad(phi, [s, *self.learned], -factor * r)
        return r, c, rest


class EagerLayers:
    """s, and the gradients of Σ c · s, from one evaluation of both layers at both ends."""

    def __init__(self, activation: str, both: Tensor, weights: Weights) -> None:
        self.x, self.xi = both.chunk(2)
        self.weights = weights
        w1, b1, w2, b2, w = weights
        a, c = torch.addmm(b1, both, w1.mT).chunk(2)
        self.first = first = layer_ends(activation, a, c)
        a, c = torch.addmm(b2, first.t, w2.mT), torch.addmm(b2, first.tau, w2.mT)
        self.second = layer_ends(activation, a, c)
        self.sigma_w = self.second.slope * w
        self.q = self.sigma_w @ w2
        self.sigma_q = first.slope * self.q
        self.s = self.sigma_q @ w1

    def gradients(self, c: Tensor) -> list[Tensor]:
        """Of W₁, b₁, W₂, b₂, and of the last layer's row up to the output scale."""
        w1, _, w2, _, w = self.weights
        first, second = self.first, self.second
        p = c @ w1.mT
        pull = first.slope * p
        m = pull @ w2.mT
        e2, e1 = m * w, self.q * p
        alpha2, gamma2 = e2 * second.slope_a, e2 * second.slope_c
        alpha1 = e1 * first.slope_a + (alpha2 @ w2) * first.dt
        gamma1 = e1 * first.slope_c + (gamma2 @ w2) * first.dtau
        return [
            self.sigma_q.mT @ c + alpha1.mT @ self.x + gamma1.mT @ self.xi,
            (alpha1 + gamma1).sum(0),
            self.sigma_w.mT @ pull + alpha2.mT @ first.t + gamma2.mT @ first.tau,
            (alpha2 + gamma2).sum(0),
            (second.slope * m).sum(0),
        ]


def _add(weight: Tensor, change: Tensor) -> None:
    if weight.requires_grad and weight.grad is not None:
        weight.grad.add_(change)
