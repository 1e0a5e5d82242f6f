"""The discrete gradient of an energy network for one start u and many increments w.

    w ↦ ∇̄H(u + w, u)/Δxᵈ = base(u) + Gatherᵀ(W₁ᵀ(σ̄₁ ∘ … Wₖᵀ(σ̄ₖ ∘ c w₀)) + ½ Q x_w)

What depends on u only is computed once; an evaluation then propagates increments δ₁ = W₁x_w,
δₖ₊₁ = Wₖ₊₁(σ̄ₖδₖ) through the layers and pulls back through the slopes σ̄ (`layers`). In float32
the increments keep their relative accuracy, so a float64 state can be stepped with float32 work:
what is lost is the rounding of the slopes, 1e-7 of the terms that ∇̄H is a sum of.

x_w is the stencil of w. Whitening is folded in: W₁ and Q stand for W₁Aᵀ and ½A(Q + Qᵀ)Aᵀ of
`networks`. Features stand first and sites last, so that every array is a few long rows. Sites are
cut into chunks that stay in the cache, and all arrays are buffers.

States `(B, d)` or `(B, C, *grid)`. One worker serves one run and one thread.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.models.chunks import Chunk, Weights, features, site_blocks
from ddg_explorer.models.networks import EnergyNetwork
from ddg_explorer.stencils import LocalOperator, Offset, across_channels, neighbours

KINKED = ("relu", "leaky_relu")
"""Activations whose slope jumps; that of a secant does not."""
CHUNK = 2**17
"""Entries of a hidden layer in a chunk on a CPU: a few MiB in all."""
BLOCK_CHUNK = 2**15
"""The same while the blocks of the second derivative are formed: as many arrays as features."""


class NetworkIncrements:
    """See the module; `start` at a state, call with increments.

    Parameters
    ----------
    network
        Its weights are looked at in every `start`, and folded anew where they have changed.
    state_shape, grid
        Of one state.
    """

    def __init__(
        self, network: EnergyNetwork, state_shape: tuple[int, ...], grid: Grid | None
    ) -> None:
        self.network, self.grid = network, grid
        self._activation = network.density.activation
        self.smooth = self._activation not in KINKED
        self.channels = state_shape[0]
        self.offsets: tuple[Offset, ...] = ((),) if grid is None else network.gather.offsets
        self._nodes = 1 if grid is None else grid.size
        self._hidden = max(len(layer.weight) for layer in network.density.dense[:-1])
        self._folded: dict[torch.dtype, Weights] = {}
        self._seen: list[tuple[Tensor, int]] = []
        self._chunks: list[Chunk] = []
        self._key: tuple | None = None

    def start(self, u: Tensor, dtype: torch.dtype) -> None:
        """Take u as the start of a step, with arithmetic in `dtype`."""
        self._shape = u.shape
        self._fold_weights(u.dtype, dtype)
        exact, self._weights = self._folded[u.dtype], self._folded[dtype]
        rows = self._rows(u)
        self._layout(rows)
        if self._out.dtype != dtype or not self._out.numel():
            self._out = rows.new_empty(len(self._gather), self._nodes * len(u), dtype=dtype)
        for chunk in self._chunks:
            chunk.start(rows, exact, self._weights, self._activation)
        self._base = self._base_of(rows, exact)

    def __call__(self, w: Tensor) -> Tensor:
        """∇̄H(u + w, u)/Δxᵈ, in the dtype of w."""
        rows = self._rows(w).to(self._out.dtype)
        for chunk in self._chunks:
            chunk.evaluate(rows, self._weights, self._out)
        g = self._scatter(self._out).to(w.dtype)
        return g if self._base is None else g.add_(self._base)

    def advance(self, u: Tensor) -> None:
        """Go on to `u`, the start plus the increment of the last call, without evaluating it anew.

        The pre-activations are carried along, off by one more rounding every time. Where weights
        have changed, this is a start.
        """
        if self._fold_weights(u.dtype):
            self.start(u, self._out.dtype)
            return
        for chunk in self._chunks:
            chunk.move()
        self._base = self._base_of(self._rows(u), self._folded[u.dtype])

    def curvature(self, u: Tensor, dtype: torch.dtype) -> LocalOperator:
        """½ δ²H/δu² at u: to second order in w, ∂/∂w of what a call with start u − w/2 gives."""
        self._fold_weights(u.dtype, dtype)
        exact, weights = self._folded[u.dtype], self._folded[dtype]
        rows = self._rows(u)
        self._layout(rows)
        step = max(1, BLOCK_CHUNK // (self._hidden * rows.shape[1]))
        blocks = [
            site_blocks(features(rows, part), exact, weights, self._activation)
            for part in self._gather.split(step, 1)
        ]
        return self._fold_blocks(torch.cat(blocks, 2))

    def _fold_weights(self, *dtypes: torch.dtype) -> bool:
        """See to weights in these dtypes; folded anew, and True, where any has been written to."""
        part = self.network.density
        now = [part.mean, part.whiten, part.scale]
        now += [p for layer in part.dense for p in (layer.weight, layer.bias)]
        now += [] if part.quadratic is None else [part.quadratic]
        # the storage is kept alive, so that its address cannot come again
        same = len(now) == len(self._seen) and all(
            p.data_ptr() == q.data_ptr() and p._version == version and p.dtype == q.dtype
            for p, (q, version) in zip(now, self._seen, strict=True)
        )
        if not same:
            self._folded = {}
            self._seen = [(p.detach(), p._version) for p in now]
        for dtype in dtypes:
            if dtype not in self._folded:
                self._folded[dtype] = Weights.of(part, dtype)
        return not same

    def _rows(self, u: Tensor) -> Tensor:
        """`(C·N, B)`: one row per unknown."""
        return u.reshape(u.shape[0], -1).mT.contiguous()

    def _layout(self, rows: Tensor) -> None:
        """Indices for states of this shape."""
        key = (rows.shape, rows.device)
        if self._key == key:
            return
        batch, device = rows.shape[1], rows.device
        near = neighbours(self.grid, self.offsets, device)
        back = neighbours(self.grid, [tuple(-i for i in o) for o in self.offsets], device)
        self._gather = across_channels(near, self.channels, self._nodes)
        feature = torch.arange(len(self._gather), device=device) * self._nodes
        self._back = (feature[:, None] + back.repeat(self.channels, 1)).flatten()
        step = self._nodes if device.type != "cpu" else max(1, CHUNK // (self._hidden * batch))
        self._chunks = [
            Chunk(self._gather[:, i : i + step], slice(i * batch, (i + step) * batch))
            for i in range(0, self._nodes, step)
        ]
        self._out = rows.new_empty(0)
        self._key = key

    def _scatter(self, s: Tensor) -> Tensor:
        """Values `(m, N·B)` at the stencils added onto the grid, `(B, C, *grid)`."""
        batch = self._shape[0]
        if self.grid is None:
            return s.mT.reshape(self._shape)
        near = s.view(-1, batch).index_select(0, self._back)
        total = near.view(self.channels, len(self.offsets), -1).sum(1)
        return total.view(-1, batch).mT.reshape(self._shape)

    def _base_of(self, rows: Tensor, weights: Weights) -> Tensor | None:
        """The quadratic part's gradient at the start."""
        if weights.quadratic is None:
            return None
        x = features(rows, self._gather)
        return self._scatter(weights.quadratic @ x.sub_(weights.mean))

    def _fold_blocks(self, blocks: Tensor) -> LocalOperator:
        """Blocks `(m, m, N, B)` of every site put together as an operator on the grid."""
        channels, count = self.channels, len(self.offsets)
        batch = blocks.shape[-1] // self._nodes
        pairs = [
            tuple(b - a for a, b in zip(one, two, strict=True))
            for one in self.offsets
            for two in self.offsets
        ]
        offsets = sorted(set(pairs))
        places = {o: i for i, o in enumerate(offsets)}
        nodes = () if self.grid is None else self.grid.shape
        blocks = blocks.view(channels, count, channels, count, *nodes, batch)
        weights = blocks.new_zeros(channels, channels, len(offsets), *nodes, batch)
        axes = tuple(range(3, 3 + len(nodes)))
        for a, own in enumerate(self.offsets):
            moved = torch.roll(blocks[:, a], own, axes) if own else blocks[:, a]
            for b in range(count):
                weights[:, :, places[pairs[a * count + b]]] += moved[:, :, b]
        weights = weights.movedim(-1, 0).reshape(batch, channels, -1, self._nodes)
        return LocalOperator(self.grid, offsets, weights)
