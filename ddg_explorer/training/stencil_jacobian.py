"""Closed-form Jacobian of the discrete-gradient residual of a two-layer energy network.

    r(x) = (v − u)/Δt − Σₒ Kₒ · s(x + o),   s = W₁ᵀ(σ̄₁ ∘ W₂ᵀ(σ̄₂ ∘ w)) + Q x̄

s(y) is the discrete gradient of the energy density at site y with respect to its whitened stencil
x, σ̄ the secant slope between both ends, and K the fixed coupling: whitening, folding of stencils,
and G, together a stencil of offsets o. With p = W₁K, q = W₂ᵀ(σ̄₂ ∘ w) and one pass forward, every
row of the Jacobian is a short sum of outer products over o, which one batched product forms:

    ∂φ/∂W₂ = Σₒ (σ̄₂w) ⊗ (σ̄₁p) + α₂ ⊗ t₁ + γ₂ ⊗ τ₁,   ∂φ/∂W₁ = Σₒ (σ̄₁q) ⊗ K + α₁ ⊗ x + γ₁ ⊗ ξ

where α, γ carry the derivatives of the slopes to the pre-activations at u and at v. It equals the
automatic Jacobian to rounding and is some ten times faster.

Windows of w sites per axis are evaluated at once: `(n, C, w + 2·reach, …)` values in, `n·wᵈ` rows
out. An ODE is a window of one site whose stencil is its state.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ddg_explorer.discrete import ACTIVATIONS, secant
from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.networks import EnergyNetwork, Perceptron

TANHC = (
    1.0,
    -1 / 3,
    2 / 15,
    -17 / 315,
    62 / 2835,
    -1382 / 155925,
    21844 / 6081075,
    -929569 / 638512875,
)
"""Taylor coefficients of tanh(d)/d in d²."""


@dataclass
class Ends:
    """One hidden layer at both ends: values, derivatives, secant slope and its derivatives."""

    t: Tensor
    tau: Tensor
    dt: Tensor
    dtau: Tensor
    slope: Tensor
    slope_a: Tensor
    slope_c: Tensor


def layer_ends(activation: str, a: Tensor, c: Tensor) -> Ends:
    """σ and its secant slope at pre-activations a (end u) and c (end v)."""
    if activation == "tanh":
        return _tanh_ends(a, c)
    sigma, ones = ACTIVATIONS[activation], torch.ones_like(a)
    t, dt = torch.func.jvp(sigma, (a,), (ones,))
    tau, dtau = torch.func.jvp(sigma, (c,), (ones,))
    slope, slope_a = torch.func.jvp(lambda x: secant(activation, x, c), (a,), (ones,))
    _, slope_c = torch.func.jvp(lambda x: secant(activation, a, x), (c,), (ones,))
    return Ends(t, tau, dt, dtau, slope, slope_a, slope_c)


def _tanh_ends(a: Tensor, c: Tensor) -> Ends:
    """tanh with the cheap slope k(d)(1 − tτ), k = tanh(d)/d: absolute accuracy is enough here."""
    t, tau = torch.tanh(a), torch.tanh(c)
    dt, dtau = 1 - t * t, 1 - tau * tau
    d = a - c
    d2 = d * d
    small = d2 < 0.04
    last = len(TANHC) - 1
    series, odd = torch.full_like(d, TANHC[last]), torch.full_like(d, 2 * last * TANHC[last])
    for j in range(last - 1, 0, -1):
        series, odd = series * d2 + TANHC[j], odd * d2 + 2 * j * TANHC[j]
    series = series * d2 + 1
    inverse = 1 / torch.where(small, 1.0, d)
    h = torch.tanh(d)
    k = torch.where(small, series, h * inverse)
    dk = torch.where(small, odd * d, (1 - h * h - h * inverse) * inverse)
    mixed = 1 - t * tau
    return Ends(t, tau, dt, dtau, k * mixed, dk * mixed - k * tau * dt, -dk * mixed - k * t * dtau)


class StencilJacobian:
    """Residuals and Jacobian rows of one DGNet; see the module's equation.

    Parameters
    ----------
    model
        A `dgnet` of depth 2 with a fixed structure operator of finite reach.
    dt, scale
        Δt of the data, and the RMS of du/dt by which residuals are divided.
    """

    def __init__(self, model: EnergyModel, dt: float, scale: float) -> None:
        assert isinstance(model.network, EnergyNetwork)
        self.model, self.dt, self.scale = model, dt, scale
        self.part: Perceptron = model.network.density
        self.radius = 0 if model.grid is None else model.network.gather.width // 2
        self.coupling, self.offsets = self._couple()

    def _couple(self) -> tuple[Tensor, list[tuple[int, ...]]]:
        """Kₒ `(offsets, m)` of one channel (of each component, `(1, d, m)`, for an ODE)."""
        grid = self.model.grid
        whiten = self.part.whiten
        if grid is None:
            units = torch.eye(whiten.shape[0], dtype=whiten.dtype)
            rows = self.model.structure.apply(units)
            return (rows.mT @ whiten)[None], [()]
        # response of G to a unit impulse gives its stencil
        impulse = torch.zeros((1, *grid.shape), dtype=whiten.dtype)
        centre = tuple(n // 2 for n in grid.shape)
        impulse[(0, *centre)] = 1.0
        response = self.model.structure.apply(impulse)[0]
        shape: dict[tuple[int, ...], Tensor] = {}
        stencil = list(itertools.product(range(-self.radius, self.radius + 1), repeat=grid.ndim))
        for place in torch.nonzero(response).tolist():
            # the response at x + j of an impulse at x is G's weight for offset −j
            j = tuple(c - p for c, p in zip(centre, place, strict=True))
            weight = response[tuple(place)]
            for index, r in enumerate(stencil):
                o = tuple(a - b for a, b in zip(j, r, strict=True))
                shape[o] = shape.get(o, torch.zeros_like(whiten[0])) + weight * whiten[index]
        offsets = sorted(shape)
        return torch.stack([shape[o] for o in offsets]), offsets

    def __call__(self, v: Tensor, u: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Scaled residuals `(rows,)` and the Jacobian's blocks by weight name, `(rows, …)`."""
        x, xi, layers = self._forward(v, u)
        index, target = self._places(u), self._target(v, u)
        residuals, blocks = [], []
        for component, coupling in enumerate(self._components()):
            phi, block = self._rows(x, xi, layers, coupling, index)
            residuals.append((target[..., component] - phi) / self.scale)
            blocks.append(block)
        names = {name: torch.stack([b[name] for b in blocks], 2) for name in blocks[0]}
        flat = {name: block.flatten(0, 2) / -self.scale for name, block in names.items()}
        return torch.stack(residuals, -1).flatten(), flat

    def residual(self, v: Tensor, u: Tensor) -> Tensor:
        """Scaled residuals alone, in the same order."""
        x, xi, (first, second) = self._forward(v, u)
        index, target = self._places(u), self._target(v, u)
        w = self.part.layers[2].weight[0] * self.part.scale
        s = (((second.slope * w) @ self.part.layers[1].weight) * first.slope) @ (
            self.part.layers[0].weight
        )
        if self.part.quadratic is not None:
            s = s + ((x + xi) / 4) @ (self.part.quadratic + self.part.quadratic.mT)
        out = [
            (target[..., c] - (s[:, index] * coupling).sum((-2, -1))) / self.scale
            for c, coupling in enumerate(self._components())
        ]
        return torch.stack(out, -1).flatten()

    def _components(self) -> list[Tensor]:
        return [self.coupling] if self.radius else [k[None] for k in self.coupling[0]]

    def _forward(self, v: Tensor, u: Tensor) -> tuple[Tensor, Tensor, tuple[Ends, Ends]]:
        one, two, _ = self.part.layers
        x, xi = self._features(u), self._features(v)
        first = layer_ends(self.part.activation, one(x), one(xi))
        second = layer_ends(self.part.activation, two(first.t), two(first.tau))
        return x, xi, (first, second)

    def _features(self, u: Tensor) -> Tensor:
        """Whitened stencils of all energy sites of the windows, `(n, sites, m)`."""
        if self.radius:
            stencils = u[:, 0]
            for axis in range(1, stencils.ndim):
                stencils = stencils.unfold(axis, 2 * self.radius + 1, 1)
            grid_axes = u.ndim - 2
            u = stencils.flatten(1 + grid_axes).flatten(1, grid_axes)
        else:
            u = u[:, None]
        return (u - self.part.mean) @ self.part.whiten

    def _spread(self) -> int:
        return max((abs(c) for o in self.offsets for c in o), default=0)

    def _places(self, u: Tensor) -> Tensor:
        """Energy site of every residual site and offset, `(sites, offsets)`."""
        if not self.radius:
            return torch.zeros(1, 1, dtype=torch.long)
        spread = self._spread()
        energy_sites = [n - 2 * self.radius for n in u.shape[2:]]
        grid = torch.arange(int(torch.tensor(energy_sites).prod())).reshape(energy_sites)
        picks = []
        for o in self.offsets:
            part = grid
            for axis, (n, shift) in enumerate(zip(energy_sites, o, strict=True)):
                part = part.narrow(axis, spread + shift, n - 2 * spread)
            picks.append(part.flatten())
        return torch.stack(picks, -1)

    def _target(self, v: Tensor, u: Tensor) -> Tensor:
        """(v − u)/Δt at the residual sites, `(n, sites, components)`."""
        if not self.radius:
            return ((v - u) / self.dt)[:, None]
        d = (v - u)[:, 0]
        margin = self.radius + self._spread()
        for axis in range(1, d.ndim):
            d = d.narrow(axis, margin, d.shape[axis] - 2 * margin)
        return (d / self.dt).flatten(1)[..., None]

    def _rows(
        self, x: Tensor, xi: Tensor, layers: tuple[Ends, Ends], k: Tensor, index: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """φ `(n, sites)` and its Jacobian, for the coupling k `(offsets, m)`."""
        first, second = layers
        w1, w2, w3 = (layer.weight for layer in self.part.layers)
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
        phi = e1.mul(first.slope[:, index]).sum((-2, -1))
        name = "network.density."
        block = {
            f"{name}layers.0.weight": out1.mT @ in1,
            f"{name}layers.0.bias": (alpha1 + gamma1).sum(-2),
            f"{name}layers.1.weight": out2.mT @ in2,
            f"{name}layers.1.bias": (alpha2 + gamma2).sum(-2),
            f"{name}layers.2.weight": (second.slope[:, index] * r).sum(-2, keepdim=True)
            * self.part.scale,
            f"{name}layers.2.bias": torch.zeros_like(phi)[..., None],
        }
        if self.part.quadratic is not None:
            mean = (x + xi)[:, index] / 2
            outer = k.expand(mean.shape).mT @ mean
            block[f"{name}quadratic"] = (outer + outer.mT) / 2
            sym = (self.part.quadratic + self.part.quadratic.mT) / 2
            phi = phi + ((mean @ sym) * k).sum((-2, -1))
        return phi, block
