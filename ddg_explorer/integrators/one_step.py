"""The implicit one-step equation shared by the discrete gradient and the implicit midpoint.

    F(v) = v − u − Δt Ḡ ḡ(v, u) = 0

with ḡ the discrete gradient ∇̄H(v, u)/Δxᵈ or the gradient at the midpoint. Every solver below
solves this same equation; they differ in cost only.

* "newton": dense Jacobian, one inverse per trajectory, kept while it contracts. Few unknowns.
* "picard": Anderson-accelerated fixed point with the quadratic part of H implicit in Fourier space.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.base import Step, Stepper
from ddg_explorer.integrators.predictor import Predictor
from ddg_explorer.integrators.semi_implicit import SemiImplicit
from ddg_explorer.solve import Chord, Solution, max_norm, newton

DENSE_LIMIT = 64


class Scheme(Protocol):
    """What a one-step scheme takes from a dynamics; u and v are (B, *state)."""

    def tolerance(self, dtype: torch.dtype) -> float: ...

    def slope(self, dynamics: Dynamics, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """Ḡ ḡ(v, u)."""
        ...

    def nonlinear(self, dynamics: Dynamics, v: Tensor, u: Tensor) -> Tensor:
        """ḡ(v, u) − Q(u + v)/2."""
        ...


class OneStepStepper(Stepper):
    """Solves F(v) = 0 step after step, with a predictor and whatever the solver keeps."""

    def __init__(self, dynamics: Dynamics, scheme: Scheme, max_iterations: int) -> None:
        self.dynamics = dynamics
        self.scheme = scheme
        self.max_iterations = max_iterations
        self.predictor = Predictor()
        self.chord = Chord()
        self.chord_dt: float | None = None
        self.semi_implicit = SemiImplicit.of(dynamics, scheme)

    def reset(self) -> None:
        self.predictor.reset()
        self.chord.inverse = None
        if self.semi_implicit is not None:
            self.semi_implicit.reset()

    @torch.no_grad()
    def step(self, u: Tensor, dt: float) -> Step:
        batch = self.dynamics.batch_shape(u)
        state = self.dynamics.state_shape
        u = u.detach().reshape(-1, *state)
        flat = u.reshape(u.shape[0], -1)
        scale = max_norm(flat).clamp_min(1.0)
        tol = self.scheme.tolerance(u.dtype)
        guess = self.predictor.predict(flat, dt)
        if self.semi_implicit is not None:
            solution = self.semi_implicit.solve(
                u, guess, dt, scale=scale, tol=tol, max_iterations=self.max_iterations
            )
        else:
            solution = self._newton(u, guess, dt, scale, tol)
        value = solution.value.reshape(*batch, *state)
        return Step(
            value,
            solution.residual.reshape(batch),
            solution.iterations.reshape(batch),
            solution.converged.reshape(batch),
            solution.reason,
        )

    def _newton(self, u: Tensor, guess: Tensor, dt: float, scale: Tensor, tol: float) -> Solution:
        def residual(v: Tensor) -> Tensor:
            w = v.reshape(u.shape)
            return (w - u - dt * self.scheme.slope(self.dynamics, w, u, dt)).reshape(v.shape)

        self.chord.residual = residual
        if self.chord_dt != dt:
            self.chord.inverse = None
            self.chord_dt = dt
        return newton(
            residual,
            guess,
            self.chord,
            scale=scale,
            tol=tol,
            max_iterations=self.max_iterations,
        )
