"""Closed-form Jacobian of the discrete-gradient residual of a two-layer energy network.

    r(x) = (v − u)/Δt − Σₒ Kₒ · s(x + o),   s = W₁ᵀ(σ̄₁ ∘ W₂ᵀ(σ̄₂ ∘ w)) + ½(Q + Qᵀ)x̄

s(y) is the discrete gradient of the energy density at site y with respect to its whitened stencil
x, σ̄ the secant slope between both ends, and K (`coupling`) whitening, folding of stencils, and G.
With p = W₁K, q = W₂ᵀ(σ̄₂ ∘ w) and one pass forward, every row of the Jacobian is a short sum of
outer products over o, which one batched product forms:

    ∂φ/∂W₂ = Σₒ (σ̄₂w) ⊗ (σ̄₁p) + α₂ ⊗ t₁ + γ₂ ⊗ τ₁,   ∂φ/∂W₁ = Σₒ (σ̄₁q) ⊗ K + α₁ ⊗ x + γ₁ ⊗ ξ

where α, γ carry the derivatives of the slopes to the pre-activations at u and at v, and φ is linear
in K, so in the entries of a learned G. It equals the automatic Jacobian to rounding and is some ten
times faster.

A `LocalEnergy` adds −κ Δū to the features of s, linear in κ. In weak form (`weak`) K and (v − u)/Δt
are averaged with ψ.

Windows of w sites per axis are evaluated at once: `(n, C, w + 2·reach, …)` values in, `n·wᵈ·C` rows
out. An ODE is a window of one site whose stencil is its state.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.local_energy import LocalEnergy
from ddg_explorer.models.networks import Perceptron
from ddg_explorer.training.coupling import Coupling, network_of
from ddg_explorer.training.ends import Ends, layer_ends
from ddg_explorer.training.weak import RADIUS, averaged_inside
from ddg_explorer.training.windows_geometry import by_site, crop, picks, stencils


class StencilJacobian:
    """Residuals and Jacobian rows of one DGNet; see the module's equation.

    Parameters
    ----------
    model
        A `dgnet` of depth 2 whose structure operator `Coupling` covers.
    dt, scale
        Δt of the data, and the RMS of du/dt by which residuals are divided.
    weak
        Whether residuals are averaged with ψ; fields only.
    """

    def __init__(self, model: EnergyModel, dt: float, scale: float, *, weak: bool = False) -> None:
        self.model, self.dt, self.scale, self.weak = model, dt, scale, weak
        self.part: Perceptron = network_of(model).density
        self.local = model.network if isinstance(model.network, LocalEnergy) else None
        self.name = "network.density." if self.local is None else "network.local.density."
        self.coupling = Coupling(model, weak=weak)

    def __call__(self, v: Tensor, u: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Scaled residuals `(rows,)` and the Jacobian's blocks by weight name, `(rows, …)`."""
        x, xi, layers = self._forward(v, u)
        index, target = self._places(u), self._target(v, u)
        k = self.coupling()
        blocks = [self._rows(x, xi, layers, one[:, : x.shape[-1]], index) for one in k]
        blocks = {name: torch.stack([b[name] for b in blocks], 2) for name in blocks[0]}
        s = self._gradient(x, xi, layers)
        if self.local is not None:
            curvature = self._curvature(v, u)
            s = torch.cat([s, curvature * self.local.stiffness], -1)
            last = k[..., x.shape[-1] :]
            rows = torch.einsum("nsoc,poc->nspc", curvature[:, index], last)
            blocks["network.stiffness"] = rows
        s = s[:, index]
        blocks |= self._operator_rows(s)
        phi = s.flatten(2) @ k.flatten(1).mT
        flat = {name: block.flatten(0, 2) / -self.scale for name, block in blocks.items()}
        return ((target - phi) / self.scale).flatten(), flat

    def residual(self, v: Tensor, u: Tensor) -> Tensor:
        """Scaled residuals alone, in the same order."""
        s = self._gradient(*self._forward(v, u))
        if self.local is not None:
            s = torch.cat([s, self._curvature(v, u) * self.local.stiffness], -1)
        s = s[:, self._places(u)]
        phi = s.flatten(2) @ self.coupling().flatten(1).mT
        return ((self._target(v, u) - phi) / self.scale).flatten()

    def _forward(self, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor, tuple[Ends, Ends]]:
        one, two, _ = self.part.dense
        x, xi = self._features(u), self._features(v)
        first = layer_ends(self.part.activation, one(x), one(xi))
        second = layer_ends(self.part.activation, two(first.t), two(first.tau))
        return x, xi, (first, second)

    def _gradient(self, x: Tensor, xi: Tensor, layers: tuple[Ends, Ends]) -> Tensor:
        """s, `(n, energy sites, features)`."""
        first, second = layers
        w1, w2, w3 = (layer.weight for layer in self.part.dense)
        s = (((second.slope * (w3[0] * self.part.scale)) @ w2) * first.slope) @ w1
        if self.part.quadratic is not None:
            s = s + ((x + xi) / 4) @ (self.part.quadratic + self.part.quadratic.mT)
        return s

    def _features(self, u: Tensor) -> Tensor:
        """Whitened stencils of all energy sites of the windows, `(n, sites, features)`."""
        if self.local is not None:
            values = stencils(crop(u, 1), 0)
        else:
            values = stencils(u, self.coupling.radius)
        return (values - self.part.mean) @ self.part.whiten

    def _curvature(self, v: Tensor, u: Tensor) -> Tensor:
        """−Δū in the units of κ at all energy sites, `(n, sites, C)`."""
        assert self.local is not None
        mean = (v + u) / 2
        total = torch.zeros_like(crop(mean, 1))
        for axis, h in enumerate(self.local.grid.spacing, 2):
            beside = [crop(mean.roll(shift, axis), 1) for shift in (1, -1)]
            total += (2 * crop(mean, 1) - beside[0] - beside[1]) / h**2
        return by_site(total) * self.local.unit

    def _places(self, u: Tensor) -> Tensor:
        """Energy site of every residual site and offset, `(sites, offsets)`."""
        energy_sites = [n - 2 * self.coupling.radius for n in u.shape[2:]]
        inner = [n - 2 * self.coupling.spread for n in energy_sites]
        return picks(energy_sites, inner, self.coupling.offsets)

    def _target(self, v: Tensor, u: Tensor) -> Tensor:
        """(v − u)/Δt at the residual sites, `(n, sites, components)`."""
        rate, margin = (v - u) / self.dt, self.coupling.radius + self.coupling.spread
        if self.weak:
            rate, margin = averaged_inside(rate), margin - RADIUS
        return by_site(crop(rate, margin))

    def _rows(
        self, x: Tensor, xi: Tensor, layers: tuple[Ends, Ends], k: Tensor, index: Tensor
    ) -> dict[str, Tensor]:
        """Jacobian of one component's φ, `(n, sites, …)`, for its coupling k."""
        first, second = layers
        w1, w2, w3 = (layer.weight for layer in self.part.dense)
        w = w3[0] * self.part.scale
        p = k @ w1.mT
        sigma_w = second.slope * w
        q = sigma_w @ w2
        pull1 = first.slope[:, index] * p
        r = pull1 @ w2.mT
        e2 = r * w
        alpha2, gamma2 = e2 * second.slope_a[:, index], e2 * second.slope_c[:, index]
        e1 = q[:, index] * p
        alpha1 = e1 * first.slope_a[:, index] + (alpha2 @ w2) * first.dt[:, index]
        gamma1 = e1 * first.slope_c[:, index] + (gamma2 @ w2) * first.dtau[:, index]
        out2 = torch.cat([sigma_w[:, index], alpha2, gamma2], -2)
        in2 = torch.cat([pull1, first.t[:, index], first.tau[:, index]], -2)
        out1 = torch.cat([(first.slope * q)[:, index], alpha1, gamma1], -2)
        in1 = torch.cat([k.expand(*alpha1.shape[:-1], -1), x[:, index], xi[:, index]], -2)
        last = (second.slope[:, index] * r).sum(-2, keepdim=True) * self.part.scale
        block = {
            f"{self.name}layers.0.weight": out1.mT @ in1,
            f"{self.name}layers.0.bias": (alpha1 + gamma1).sum(-2),
            f"{self.name}layers.1.weight": out2.mT @ in2,
            f"{self.name}layers.1.bias": (alpha2 + gamma2).sum(-2),
            f"{self.name}layers.2.weight": last,
            f"{self.name}layers.2.bias": torch.zeros_like(last[..., 0]),
        }
        if self.part.quadratic is not None:
            mean = (x + xi)[:, index] / 2
            outer = k.expand(mean.shape).mT @ mean
            block[f"{self.name}quadratic"] = (outer + outer.mT) / 2
        return block

    def _operator_rows(self, s: Tensor) -> dict[str, Tensor]:
        """Jacobian of φ with respect to what G learns, `(n, sites, components, …)`."""
        derivatives = self.coupling.derivatives()
        if not derivatives:
            return {}
        basis = self.coupling.basis.flatten(2)
        by_entry = torch.stack([s.flatten(2) @ basis[:, c].mT for c in range(basis.shape[1])], 2)
        return {name: torch.tensordot(by_entry, d, 1) for name, d in derivatives.items()}
