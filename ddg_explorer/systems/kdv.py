"""Korteweg–de Vries equation: waves in shallow water, and the solitons in them.

    u_t = ∂x δH/δu = ∂x(−α/2 u² + β u_xx),    H = ∫ −α/6 u³ − β/2 u_x² dx

States are `(..., 1, n)` on [0, L), periodic, nondimensional. α = 6, β = −1 (default) is the
textbook u_t + 6uu_x + u_xxx = 0, whose solitons −(12β/α)k² sech²(k(x − x₀ + 4βk²t)) run to the
right; α = −6, β = 1 is its mirror image in x, used by Matsubara, Ishikawa and Yaguchi (2020,
arXiv:1905.08604). G = ∂x conserves H and the mass ∫u at once. Solitons pass through each other
and keep shape and speed; only their phases shift. Zabusky and Kruskal
(1965, doi:10.1103/PhysRevLett.15.240) found them in the recurrence of a cosine.

G = ∂x + νΔ lowers H: u_t gains νβ u_xxxx − να (u u_x)_x, which is not Burgers' νu_xx. It smooths u
where αu ≤ 0 and β < 0; where αu > 0 it is backward diffusion, and for β > 0 short waves grow. H has
no lower bound: from the initial state of every preset u steepens until it blows up in finite time,
which no smaller Δt prevents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ddg_explorer.structure import CentralDerivative, Laplacian, MinusIdentity, Structure
from ddg_explorer.systems.base import Parameter, Preset
from ddg_explorer.systems.draw import Draw
from ddg_explorer.systems.fields import FieldSystem, column
from ddg_explorer.systems.latex import total
from ddg_explorer.systems.solitons import soliton_group, soliton_row


class KdV(FieldSystem):
    """u_t = ∂x(−α/2 u² + β u_xx), H = ∫ −α/6 u³ − β/2 u_x² dx."""

    name = "kdv"
    title = "Korteweg–de Vries"
    ndim = 1
    energy_degree = 3
    parameters: Mapping[str, Parameter] = {
        "alpha": Parameter(6.0, (-12.0, 12.0), r"\alpha", "strength of the nonlinearity"),
        "beta": Parameter(-1.0, (-4.0, 4.0), r"\beta", "strength of the dispersion"),
        "viscosity": Parameter(
            0.05,
            (0.0, 1.0),
            r"\nu",
            "strength of the dissipative part νΔ of G (where αu > 0, crests steepen and blow up)",
            structures=("d_dx_viscous",),
        ),
        "growth": Parameter(
            0.02,
            (0.0, 0.2),
            r"\varepsilon",
            "strength of the law-breaking part +ε of G",
            structures=("d_dx_growing",),
        ),
    }
    structures: Mapping[str, str] = {
        "d_dx": "∂x: conserves energy and mass",
        "d_dx_viscous": "∂x + νΔ: lowers energy, conserves mass; crests blow up",
        "d_dx_growing": "∂x + ε: breaks the law, energy and mass drift",
    }
    structure_symbols: Mapping[str, str] = {
        "d_dx": r"\partial_x",
        "d_dx_viscous": r"(\partial_x + \nu\Delta)",
        "d_dx_growing": r"(\partial_x + \varepsilon)",
    }
    presets: Mapping[str, Preset] = {
        "two_solitons": Preset(
            title="Two solitons, one overtaking",
            about=(
                "A tall, narrow soliton catches up with a low, wide one. They do not add up while "
                "they meet, and part with their shapes intact: only the phases have shifted, the "
                "tall one forward, the low one back. Watch the kink in the space–time picture, "
                "and compare with the exact solution."
            ),
            dt=0.01,
            initial="solitons",
            n=256,
            length=40.0,
            operator="spectral",
            options={"k": (1.0, 0.6), "centres": (0.2, 0.42)},
        ),
        "soliton": Preset(
            title="One soliton",
            about=(
                "A single wave of height 2k² that travels at speed 4k² and never changes. "
                "Anything that does change, a tail or a lag behind the exact solution, is an "
                "error of the scheme."
            ),
            dt=0.01,
            initial="solitons",
            n=128,
            length=20.0,
            operator="spectral",
            options={"k": (1.0,), "centres": (0.3,)},
        ),
        "cosine": Preset(
            title="Zabusky–Kruskal: a cosine breaks into solitons",
            about=(
                "A smooth cosine steepens, then dispersion tears the front into a train of eight "
                "solitons that lap the period and pass through each other; near t = 9.7 they "
                "nearly rebuild the cosine. The experiment in which solitons were found, in its "
                "own units."
            ),
            dt=0.005,
            initial="cosine",
            n=256,
            length=2.0,
            parameters={"alpha": 1.0, "beta": -(0.022**2)},
            options={"amplitude": 1.0},
        ),
        "gas": Preset(
            title="Soliton gas",
            about=(
                "Six solitons of random heights in a ring. The tall ones overtake the low ones "
                "again and again; every crossing is a kink of two straight lines in the "
                "space–time picture."
            ),
            dt=0.01,
            initial="gas",
            n=384,
            length=60.0,
            operator="spectral",
            options={"count": 6, "low": 0.45, "high": 1.1},
        ),
        "three_solitons": Preset(
            title="Three solitons meet",
            about=(
                "Three solitons arranged so that all of them meet at nearly the same place. The "
                "exact three-soliton solution can be laid over the numerical one."
            ),
            dt=0.01,
            initial="solitons",
            n=384,
            length=60.0,
            operator="spectral",
            options={"k": (1.0, 0.75, 0.5), "centres": (0.15, 0.3, 0.42)},
        ),
        "published": Preset(
            title="Race: two random solitons",
            about=(
                "Two solitons of random height run to the left, and the taller one is faster. "
                "The models learned from other pairs of this kind (Matsubara, Ishikawa and "
                "Yaguchi, 2020). Watch who still has both crests after a crossing, and whose "
                "energy stays. The waves are not periodised, so small ripples start from the "
                "seam."
            ),
            dt=1e-3,
            initial="published",
            n=50,
            length=10.0,
            parameters={"alpha": -6.0, "beta": 1.0},
        ),
    }

    def build_structure(self, key: str, values: Mapping[str, float]) -> Structure:
        d_dx = CentralDerivative(self.grid, self.operator)
        if key == "d_dx_viscous":
            return d_dx + values["viscosity"] * Laplacian(self.grid, self.operator)
        if key == "d_dx_growing":
            return d_dx - values["growth"] * MinusIdentity(self.grid)
        return d_dx

    @property
    def equation(self) -> str:
        alpha, beta = self.values["alpha"], self.values["beta"]
        energy = total([(-alpha / 6, "u^3"), (-beta / 2, "u_x^2")])
        motion = rf"u_t = {self.structure_symbol}\frac{{\delta H}}{{\delta u}}"
        return rf"{motion},\quad H = \int {energy}\,dx"

    def energy(self, u: Tensor) -> Tensor:
        cubic = self.grid.integral(u * u.square())
        density = (-self.values["alpha"] / 6) * cubic + (-self.values["beta"] / 2) * self.dirichlet(
            u
        )
        return density.sum(-1)

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """−α/6 (u² + uv + v²) + β Δ(u + v)/2, equal to the automatic one to rounding."""
        return self.nonlinear_discrete_gradient(v, u) + (self.values["beta"] / 2) * self.laplacian(
            u + v
        )

    def gradient(self, u: Tensor) -> Tensor:
        """δH/δu = −α/2 u² + β Δu."""
        return self.nonlinear_gradient(u) + self.values["beta"] * self.laplacian(u)

    def quadratic_symbol(self) -> Tensor:
        """Q = βΔ^, that is −βk² in the spectral case; half shape."""
        return self.values["beta"] * self._laplacian_symbol

    def nonlinear_gradient(self, u: Tensor) -> Tensor:
        """−α/2 u²."""
        return (-self.values["alpha"] / 2) * u.square()

    def nonlinear_discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """−α/6 (u² + uv + v²)."""
        return (-self.values["alpha"] / 6) * torch.addcmul(u.square(), v, u + v)

    def split_discrete_gradient(self, u: Tensor, c: float) -> Callable[[Tensor], Tensor]:
        """v ↦ a v² + (a u − c/2) v + a u² + (c/2) u with a = −α/6."""
        a = -self.values["alpha"] / 6
        scaled = a * u
        linear, constant = scaled - c / 2, u * (scaled + c / 2)
        return lambda v: torch.addcmul(constant, v, torch.add(linear, v, alpha=a))

    @property
    def energy_scale(self) -> float:
        """|α|/6 ∫|u|³ + |β|/2 ∫u_x² of the initial state: H is a difference of the two; 1 where
        there is none."""
        u = self.stiffest_state()
        cubic = self.grid.integral(u.abs() ** 3)
        size = abs(self.values["alpha"]) / 6 * cubic + abs(
            self.values["beta"]
        ) / 2 * self.dirichlet(u)
        return float(size.sum()) or 1.0

    def stiffest_state(self) -> Tensor:
        """The initial state; u = 0 where there is none: solitons need α and β non-zero."""
        solitons = self.presets[str(self.preset)].initial != "cosine"
        if solitons and self.values["alpha"] * self.values["beta"] == 0:
            return torch.zeros(self.state_shape, dtype=self.dtype, device=self.device)
        return self.initial()

    def exact_holds(self) -> bool:
        return super().exact_holds() and self.values["alpha"] * self.values["beta"] != 0

    def exact_solitons(
        self, draw: Draw, t: float, *, k: Sequence[float], centres: Sequence[float]
    ) -> Tensor:
        """N solitons of wavenumbers k that sit at `centres` (fractions of L) at t = 0.

        Exact on the line. Here the line is cut half a period away from the middle of the group,
        where the neglected periodic images are e^(−2k·distance) small; ValueError once the solitons
        have spread over more than half the period. Variations scale every k by up to 10 % and shift
        the group anywhere.
        """
        length = self.grid.length[0]
        wave = draw.around(1.0, 0.1)[:, None] * torch.tensor(k, dtype=torch.float64)
        places = length * torch.tensor(centres, dtype=torch.float64) + draw.shift(length)[:, None]
        tau = -self.values["beta"] * t
        return self._soliton_scale() * soliton_group(
            self.coordinates()[0], length, tau, wave, places
        )

    def initial_published(self, draw: Draw) -> Tensor:
        """Two solitons side by side, Σ −(12β/α) kᵢ² sech²(kᵢ(x − L dᵢ)).

        kᵢ ~ U(½, 2), d₁ ~ U(0.2, 0.3), d₂ = d₁ + U(0.2, 0.5), mirrored in space with probability
        ½; not periodised. The recipe of Matsubara, Ishikawa and Yaguchi (2020).
        """
        k = draw.uniform(0.5, 2.0, 2)
        first = draw.uniform(0.2, 0.3)
        centres = torch.stack([first, first + draw.uniform(0.2, 0.5)], 1) * self.grid.length[0]
        mirrored = column(draw.uniform(0, 1) < 0.5, 1)
        u = self._soliton_scale() * soliton_row(self.coordinates()[0], k, centres)
        return torch.where(mirrored, u.flip(-1), u)

    def initial_gas(self, draw: Draw, *, count: int, low: float, high: float) -> Tensor:
        """`count` solitons, kᵢ ~ U(low, high), evenly spaced with jitter, periodic."""
        length = self.grid.length[0]
        k = draw.uniform(low, high, count)
        jitter = 0.3 * draw.uniform(-1, 1, count)
        centres = length / count * (torch.arange(count) + 0.5 + jitter)
        return self._soliton_scale() * soliton_row(self.coordinates()[0], k, centres, length)

    def initial_cosine(self, draw: Draw, *, amplitude: float) -> Tensor:
        """amplitude · cos(2πx/L), shifted anywhere and scaled by up to 10 % in variations."""
        length = self.grid.length[0]
        size = column(draw.around(amplitude, 0.1 * amplitude), 1)
        shift = column(draw.shift(length), 1)
        return size * torch.cos((2 * math.pi / length) * (self.coordinates()[0] - shift))

    def _soliton_scale(self) -> float:
        """−6β/α: takes solitons of w_τ + 6ww_x + w_xxx = 0, τ = −βt, to those of this equation."""
        alpha, beta = self.values["alpha"], self.values["beta"]
        if alpha * beta == 0:
            raise ValueError(f"alpha={alpha:g}, beta={beta:g}: solitons need both to be non-zero")
        return -6 * beta / alpha
