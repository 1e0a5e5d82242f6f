"""What an implicit one-step scheme is made of, for the solvers that drive it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics, Increments


class Scheme(Protocol):
    """The functions of v − u − Δt Ḡ ḡ(v, u) = 0; u and v are (B, *state)."""

    max_iterations: int
    solver: str

    def tolerance(self, dtype: torch.dtype) -> float:
        """Bound on the scaled update."""
        ...

    def slope(self, dynamics: Dynamics, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """Ḡ ḡ(v, u)."""
        ...

    def gradient(self, dynamics: Dynamics, v: Tensor, u: Tensor) -> Tensor:
        """ḡ(v, u)."""
        ...

    def nonlinear(self, dynamics: Dynamics, v: Tensor, u: Tensor) -> Tensor:
        """ḡ(v, u) − Q(u + v)/2."""
        ...

    def split(self, dynamics: Dynamics, u: Tensor, c: float) -> Callable[[Tensor], Tensor]:
        """v ↦ N(v, u) − c (v − u)/2 with N = `nonlinear`."""
        ...

    def increments(self, dynamics: Dynamics) -> Increments | None:
        """What evaluates ḡ(u + w, u) fast for one u, None where nothing does."""
        ...
