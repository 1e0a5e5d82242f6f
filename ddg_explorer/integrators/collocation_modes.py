"""The equation of one step of energy-preserving collocation, for every way of solving it.

    F(a) = a − Δt 𝒢(a) = 0,    𝒢(a)ⱼ = G γⱼ,    γⱼ = ∫₀¹ Pⱼ ∇H(u(σ)) dσ
    u(σ) = u + Σⱼ aⱼ ∫₀^σ Pⱼ,  v = u + a₀

∇H stands for the variational derivative. A G that depends on the state is taken at the s Gauss
nodes, 𝒢(a)ⱼ = Σᵢ bᵢ Pⱼ(cᵢ) G(u(cᵢ)) gᵢ with gᵢ = Σ_l P_l(cᵢ) γ_l, which is the same for constant G.
Either way

    H(v) − H(u) = Δxᵈ Σⱼ γⱼ·aⱼ = Δxᵈ Δt Σᵢ bᵢ gᵢᵀ G(u(cᵢ)) gᵢ  at F(a) = 0,

so the law of G holds exactly where the integrals are. Shapes: states u are (B, *state), modes a are
(B, s·n) with n numbers in a state.

Source: E. Hairer, JNAIAM 5 (2010) 73; D. Cohen, E. Hairer, BIT 51 (2011) 91,
doi 10.1007/s10543-011-0310-z (state-dependent G).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.collocation_tableau import Tableau, tableau
from ddg_explorer.solve import Solution


@dataclass(frozen=True)
class Effort:
    """What a solve is asked for: scaled tolerance, polishing iterations and their bound."""

    tol: float
    polish: int
    max_iterations: int


class Work(NamedTuple):
    """What a step's own integrals say of the energy.

    Attributes
    ----------
    by_quadrature
        Δxᵈ Σ γⱼ·aⱼ: the change of H where the integrals are exact, (B,).
    by_law
        Δxᵈ Δt Σ γⱼ·𝒢(a)ⱼ: the change that G allows, (B,).
    mean_gradient
        γ₀, (B, n).
    """

    by_quadrature: Tensor
    by_law: Tensor
    mean_gradient: Tensor


class ModeEquation(ABC):
    """F(a) = 0 for one dynamics, s modes and k nodes."""

    def __init__(self, dynamics: Dynamics, s: int, k: int) -> None:
        self.dynamics = dynamics
        self.s = s
        self.k = k
        self.skew = dynamics.structure.is_skew
        self._table: Tableau | None = None

    @abstractmethod
    def reset(self) -> None:
        """Forget what was measured at earlier states."""

    def set_nodes(self, k: int) -> None:
        """Use k quadrature nodes from now on."""
        self.k = k
        self._table = None

    def table(self, like: Tensor) -> Tableau:
        """The constants in the dtype and on the device of `like`."""
        t = self._table
        if t is None or t.evaluate.dtype != like.dtype or t.evaluate.device != like.device:
            t = self._table = tableau(self.s, self.k, like.dtype, like.device)
        return t

    @abstractmethod
    def solve(self, u: Tensor, guess: Tensor, dt: float, scale: Tensor, effort: Effort) -> Solution:
        """Modes (B, s·n) with F(a) ≈ 0, and max|F| as residual."""

    def stack(self, u: Tensor, a: Tensor) -> Tensor:
        """State and modes as rows, (1 + s, B·n)."""
        modes = a.reshape(u.shape[0], self.s, -1).transpose(0, 1)
        return torch.cat([u.reshape(1, *modes.shape[1:]), modes]).flatten(1)

    def gradient_modes(self, u: Tensor, a: Tensor) -> Tensor:
        """γ, (s, B, *state)."""
        t = self.table(u)
        stages = (t.evaluate @ self.stack(u, a)).view(t.k, *u.shape)
        gradient = self.dynamics.gradient(stages)
        return (t.project @ gradient.reshape(t.k, -1)).view(t.s, *u.shape)

    def structured(self, u: Tensor, a: Tensor, gamma: Tensor) -> Tensor:
        """𝒢(a) from γ, (s, B, *state)."""
        structure = self.dynamics.structure
        if not structure.state_dependent:
            return structure.apply(gamma)
        t = self.table(u)
        states = (t.gauss_evaluate @ self.stack(u, a)).view(gamma.shape)
        values = (t.gauss_values @ gamma.flatten(1)).view(gamma.shape)
        return (t.gauss_project @ structure.apply(values, states).flatten(1)).view(gamma.shape)

    def defect(self, u: Tensor, a: Tensor, dt: float) -> Tensor:
        """F(a), (B, s·n)."""
        slope = self.structured(u, a, self.gradient_modes(u, a))
        return a - dt * slope.flatten(2).transpose(0, 1).reshape(a.shape)

    def work(self, u: Tensor, a: Tensor, dt: float) -> Work:
        """How the energy changes by the modes `a`, by quadrature and by the law."""
        gamma = self.gradient_modes(u, a)
        modes = a.view(u.shape[0], self.s, -1).transpose(0, 1)
        flat, volume = gamma.flatten(2), self.dynamics.cell_volume
        by_quadrature = volume * (flat * modes).sum((0, 2))
        if self.skew:
            return Work(by_quadrature, torch.zeros_like(by_quadrature), flat[0])
        slope = self.structured(u, a, gamma).flatten(2)
        return Work(by_quadrature, volume * dt * (flat * slope).sum((0, 2)), flat[0])
