"""The two halves of the fused pass for tanh layers, as functions to be compiled.

Between its matrix products a training step is elementwise arithmetic on hidden layers. Compiled,
every stretch of it is one loop over memory; kept between the two halves are the values at both ends
and the distances d of both layers, from which the rest follows in few operations (`far_ends`).

    forward: x, ξ ↦ s        backward: c = ∂L/∂s ↦ ∂L/∂weights

The products are torch's or ours, whichever is faster here (`products`).
Without a compiler the caller runs the same formulas uncompiled (`fused`). `(sites, h)` throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.training.compiler import compiler, wanted
from ddg_explorer.training.near_ends import far_ends, far_slope, tanh
from ddg_explorer.training.products import Product, fast_product

Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""W₁, b₁, W₂, b₂ and c·w, the last layer's row times the output scale."""
Kept = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""t and τ of layer 1 stacked, d₁, the same of layer 2, and q."""


def forward(mm: Product, both: Tensor, weights: Weights) -> tuple[Tensor, Kept]:
    """s, and what `backward` needs, from x and ξ stacked."""
    w1, b1, w2, b2, w = weights
    a = mm(both, w1.mT) + b1
    ends1, d1 = tanh(a), _difference(a)
    a = mm(ends1, w2.mT) + b2
    ends2, d2 = tanh(a), _difference(a)
    (t1, tau1), (t2, tau2) = ends1.chunk(2), ends2.chunk(2)
    q = mm(far_slope(t2, tau2, d2) * w, w2)
    s = mm(far_slope(t1, tau1, d1) * q, w1)
    return s, (ends1, d1, ends2, d2, q)


def _difference(ends: Tensor) -> Tensor:
    a, c = ends.chunk(2)
    return a - c


def backward(mm: Product, c: Tensor, both: Tensor, weights: Weights, kept: Kept) -> list[Tensor]:
    """Gradients of W₁, b₁, W₂, b₂, and of the last layer's row up to the output scale."""
    w1, _, w2, _, w = weights
    ends1, d1, ends2, d2, q = kept
    (t1, tau1), (t2, tau2) = ends1.chunk(2), ends2.chunk(2)
    first, second = far_ends(t1, tau1, d1), far_ends(t2, tau2, d2)
    p = mm(c, w1.mT)
    pull = first.slope * p
    m = mm(pull, w2.mT)
    e2 = m * w
    curved = torch.cat([e2 * second.slope_a, e2 * second.slope_c])
    alpha, gamma = mm(curved, w2).chunk(2)
    e1 = q * p
    bent = torch.cat(
        [e1 * first.slope_a + alpha * first.dt, e1 * first.slope_c + gamma * first.dtau]
    )
    # sums by products, which threads do not reorder
    twice, once = bent.new_ones(1, len(bent)), bent.new_ones(1, len(m))
    return [
        mm((first.slope * q).mT, c) + mm(bent.mT, both),
        mm(twice, bent)[0],
        mm((second.slope * w).mT, pull) + mm(curved.mT, ends1),
        mm(twice, curved)[0],
        mm(once, second.slope * m)[0],
    ]


def compile_problem() -> str:
    """Why nothing can be compiled on this machine, one line; "" where it can. Tried once."""
    if compiler() is None:
        return f"needs the C++ compiler {wanted()}, or what CXX names, and Python's headers"
    return _trial()


@cache
def _trial() -> str:
    try:
        fast_product(torch.device("cpu"))
        torch.compile(_difference, dynamic=False)(torch.ones(8))
    except (RuntimeError, OSError) as error:
        line = str(error).strip().partition("\n")[0]
        return f"the C++ compiler is there, but fails: {line}"
    return ""


class CompiledLayers:
    """`forward` and `backward`, compiled at the first call of each shape in a process.

    Parameters
    ----------
    device
        Of the weights.
    """

    def __init__(self, device: torch.device) -> None:
        self.mm = fast_product(device)

    def __call__(self, both: Tensor, weights: Weights) -> Evaluated:
        """The layers at both ends."""
        w1, b1, w2, b2, w = (weight.detach() for weight in weights)
        weights = (w1, b1, w2, b2, w)
        ahead, back = compiled_pair(both.dtype, len(both), w1.shape, w2.shape)
        s, kept = ahead(self.mm, both, weights)
        return Evaluated(partial(back, self.mm), both, weights, kept, s)


@cache
def compiled_pair(dtype: torch.dtype, *shape: object) -> tuple[Callable[..., Any], ...]:
    """`forward` and `backward` for one shape alone: torch compiles one function for a few shapes
    only, and runs it as it stands for all later ones."""
    return tuple(
        torch.compile(FunctionType(half.__code__.replace(), half.__globals__), dynamic=False)
        for half in (forward, backward)
    )


@dataclass(frozen=True)
class Evaluated:
    """s of one chunk, and what its gradients need."""

    back: Callable[..., list[Tensor]]
    both: Tensor
    weights: Weights
    kept: Kept
    s: Tensor

    def gradients(self, c: Tensor) -> list[Tensor]:
        """Of W₁, b₁, W₂, b₂, and of the last layer's row up to the output scale."""
        return self.back(c, self.both, self.weights, self.kept)
