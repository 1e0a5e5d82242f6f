"""From states to the whitened stencils of their sites, and from the sites' s back to the residual.

    x = A(u),   φ = G Aᵀs,   r = ((v − u)/Δt − φ)/σ,   ∂/∂s (½ λ Σ r²) = −λ A Gᵀ r/σ

A whitens and is affine, σ is what residuals are divided by. On small grids both ways are one
product with a matrix of a whole state, `(size, sites · k)`; on larger ones, and where G is learned
or depends on the state, shifts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.closed_form import scatter
from ddg_explorer.models.networks import EnergyNetwork

LARGEST = 65_536
"""Entries up to which a matrix of a whole state costs less than shifts."""


class SiteMaps:
    """A and G Aᵀ of one model, as they are when this is made; what G learns is read at every call.

    Parameters
    ----------
    model
        An `EnergyModel` of one `EnergyNetwork`.
    dt
        Δt of the residual.
    scale
        σ by component or channel, `(C, 1, …)`; None: one.
    """

    def __init__(self, model: EnergyModel, dt: float, scale: Tensor | None = None) -> None:
        assert isinstance(model.network, EnergyNetwork)
        self.scale = scale
        self.dt, self.structure, self.shape = dt, model.structure, model.state_shape
        self.part, self.gather = model.network.density, model.network.gather
        learned = () if model.operator is None else model.operator.parameters()
        self.learned = [p for p in learned if p.requires_grad]
        size, sites = math.prod(self.shape), 1 if model.grid is None else model.grid.size
        self.into = self.back = None
        if size * sites * self.gather.features > LARGEST:
            return
        with torch.no_grad():
            unit = torch.eye(size, dtype=self.part.whiten.dtype, device=self.part.whiten.device)
            self.into = (self.gather(unit.unflatten(1, self.shape)) @ self.part.whiten).flatten(1)
            self.origin = (-self.part.mean @ self.part.whiten).repeat(sites)
            if model.operator is None and not self.structure.state_dependent:
                columns = self.into.mT.unflatten(1, self.shape)
                self.back = self.structure.apply(columns).flatten(1).contiguous()

    def stencils(self, u: Tensor) -> Tensor:
        """x of `(n, *state_shape)`: `(n · sites, k)`."""
        if self.into is not None:
            found = torch.addmm(self.origin, u.flatten(1), self.into)
        else:
            found = (self.gather(u) - self.part.mean) @ self.part.whiten
        return found.reshape(-1, self.gather.features)

    def residual(
        self, s: Tensor, v: Tensor, u: Tensor, factor: float
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """r, and the derivatives of `factor`/2 · Σr² by s, `(n · sites, k)`, and by `learned`."""
        change = (v - u) / self.dt
        if self.back is not None:
            phi = torch.mm(s.reshape(len(u), -1), self.back).view_as(u)
            r, pull = self._scaled(change - phi, factor)
            return r, torch.mm(pull.flatten(1), self.back.mT).view_as(s), []
        with torch.enable_grad():
            s = s.detach().requires_grad_()
            grid = () if self.gather.grid is None else self.gather.grid.shape
            g = scatter(self.gather, (s @ self.part.whiten.mT).unflatten(0, (len(u), *grid)))
            phi = self.structure.apply(g, (u + v) / 2)
        r, pull = self._scaled(change - phi.detach(), factor)
        c, *rest = torch.autograd.grad(phi, [s, *self.learned], pull)
        return r, c, rest

    def _scaled(self, r: Tensor, factor: float) -> tuple[Tensor, Tensor]:
        """r/σ and −λ r/σ², from r not yet divided."""
        if self.scale is None:
            return r, -factor * r
        r = r / self.scale
        return r, -factor * r / self.scale
