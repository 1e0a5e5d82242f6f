"""What mechanical systems share: u = (q, p), the canonical G, friction, phase-plane starts.

    u̇ = (S − R) ∇H(u),    S = [[0, I], [−I, 0]],    R = diag(0, r)

so q̇ = ∂H/∂p and ṗ = −∂H/∂q − r ∂H/∂p. r ≥ 0 dissipates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ddg_explorer.structure import DampedSymplectic, MinusIdentity, Structure, Symplectic
from ddg_explorer.systems.base import Parameter
from ddg_explorer.systems.builtin import PresetSystem
from ddg_explorer.systems.draw import Draw

STRENGTHS = {
    "friction": Parameter(
        0.1, (0.0, 2.0), "r", "friction r ≥ 0", structures=("damped_symplectic",)
    ),
    "growth": Parameter(
        0.02,
        (0.0, 0.2),
        r"\varepsilon",
        "strength of the law-breaking part +ε of G",
        structures=("growing",),
    ),
}


class MechanicalSystem(PresetSystem):
    """A Hamiltonian system in `dimension` coordinates, state (q, p) of shape (..., 2·dimension)."""

    dimension: ClassVar[int] = 1
    structures: Mapping[str, str] = {
        "symplectic": "S: conserves energy",
        "damped_symplectic": "S − R: friction dissipates energy",
        "minus_identity": "−1: straight down the energy, no oscillation",
        "growing": "S + ε: breaks the law, energy rises",
    }
    structure_symbols: Mapping[str, str] = {
        "symplectic": "S",
        "damped_symplectic": "(S - R)",
        "minus_identity": "-",
        "growing": r"(S + \varepsilon)",
    }

    def _shape(self) -> tuple[int, ...]:
        return (2 * self.dimension,)

    def build_structure(self, key: str, values: Mapping[str, float]) -> Structure:
        if key == "damped_symplectic":
            return DampedSymplectic(values["friction"], size=2 * self.dimension)
        if key == "minus_identity":
            return MinusIdentity()
        if key == "growing":
            return self._canonical() - values["growth"] * MinusIdentity()
        return self._canonical()

    def _canonical(self) -> Structure:
        return Symplectic(size=2 * self.dimension)

    @property
    def separable(self) -> bool:
        return self.structure_key == "symplectic"

    def gradient(self, u: Tensor) -> Tensor:
        """(∇V(q), ∇T(p))."""
        half = self.dimension
        parts = [self.potential_gradient(u[..., :half]), self.kinetic_gradient(u[..., half:])]
        return torch.cat(parts, -1)

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """(∇̄V(q′, q), ∇T((p′ + p)/2)), T quadratic; equal to the automatic one to rounding."""
        half = self.dimension
        potential = self.potential_secant(v[..., :half], u[..., :half])
        return torch.cat([potential, self.kinetic_gradient((v + u)[..., half:] / 2)], -1)

    def potential_secant(self, v: Tensor, u: Tensor) -> Tensor:
        """∇̄V of the potential between the coordinates v and u, (..., dimension)."""
        raise TypeError(f"{type(self).__name__} does not define potential_secant(v, u)")

    def ode_equation(self, energy: str) -> str:
        """LaTeX of u̇ = G∇H with today's G and this energy."""
        return (
            r"\frac{d}{dt}\binom{q}{p} = " + self.structure_symbol + r"\nabla H,\quad H = " + energy
        )

    def initial_ring(self, draw: Draw, *, low: float, high: float) -> Tensor:
        """Radius U(low, high) in the phase plane, direction that of a uniform point of the square.

        Greydanus, Dzamba and Yosinski (2019, arXiv:1906.01563) sample this way.
        """
        point = draw.uniform(-1, 1, 2)
        radius = draw.uniform(low, high)[:, None]
        return radius * point / point.norm(dim=1, keepdim=True)

    def initial_box(self, draw: Draw, *, low: float, high: float) -> Tensor:
        """|q|, |p| ~ U(low, high), signs at random."""
        size = draw.uniform(low, high, 2)
        return torch.where(draw.uniform(0, 1, 2) < 0.5, -size, size)
