"""Steps of the implicit one-step schemes: predictor, choice of the solver, report.

    F(v) = v − u − Δt Ḡ ḡ(v, u) = 0

with ḡ the discrete gradient ∇̄H(v, u)/Δxᵈ or the gradient at the midpoint. All solvers solve this
same equation to the same tolerance and differ in cost only:

* "newton": dense Jacobian, one inverse per trajectory, kept across steps and updated;
* "picard": Anderson-accelerated fixed point, preconditioned in Fourier space;
* "krylov": inexact Newton with exact Jacobian–vector products and the same preconditioner.

"auto" takes "newton" for ODEs of up to `DENSE_ODE` unknowns and for fields of up to `DENSE_FIELD`
unknowns whose symbols are unknown; for larger learned fields the method of `incremental`; else
"picard", and "krylov" from the best iterate where that contracts badly.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics, Increments, less_linear
from ddg_explorer.integrators.base import Integrator, Step, Stepper
from ddg_explorer.integrators.incremental import Incremental
from ddg_explorer.integrators.measured import Measured, equation
from ddg_explorer.integrators.preconditioned import FixedPoint
from ddg_explorer.integrators.predictor import Predictor, guess_state
from ddg_explorer.integrators.scheme import Scheme
from ddg_explorer.integrators.semi_implicit import SemiImplicit
from ddg_explorer.solve import Chord, Solution, max_norm, newton
from ddg_explorer.solve.dense import Residual, jacobian

SOLVERS = ("auto", "newton", "picard", "krylov")
NEARLY_LIMIT = 30
"""Iterations with a closed but inexact Jacobian; where they fail, the exact one is taken."""
DENSE_ODE = 128
DENSE_FIELD = 64


class OneStep(Integrator):
    """An implicit one-step scheme; subclasses give `slope`, `gradient` and `nonlinear`.

    Parameters
    ----------
    tol
        Bound on max|δ|/max(1, max|u|) of the last update δ; default 1e-12 in float64, 1e-6 in
        float32. One polishing iteration follows, two where G is skew and the solver a fixed point.
        From 1e-7 on, a learned float64 field is stepped live: by float32 increments, unpolished.
    max_iterations
        Bound on the iterations of each solver used in a step.
    solver
        "auto", "newton", "picard" or "krylov", see the module.
    """

    implicit = True

    def __init__(
        self, *, tol: float | None = None, max_iterations: int = 100, solver: str = "auto"
    ) -> None:
        super().__init__(tol=tol)
        if max_iterations < 1:
            raise ValueError(f"max_iterations={max_iterations}: must be at least 1")
        if solver not in SOLVERS:
            raise ValueError(f"solver={solver!r}: use one of {', '.join(SOLVERS)}")
        self.max_iterations = max_iterations
        self.solver = solver

    @abstractmethod
    def slope(self, dynamics: Dynamics, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """Ḡ ḡ(v, u)."""

    @abstractmethod
    def gradient(self, dynamics: Dynamics, v: Tensor, u: Tensor) -> Tensor:
        """ḡ(v, u)."""

    @abstractmethod
    def nonlinear(self, dynamics: Dynamics, v: Tensor, u: Tensor) -> Tensor:
        """ḡ(v, u) − Q(u + v)/2."""

    def split(self, dynamics: Dynamics, u: Tensor, c: float) -> Callable[[Tensor], Tensor]:
        """v ↦ N(v, u) − c (v − u)/2 with N = `nonlinear`; evaluated in every iteration."""
        return less_linear(lambda v: self.nonlinear(dynamics, v, u), u, c)

    def increments(self, dynamics: Dynamics) -> Increments | None:
        """What evaluates ḡ(u + w, u) fast for one u, None where nothing does."""
        return None

    def stepper(self, dynamics: Dynamics) -> Stepper:
        return OneStepStepper(dynamics, self)


class OneStepStepper(Stepper):
    """Solves F(v) = 0 step after step, with a predictor and whatever the solver keeps.

    ValueError for dynamics without a G.
    """

    def __init__(self, dynamics: Dynamics, scheme: Scheme) -> None:
        self.dynamics = dynamics
        self.structure = dynamics.structure
        self.scheme = scheme
        self.predictor = Predictor()
        self.chord = Chord()
        self.chord_dt: float | None = None
        self.form = self._choose()
        self.work = scheme.increments(dynamics) if self.form is None else None

    def _choose(self) -> FixedPoint | None:
        """The fixed-point form to use, None for the dense Newton method."""
        if self.scheme.solver == "newton":
            return None
        known = SemiImplicit.of(self.dynamics, self.scheme)
        if known is not None:
            return known
        limit = DENSE_ODE if self.dynamics.grid is None else DENSE_FIELD
        if self.scheme.solver == "auto" and math.prod(self.dynamics.state_shape) <= limit:
            return None
        local = Incremental.of(self.dynamics, self.scheme)
        return Measured(self.dynamics, self.scheme) if local is None else local

    def reset(self) -> None:
        self.predictor.reset()
        self.chord.forget()
        if self.form is not None:
            self.form.reset()

    @torch.no_grad()
    def step(self, u: Tensor, dt: float) -> Step:
        batch = self.dynamics.batch_shape(u)
        state = self.dynamics.state_shape
        u = u.detach().reshape(-1, *state).contiguous()
        scale = max_norm(u).clamp_min_(1.0)
        solve = self._newton if self.form is None else self.form.solve
        found = solve(u, dt, scale)
        return Step(
            found.value.view(*batch, *state),
            found.residual.view(batch),
            found.iterations.view(batch),
            found.converged.view(batch),
            found.reason,
        )

    def _newton(self, u: Tensor, dt: float, scale: Tensor) -> Solution:
        guess = guess_state(self.predictor, u.view(u.shape[0], -1), self.chord_dt == dt)
        if self.chord_dt != dt:
            self.chord.forget()
            self.chord_dt = dt
        tol, limit = self.scheme.tolerance(u.dtype), self.scheme.max_iterations
        residual, slope = self._equation(u, dt)
        solve = partial(newton, chord=self.chord, scale=scale, tol=tol)
        first = limit if slope is None else min(limit, NEARLY_LIMIT)
        found = solve(residual, guess, slope=slope, max_iterations=first)
        if slope is not None and not bool(found.converged.all()):
            # far from u the closed Jacobian is not near enough
            whole = equation(self.scheme, self.dynamics, u, dt)
            exact = partial(jacobian, whole)
            found = solve(whole, guess, slope=exact, max_iterations=limit)
        if bool(found.converged.all()):
            self.predictor.push(found.value)
        else:
            self.predictor.reset()
        return found

    def _equation(self, u: Tensor, dt: float) -> tuple[Residual, Residual | None]:
        """F on flattened states, and its Jacobian where it is known in closed form."""
        structure, work = self.structure, self.work
        whole = equation(self.scheme, self.dynamics, u, dt)
        if work is None:
            return whole, None
        work.start(u, u.dtype)

        def residual(x: Tensor) -> Tensor:
            w = x.view(u.shape) - u
            middle = u + w / 2 if structure.state_dependent else None
            slope = structure.apply(work(w), middle)
            return w.sub_(slope, alpha=dt).view(x.shape)

        def closed(x: Tensor) -> Tensor:
            # to second order in v − u, which a chord does not notice
            columns = work.curvature((u + x.view(u.shape)) / 2, u.dtype).dense().mT
            moved = structure.apply(columns.reshape(-1, *u.shape[1:])).reshape(columns.shape)
            return torch.eye(x.shape[1], dtype=x.dtype, device=x.device) - dt * moved.mT

        known = work.smooth and not structure.state_dependent
        return residual, closed if known else partial(jacobian, whole)
