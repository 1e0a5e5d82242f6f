"""Extrapolation in time of something smooth that is known at equal steps.

    xₙ₊₁ ≈ Σ_{j ≤ q} ∇ʲxₙ   (backward differences)

The order q is the one whose prediction of the newest member was best: ‖∇^{q+1}xₙ‖ is exactly that
prediction's error. Fixed-point solvers extrapolate the nonlinear term of the step, dense ones the
state itself.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_ORDER = 7
LARGE = 1 << 18
"""Beyond this many numbers a member, fewer are kept."""
CHOOSE_EVERY = 16
"""Members after which the order is chosen anew, once the history is full."""


class Predictor:
    """A short history of members of one shape, newest first, with the best order so far."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.history: Tensor | None = None
        self.count = 0
        self.slot = -1
        self.order = self._age = 0
        self._weights: dict[tuple[int, int], Tensor] = {}

    def _differences(self, x: Tensor) -> list[float]:
        """max|∇ʲ| of the members kept, j = 1 … count − 1."""
        rows = []
        assert self.history is not None
        size = self.history.shape[0]
        for j in range(1, self.count):
            row = [0.0] * size
            for i in range(j + 1):
                row[(self.slot - i) % size] = (-1.0) ** i * math.comb(j, i)
            rows.append(row)
        table = torch.tensor(rows, dtype=x.dtype, device=x.device)
        table = table[:, : min(self.count, size)] if self.count < size else table
        members = self.history[: self.count] if self.count < size else self.history
        return torch.linalg.vector_norm(table @ members, float("inf"), dim=1).tolist()

    def _weight(self, x: Tensor) -> Tensor:
        """Weights of the members, in storage order, for the extrapolation of order `order`."""
        assert self.history is not None
        key = (self.order, self.slot)
        if key not in self._weights:
            size = self.history.shape[0]
            row = [0.0] * size
            for i in range(self.order + 1):
                row[(self.slot - i) % size] = (-1.0) ** i * math.comb(self.order + 1, i + 1)
            self._weights[key] = torch.tensor(row, dtype=x.dtype, device=x.device)
        return self._weights[key]

    def push(self, x: Tensor) -> None:
        """Take in the newest member; another shape starts afresh."""
        flat = _numbers(x)
        if not self.fits(x):
            self.reset()
            size = MAX_ORDER + 2 if flat.shape[0] < LARGE else MAX_ORDER // 2 + 2
            self.history = flat.new_zeros(size, flat.shape[0])
        assert self.history is not None
        size = self.history.shape[0]
        self.slot = (self.slot + 1) % size
        self.history[self.slot] = flat
        young = self.count < size
        self.count = min(self.count + 1, size)
        self._age += 1
        if self.count > 1 and (young or self._age % CHOOSE_EVERY == 0):
            errors = self._differences(flat)
            best = min(range(len(errors)), key=errors.__getitem__)
            self.order = best if math.isfinite(errors[best]) else 0

    def predict(self, like: Tensor) -> Tensor:
        """The member after the newest one, in the shape and dtype of `like`."""
        assert self.history is not None
        if self.order == 0:
            flat = self.history[self.slot].clone()
        else:
            flat = self._weight(self.history) @ self.history
        if not like.is_complex():
            return flat.view(like.shape)
        return torch.view_as_complex(flat.view(*like.shape, 2))

    def fits(self, x: Tensor) -> bool:
        """Whether members of this shape have been pushed."""
        numbers = x.numel() * (2 if x.is_complex() else 1)
        return self.history is not None and self.history.shape[1] == numbers

    def ends_in(self, x: Tensor) -> bool:
        """Whether x is the newest member."""
        if not self.fits(x) or self.history is None:
            return False
        return torch.equal(self.history[self.slot], _numbers(x))


def _numbers(x: Tensor) -> Tensor:
    """The real numbers of x in one row."""
    return (torch.view_as_real(x) if x.is_complex() else x).reshape(-1)


def guess_state(predictor: Predictor, u: Tensor, same_dt: bool) -> Tensor:
    """Guess of the state after `u`, (B, n), from the states pushed so far.

    The history is dropped where Δt changed or where it does not end in `u`.
    """
    if not same_dt:
        predictor.reset()
    if not predictor.ends_in(u):
        predictor.reset()
        predictor.push(u)
    return predictor.predict(u)
