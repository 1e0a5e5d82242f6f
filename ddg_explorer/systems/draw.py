"""Seeded random numbers for batches of initial states.

Every trajectory of a batch has its own generator, so trajectory i of seed s is the same state in a
batch of any size, with any dtype, on any device: numbers are drawn on the CPU in float64.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor

SEED_LIMIT = 2**32


class Draw:
    """Random numbers of `count` trajectories, one row each.

    Seed 0 is a preset as it is titled: its first trajectory takes the nominal value of everything
    drawn by `around`. Other seeds, and the other trajectories of a batch, are variations of it.

    Raises
    ------
    ValueError
        If the seed is no integer in [0, 2³²) or the count is no positive integer.
    """

    def __init__(self, seed: int, count: int) -> None:
        try:
            seed, count = operator.index(seed), operator.index(count)
        except TypeError:
            raise ValueError(f"seed={seed!r}, batch={count!r}: must be integers") from None
        if not 0 <= seed < SEED_LIMIT:
            raise ValueError(f"seed={seed}: must lie in [0, 2³²)")
        if not 1 <= count <= 100_000:
            raise ValueError(f"batch={count}: must lie in [1, 100000]")
        self.count = count
        self.nominal = seed == 0
        self.generators = [
            torch.Generator().manual_seed(seed * 1_000_003 + row) for row in range(count)
        ]

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """U(low, high) numbers, shape (count, *shape)."""
        rows = [torch.rand(shape, generator=g, dtype=torch.float64) for g in self.generators]
        return low + (high - low) * torch.stack(rows)

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1) numbers, shape (count, *shape)."""
        return torch.stack(
            [torch.randn(shape, generator=g, dtype=torch.float64) for g in self.generators]
        )

    def around(self, value: float, spread: float) -> Tensor:
        """value + spread · U(−1, 1), exactly `value` in the nominal trajectory; shape (count,)."""
        out = value + spread * self.uniform(-1, 1)
        if self.nominal:
            out[0] = value
        return out

    def anywhere(self, high: float) -> Tensor:
        """U(0, high), exactly 0 in the nominal trajectory: a random shift; shape (count,)."""
        out = self.uniform(0, high)
        if self.nominal:
            out[0] = 0
        return out
