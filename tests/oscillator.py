"""A harmonic oscillator, its exact flow as an integrator, and integrators that fail on purpose.

H = ½ω²q² + ½p²,   q(t) = q cos ωt + p/ω sin ωt
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.base import Integrator, Step, Stepper
from ddg_explorer.structure import Structure


class Canonical(Structure):
    is_skew = True
    is_dissipative = True

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        return torch.stack([g[..., 1], -g[..., 0]], -1)


class Oscillator(Dynamics):
    state_shape = (2,)

    def __init__(self, omega: float = 1.0, offset: float = 0.0) -> None:
        self.structure = Canonical()
        self.omega = omega
        self.offset = offset

    @property
    def energy_scale(self) -> float:
        return 1.0

    def energy(self, u: Tensor) -> Tensor:
        return (self.omega**2 * u[..., 0] ** 2 + u[..., 1] ** 2) / 2 + self.offset


class ExactStepper(Stepper):
    """The exact flow; counts its resets and tells the number of the step as its iterations."""

    def __init__(self, dynamics: Oscillator) -> None:
        self.omega = dynamics.omega
        self.batch_shape = dynamics.batch_shape
        self.resets = 0
        self.taken = 0

    def reset(self) -> None:
        self.resets += 1

    def step(self, u: Tensor, dt: float) -> Step:
        c, s, w = math.cos(self.omega * dt), math.sin(self.omega * dt), self.omega
        q, p = u.unbind(-1)
        value = torch.stack([c * q + s / w * p, c * p - s * w * q], -1)
        self.taken += 1
        zero = u.new_zeros(self.batch_shape(u))
        good = torch.ones_like(zero, dtype=torch.bool)
        return Step(value, zero + 1e-16 * self.taken, zero.long() + self.taken, good)


class Exact(Integrator):
    name, title, order, implicit, preserves = "exact", "Exact flow", 99, False, "everything"

    def stepper(self, dynamics: Dynamics) -> ExactStepper:
        assert isinstance(dynamics, Oscillator)
        return ExactStepper(dynamics)


class Still(Exact):
    """A stepper that takes no time and leaves the state where it is."""

    def stepper(self, dynamics: Dynamics) -> Stepper:
        class StillStepper(Stepper):
            def step(self, u: Tensor, dt: float) -> Step:
                zero = u.new_zeros(dynamics.batch_shape(u))
                return Step(u.clone(), zero, zero.long(), zero == 0)

        return StillStepper()


class Failing(Exact):
    """The exact flow until step `after`; then one trajectory fails in the way asked for.

    `how`: "flag" is an honest solver's converged=False; a number is put into the state and called
    converged.
    """

    def __init__(self, after: int, how: str | float = "flag", trajectory: int = 0) -> None:
        super().__init__()
        self.after, self.how, self.trajectory = after, how, trajectory

    def stepper(self, dynamics: Dynamics) -> ExactStepper:
        integrator = self

        class FailingStepper(ExactStepper):
            def step(self, u: Tensor, dt: float) -> Step:
                step = super().step(u, dt)
                if self.taken <= integrator.after:
                    return step
                where = () if u.ndim == 1 else (integrator.trajectory,)
                if isinstance(integrator.how, str):
                    step.converged[where] = False
                    return Step(
                        step.value, step.residual, step.iterations, step.converged, "no luck"
                    )
                step.value[where] = integrator.how
                return step

        assert isinstance(dynamics, Oscillator)
        return FailingStepper(dynamics)
