"""The two halves of the fused pass for tanh layers, as functions to be compiled.

Between its matrix products a training step is elementwise arithmetic on hidden layers. Compiled,
every stretch of it is one loop over memory; kept between the two halves are the values at both ends
and the distances d of both layers, from which the rest follows in few operations (`far_ends`).

    forward: x, ξ ↦ s        backward: c = ∂L/∂s ↦ ∂L/∂weights

Without a compiler the caller runs the same formulas uncompiled (`fused`). `(sites, h)` throughout.
"""

from __future__ import annotations

import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ddg_explorer.training.near_ends import far_ends, far_slope, tanh

COMPILERS = ("c++", "g++", "clang++")

Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""W₁, b₁, W₂, b₂ and c·w, the last layer's row times the output scale."""
Kept = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""t and τ of layer 1 stacked, d₁, the same of layer 2, and q."""


def forward(both: Tensor, weights: Weights) -> tuple[Tensor, Kept]:
    """s, and what `backward` needs, from x and ξ stacked."""
    w1, b1, w2, b2, w = weights
    a = torch.addmm(b1, both, w1.mT)
    ends1, d1 = tanh(a), _difference(a)
    a = torch.addmm(b2, ends1, w2.mT)
    ends2, d2 = tanh(a), _difference(a)
    (t1, tau1), (t2, tau2) = ends1.chunk(2), ends2.chunk(2)
    q = (far_slope(t2, tau2, d2) * w) @ w2
    s = (far_slope(t1, tau1, d1) * q) @ w1
    return s, (ends1, d1, ends2, d2, q)


def _difference(ends: Tensor) -> Tensor:
    a, c = ends.chunk(2)
    return a - c


def backward(c: Tensor, both: Tensor, weights: Weights, kept: Kept) -> list[Tensor]:
    """Gradients of W₁, b₁, W₂, b₂, and of the last layer's row up to the output scale."""
    w1, _, w2, _, w = weights
    ends1, d1, ends2, d2, q = kept
    (t1, tau1), (t2, tau2) = ends1.chunk(2), ends2.chunk(2)
    first, second = far_ends(t1, tau1, d1), far_ends(t2, tau2, d2)
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

    def __call__(self, both: Tensor, weights: Weights) -> Evaluated:
        """The layers at both ends."""
        w1, b1, w2, b2, w = (weight.detach() for weight in weights)
        weights = (w1, b1, w2, b2, w)
        s, kept = self.forward(both, weights)
        return Evaluated(self, both, weights, kept, s)


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
