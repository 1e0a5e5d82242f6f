"""A running simulation: step, reset, edit, change Δt, integrator or dynamics, snapshot.

    uₖ₊₁ = Φ_Δt(uₖ),   tₖ = t₀ + k Δt

States are `(*batch, d)` or `(*batch, C, *grid)`; every number in a `Frame` has the batch's shape.
Time is counted, not summed, so it carries no drift while Δt is constant. A step that does not
converge, or whose state is not finite or has grown beyond `GROWTH_LIMIT`, is not taken: the rollout
stops, keeps the last good state and says why: H or ∇H of that state, where it is not finite. A
smaller Δt is advised where that may help: not for such a state, nor to a scheme that has tried it.

A `Rollout` holds the caches of one stepper and is used by one thread at a time. States are never
written in place, so frames and snapshots share them instead of copying.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.frames import (
    Frame,
    checked_state,
    failed_step,
    largest,
    measure,
    singular_state,
)
from ddg_explorer.integrators import Integrator, resolve_integrator
from ddg_explorer.systems.base import checked_dt

GROWTH_LIMIT = 1e6
"""A state is taken as diverged where max|u| exceeds this many times max(1, max|u₀|)."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that `Rollout.restore` needs; shares its tensors with the rollout's frames."""

    frame: Frame
    clock: tuple[float, int, float]
    dynamics: Dynamics
    integrator: Integrator
    truth: Dynamics | None
    bound: Tensor
    """max|u| of every trajectory beyond which it is taken as diverged."""


class Rollout:
    """A state that is advanced by an integrator.

    Parameters
    ----------
    dynamics
        A system or a learned model.
    u0
        Initial state, (*batch, *state_shape), float32 or float64 as the dynamics is; copied once.
    dt
        Time step Δt > 0 (nondimensional).
    integrator
        A key of `INTEGRATORS` or an `Integrator`.
    tol
        Tolerance of an integrator given by name; see `Integrator.tolerance`.
    truth
        The true system, where `dynamics` is a model of it: `Frame.energy` is its energy.
    growth
        A trajectory stops the rollout where its max|u| exceeds this many times max(1, max|u₀|), u₀
        the state that it began with or that was last put in place.

    Raises
    ------
    ValueError
        For a state of wrong shape, dtype or with non-finite values, a Δt that is not positive, an
        unknown integrator, or one that does not suit the dynamics.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        u0: Tensor,
        dt: float,
        integrator: str | Integrator = "discrete_gradient",
        *,
        tol: float | None = None,
        truth: Dynamics | None = None,
        growth: float = GROWTH_LIMIT,
    ) -> None:
        self.truth = truth
        self._dynamics = dynamics
        self._u0 = checked_state(dynamics, u0).clone()
        self._growth = growth
        self._dt = checked_dt(dt)
        self._tol = tol
        self._integrator = resolve_integrator(integrator, tol)
        self._stepper = self._integrator.stepper(dynamics)
        self.reset()

    @property
    def dynamics(self) -> Dynamics:
        return self._dynamics

    @property
    def integrator(self) -> Integrator:
        return self._integrator

    @property
    def t(self) -> float:
        """Time t₀ + kΔt, with k the steps since Δt last changed."""
        return self._t0 + self._k * self._dt

    @property
    def u(self) -> Tensor:
        """The current state; not to be written to."""
        return self._frame.u

    @property
    def dt(self) -> float:
        return self._dt

    @property
    def steps(self) -> int:
        """Steps taken since the start or the last reset."""
        return self._frame.step

    @property
    def frame(self) -> Frame:
        """The latest frame."""
        return self._frame

    @property
    def stopped(self) -> str:
        """Why the rollout stopped; empty while it can go on."""
        return self._frame.reason

    def step(self, n: int = 1) -> Frame:
        """Advance by `n` steps and measure the state reached.

        A failed step is not taken: the frame then holds the last good state with
        `converged=False` where it failed and the reason, and later calls return that frame until
        the state, Δt, the integrator or the dynamics is changed.
        """
        n = checked_count("n", n, 0)
        if self.stopped or n == 0:
            return self._frame
        with torch.no_grad():
            return self._advance(n)

    def frames(self, steps: int, every: int = 1) -> Iterator[Frame]:
        """Yield a frame after every `every` of `steps` steps and after the last one.

        Ends early, with the frame that carries the reason, where a step fails. The starting frame
        is `self.frame` and is not yielded.
        """
        steps, every = checked_count("steps", steps, 0), checked_count("every", every, 1)
        done = 0
        while done < steps and not self.stopped:
            n = min(every, steps - done)
            yield self.step(n)
            done += n

    def set_dt(self, dt: float) -> None:
        """Use another Δt from here on; clears a stop."""
        self._t0, self._k, self._dt = self.t, 0, checked_dt(dt)
        self._clear_stop()

    def set_integrator(self, integrator: str | Integrator) -> None:
        """Use another scheme from here on; clears a stop."""
        chosen = self._resolve(integrator)
        self._stepper = chosen.stepper(self._dynamics)
        self._integrator = chosen
        self._clear_stop()

    def set_dynamics(
        self,
        dynamics: Dynamics,
        integrator: str | Integrator | None = None,
        *,
        truth: Dynamics | None = None,
    ) -> None:
        """Go on from this state with other parameters or another G; clears a stop.

        `integrator`, where given, comes with them: the old one need not suit the new dynamics, nor
        the new one the old. `truth`, where given, replaces the true system whose energy is
        reported. What is refused changes nothing.
        """
        if dynamics.state_shape != self._dynamics.state_shape:
            raise ValueError(
                f"dynamics: its states have shape {dynamics.state_shape}, "
                f"this rollout's have {self._dynamics.state_shape}"
            )
        dynamics.batch_shape(self.u)
        chosen = self._integrator if integrator is None else self._resolve(integrator)
        self._stepper = chosen.stepper(dynamics)
        self._dynamics, self._integrator = dynamics, chosen
        self.truth = truth or self.truth
        self._frame = self._measure(self.u, self.steps)

    def replace(self, u: Tensor) -> None:
        """Put another state of the same shape in place (painting, editing); clears a stop."""
        if u.shape != self.u.shape:
            raise ValueError(f"u has shape {tuple(u.shape)}: needs {tuple(self.u.shape)}")
        u = checked_state(self._dynamics, u).to(self.u).clone()
        self._stepper.reset()
        self._frame = self._measure(u, self.steps)
        self._set_bound()

    def reset(self) -> None:
        """Go back to the initial state at t = 0, keeping Δt, integrator and dynamics."""
        self._t0, self._k = 0.0, 0
        self._stepper.reset()
        self._frame = self._measure(self._u0, 0)
        self._set_bound()

    def snapshot(self) -> Snapshot:
        """The present state, clock, dynamics, integrator and truth, to be restored later."""
        clock = (self._t0, self._k, self._dt)
        run = (self._dynamics, self._integrator, self.truth, self._bound)
        return Snapshot(self._frame, clock, *run)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot.

        The stepper starts afresh, so an implicit scheme repeats its steps to within its tolerance
        rather than bit by bit.
        """
        self._stepper = snapshot.integrator.stepper(snapshot.dynamics)
        self._dynamics, self._integrator = snapshot.dynamics, snapshot.integrator
        self._t0, self._k, self._dt = snapshot.clock
        self.truth, self._bound = snapshot.truth, snapshot.bound
        self._frame = snapshot.frame

    def _advance(self, n: int) -> Frame:
        start, u, taken = self._frame, self.u, 0
        residual = torch.zeros_like(start.residual)
        iterations, failed = torch.zeros_like(start.iterations), None
        while taken < n:
            step = self._stepper.step(u, self._dt)
            # A comparison with NaN is False, so this one test also catches non-finite states.
            good = step.converged & (largest(step.value, residual.ndim) <= self._bound)
            if not bool(good.all()):
                failed = step, good
                break
            u, taken = step.value, taken + 1
            residual = torch.maximum(residual, step.residual)
            iterations = torch.maximum(iterations, step.iterations)
        self._k += taken
        if taken:
            self._frame = self._measure(u, start.step + taken, residual, iterations)
        if failed is not None:
            step, good = failed
            self._stepper.reset()
            dt = None if self._integrator.adaptive else self._dt
            stop = singular_state(self._dynamics, self._frame, good)
            stop = stop or failed_step(self.t, step, good, self._bound, dt)
            self._frame = replace(self._frame, converged=good, stop=stop)
        return self._frame

    def _measure(
        self, u: Tensor, step: int, residual: Tensor | None = None, iterations: Tensor | None = None
    ) -> Frame:
        return measure(self._dynamics, self.truth, self.t, step, u, residual, iterations)

    def _resolve(self, integrator: str | Integrator) -> Integrator:
        return resolve_integrator(integrator, self._tol if isinstance(integrator, str) else None)

    def _set_bound(self) -> None:
        """Measure growth from the present state on, of every trajectory by itself."""
        size = largest(self.u, self._frame.residual.ndim)
        self._bound = self._growth * size.clamp(min=1.0)

    def _clear_stop(self) -> None:
        if self.stopped:
            good = torch.ones_like(self._frame.converged)
            self._frame = replace(self._frame, converged=good, stop=None)


def checked_count(name: str, value: int, least: int) -> int:
    """`value` as an int; ValueError unless it is an integer ≥ `least`."""
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}={value!r}: must be an integer ≥ {least}")
    return int(value)
