"""The two halves of the fused pass for tanh layers, in C++ (`layers.cpp`, `products.cpp`).

    forward: x, ξ ↦ s        backward: c = ∂L/∂s ↦ ∂L/∂weights

The gradient of a layer's weights sums three products over sites: one of the secant slopes, and one
of the values at either end. Their factors lie in arrays of `(3 n, h)`, so that it is one product.
Without a compiler the caller runs the same formulas in torch (`fused`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.training.native import library, threads_for
from ddg_explorer.training.products import fast_product

Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""W₁, b₁, W₂, b₂ and c·w, the last layer's row times the output scale."""

LAYER, PULL = 50, 10
"""Operations an element in a layer's two ends, and in the backward pass between two products."""


class CompiledLayers:
    """Two hidden layers of tanh at both ends of a step, float64 or float32, on the CPU.

    Their memory is used again at the next call, as new memory costs more than what is done in it.
    """

    def __init__(self) -> None:
        self.mm = fast_product()
        self.memories: dict[tuple[object, ...], _Memory] = {}

    def forward(self, both: Tensor, weights: Weights) -> Tensor:
        """s `(n, k)` of x and ξ stacked, `(2 n, k)`."""
        w1, b1, w2, b2, w = self.weights = tuple(x.detach().contiguous() for x in weights)
        self.both = both
        shape = (len(both) // 2, len(w1), len(w2), both.dtype)
        if shape not in self.memories:
            self.memories[shape] = _Memory(*shape)
        kept = self.kept = self.memories[shape]
        self.mm(both, w1.mT, out=kept.ends1)
        run("layer", LAYER, kept.slope1, b1, kept.ends1, kept.slope1, kept.bend1)
        self.mm(kept.ends1, w2.mT, out=kept.ends2)
        run("layer", LAYER, kept.slope2, b2, kept.ends2, kept.slope2, kept.bend2)
        self.mm(torch.mul(kept.slope2, w, out=kept.outer2[: kept.n]), w2, out=kept.q)
        return self.mm(torch.mul(kept.slope1, kept.q, out=kept.outer1[: kept.n]), w1)

    def gradients(self, c: Tensor) -> list[Tensor]:
        """Of Σ c · s by W₁, b₁, W₂, b₂, and by the last layer's row up to the output scale. Once
        after each `forward`: it works in the memory of what that kept."""
        w1, b1, w2, b2, w = self.weights
        kept = self.kept
        self.mm(c, w1.mT, out=kept.p)
        self.mm(torch.mul(kept.slope1, kept.p, out=kept.inner2[: kept.n]), w2.mT, out=kept.m)
        bias2, row = torch.empty_like(b2), torch.empty_like(w)
        run("second_pull", PULL, kept.m, w, kept.m, kept.slope2, kept.bend2, bias2, row)
        bent, bias1 = self.mm(kept.bend2, w2, out=kept.outer1[kept.n :]), torch.empty_like(b1)
        run("first_pull", PULL, kept.p, kept.q, kept.p, kept.ends1, kept.bend1, bent, bias1)
        return [
            self.mm(kept.outer1.mT, torch.cat([c, self.both])),
            bias1,
            self.mm(kept.outer2.mT, kept.inner2),
            bias2,
            row,
        ]


class _Memory:
    """What the two halves keep of n sites, with layers of h1 and h2 units.

    ∂L/∂W₁ = outer1ᵀ (c, x, ξ),   ∂L/∂W₂ = outer2ᵀ inner2
    """

    def __init__(self, n: int, h1: int, h2: int, dtype: torch.dtype) -> None:
        def empty(rows: int, width: int) -> Tensor:
            return torch.empty(rows, width, dtype=dtype)

        self.n = n
        self.outer1, self.outer2, self.inner2 = empty(3 * n, h1), empty(3 * n, h2), empty(3 * n, h1)
        self.ends1, self.slope1, self.bend1 = self.inner2[n:], empty(n, h1), empty(2 * n, h1)
        self.ends2, self.slope2, self.bend2 = empty(2 * n, h2), empty(n, h2), self.outer2[n:]
        self.q, self.p, self.m = empty(n, h1), empty(n, h1), empty(n, h2)


def run(name: str, operations: int, like: Tensor, *arrays: Tensor) -> None:
    """The entry point of `layers.cpp` on arrays of n sites, `(n, width)` as `like`."""
    threads = threads_for(operations * like.numel())
    library()[name, like.dtype](*like.shape, *(x.data_ptr() for x in arrays), threads)
