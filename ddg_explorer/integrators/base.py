"""One time-stepping scheme and one running instance of it.

An `Integrator` is an immutable choice of scheme and tolerances. `Integrator.stepper(dynamics)`
makes a `Stepper`, which owns the caches of one rollout (predictor history, Jacobians, symbols) and
is never shared between threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics

DEFAULT_TOL = {torch.float64: 1e-12, torch.float32: 1e-6}


@dataclass(frozen=True, slots=True)
class Step:
    """One step's result; every field but `value` and `reason` has the batch's shape.

    Attributes
    ----------
    value
        The state at t + Δt, (*batch, *state).
    residual
        max over the state of the defect of the scheme's equation; 0 for explicit schemes.
    iterations
        Iterations of the implicit solve, or evaluations of the right-hand side.
    converged
        False where the solve missed its tolerance or the state is not finite.
    reason
        "" if all converged, else one readable line.
    """

    value: Tensor
    residual: Tensor
    iterations: Tensor
    converged: Tensor
    reason: str = ""


class Stepper(ABC):
    """A scheme bound to a dynamics, with the caches of one rollout."""

    @abstractmethod
    def step(self, u: Tensor, dt: float) -> Step:
        """Advance u(t) to u(t + dt)."""

    def reset(self) -> None:
        """Forget what was learned from earlier steps; called when the state is replaced.

        A scheme without memory has nothing to forget.
        """
        return


class Integrator(ABC):
    """A scheme. `preserves` says which law holds exactly, and on what condition.

    An `adaptive` one chooses its own substeps of Δt, so that it gets no further with a smaller Δt.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int]
    implicit: ClassVar[bool]
    preserves: ClassVar[str]
    adaptive: bool = False

    def __init__(self, *, tol: float | None = None) -> None:
        if tol is not None and not 0 < tol < 1:
            raise ValueError(f"tol={tol}: must lie between 0 and 1")
        self.tol = tol

    def tolerance(self, dtype: torch.dtype) -> float:
        """The given tolerance, or 1e-12 in float64 and 1e-6 in float32."""
        return DEFAULT_TOL[dtype] if self.tol is None else self.tol

    @abstractmethod
    def stepper(self, dynamics: Dynamics) -> Stepper:
        """A fresh running instance for one rollout."""
