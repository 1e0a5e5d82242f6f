"""Mass on a spring: the harmonic oscillator.

    q̇ = p/m,   ṗ = −k q − r p/m,    H = p²/(2m) + ½ k q²

(q, p) displacement and momentum; states are `(..., 2)`, nondimensional; the frequency is √(k/m).
The published experiments use H = q² + p², that is m = ½, k = 2 (Greydanus, Dzamba and Yosinski,
2019, arXiv:1906.01563). The equation is linear for every constant G, so its exact solution is a
matrix exponential.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ddg_explorer.systems.base import Parameter, Preset
from ddg_explorer.systems.draw import Draw
from ddg_explorer.systems.latex import total
from ddg_explorer.systems.mechanics import STRENGTHS, MechanicalSystem


class MassSpring(MechanicalSystem):
    """q̇ = p/m, ṗ = −k q − r p/m; H = p²/(2m) + ½ k q²."""

    name = "mass_spring"
    title = "Mass and spring"
    energy_degree = 2
    parameters: Mapping[str, Parameter] = {
        "mass": Parameter(1.0, (0.1, 10.0), "m", "mass: kinetic energy p²/(2m)", log=True),
        "stiffness": Parameter(1.0, (0.1, 10.0), "k", "spring constant: energy ½kq²", log=True),
        **STRENGTHS,
    }
    presets: Mapping[str, Preset] = {
        "oscillation": Preset(
            title="Oscillation",
            about=(
                "The orbit is a circle in the phase plane. Explicit Euler spirals outwards, "
                "Runge–Kutta 4 at large Δt inwards; the discrete gradient stays on the circle at "
                "any Δt and only lags in phase."
            ),
            dt=0.1,
            initial="release",
            options={"displacement": 1.0},
        ),
        "friction": Preset(
            title="With friction",
            about=(
                "Friction takes energy out whenever the mass moves: a spiral into rest, and an "
                "energy that falls in steps, steepest where the speed is greatest."
            ),
            dt=0.1,
            initial="release",
            parameters={"friction": 0.15},
            options={"displacement": 1.0},
        ),
        "stiff": Preset(
            title="Stiff spring",
            about=(
                "k = 10 at Δt = 0.4: the explicit limit is near. Pull Δt beyond the mark and "
                "explicit schemes explode; the discrete gradient keeps the energy and gives the "
                "wrong phase."
            ),
            dt=0.4,
            initial="release",
            parameters={"stiffness": 10.0},
            options={"displacement": 1.0},
        ),
        "published": Preset(
            title="Race: a mass on a spring",
            about=(
                "One circle in the phase plane, of a radius drawn from U(0.1, 1). H = q² + p² "
                "and 100 points over t = 20, the data of Greydanus, Dzamba and Yosinski (2019) "
                "and of Matsubara, Ishikawa and Yaguchi (2020). Watch who stays on the circle: "
                "a model without an energy has nothing that holds it there."
            ),
            dt=20 / 99,
            initial="ring",
            parameters={"mass": 0.5, "stiffness": 2.0},
            options={"low": 0.1, "high": 1.0},
        ),
        "published_test": Preset(
            title="Published rollouts: small oscillations",
            about="The same spring from the box |q|, |p| ∈ [0.2, 1] of the published rollouts.",
            dt=20 / 99,
            initial="box",
            parameters={"mass": 0.5, "stiffness": 2.0},
            options={"low": 0.2, "high": 1.0},
        ),
    }

    @property
    def equation(self) -> str:
        m, k = self.values["mass"], self.values["stiffness"]
        return self.ode_equation(total([(1 / (2 * m), "p^2"), (k / 2, "q^2")]))

    def energy(self, u: Tensor) -> Tensor:
        q, p = u[..., 0], u[..., 1]
        return p.square() / (2 * self.values["mass"]) + (self.values["stiffness"] / 2) * q.square()

    def kinetic_gradient(self, p: Tensor) -> Tensor:
        """p/m."""
        return p / self.values["mass"]

    def potential_gradient(self, q: Tensor) -> Tensor:
        """kq."""
        return self.values["stiffness"] * q

    def potential_secant(self, v: Tensor, u: Tensor) -> Tensor:
        """k(q′ + q)/2."""
        return (self.values["stiffness"] / 2) * (v + u)

    @property
    def energy_scale(self) -> float:
        """½k, the energy of displacement 1."""
        return self.values["stiffness"] / 2

    @property
    def has_exact(self) -> bool:
        return not self.structure.state_dependent

    def exact(self, t: float, seed: int = 0, batch: int | None = None) -> Tensor:
        """exp(tGQ) u₀, Q = diag(k, 1/m), for every preset and every constant G."""
        unit = torch.eye(2, dtype=torch.float64)
        columns = self.structure.apply(self.gradient(unit).to(self.dtype).to(self.device))
        flow = torch.linalg.matrix_exp(float(t) * columns)
        return self.initial(seed, batch) @ flow

    def initial_release(self, draw: Draw, *, displacement: float) -> Tensor:
        """At rest at a displacement; variations change it by up to 30 %."""
        q = draw.around(displacement, 0.3 * displacement)
        return torch.stack([q, torch.zeros_like(q)], -1)
