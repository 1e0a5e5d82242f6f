"""Two bodies in a plane under their gravity.

    q̇ᵢ = pᵢ,   ṗ₁ = −ṗ₂ = −G (q₁ − q₂)/ρ³,    H = ½|p₁|² + ½|p₂|² − G/ρ,    ρ² = |q₁ − q₂|² + ε²

Unit masses; states are `(..., 8)` = (q₁, q₂, p₁, p₂) with two coordinates each, nondimensional.
The softening ε is 0 unless asked for. An orbit whose relative motion has semi-major axis a takes
2π√(a³/(2G)). Exact orbits solve Kepler's equation. The published data are those of Greydanus,
Dzamba and Yosinski (2019, arXiv:1906.01563).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ddg_explorer.systems.base import Parameter, Preset
from ddg_explorer.systems.draw import Draw
from ddg_explorer.systems.latex import number
from ddg_explorer.systems.mechanics import STRENGTHS, MechanicalSystem

KEPLER_ITERATIONS = 60


class TwoBody(MechanicalSystem):
    """q̇ᵢ = pᵢ, ṗ₁ = −ṗ₂ = −G (q₁ − q₂)/ρ³; H = ½|p₁|² + ½|p₂|² − G/ρ."""

    name = "two_body"
    title = "Two bodies"
    dimension = 4
    parameters: Mapping[str, Parameter] = {
        "gravity": Parameter(1.0, (0.1, 10.0), "G", "strength of the attraction", log=True),
        "softening": Parameter(0.0, (0.0, 1.0), r"\epsilon", "softening length of the potential"),
        **STRENGTHS,
    }
    structures: Mapping[str, str] = {
        key: label
        for key, label in MechanicalSystem.structures.items()
        if key != "minus_identity"  # straight down the energy leads into the collision
    }
    presets: Mapping[str, Preset] = {
        "ellipse": Preset(
            title="Elliptic orbit",
            about=(
                "Two equal masses on mirrored ellipses about their common centre, slow outside "
                "and fast inside. The ellipses should close: their slow turning is an error of "
                "the scheme, which falls with Δt. The energy stays to rounding."
            ),
            dt=0.02,
            initial="orbit",
            options={"axis": 2.0, "eccentricity": 0.5},
        ),
        "circle": Preset(
            title="Circular orbit",
            about="Both bodies on one circle. Explicit Euler spirals outwards within a few turns.",
            dt=0.05,
            initial="orbit",
            options={"axis": 1.5, "eccentricity": 0.0},
        ),
        "comet": Preset(
            title="Close encounters",
            about=(
                "Eccentricity 0.85: long slow arcs and violent close passages, in which potential "
                "and kinetic energy swap. Fixed steps turn the ellipse a little at each passage; "
                "an adaptive one resolves it."
            ),
            dt=0.005,
            initial="orbit",
            options={"axis": 2.0, "eccentricity": 0.85},
        ),
        "published": Preset(
            title="Race: nearly circular orbits",
            about=(
                "Two bodies circle each other at a random distance. 500 points over t = 25, the "
                "data of Greydanus, Dzamba and Yosinski (2019) and of Matsubara, Ishikawa and "
                "Yaguchi (2020). Watch the distance from the truth grow along the orbit, and "
                "whether the true energy of a lane swings or drifts away."
            ),
            dt=25 / 499,
            initial="published",
        ),
    }

    @property
    def equation(self) -> str:
        strength, softening = self.values["gravity"], self.values["softening"]
        distance = r"|q_1 - q_2|"
        if softening != 0:
            distance = rf"\sqrt{{|q_1 - q_2|^2 + {number(softening)}^2}}"
        return self.ode_equation(
            rf"\tfrac12|p_1|^2 + \tfrac12|p_2|^2 - \frac{{{number(strength)}}}{{{distance}}}"
        )

    def energy(self, u: Tensor) -> Tensor:
        apart = u[..., 0:2] - u[..., 2:4]
        distance = (apart.square().sum(-1) + self.values["softening"] ** 2).sqrt()
        return u[..., 4:].square().sum(-1) / 2 - self.values["gravity"] / distance

    def kinetic_gradient(self, p: Tensor) -> Tensor:
        """p."""
        return p

    def potential_gradient(self, q: Tensor) -> Tensor:
        """(G(q₁ − q₂)/ρ³, G(q₂ − q₁)/ρ³)."""
        apart = q[..., 0:2] - q[..., 2:4]
        squared = apart.square().sum(-1, keepdim=True) + self.values["softening"] ** 2
        pull = self.values["gravity"] * apart / (squared * squared.sqrt())
        return torch.cat([pull, -pull], -1)

    def potential_secant(self, v: Tensor, u: Tensor) -> Tensor:
        """±G (r′ + r)/(ρ′ρ(ρ′ + ρ)), r = q₁ − q₂, primes at v."""
        r, s = v[..., 0:2] - v[..., 2:4], u[..., 0:2] - u[..., 2:4]
        soft = self.values["softening"] ** 2
        a = (r.square().sum(-1, keepdim=True) + soft).sqrt()
        b = (s.square().sum(-1, keepdim=True) + soft).sqrt()
        pull = self.values["gravity"] * (r + s) / (a * b * (a + b))
        return torch.cat([pull, -pull], -1)

    @property
    def energy_scale(self) -> float:
        """G, the potential energy at distance 1."""
        return self.values["gravity"]

    def stiffest_state(self) -> Tensor:
        """The initial orbit at its closest approach.

        With relative energy h = ½w² − 2G/d and angular momentum L of q₁ − q₂, that is at
        d = L²/(2G(1 + e)), e² = 1 + 2hL²/(2G)².
        """
        u = self.initial()
        apart, speed = u[0:2] - u[2:4], u[4:6] - u[6:8]
        pull = 2 * self.values["gravity"]
        spin = apart[0] * speed[1] - apart[1] * speed[0]
        relative = speed.square().sum() / 2 - pull / apart.norm()
        eccentricity = (1 + 2 * relative * (spin / pull) ** 2).clamp(min=0).sqrt()
        closest = spin**2 / (pull * (1 + eccentricity))
        return torch.cat([u[:4] * closest / apart.norm(), u[4:]])

    def exact_holds(self) -> bool:
        return super().exact_holds() and self.values["softening"] == 0

    def exact_orbit(self, draw: Draw, t: float, *, axis: float, eccentricity: float) -> Tensor:
        """Kepler orbit of the relative motion, from its far end at t = 0.

        `axis` is the semi-major axis of q₁ − q₂. Variations turn the ellipse anywhere and
        change its axis by up to 20 %.
        """
        a = draw.around(axis, 0.2 * axis)
        turn = draw.shift(2 * math.pi)
        rate = (2 * self.values["gravity"] / a**3).sqrt()
        e = eccentricity
        anomaly = kepler(math.pi + rate * t, e)
        minor = math.sqrt(1 - e * e)
        cos, sin = torch.cos(anomaly), torch.sin(anomaly)
        apart = a[:, None] * torch.stack([cos - e, minor * sin], -1)
        speed = (a * rate / (1 - e * cos))[:, None] * torch.stack([-sin, minor * cos], -1)
        q, p = _rotate(apart / 2, turn), _rotate(speed / 2, turn)
        return torch.cat([q, -q, p, -p], -1)

    def initial_published(self, draw: Draw) -> Tensor:
        """q₁ = −q₂ with coordinates U(½, 3/2), circular velocity times 1 + 0.05 N(0, 1)."""
        q = draw.uniform(0.5, 1.5, 2)
        radius = q.norm(dim=1, keepdim=True)
        p = torch.stack([-q[:, 1], q[:, 0]], -1) / (2 * radius**1.5)
        p = p * (1 + 0.05 * draw.normal(1)) * math.sqrt(self.values["gravity"])
        return torch.cat([q, -q, p, -p], -1)


def kepler(mean_anomaly: Tensor, eccentricity: float) -> Tensor:
    """Eccentric anomaly E of M = E − e sin E, 0 ≤ e < 1, to rounding: Newton inside a bracket."""
    m = torch.remainder(mean_anomaly + math.pi, 2 * math.pi) - math.pi
    low, high = m - eccentricity, m + eccentricity
    anomaly = m
    for _ in range(KEPLER_ITERATIONS):
        defect = anomaly - eccentricity * torch.sin(anomaly) - m
        low = torch.where(defect < 0, anomaly, low)
        high = torch.where(defect < 0, high, anomaly)
        newton = anomaly - defect / (1 - eccentricity * torch.cos(anomaly))
        inside = (newton >= low) & (newton <= high)
        anomaly = torch.where(inside, newton, (low + high) / 2)
    return anomaly


def _rotate(x: Tensor, angle: Tensor) -> Tensor:
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], -1)
