"""Wave equation on a ring, in displacement and velocity or in strain and velocity.

    u_t = v,    v_t = c² u_xx − r v     H = ∫ ½v² + ½c² u_x² dx    G = [[0, 1], [−1, −r]]
    e_t = v_x,  v_t = c² e_x − r v      H = ∫ ½v² + ½c² e² dx      G = [[0, ∂x], [∂x, −r]]

e = u_x. States are `(..., 2, n)` with channels (u, v) or (e, v), periodic, nondimensional; c is the
speed of both travelling waves into which every solution splits (d'Alembert). The exact solution is
that of the partial differential equation for the band-limited interpolant of the initial state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.structure import (
    DampedSymplectic,
    MinusIdentity,
    StrainWave,
    Structure,
    Symplectic,
)
from ddg_explorer.systems.base import Parameter, Preset
from ddg_explorer.systems.draw import Draw
from ddg_explorer.systems.fields import FieldSystem, column
from ddg_explorer.systems.latex import total
from ddg_explorer.systems.wave_modes import propagate

DISPLACEMENT = {
    "symplectic": "S: conserves energy",
    "damped_symplectic": "S − R: friction dissipates energy",
    "growing": "S + ε: breaks the law, energy rises",
}
STRAIN = {
    "strain_wave": "[[0, ∂x], [∂x, 0]]: conserves energy, strain and momentum",
    "damped_strain_wave": "[[0, ∂x], [∂x, −r]]: friction dissipates energy",
}


class Wave(FieldSystem):
    """u_t = v, v_t = c² u_xx − r v; H = ∫ ½v² + ½c² u_x² dx; or the same in strain e = u_x."""

    name = "wave"
    title = "Wave equation"
    ndim = 1
    energy_degree = 2
    parameters: Mapping[str, Parameter] = {
        "speed": Parameter(1.0, (0.1, 10.0), "c", "wave speed", log=True),
        "friction": Parameter(
            0.2,
            (0.0, 2.0),
            "r",
            "friction r ≥ 0",
            structures=("damped_symplectic", "damped_strain_wave"),
        ),
        "growth": Parameter(
            0.02,
            (0.0, 0.2),
            r"\varepsilon",
            "strength of the law-breaking part +ε of G",
            structures=("growing",),
        ),
    }
    choices: Mapping[str, tuple[str, ...]] = {"form": ("displacement", "strain")}
    structures: Mapping[str, str] = {**DISPLACEMENT, **STRAIN}
    """Of both forms; an instance has those of its own."""
    structure_symbols: Mapping[str, str] = {
        "symplectic": "S",
        "damped_symplectic": "(S - R)",
        "growing": r"(S + \varepsilon)",
        "strain_wave": r"\begin{pmatrix}0 & \partial_x\\ \partial_x & 0\end{pmatrix}",
        "damped_strain_wave": r"\begin{pmatrix}0 & \partial_x\\ \partial_x & -r\end{pmatrix}",
    }
    presets: Mapping[str, Preset] = {
        "pulse": Preset(
            title="Plucked pulse",
            about=(
                "A bump released from rest splits into two halves that run round the ring, pass "
                "through each other and rebuild the bump at every full turn. On a coarse grid the "
                "short waves lag behind: that is dispersion of the stencil, not of the scheme in "
                "time."
            ),
            dt=0.02,
            initial="pulse",
            n=200,
            length=10.0,
            options={"width": 0.5},
        ),
        "standing": Preset(
            title="Standing wave",
            about=(
                "A sine that swings in place: potential and kinetic energy swap twice a period "
                "and their sum does not move. The exact solution is known."
            ),
            dt=0.02,
            initial="mode",
            n=128,
            length=10.0,
            options={"mode": 3, "travelling": False},
        ),
        "travelling": Preset(
            title="Travelling wave packet",
            about=(
                "A packet that runs one way only. What runs back, or changes its shape, is an "
                "error; with the spectral operator there is none in space."
            ),
            dt=0.01,
            initial="packet",
            n=200,
            length=10.0,
            operator="spectral",
            options={"width": 0.8, "mode": 10},
        ),
        "strain": Preset(
            title="Strain form",
            about=(
                "The same equation in strain e = u_x and velocity v, with the first-derivative "
                "operator G = [[0, ∂x], [∂x, 0]]: it conserves energy, and the integrals of "
                "strain and velocity as well."
            ),
            dt=0.02,
            initial="pulse",
            n=200,
            length=10.0,
            choices={"form": "strain"},
            options={"width": 0.6},
        ),
        "damped": Preset(
            title="Damped pulse",
            about=(
                "Friction on the velocity: the pulses shrink as they run, the energy falls at "
                "every step, and what stays is a flat string at its mean displacement."
            ),
            dt=0.02,
            initial="pulse",
            n=200,
            length=10.0,
            parameters={"friction": 0.2},
            options={"width": 0.5},
        ),
    }

    @property
    def strain(self) -> bool:
        """Whether the first channel is the strain u_x rather than the displacement u."""
        return self.chosen["form"] == "strain"

    def _read_choices(self, given: Mapping[str, Any]) -> None:
        super()._read_choices(given)
        self.structures = STRAIN if self.strain else DISPLACEMENT

    def _shape(self) -> tuple[int, ...]:
        return (2, *self.grid.shape)

    def _prepare(self) -> None:
        super()._prepare()
        stiffness = torch.ones_like(self._laplacian_symbol)
        if not self.strain:
            stiffness = -self._laplacian_symbol
        symbol = torch.zeros(2, 2, *self.grid.half_shape, dtype=self.dtype, device=self.device)
        symbol[0, 0] = self.values["speed"] ** 2 * stiffness
        symbol[1, 1] = 1.0
        self._quadratic_symbol = symbol

    def build_structure(self, key: str, values: Mapping[str, float]) -> Structure:
        if key == "strain_wave":
            return StrainWave(self.grid, self.operator)
        if key == "damped_strain_wave":
            return StrainWave(self.grid, self.operator, friction=values["friction"])
        if key == "damped_symplectic":
            return DampedSymplectic(values["friction"], self.grid)
        if key == "growing":
            return Symplectic(self.grid) - values["growth"] * MinusIdentity(self.grid)
        return Symplectic(self.grid)

    @property
    def equation(self) -> str:
        first = "e" if self.strain else "u"
        potential = "e^2" if self.strain else "u_x^2"
        energy = total([(0.5, "v^2"), (self.values["speed"] ** 2 / 2, potential)])
        return (
            rf"\partial_t\binom{{{first}}}{{v}} = {self.structure_symbol}\frac{{\delta H}}"
            rf"{{\delta({first}, v)}},\quad H = \int {energy}\,dx"
        )

    def energy(self, u: Tensor) -> Tensor:
        first, v = u[..., 0, :], u[..., 1, :]
        stretch = self.grid.integral(first.square()) if self.strain else self.dirichlet(first)
        return 0.5 * self.grid.integral(v.square()) + (self.values["speed"] ** 2 / 2) * stretch

    def gradient(self, u: Tensor) -> Tensor:
        """(−c² Δu, v), or (c² e, v) in strain form."""
        first, v = u[..., :1, :], u[..., 1:, :]
        return torch.cat([self.potential_gradient(first), v], -2)

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """The gradient at the midpoint: H is quadratic."""
        return self.gradient((u + v) / 2)

    def kinetic_gradient(self, p: Tensor) -> Tensor:
        """v."""
        return p

    def potential_gradient(self, q: Tensor) -> Tensor:
        """−c² Δu, or c² e in strain form."""
        stretch = q if self.strain else -self.laplacian(q)
        return self.values["speed"] ** 2 * stretch

    @property
    def separable(self) -> bool:
        return self.structure_key == "symplectic"

    def quadratic_symbol(self) -> Tensor:
        """diag(−c²Δ^, 1), or diag(c², 1) in strain form; (2, 2, *half_shape)."""
        return self._quadratic_symbol

    def nonlinear_gradient(self, u: Tensor) -> Tensor:
        """Zero: H is quadratic."""
        return torch.zeros_like(u)

    def nonlinear_discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """Zero: H is quadratic."""
        return torch.zeros_like(u)

    @property
    def has_exact(self) -> bool:
        return self.structure_key is not None and self.structure_key != "growing"

    def exact(self, t: float, seed: int = 0, batch: int | None = None) -> Tensor:
        """Solution of the differential equation from `initial(seed, batch)`, with friction or not.

        Exact for the band-limited interpolant of the initial state, for every preset and time.
        """
        if not self.has_exact:
            return super().exact(t, seed, batch)
        start = self.initial(seed, batch).to(torch.float64).cpu()
        out = propagate(
            self.grid.rfft(start),
            self.grid.wavenumbers()[0],
            float(t),
            speed=self.values["speed"],
            friction=self.values["friction"],
            strain=self.strain,
        )
        return self.grid.irfft(out).to(self.dtype).to(self.device)

    def _channels(self, displacement: Tensor, velocity: Tensor) -> Tensor:
        """(u, v), or (u_x, v) in strain form with the exact derivative of the interpolant."""
        if self.strain:
            slope = self.grid.derivative_symbol(0, "spectral", torch.float64, "cpu")
            displacement = self.grid.irfft(slope * self.grid.rfft(displacement))
        return torch.cat([displacement, velocity], 1)

    def initial_pulse(self, draw: Draw, *, width: float) -> Tensor:
        """u = exp(−(x − x₀)²/(2 width²)) at rest; variations move it, width ± 30 %."""
        x, length = self.coordinates()[0], self.grid.length[0]
        centre = column(length / 2 + draw.shift(length), 1)
        size = column(draw.around(width, 0.3 * width), 1)
        offset = torch.remainder(x - centre + length / 2, length) - length / 2
        u = torch.exp(-((offset / size) ** 2) / 2)
        return self._channels(u, torch.zeros_like(u))

    def initial_mode(self, draw: Draw, *, mode: int, travelling: bool) -> Tensor:
        """u = sin(kx), k = 2π mode/L, at rest or travelling to the right; shifted in variations."""
        k = 2 * math.pi * mode / self.grid.length[0]
        phase = k * (self.coordinates()[0] - column(draw.shift(self.grid.length[0]), 1))
        velocity = -self.values["speed"] * k * torch.cos(phase)
        return self._channels(torch.sin(phase), velocity if travelling else 0 * velocity)

    def initial_packet(self, draw: Draw, *, width: float, mode: int) -> Tensor:
        """Gaussian times cosine, running to the right: v = −c u_x; shifted in variations."""
        x, length = self.coordinates()[0], self.grid.length[0]
        offset = torch.remainder(x - column(draw.shift(length), 1), length) - length / 2
        k = 2 * math.pi * mode / length
        u = torch.exp(-((offset / width) ** 2) / 2) * torch.cos(k * offset)
        slope = self.grid.derivative_symbol(0, "spectral", torch.float64, "cpu")
        return self._channels(u, -self.values["speed"] * self.grid.irfft(slope * self.grid.rfft(u)))
