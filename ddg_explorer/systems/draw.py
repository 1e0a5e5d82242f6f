"""Seeded random numbers for initial states.

Every trajectory of a batch has its own generator and is made on its own, in float64 on the CPU. So
trajectory i of a seed is the same state, bit by bit, in a batch of any size and on any device.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor

SEED_LIMIT = 2**32
BATCH_LIMIT = 100_000


class Draw:
    """Random numbers of one trajectory, with a leading dimension of 1.

    Trajectory 0 of seed 0 is a preset as it is titled: it takes the nominal value of everything
    drawn by `around` and `shift`. All others are variations of it.
    """

    def __init__(self, seed: int, row: int) -> None:
        self.nominal = seed == 0 and row == 0
        self.generator = torch.Generator().manual_seed(seed * 1_000_003 + row)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """U(low, high) numbers, shape (1, *shape)."""
        unit = torch.rand((1, *shape), generator=self.generator, dtype=torch.float64)
        return low + (high - low) * unit

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1) numbers, shape (1, *shape)."""
        return torch.randn((1, *shape), generator=self.generator, dtype=torch.float64)

    def around(self, value: float, spread: float) -> Tensor:
        """value + spread · U(−1, 1), nominally `value`; shape (1,)."""
        drawn = value + spread * self.uniform(-1, 1)
        return torch.full_like(drawn, value) if self.nominal else drawn

    def shift(self, high: float) -> Tensor:
        """U(0, high), nominally 0; shape (1,)."""
        drawn = self.uniform(0, high)
        return torch.zeros_like(drawn) if self.nominal else drawn


def draws(seed: int, batch: int | None) -> list[Draw]:
    """One `Draw` per trajectory; a single one for batch=None.

    Raises
    ------
    ValueError
        If the seed is no integer in [0, 2³²), or the batch no integer in [1, 100000].
    """
    try:
        seed, count = operator.index(seed), 1 if batch is None else operator.index(batch)
    except TypeError:
        raise ValueError(f"seed={seed!r}, batch={batch!r}: must be integers") from None
    if not 0 <= seed < SEED_LIMIT:
        raise ValueError(f"seed={seed}: must lie in [0, 2³²)")
    if not 1 <= count <= BATCH_LIMIT:
        raise ValueError(f"batch={count}: must lie in [1, {BATCH_LIMIT}]")
    return [Draw(seed, row) for row in range(count)]
