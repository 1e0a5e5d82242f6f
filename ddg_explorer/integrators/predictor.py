"""Extrapolation in time of something that is known at equal steps: smooth, or ringing.

    xₙ₊₁ ≈ the value for which (1 − z)ᵖ(1 + z)ʳ x vanishes there,   z xₙ = xₙ₋₁

p differences let polynomials of degree < p go on; r sums let what changes sign at every step go on,
as the fast modes of a scheme like the midpoint rule do, whose factor tends to −1. The pair (p, r)
is the one whose prediction of the newest member was best: what its polynomial leaves of the members
is exactly that prediction's error. Fixed-point solvers extrapolate the nonlinear term of the step,
dense ones the state itself.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

MAX_ORDER = 8
"""Largest p + r."""
SUMS = 2
"""Largest r."""
LARGE = 1 << 18
"""Beyond this many numbers a member, fewer are kept."""
SAMPLED = 1 << 13
"""Numbers of a member, about, that rules are compared on."""
CHOOSE_EVERY = 16
"""Members after which the rule is chosen anew, once the history is full."""


class Predictor:
    """A short history of members of one shape, and the rule (p, r) that has been best."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.history: Tensor | None = None
        self.count = 0
        self.slot = -1
        self.rule, self._age = (1, 0), 0
        self._weights: dict[tuple[int, int, int], Tensor] = {}

    def _choose(self, x: Tensor) -> tuple[int, int]:
        """The rule that would have predicted the newest member best; x tells dtype and device."""
        assert self.history is not None
        size = self.history.shape[0]
        rules, table = _rules(self.count)
        newest_first = [(self.slot - i) % size for i in range(len(table[0]))]
        members = self.history[:, :: max(1, x.numel() // SAMPLED)][newest_first]
        left = torch.tensor(table, dtype=x.dtype, device=x.device) @ members
        errors = torch.linalg.vector_norm(left, float("inf"), dim=1).tolist()
        best = min(range(len(rules)), key=errors.__getitem__)
        return rules[best] if math.isfinite(errors[best]) else (1, 0)

    def _weight(self, x: Tensor) -> Tensor:
        """Weights of the members, in storage order, for the extrapolation by `rule`."""
        assert self.history is not None
        key = (*self.rule, self.slot)
        if key not in self._weights:
            size = self.history.shape[0]
            row = [0.0] * size
            for i, weight in enumerate(_polynomial(*self.rule)[1:]):
                row[(self.slot - i) % size] = -weight
            self._weights[key] = torch.tensor(row, dtype=x.dtype, device=x.device)
        return self._weights[key]

    def push(self, x: Tensor) -> None:
        """Take in the newest member; another shape starts afresh."""
        flat = _numbers(x)
        if not self.fits(x):
            self.reset()
            size = MAX_ORDER + 1 if flat.shape[0] < LARGE else MAX_ORDER // 2 + 1
            self.history = flat.new_zeros(size, flat.shape[0])
        assert self.history is not None
        size = self.history.shape[0]
        self.slot = (self.slot + 1) % size
        self.history[self.slot] = flat
        young = self.count < size
        self.count = min(self.count + 1, size)
        self._age += 1
        if self.count > 1 and (young or self._age % CHOOSE_EVERY == 0):
            self.rule = self._choose(flat)

    def predict(self, like: Tensor) -> Tensor:
        """The member after the newest one, in the shape of `like` and the dtype of the history."""
        assert self.history is not None
        if self.rule == (1, 0):
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


@cache
def _rules(kept: int) -> tuple[list[tuple[int, int]], list[list[float]]]:
    """The rules that `kept` members allow, and their polynomials, lowest first."""
    rules = [(p, r) for r in range(SUMS + 1) for p in range(1, kept - r)]
    polynomials = [_polynomial(*rule) for rule in rules]
    return rules, [row + [0.0] * (kept - len(row)) for row in polynomials]


def _polynomial(p: int, r: int) -> list[float]:
    """Coefficients of (1 − z)ᵖ(1 + z)ʳ, lowest first."""
    found = [1.0]
    for sign in (-1.0,) * p + (1.0,) * r:
        found = [a + sign * b for a, b in zip((*found, 0.0), (0.0, *found), strict=True)]
    return found


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
