"""Cahn–Hilliard equation in one dimension: a mixture separates into its two phases.

    u_t = Δ δH/δu = Δ(−u + u³ − γ Δu),    H = ∫ ¼u⁴ − ½u² + γ/2 |∇u|² dx

u ∈ (−1, 1) is the concentration; states are `(..., 1, *grid)`, periodic, nondimensional. G = Δ lets
the energy fall and keeps the mass ∫u; with G = −M the same energy gives the Allen–Cahn equation,
which does not keep it. Interfaces have the profile tanh(x/√(2γ)); from u = 0 the wavelength 2π√(2γ)
grows fastest, at rate 1/(4γ). Cahn and Hilliard (1958, doi:10.1063/1.1744102).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ddg_explorer.structure import (
    CentralDerivative,
    Laplacian,
    MinusIdentity,
    MobilityStructure,
    Structure,
)
from ddg_explorer.systems.base import Parameter, Preset
from ddg_explorer.systems.draw import Draw
from ddg_explorer.systems.fields import FieldSystem
from ddg_explorer.systems.latex import number


class CahnHilliardBase(FieldSystem):
    """Energy, forces and operators of the Cahn–Hilliard equation in any dimension."""

    energy_degree = 4
    parameters: Mapping[str, Parameter] = {
        "gamma": Parameter(
            5e-4, (1e-5, 0.1), r"\gamma", "interface stiffness: width √(2γ)", log=True
        ),
        "mobility": Parameter(
            100.0,
            (1.0, 1000.0),
            "M",
            "mobility of the Allen–Cahn flow, in the time units of Cahn–Hilliard",
            log=True,
            structures=("minus_identity",),
        ),
    }
    structures: Mapping[str, str] = {
        "laplacian": "Δ: dissipates energy, conserves mass (Cahn–Hilliard)",
        "minus_identity": "−M: dissipates energy, not mass-conserving (Allen–Cahn)",
        "d_dx": "∂x: conserves energy and mass (no phase separation)",
    }
    structure_symbols: Mapping[str, str] = {
        "laplacian": r"\Delta",
        "minus_identity": "-M",
        "d_dx": r"\partial_x",
    }

    def build_structure(self, key: str, values: Mapping[str, float]) -> Structure:
        if key == "minus_identity":
            return MinusIdentity(self.grid, strength=values["mobility"])
        if key == "d_dx":
            return CentralDerivative(self.grid, self.operator)
        return Laplacian(self.grid, self.operator)

    @property
    def equation(self) -> str:
        energy = rf"\tfrac14 u^4 - \tfrac12 u^2 + {number(self.values['gamma'] / 2)}\,|\nabla u|^2"
        return (
            rf"u_t = {self.structure_symbol}\frac{{\delta H}}{{\delta u}},"
            rf"\quad H = \int {energy}\,dx"
        )

    def energy(self, u: Tensor) -> Tensor:
        square = u.square()
        well = self.grid.integral(0.25 * square.square() - 0.5 * square)
        return (well + (self.values["gamma"] / 2) * self.dirichlet(u)).sum(-1)

    def gradient(self, u: Tensor) -> Tensor:
        """δH/δu = u³ − u − γ Δu."""
        return u * u.square() - u - self.values["gamma"] * self.laplacian(u)

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """(u² + v²)(u + v)/4 − (u + v)/2 − γ Δ(u + v)/2, the automatic one to rounding."""
        total = u + v
        factor = 0.25 * (u.square() + v.square()) - 0.5
        return factor * total - (self.values["gamma"] / 2) * self.laplacian(total)

    def quadratic_symbol(self) -> Tensor:
        """Q = −1 − γΔ^, that is −1 + γ|k|² in the spectral case; half shape."""
        return -1 - self.values["gamma"] * self._laplacian_symbol

    def nonlinear_gradient(self, u: Tensor) -> Tensor:
        """u³."""
        # one pass over memory, with the rounding of u·u·u
        return u**3

    def nonlinear_discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """(u² + v²)(u + v)/4."""
        return 0.25 * (u.square() + v.square()) * (u + v)

    def split_discrete_gradient(self, u: Tensor, c: float) -> Callable[[Tensor], Tensor]:
        """v ↦ ((u + v)v/4 + (u² − 2c)/4) v + (u² + 2c)u/4, in three passes over memory."""
        quarter = 0.25 * u
        inner, outer = quarter * u - c / 2, quarter * u.square() + (c / 2) * u

        def term(v: Tensor) -> Tensor:
            found = torch.add(quarter, v, alpha=0.25)
            torch.addcmul(inner, found, v, out=found)
            return torch.addcmul(outer, found, v, out=found)

        return term

    @property
    def energy_scale(self) -> float:
        """|Ω|/4: the energy that the whole domain gains by separating from u = 0 into u = ±1."""
        return math.prod(self.grid.length) / 4

    def stiffest_state(self) -> Tensor:
        """u = 1, a pure phase."""
        return torch.ones(self.state_shape, dtype=self.dtype, device=self.device)

    def initial_noise(self, draw: Draw, *, mean: float, size: float) -> Tensor:
        """mean + size · U(−1, 1) at every node, independent."""
        return mean + self.noise(draw, -size, size)


def degenerate_mobility(u: Tensor) -> Tensor:
    """1 − u²: matter moves along interfaces only."""
    return 1 - u.square()


class CahnHilliard(CahnHilliardBase):
    """u_t = Δ(−u + u³ − γ u_xx) on a line."""

    name = "cahn_hilliard"
    title = "Cahn–Hilliard (1-D)"
    ndim = 1
    structures: Mapping[str, str] = {
        **CahnHilliardBase.structures,
        "degenerate_mobility": "∇·(1 − u²)∇: dissipates energy, conserves mass, at interfaces",
    }
    structure_symbols: Mapping[str, str] = {
        **CahnHilliardBase.structure_symbols,
        "degenerate_mobility": r"\partial_x(1 - u^2)\partial_x",
    }
    presets: Mapping[str, Preset] = {
        "separation": Preset(
            title="Phase separation",
            about=(
                "Noise around an even mixture first smooths out, then the wavelength 2π√(2γ) ≈ "
                "0.28 wins and saturates at u = ±1. After that neighbouring interfaces attract "
                "each other and vanish in pairs, each time after a longer wait and with a step in "
                "the energy."
            ),
            dt=5e-4,
            initial="noise",
            n=256,
            length=4.0,
            parameters={"gamma": 1e-3},
            options={"mean": 0.0, "size": 0.05},
        ),
        "ripening": Preset(
            title="Ripening",
            about=(
                "Domains of random widths. The narrowest ones dissolve first and feed their "
                "neighbours: the mass stays, the energy falls in steps, one for each lost domain."
            ),
            dt=5e-4,
            initial="domains",
            n=256,
            length=4.0,
            parameters={"gamma": 1e-3},
            options={"count": 10},
        ),
        "off_critical": Preset(
            title="Off-critical mixture",
            about=(
                "With a mean of 0.4 the minority phase forms narrow wells that swallow each "
                "other. Switch G to −M (Allen–Cahn) and they simply fill up: that G does not keep "
                "the mass."
            ),
            dt=5e-4,
            initial="noise",
            n=256,
            length=4.0,
            parameters={"gamma": 1e-3},
            options={"mean": 0.4, "size": 0.1},
        ),
        "published": Preset(
            title="Race: a mixture separates",
            about=(
                "Noise of ±0.05 on 50 points separates into two phases within 500 steps. The "
                "models learned from other noise of this kind (Matsubara, Ishikawa and Yaguchi, "
                "2020). Watch whose energy only falls, who keeps the mass, and whose domains "
                "end up where those of the truth are."
            ),
            dt=1e-4,
            initial="noise",
            n=50,
            length=1.0,
            options={"mean": 0.0, "size": 0.05},
        ),
    }

    def build_structure(self, key: str, values: Mapping[str, float]) -> Structure:
        if key == "degenerate_mobility":
            return MobilityStructure(self.grid, degenerate_mobility, self.operator)
        return super().build_structure(key, values)

    def stiffest_state(self) -> Tensor:
        """u = 1, a pure phase; u = 0 where a degenerate mobility stops everything in u = 1."""
        pure = super().stiffest_state()
        return torch.zeros_like(pure) if self.structure.state_dependent else pure

    def initial_domains(self, draw: Draw, *, count: int) -> Tensor:
        """2·count interfaces tanh(x/√(2γ)) at jittered places, periodic; shifted in variations."""
        length = self.grid.length[0]
        cell = length / (2 * count)
        walls = cell * (torch.arange(2 * count) + 0.5 + 0.4 * draw.uniform(-1, 1, 2 * count))
        walls = torch.remainder(walls + draw.shift(length)[:, None], length)[..., None]
        x = self.coordinates()[0]
        distance = (x - walls).abs()
        nearest = torch.minimum(distance, length - distance).amin(1)
        phase = 1 - 2 * ((x > walls).sum(1) % 2)
        return (phase * torch.tanh(nearest / math.sqrt(2 * self.values["gamma"])))[:, None]
