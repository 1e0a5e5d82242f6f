"""Loss and gradient of a two-layer DGNet in one closed-form pass, in chunks that stay in the cache.

    L = mean r²,   r = (v − u)/Δt − G F s,   c = ∂L/∂s = −(G F)ᵀ 2r/n,   dL = Σ c · ds

s is the discrete gradient of the energy density at every site with respect to its whitened stencil,
F folds stencils onto the grid. For given c the gradient of Σ c · s is that of one row of the
Jacobian (`stencil_jacobian`) summed over sites: nine products of (sites × h) with (h × h), where
automatic differentiation of the same loss keeps and revisits some thirty arrays of all sites. It
equals the automatic gradient to rounding.

A state of more sites than a chunk passes the layers in parts, and all but the last pass them again
for their gradients: what a large grid needs is the memory of one chunk, for a third more products.
"""

from __future__ import annotations

from typing import Protocol, TypeGuard

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.dgnet import DGNet
from ddg_explorer.models.networks import EnergyNetwork, Perceptron
from ddg_explorer.training.compiled import CompiledLayers, Weights
from ddg_explorer.training.ends import layer_ends
from ddg_explorer.training.site_maps import SiteMaps

CHUNK_SITES = {False: 250, True: 500}
"""Sites a chunk, at 200 hidden units, of the uncompiled pass and of the compiled one: what the two
keep of a chunk stays in a cache."""
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
    """The two hidden layers at both ends of a step."""

    def forward(self, both: Tensor, weights: Weights) -> Tensor:
        """s `(n, k)` of x and ξ stacked, `(2 n, k)`."""
        ...

    def gradients(self, c: Tensor) -> list[Tensor]:
        """Of Σ c · s by W₁, b₁, W₂, b₂, and by the last layer's row up to the output scale; once
        after each `forward`."""
        ...


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
    scale
        What the residual of every component is divided by, `(C, 1, …)`; None: nothing.
    """

    def __init__(
        self,
        model: EnergyModel,
        dt: float,
        *,
        compiled: bool = False,
        scale: Tensor | None = None,
    ) -> None:
        self.model, self.part = model, density(model)
        self.maps = SiteMaps(model, dt, scale)
        activation, weight = self.part.activation, self.part.dense[0].weight
        native = compiled and activation == "tanh"
        self.layers: Layers = CompiledLayers() if native else EagerLayers(activation)
        sites, dims = (1, 1) if model.grid is None else (model.grid.size, model.grid.ndim)
        chunk = GPU_SITES[dims] if weight.is_cuda else CHUNK_SITES[compiled]
        # sites that pass the layers at once, and pairs of states a chunk
        self.rows = max(1, chunk * 200 // len(weight))
        self.pairs = max(1, self.rows // sites)

    @torch.no_grad()
    def backward(self, v: Tensor, u: Tensor) -> Tensor:
        """The loss of the pairs (u, v), `(n, *state_shape)`; sets the gradients of all weights."""
        for weight in self.model.parameters():
            if weight.requires_grad:
                weight.grad = torch.zeros_like(weight)
        total = torch.zeros((), dtype=u.dtype, device=u.device)
        for one, other in zip(v.split(self.pairs), u.split(self.pairs), strict=True):
            total += self._chunk(one, other, 2 / u.numel())
        return total / u.numel()

    def _chunk(self, v: Tensor, u: Tensor, factor: float) -> Tensor:
        one, two, three = self.part.dense
        weights = (one.weight, one.bias, two.weight, two.bias, three.weight[0] * self.part.scale)
        both = self.maps.stencils(torch.cat([u, v]))
        x, xi = both.chunk(2)
        parts = [both]
        if len(x) > self.rows:
            ends = zip(x.split(self.rows), xi.split(self.rows), strict=True)
            parts = [torch.cat(part) for part in ends]
        s = torch.cat([self.layers.forward(part, weights) for part in parts])
        mean = None
        if self.part.quadratic is not None:
            mean = (x + xi) / 2
            s = s + mean @ ((self.part.quadratic + self.part.quadratic.mT) / 2)
        r, c, operator = self.maps.residual(s, v, u, factor)
        for weight, change in zip(self.maps.learned, operator, strict=True):
            _add(weight, change)
        pulls = list(zip(parts, c.split(self.rows), strict=True))
        for index, (part, pull) in enumerate(reversed(pulls)):
            if index:
                self.layers.forward(part, weights)
            *found, last = self.layers.gradients(pull)
            for weight, change in zip(weights[:4], found, strict=True):
                _add(weight, change)
            _add(three.weight, last[None] * self.part.scale)
        if mean is not None and self.part.quadratic is not None:
            outer = c.mT @ mean
            _add(self.part.quadratic, (outer + outer.mT) / 2)
        return r.square().sum()


class EagerLayers:
    """`Layers` of any activation."""

    def __init__(self, activation: str) -> None:
        self.activation = activation

    def forward(self, both: Tensor, weights: Weights) -> Tensor:
        self.x, self.xi = both.chunk(2)
        self.weights = weights
        w1, b1, w2, b2, w = weights
        a, c = torch.addmm(b1, both, w1.mT).chunk(2)
        self.first = first = layer_ends(self.activation, a, c)
        a, c = torch.addmm(b2, first.t, w2.mT), torch.addmm(b2, first.tau, w2.mT)
        self.second = layer_ends(self.activation, a, c)
        self.sigma_w = self.second.slope * w
        self.q = self.sigma_w @ w2
        self.sigma_q = first.slope * self.q
        return self.sigma_q @ w1

    def gradients(self, c: Tensor) -> list[Tensor]:
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
