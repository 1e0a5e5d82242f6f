"""Collocation steps without Fourier symbols: ODEs, learned energies, state-dependent G.

    F(a) = a − Δt 𝒢(a) = 0

* `DenseModes`: Newton's method on all s·n unknowns, the inverse Jacobian kept and updated.
* `MeasuredModes`: large fields. a ← a − M⁻¹F(a) with M = 1 − Δt X⊗Ĵ, Ĵ the symbol of the
  translation-averaged Jacobian of G∇H, measured by its response to impulses; Anderson mixing.

Shapes: u (B, *state), modes (B, s·n).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.collocation_fourier import FourierModes
from ddg_explorer.integrators.collocation_modes import Effort, ModeEquation
from ddg_explorer.integrators.fourier import fourier_form
from ddg_explorer.integrators.semi_implicit import MIN_PIVOT
from ddg_explorer.solve import (
    Chord,
    Mixer,
    Progress,
    Solution,
    anderson,
    linearize,
    max_norm,
    measured_symbol,
    newton,
    symbols,
)

DENSE_ODE = 2048
DENSE_FIELD = 256
"""Unknowns s·n up to which the dense Jacobian is used."""
STALE_DT = 1.5
"""A Jacobian is taken anew where Δt has changed by more than this factor."""
MIXING_DEPTH = 8
SLOW = 15
"""The symbol is measured anew after a step that took more iterations than this."""


def mode_equation(dynamics: Dynamics, s: int, k: int) -> ModeEquation:
    """The solver that suits the dynamics.

    Raises
    ------
    ValueError
        For an ODE too large for a dense Jacobian.
    """
    form = fourier_form(dynamics)
    if form is not None:
        return FourierModes(dynamics, form, s, k)
    unknowns = s * math.prod(dynamics.state_shape)
    if dynamics.grid is not None and unknowns > DENSE_FIELD:
        return MeasuredModes(dynamics, s, k)
    if unknowns > DENSE_ODE:
        raise ValueError(
            f"integrator='collocation{2 * s}': an ODE of {unknowns // s} components needs "
            f"{unknowns} unknowns, the dense solver takes {DENSE_ODE}; use 'discrete_gradient'"
        )
    return DenseModes(dynamics, s, k)


class DenseModes(ModeEquation):
    """Newton's method with a dense Jacobian, kept while Δt stays about the same."""

    def __init__(self, dynamics: Dynamics, s: int, k: int) -> None:
        super().__init__(dynamics, s, k)
        self.chord = Chord()
        self.dt = 0.0

    def reset(self) -> None:
        self.chord.forget()

    def solve(self, u: Tensor, guess: Tensor, dt: float, scale: Tensor, effort: Effort) -> Solution:
        if not 1 / STALE_DT < dt / (self.dt or math.inf) < STALE_DT:
            self.chord.forget()
            self.dt = dt
        return newton(
            lambda a: self.defect(u, a, dt),
            guess,
            self.chord,
            scale=scale,
            tol=effort.tol,
            max_iterations=effort.max_iterations,
            polish=effort.polish,
        )


class MeasuredModes(ModeEquation):
    """Anderson-accelerated fixed point with a measured preconditioner."""

    def __init__(self, dynamics: Dynamics, s: int, k: int) -> None:
        super().__init__(dynamics, s, k)
        assert dynamics.grid is not None
        self.grid = dynamics.grid
        self.reset()

    def reset(self) -> None:
        self.rate: Tensor | None = None
        self.inverse: Tensor | None = None
        self.dt: float | None = None
        self.mixer = Mixer(MIXING_DEPTH)

    def _prepare(self, u: Tensor, dt: float) -> Tensor:
        """M⁻¹ as a symbol over the s·C channels of all modes."""
        nd, s, channels = self.grid.ndim, self.s, u.shape[1]
        if self.rate is None:
            rate = measured_symbol(linearize(self.dynamics.rhs, u), u, nd)
            self.rate = rate if symbols.mixes(rate, nd) else rate[None, None]
            self.inverse = None
        if self.inverse is None or self.dt != dt:
            x = self.table(u).integral.to(self.rate.dtype)
            block = torch.einsum("ij,cd...->icjd...", x, dt * self.rate)
            block = block.reshape(s * channels, s * channels, *self.rate.shape[2:])
            self.inverse = symbols.safe_inverse(symbols.one_minus(block, nd), nd, MIN_PIVOT)
            self.dt = dt
        return self.inverse

    def solve(self, u: Tensor, guess: Tensor, dt: float, scale: Tensor, effort: Effort) -> Solution:
        inverse = self._prepare(u, dt)
        b, nd = u.shape[0], self.grid.ndim
        channels = (b, self.s * u.shape[1], *self.grid.shape)

        def g(a: Tensor) -> Tensor:
            spectrum = self.grid.rfft(self.defect(u, a, dt).view(channels))
            return a - self.grid.irfft(symbols.apply(inverse, spectrum, nd)).reshape(a.shape)

        progress = Progress(scale, effort.tol, effort.polish)
        a, _ = anderson(g, guess, progress, mixer=self.mixer, max_iterations=effort.max_iterations)
        if progress.iterations.max() > SLOW:
            self.rate = None
        return progress.solution(a, max_norm(self.defect(u, a, dt)), "collocation")
