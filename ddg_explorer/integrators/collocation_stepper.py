"""Running instance of a collocation scheme: prediction, solve, checks, adaptive substeps.

Modes are kept from one substep to the next; their polynomial, extrapolated, is the first guess, and
what it missed is the error estimate. Shapes: u (B, *state), modes (B, s·n).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.base import Stepper
from ddg_explorer.integrators.collocation_control import error_estimate, next_substep, plan
from ddg_explorer.integrators.collocation_general import mode_equation
from ddg_explorer.integrators.collocation_law import (
    Held,
    end_state,
    exact_balance,
    hold_law,
    settle_nodes,
)
from ddg_explorer.integrators.collocation_modes import Effort
from ddg_explorer.integrators.collocation_result import CollocationStep, Substep, gathered
from ddg_explorer.integrators.collocation_tableau import extrapolation, nodes_for_degree
from ddg_explorer.solve import Solution, max_norm

POLISH_ITERATIONS = {True: 3, False: 1}
"""Iterations after the tolerance is met; more for skew G, where what they leave adds up."""
POLISHABLE = 1e-7
"""Largest scaled residual at which one number may restore the energy law."""
HALVINGS = 25
"""Failed or rejected substeps in a row before the step is given up."""
SMALLEST = 16 * torch.finfo(torch.float64).eps
"""Substeps below this fraction of Δt are not tried: what remains of Δt would not notice them."""
GROWTH = 1e6
"""A step is given up where max|u| exceeds this many times max(1, max|u| at its start)."""


class Options(Protocol):
    """What the stepper reads from its integrator."""

    adaptive: bool
    max_iterations: int
    scalar_polish: bool

    def tolerance(self, dtype: torch.dtype) -> float: ...

    def error_tolerance(self, dtype: torch.dtype) -> float: ...


class Memory(NamedTuple):
    """What the steps so far leave for the next one: modes with their Δt, max|u|, substep."""

    modes: Tensor | None
    modes_dt: float
    size: Tensor | None
    h: float | None

    def of(self, i: int) -> Memory:
        """The part of trajectory i."""
        modes, size = (None if x is None else x[i : i + 1] for x in (self.modes, self.size))
        return self._replace(modes=modes, size=size)


class CollocationStepper(Stepper):
    """Steps of s modes; keeps the last polynomial and the substep that suits the tolerance."""

    def __init__(self, dynamics: Dynamics, s: int, options: Options) -> None:
        self.dynamics = dynamics
        self.s = s
        self.options = options
        degree = dynamics.energy_degree
        self.exact = degree is not None
        k = 2 * s if degree is None else nodes_for_degree(s, degree)
        self.equation = mode_equation(dynamics, s, k)
        self.reset()

    def reset(self) -> None:
        self.equation.reset()
        self._forget()

    def _forget(self) -> None:
        self.end: Tensor | None = None
        self.modes: Tensor | None = None
        self.modes_dt = 0.0
        self.extrapolation: tuple[float, Tensor] | None = None
        self.h: float | None = None
        self.size: Tensor | None = None

    @torch.no_grad()
    def step(self, u: Tensor, dt: float) -> CollocationStep:
        batch = self.dynamics.batch_shape(u)
        u = u.detach().reshape(-1, *self.dynamics.state_shape).contiguous()
        if self.end is None or self.end.dtype != u.dtype or not torch.equal(self.end, u):
            self._forget()
        memory = Memory(self.modes, self.modes_dt, self.size, self.h)
        done, substeps = self._march(u, dt)
        if len(u) > 1 and not bool(done.converged.all()):
            # a batch shares its substeps: take its members alone to tell which of them fail
            done = self._alone(u, dt, memory)
        self.end = done.value
        defect = done.law_defect
        return CollocationStep(
            done.value.view(*batch, *self.dynamics.state_shape),
            done.residual.view(batch),
            done.iterations.view(batch),
            done.converged.view(batch),
            done.reason,
            substeps=substeps,
            nodes=self.equation.k,
            error=done.error.view(batch),
            law_defect=None if defect is None else defect.view(batch),
        )

    def _alone(self, u: Tensor, dt: float, memory: Memory) -> Substep:
        """The members one by one, each with its own part of what was known before the step."""
        members, sizes = [], []
        for i, one in enumerate(u.split(1)):
            self.equation.reset()
            self.modes, self.modes_dt, self.size, self.h = memory.of(i)
            members.append(self._march(one, dt)[0])
            sizes.append(self.size)
        done = gathered(members)
        self.equation.reset()
        self._forget()
        if not self.options.adaptive:
            self._keep(done, dt)
            self.size = torch.cat(sizes)
        return done

    def _march(self, u: Tensor, dt: float) -> tuple[Substep, int]:
        """Substeps to t + dt and their number, or the first failure and how many before it."""
        if not self.options.adaptive:
            found = self._attempt(u, dt)
            self._keep(found, dt)
            return found, 1
        rtol = self.options.error_tolerance(u.dtype)
        remaining, done, count, failures = abs(dt), None, 0, 0
        least, bound = SMALLEST * remaining, GROWTH * max_norm(u).clamp_min(1.0)
        h = max(least, self._first_substep(u, remaining) if self.h is None else self.h)
        while True:
            size = plan(h, remaining)
            found = self._attempt(u, math.copysign(size, dt))
            good = bool(found.converged.all())
            error = float(found.error.max())
            if not good or not error <= rtol:
                failures += 1
                h = next_substep(size, self.s, error, rtol, 0) if good else size / 2
                if failures > HALVINGS or h < least:
                    return found.refused(u, size).after(done), count
                continue
            wanted = next_substep(size, self.s, error, rtol, int(found.iterations.max()))
            h = max(h, wanted) if wanted >= size else wanted
            self.h, failures, count = h, 0, count + 1
            self._keep(found, math.copysign(size, dt))
            u, done = found.value, found.after(done)
            if bool((max_norm(u) > bound).any()):
                return done.diverged(bound), count
            if size >= remaining:
                return done, count
            if h < least:
                return done.refused(u, size), count
            remaining -= size

    def _keep(self, found: Substep, dt: float) -> None:
        self.modes, self.modes_dt = found.modes, dt

    def _first_substep(self, u: Tensor, dt: float) -> float:
        """A fiftieth of the time in which u would change by its own size."""
        rate = self.dynamics.rhs(u).abs().flatten(1).amax(1) / u.abs().flatten(1).amax(1)
        fastest = float(rate.max())
        return min(dt, 0.02 / fastest) if 0 < fastest < math.inf else dt

    def _predict(self, u: Tensor, dt: float) -> tuple[Tensor, bool]:
        """Modes of the last polynomial on the next substep; zero where there is none."""
        b, n = u.shape[0], u[0].numel()
        if self.modes is None:
            return u.new_zeros(b, self.s * n), False
        ratio = dt / self.modes_dt
        if self.extrapolation is None or self.extrapolation[0] != ratio:
            self.extrapolation = ratio, torch.as_tensor(extrapolation(self.s, ratio)).to(u)
        return (self.extrapolation[1] @ self.modes.view(b, self.s, n)).view(b, -1), True

    def _attempt(self, u: Tensor, dt: float) -> Substep:
        b = u.shape[0]
        largest = u.abs().flatten(1).amax(1)
        self.size = largest if self.size is None else torch.maximum(self.size, largest)
        scale = largest.clamp_min(1.0)
        guess, predicted = self._predict(u, dt)
        polish = 0 if self.options.scalar_polish else POLISH_ITERATIONS[self.equation.skew]
        tol = self.options.tolerance(u.dtype)
        effort = Effort(tol, polish, self.options.max_iterations)
        found = self.equation.solve(u, guess, dt, scale, effort)
        if predicted and not self.options.adaptive and not bool(found.converged.all()):
            # far from the states they are from, neither the guess nor the splitting need serve
            self.equation.reset()
            guess, predicted = torch.zeros_like(guess), False
            again = self.equation.solve(u, guess, dt, scale, effort)
            found = replace(again, iterations=again.iterations + found.iterations)
        missed = found.value - guess if predicted else found.value.view(b, self.s, -1)[:, -1]
        size = self.size.clamp_min(torch.finfo(u.dtype).tiny)
        error = error_estimate(self.s, missed.abs().amax(1) / size, predicted)
        held = self._hold_law(u, dt, scale, effort, found)
        if held.shift is not None:
            # what the law was restored by is an error of the step too
            error = torch.maximum(error, held.shift / size)
        return Substep(
            held.value,
            held.found.value,
            held.found.residual,
            held.found.iterations,
            held.found.converged,
            held.found.reason,
            error,
            held.defect,
        )

    def _hold_law(
        self, u: Tensor, dt: float, scale: Tensor, effort: Effort, found: Solution
    ) -> Held:
        """The end of the solve, with the energy law restored as asked and needed."""
        polish = self.options.scalar_polish
        if self.exact and not polish:
            return Held(found, end_state(u, found.value, self.s), None, None)
        if self.exact:
            balance = exact_balance(self.equation, u, found.value, dt)
        else:
            found, balance = settle_nodes(self.equation, u, dt, scale, effort, found)
        value = end_state(u, found.value, self.s)
        near = found.converged & (found.residual <= POLISHABLE * scale) & polish
        return hold_law(self.dynamics, value, balance, near, found, effort.tol)
