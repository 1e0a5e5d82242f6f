"""Closed-form Jacobian of the midpoint residual of NODE, HNN and HNN++.

    r = (v − u)/Δt − f(m),   m = u + ½Δt f(u),   f_c(x) = Σₒ K_co · s(x + o)

s is the perceptron's gradient (`points`), K (`coupling`) whitening, folding of stencils and G; for
NODE s is the perceptron's value, and K one. The derivative of r to a weight has two parts,

    −∂r(x) = Σₒ K_co · ∂s(x + o; m) + Σ_y κ(y) · ∂s(x + y; u),   κ = ½Δt (∂f_c(x; m)/∂m) K

that of the second evaluation and, through m, that of the first: K and κ are cotangents on the
points of the two, and each part a short sum of outer products. Only κ varies from row to row. It
equals the automatic Jacobian to rounding.

Windows of w sites per axis are evaluated at once: `(n, C, w + 2·reach, …)` values in, `n·wᵈ·C` rows
out. An ODE is a window of one site whose stencil is its state.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.networks import EnergyNetwork, VectorField
from ddg_explorer.training.coupling import Coupling
from ddg_explorer.training.points import GradientPoints, Points, ValuePoints, blocks
from ddg_explorer.training.windows_geometry import Offset, added, by_site, crop, picks, stencils

Sites = Sequence[int]


class Direct:
    """K of a NODE: every component of the slope is a value of the perceptron at the site itself."""

    def __init__(self, network: VectorField) -> None:
        part, gather = network.field, network.gather
        axes = 0 if gather.grid is None else gather.grid.ndim
        self.radius, self.spread = (0, 0) if axes == 0 else (gather.width // 2, 0)
        self.offsets: list[Offset] = [(0,) * axes]
        size = part.dense[-1].out_features
        self.identity = torch.eye(size, dtype=part.whiten.dtype)[:, None]

    def __call__(self) -> Tensor:
        """K, `(components, 1, components)`."""
        return self.identity

    def derivatives(self) -> dict[str, Tensor]:
        """There is no G."""
        return {}


@dataclass(frozen=True)
class Stage:
    """One evaluation of f on a window: its points and the slopes, `(n, C, *sites)`."""

    points: Points
    slope: Tensor


class MidpointJacobian:
    """Residuals and Jacobian rows of one model trained with rk2; see the module's equation.

    Parameters
    ----------
    model
        A NODE, HNN or HNN++ of depth 2 whose structure operator `Coupling` covers.
    dt, scale
        Δt of the data, and the RMS of du/dt by which residuals are divided.
    """

    def __init__(self, model: Model, dt: float, scale: float) -> None:
        self.model, self.dt, self.scale = model, dt, scale
        network = model.get_submodule("network")
        if isinstance(network, VectorField):
            self.coupling, self.part = Direct(network), network.field
        else:
            assert isinstance(model, EnergyModel)
            assert isinstance(network, EnergyNetwork)
            self.coupling, self.part = Coupling(model), network.density
        axes = 0 if model.grid is None else model.grid.ndim
        reach = range(-self.coupling.radius, self.coupling.radius + 1)
        stencil = list(itertools.product(reach, repeat=axes))
        offsets = self.coupling.offsets
        self.near = sorted({added(o, r) for o in offsets for r in stencil})
        self.far = sorted({added(z, o) for z in self.near for o in offsets})
        self.pull_back = self._pull_back(stencil)

    def __call__(self, v: Tensor, u: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Scaled residuals `(rows,)` and the Jacobian's blocks by weight name, `(rows, …)`."""
        k = self.coupling()
        first, second = self._stages(u, k)
        sites, components = math.prod(second.slope.shape[2:]), len(k)
        inner = second.slope.shape[2:]
        places = self._places(inner, inner, self.coupling.offsets)
        late = second.points.rows(k.repeat(sites, 1, 1), places.repeat_interleave(components, 0))
        onto_u = late.pull.flatten(-2) @ self.pull_back
        kappa = (onto_u @ self._forward_again(k)).unflatten(-1, (len(self.far), -1))
        outer = first.slope.shape[2:]
        places = self._places(outer, inner, self.far)
        early = first.points.rows(kappa, places.repeat_interleave(components, 0))
        found = blocks([late, early]) | self._operator_rows(first, second, onto_u)
        flat = {name: block.flatten(0, 1) / -self.scale for name, block in found.items()}
        return self._difference(v, u, second), flat

    def residual(self, v: Tensor, u: Tensor) -> Tensor:
        """Scaled residuals alone, in the same order."""
        _, second = self._stages(u, self.coupling())
        return self._difference(v, u, second)

    def _difference(self, v: Tensor, u: Tensor, second: Stage) -> Tensor:
        margin = 2 * (self.coupling.radius + self.coupling.spread)
        rate = crop(v - u, margin) / self.dt
        return (by_site(rate - second.slope) / self.scale).flatten()

    def _stages(self, u: Tensor, k: Tensor) -> tuple[Stage, Stage]:
        first = self._stage(u, k)
        inner = crop(u, self.coupling.radius + self.coupling.spread)
        return first, self._stage(inner + (self.dt / 2) * first.slope, k)

    def _stage(self, u: Tensor, k: Tensor) -> Stage:
        x = (stencils(u, self.coupling.radius) - self.part.mean) @ self.part.whiten
        if isinstance(self.coupling, Direct):
            points = ValuePoints(self.part, "network.field.", x)
        else:
            points = GradientPoints(self.part, "network.density.", x)
        sites = [n - 2 * (self.coupling.radius + self.coupling.spread) for n in u.shape[2:]]
        s = points.output[:, self._places(sites, sites, self.coupling.offsets)]
        slope = (s.flatten(2) @ k.flatten(1).mT).mT
        return Stage(points, slope[..., 0] if u.ndim == 2 else slope.unflatten(2, sites))

    def _places(self, outer: Sites, inner: Sites, offsets: list[Offset]) -> Tensor:
        """Points, of the evaluation that gives slopes at `outer`, next to the `inner` sites."""
        return picks([n + 2 * self.coupling.spread for n in outer], inner, offsets)

    def _pull_back(self, stencil: list[Offset]) -> Tensor:
        """½Δt ∂x/∂u: from whitened stencils at `offsets` to the values `near` a site."""
        offsets, whiten = self.coupling.offsets, self.part.whiten.unflatten(0, (-1, len(stencil)))
        size = (len(offsets), whiten.shape[-1], len(self.near), len(whiten))
        matrix = torch.zeros(size, dtype=whiten.dtype)
        for i, o in enumerate(offsets):
            for j, r in enumerate(stencil):
                matrix[i, :, self.near.index(added(o, r))] = whiten[:, j].mT
        return (self.dt / 2) * matrix.flatten(2).flatten(0, 1)

    def _forward_again(self, k: Tensor) -> Tensor:
        """K from the slopes `near` a site to the points `far` from it."""
        size = (len(self.near), len(k), len(self.far), k.shape[-1])
        matrix = torch.zeros(size, dtype=k.dtype)
        for i, z in enumerate(self.near):
            columns = [self.far.index(added(z, o)) for o in self.coupling.offsets]
            matrix[i][:, columns] = k
        return matrix.flatten(2).flatten(0, 1)

    def _operator_rows(self, first: Stage, second: Stage, onto_u: Tensor) -> dict[str, Tensor]:
        """Jacobian of the slope with respect to what G learns, `(n, rows, …)`."""
        derivatives = self.coupling.derivatives()
        if not derivatives:
            return {}
        inner, outer = second.slope.shape[2:], first.slope.shape[2:]
        late = self._by_entry(second, inner).flatten(1, 2)
        early = self._by_entry(first, outer)[:, picks(outer, inner, self.near)]
        components = early.shape[3]
        weights = onto_u.unflatten(1, (-1, components))
        # (n, sites, components, near · channels) by (n, sites, near · channels, entries)
        late = late + (weights @ early.flatten(2, 3)).flatten(1, 2)
        return {name: torch.tensordot(late, d, 1) for name, d in derivatives.items()}

    def _by_entry(self, stage: Stage, sites: Sites) -> Tensor:
        """∂f/∂g of every entry g of G, `(n, sites, components, entries)`."""
        assert isinstance(self.coupling, Coupling)
        s = stage.points.output[:, self._places(sites, sites, self.coupling.offsets)].flatten(2)
        basis = self.coupling.basis.flatten(2)
        return torch.stack([s @ basis[:, c].mT for c in range(basis.shape[1])], 2)
