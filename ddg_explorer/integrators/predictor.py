"""First guesses for implicit steps by polynomial extrapolation of the last states.

    v ≈ Σ_{j ≤ q} ∇ʲuₙ   (backward differences, equal steps)

The order q is the one whose prediction of the state just accepted was best: ‖∇^{q+1}uₙ‖ is exactly
that prediction's error, so the choice costs one small matrix product.
"""

from __future__ import annotations

import math
from collections import deque

import torch
from torch import Tensor

MAX_ORDER = 7


class Predictor:
    """Extrapolates a sequence of states (B, n) taken at equal steps; a new Δt starts afresh."""

    def __init__(self, max_order: int = MAX_ORDER) -> None:
        self.max_order = max_order
        self.states: deque[Tensor] = deque(maxlen=max_order + 2)
        self.dt: float | None = None
        self._tables: dict[int, Tensor] = {}

    def reset(self) -> None:
        self.states.clear()
        self.dt = None

    def _table(self, count: int, like: Tensor) -> Tensor:
        """Rows: the backward differences ∇⁰ … ∇^{count−1} of `count` states, newest first."""
        if count not in self._tables:
            rows = [[(-1.0) ** i * math.comb(j, i) for i in range(count)] for j in range(count)]
            self._tables[count] = torch.tensor(rows, dtype=like.dtype, device=like.device)
        return self._tables[count]

    def predict(self, u: Tensor, dt: float) -> Tensor:
        """Remember `u` and guess the state at Δt later."""
        if self.states and (self.dt != dt or self.states[0].shape != u.shape):
            self.reset()
        self.dt = dt
        self.states.appendleft(u)
        count = len(self.states)
        if count == 1:
            return u
        history = torch.stack(tuple(self.states)).view(count, -1)
        differences = self._table(count, u) @ history
        sizes = torch.linalg.vector_norm(differences[1:], float("inf"), dim=1).tolist()
        best = min(range(len(sizes)), key=sizes.__getitem__)
        if not math.isfinite(sizes[best]):
            return u
        return differences[: best + 1].sum(0).view_as(u)
