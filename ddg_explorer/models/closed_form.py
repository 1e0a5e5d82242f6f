"""The discrete gradient of an energy network in closed form.

    ∇̄H/Δxᵈ = Gatherᵀ s,   s = A (W₁ᵀ(σ̄₁ ∘ … Wₖᵀ(σ̄ₖ ∘ c w)) + ½(Q + Qᵀ) x̄)

σ̄ₖ is the secant slope of the activation between both ends of layer k, x̄ the mean of the whitened
stencils x = Aᵀ(stencil − μ), and Gatherᵀ adds stencils onto the grid. It is what automatic discrete
differentiation of the network gives, to rounding, without its records: ordinary torch operations,
differentiable in v, u and all weights, symmetric in (v, u).

States are `(..., d)` or `(..., C, *grid)`. Source: Matsubara, Ishikawa, Yaguchi (2020,
arXiv:1905.08604).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.discrete import secant
from ddg_explorer.models.networks import EnergyNetwork, Gather, Perceptron


def discrete_gradient(network: EnergyNetwork, v: Tensor, u: Tensor) -> Tensor:
    """∇̄H(v, u)/Δxᵈ of the network's energy, shape of u."""
    part, gather = network.density, network.gather
    return scatter(gather, density_gradient(part, gather(v), gather(u)))


def density_gradient(part: Perceptron, v: Tensor, u: Tensor) -> Tensor:
    """Discrete gradient of a perceptron with one output at stencils `(..., m)`."""
    x, xi = (u - part.mean) @ part.whiten, (v - part.mean) @ part.whiten
    h, eta, slopes = x, xi, []
    *hidden, last = part.dense
    for layer in hidden:
        a, c = layer(h), layer(eta)
        slopes.append(secant(part.activation, c, a))
        if layer is not hidden[-1]:
            h, eta = part.sigma(a), part.sigma(c)
    s = (last.weight[0] * part.scale).expand_as(slopes[-1])
    for layer, slope in zip(reversed(hidden), reversed(slopes), strict=True):
        s = (s * slope) @ layer.weight
    if part.quadratic is not None:
        s = s + ((x + xi) @ (part.quadratic + part.quadratic.mT)) / 4
    return s @ part.whiten.mT


def scatter(gather: Gather, s: Tensor) -> Tensor:
    """Stencil values `(..., *grid, C·wᵈ)` added onto the grid: the transpose of `gather`."""
    grid = gather.grid
    if grid is None:
        return s
    parts = s.unflatten(-1, (-1, len(gather.offsets))).movedim(-2, -2 - grid.ndim)
    rolled = [torch.roll(parts[..., i], o, grid.axes) for i, o in enumerate(gather.offsets)]
    return torch.stack(rolled).sum(0)
