"""The two halves of the fused pass for near ends of tanh layers, as functions to be compiled.

Between its matrix products a training step is elementwise arithmetic on hidden layers. Compiled,
every stretch of it is one loop over memory; kept between the two halves are the values t and the
distances d of both layers, from which the rest follows in a few multiplications (`near_ends`).

    forward: x, ξ ↦ s        backward: c = ∂L/∂s ↦ ∂L/∂weights

A layer's ends farther apart than `NEAR` make the result useless: `forward` returns the largest
distance with it, and the caller does the chunk again without. Without a compiler the caller runs
the same formulas uncompiled (`fused`). `(sites, h)` throughout.
"""

from __future__ import annotations

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ddg_explorer.training.near_ends import NEAR, near_ends, near_values

COMPILERS = ("c++", "g++", "clang++")

Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""W₁, b₁, W₂, b₂ and c·w, the last layer's row times the output scale."""
Kept = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""t and τ of layer 1 stacked, d₁, t₂, d₂, and q."""


def forward(both: Tensor, weights: Weights) -> tuple[Tensor, Kept, Tensor]:
    """s, what `backward` needs, and the largest |d|, from x and ξ stacked."""
    w1, b1, w2, b2, w = weights
    a, c = torch.addmm(b1, both, w1.mT).chunk(2)
    d1 = a - c
    t1, tau1, slope1 = near_values(a, d1)
    ends1 = torch.cat([t1, tau1])
    a, c = torch.addmm(b2, ends1, w2.mT).chunk(2)
    d2 = a - c
    t2, _, slope2 = near_values(a, d2)
    q = (slope2 * w) @ w2
    s = (slope1 * q) @ w1
    largest = torch.maximum(d1.abs().amax(), d2.abs().amax())
    return s, (ends1, d1, t2, d2, q), largest


def backward(c: Tensor, both: Tensor, weights: Weights, kept: Kept) -> list[Tensor]:
    """Gradients of W₁, b₁, W₂, b₂, and of the last layer's row up to the output scale."""
    w1, _, w2, _, w = weights
    ends1, d1, t2, d2, q = kept
    first, second = near_ends(ends1.chunk(2)[0], d1), near_ends(t2, d2)
    p = c @ w1.mT
    pull = first.slope * p
    m = pull @ w2.mT
    e2 = m * w
    curved = torch.cat([e2 * second.slope_a, e2 * second.slope_c])
    alpha, gamma = (curved @ w2).chunk(2)
    e1 = q * p
    bent = torch.cat(
        [e1 * first.slope_a + alpha * first.dt, e1 * first.slope_c + gamma * first.dtau]
    )
    return [
        (first.slope * q).mT @ c + bent.mT @ both,
        bent.sum(0),
        (second.slope * w).mT @ pull + curved.mT @ ends1,
        curved.sum(0),
        (second.slope * m).sum(0),
    ]


def compiler() -> str | None:
    """Path of the C++ compiler that torch would use with Python's headers; None without either."""
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    found = [path for path in map(shutil.which, COMPILERS) if path]
    return found[0] if found and header.is_file() else None


class CompiledLayers:
    """`forward` and `backward`, compiled at the first call of each shape.

    Raises
    ------
    ValueError
        Where there is no compiler.
    """

    def __init__(self) -> None:
        if compiler() is None:
            names = ", ".join(COMPILERS)
            raise ValueError(f"compile=True: needs a C++ compiler ({names}) and Python's headers")
        self.forward = torch.compile(forward, dynamic=False)
        self.backward = torch.compile(backward, dynamic=False)

    def __call__(self, both: Tensor, weights: Weights) -> Evaluated | None:
        """The layers at both ends; None if some are too far apart for these formulas."""
        w1, b1, w2, b2, w = (weight.detach() for weight in weights)
        weights = (w1, b1, w2, b2, w)
        s, kept, largest = self.forward(both, weights)
        # not a number is not near either
        return Evaluated(self, both, weights, kept, s) if float(largest) < NEAR else None


@dataclass(frozen=True)
class Evaluated:
    """s of one chunk, and what its gradients need."""

    layers: CompiledLayers
    both: Tensor
    weights: Weights
    kept: Kept
    s: Tensor

    def gradients(self, c: Tensor) -> list[Tensor]:
        """Of W₁, b₁, W₂, b₂, and of the last layer's row up to the output scale."""
        return self.layers.backward(c, self.both, self.weights, self.kept)
