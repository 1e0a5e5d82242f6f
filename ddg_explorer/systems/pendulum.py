"""Pendulum, with friction: the nonlinear oscillator.

    q̇ = p/m,   ṗ = −g sin q − r p/m,    H = p²/(2m) + g (1 − cos q)

(q, p) angle and momentum; states are `(..., 2)`, nondimensional; small swings have frequency
√(g/m). With G = S energy is conserved, with G = [[0, 1], [−1, −r]] friction r ≥ 0 dissipates it.
Hanging still: H = 0; upright (the separatrix): H = 2g. The undamped motion is an elliptic function
(Abramowitz and Stegun, 1964, §16).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ddg_explorer.discrete import secant
from ddg_explorer.systems.base import Parameter, Preset
from ddg_explorer.systems.draw import Draw
from ddg_explorer.systems.elliptic import elliptic_functions
from ddg_explorer.systems.latex import total
from ddg_explorer.systems.mechanics import STRENGTHS, MechanicalSystem


class Pendulum(MechanicalSystem):
    """q̇ = p/m, ṗ = −g sin q − r p/m; H = p²/(2m) + g (1 − cos q)."""

    name = "pendulum"
    title = "Pendulum"
    parameters: Mapping[str, Parameter] = {
        "mass": Parameter(1.0, (0.1, 10.0), "m", "mass: kinetic energy p²/(2m)", log=True),
        "gravity": Parameter(
            1.0, (0.1, 10.0), "g", "depth of the potential g(1 − cos q)", log=True
        ),
        **STRENGTHS,
    }
    presets: Mapping[str, Preset] = {
        "swing": Preset(
            title="Wide swing",
            about=(
                "Released from rest at 130°. The orbit in the phase plane is no ellipse any more, "
                "and the period is half as long again as for small swings. A scheme that "
                "conserves H stays on the one closed curve for ever, at any Δt; only the period "
                "is off."
            ),
            dt=0.05,
            initial="release",
            options={"angle": 2.27},
        ),
        "separatrix": Preset(
            title="Almost upright",
            about=(
                "Released a hair's breadth from the top. It hesitates, swings round and hesitates "
                "on the other side. Here a small error in H decides whether it swings back or "
                "goes over the top: schemes that let H drift sooner or later do the wrong thing."
            ),
            dt=0.05,
            initial="release",
            options={"angle": 3.1},
        ),
        "friction": Preset(
            title="Over the top, with friction",
            about=(
                "Pushed hard enough to rotate. Friction takes energy out until it cannot pass the "
                "top any more; then it swings and spirals into rest. The energy falls at every "
                "step, at any Δt."
            ),
            dt=0.05,
            initial="push",
            parameters={"friction": 0.08},
            options={"momentum": 3.2},
        ),
        "published": Preset(
            title="Race: a wide pendulum",
            about=(
                "A swing that starts at a radius U(1.3, 2.3) in the phase plane. H = p² + 3(1 − "
                "cos q) and 100 points over t = 20, the data of Greydanus, Dzamba and Yosinski "
                "(2019) and of Matsubara, Ishikawa and Yaguchi (2020). Watch who stays on the "
                "closed curve, and who keeps in time with the truth."
            ),
            dt=20 / 99,
            initial="ring",
            parameters={"mass": 0.5, "gravity": 3.0},
            options={"low": 1.3, "high": 2.3},
        ),
        "published_test": Preset(
            title="Published rollouts: small swings",
            about="The same pendulum from the box |q|, |p| ∈ [0.2, 1] of the published rollouts.",
            dt=20 / 99,
            initial="box",
            parameters={"mass": 0.5, "gravity": 3.0},
            options={"low": 0.2, "high": 1.0},
        ),
    }

    @property
    def equation(self) -> str:
        m, g = self.values["mass"], self.values["gravity"]
        return self.ode_equation(total([(1 / (2 * m), "p^2"), (g, r"(1 - \cos q)")]))

    def energy(self, u: Tensor) -> Tensor:
        q, p = u[..., 0], u[..., 1]
        kinetic = p.square() / (2 * self.values["mass"])
        return kinetic + self.values["gravity"] * (1 - torch.cos(q))

    def kinetic_gradient(self, p: Tensor) -> Tensor:
        """p/m."""
        return p / self.values["mass"]

    def potential_gradient(self, q: Tensor) -> Tensor:
        """g sin q."""
        return self.values["gravity"] * torch.sin(q)

    def potential_secant(self, v: Tensor, u: Tensor) -> Tensor:
        """−g times the secant slope of cos."""
        return -self.values["gravity"] * secant("cos", v, u)

    @property
    def energy_scale(self) -> float:
        """2g, the energy of the pendulum at rest upside down."""
        return 2 * self.values["gravity"]

    def stiffest_state(self) -> Tensor:
        """Hanging still, where the potential curves most."""
        return torch.zeros(2, dtype=self.dtype, device=self.device)

    def exact_release(self, draw: Draw, t: float, *, angle: float) -> Tensor:
        """Motion from rest at `angle` (radians, below π); variations start up to 0.3 lower.

        With k = sin(angle/2), k′ = cos(angle/2), ω = √(g/m) and elliptic functions of ωt:
        q = 2 atan2(k cn, k′), p = −2mωkk′ sn/dn.
        """
        mass = self.values["mass"]
        omega = math.sqrt(self.values["gravity"] / mass)
        start = angle - draw.shift(0.3)
        k, k_prime = torch.sin(start / 2), torch.cos(start / 2)
        sn, cn, dn = elliptic_functions(omega * t, k, k_prime)
        p = -2 * mass * omega * k * k_prime * sn / dn
        return torch.stack([2 * torch.atan2(k * cn, k_prime), p], -1)

    def initial_push(self, draw: Draw, *, momentum: float) -> Tensor:
        """Hanging, with a momentum; variations change it by up to 20 %."""
        p = draw.around(momentum, 0.2 * abs(momentum))
        return torch.stack([torch.zeros_like(p), p], -1)
