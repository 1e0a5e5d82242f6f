"""Linear operators whose stencil has other weights at every point of a periodic grid.

    (J d)_c(x) = Σ_c′ Σₒ J_cc′o(x) d_c′(x + o)

Fields are `(B, C, *grid)`, weights `(B, C, C·K, N)` with K offsets o and N nodes; channel c′ and
offset o share the third axis, the offset running faster. An ODE is one node whose components are
the channels and whose only offset is (): states `(B, d)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ddg_explorer.grids import Grid

Offset = tuple[int, ...]


def neighbours(
    grid: Grid | None, offsets: Sequence[Offset], device: torch.device | str = "cpu"
) -> Tensor:
    """Flat index of node x + o, `(K, N)`; offsets wrap around."""
    if grid is None:
        return torch.zeros(len(offsets), 1, dtype=torch.int64, device=device)
    nodes = torch.arange(grid.size, device=device).reshape(grid.shape)
    axes = tuple(range(grid.ndim))
    shifted = [torch.roll(nodes, tuple(-i for i in o), axes).flatten() for o in offsets]
    return torch.stack(shifted)


def across_channels(nodes: Tensor, channels: int, size: int) -> Tensor:
    """Indices into flattened states, `(C·K, N)`, of the same neighbours in every channel."""
    start = torch.arange(channels, device=nodes.device) * size
    return (start[:, None, None] + nodes).flatten(0, 1)


class LocalOperator:
    """J of the module's equation.

    Parameters
    ----------
    grid
        The periodic grid, None for an ODE.
    offsets
        The o.
    weights
        `(B, C, C·K, N)`.
    """

    def __init__(self, grid: Grid | None, offsets: Sequence[Offset], weights: Tensor) -> None:
        self.grid, self.offsets, self.weights = grid, tuple(offsets), weights
        channels = weights.shape[1]
        nodes = neighbours(grid, self.offsets, weights.device)
        self._index = across_channels(nodes, channels, weights.shape[-1])
        self._flat = self._index.flatten()

    def apply(self, d: Tensor) -> Tensor:
        """J d, shape and dtype of d; B = 1 weights serve every trajectory."""
        batch, channels = d.shape[0], self.weights.shape[1]
        near = d.reshape(batch, -1).index_select(1, self._flat)
        near = near.view(batch, 1, *self._index.shape)
        if channels == 1:
            return (near * self.weights).sum(2).view(d.shape)
        return torch.einsum("bckn,bkn->bcn", self.weights, near[:, 0]).reshape(d.shape)

    def to(self, dtype: torch.dtype) -> LocalOperator:
        """The same with weights of another dtype."""
        return LocalOperator(self.grid, self.offsets, self.weights.to(dtype))

    def dense(self) -> Tensor:
        """The matrices `(B, C·N, C·N)` on flattened states."""
        batch, channels, _, nodes = self.weights.shape
        out = self.weights.new_zeros(batch, channels, nodes, channels * nodes)
        index = self._index.mT.expand(batch, channels, -1, -1)
        return out.scatter_add_(-1, index, self.weights.mT).flatten(1, 2)

    def symbol(self) -> Tensor:
        """Symbol of the mean over nodes and trajectories: half shape, or `(C, C, *half)`."""
        if self.grid is None:
            raise ValueError("symbol: an ODE has no Fourier symbol")
        channels, count = self.weights.shape[1], len(self.offsets)
        mean = self.weights.mean((0, 3)).view(channels, channels, count)
        strides = [math.prod(self.grid.shape[axis + 1 :]) for axis in range(self.grid.ndim)]
        # the weight of offset o stands at node −o of the convolution kernel
        at = [
            sum(-i % n * s for i, n, s in zip(o, self.grid.shape, strides, strict=True))
            for o in self.offsets
        ]
        kernel = mean.new_zeros(channels, channels, self.grid.size)
        kernel.index_add_(2, torch.tensor(at, device=mean.device), mean)
        symbol = self.grid.rfft(kernel.view(channels, channels, *self.grid.shape))
        return symbol[0, 0] if channels == 1 else symbol
