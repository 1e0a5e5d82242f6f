"""A two-layer perceptron at many points, and the derivatives of what it gives there.

    e(x) = c·w·σ(W₂ σ(W₁x + b₁) + b₂) [+ ½ xᵀQx]

`GradientPoints` gives s = ∇e, an energy's part in a slope; `ValuePoints` gives the vector e itself
(w a matrix). For cotangents k, `rows` gives the derivatives of φ = Σ k · s, summed over some of
the points of a row, with respect to the weights and to every x. With p = W₁k, q = W₂ᵀ(σ′₂ ∘ cw),

    ∂φ/∂W₂ = Σ σ′₂cw ⊗ σ′₁p + α₂ ⊗ h₁,   ∂φ/∂W₁ = Σ σ′₁q ⊗ k + α₁ ⊗ x,   ∂φ/∂x = W₁ᵀα₁ + Qk
    α₂ = σ″₂cw ∘ W₂(σ′₁p),   α₁ = σ″₁ ∘ q ∘ p + σ′₁ ∘ W₂ᵀα₂

Points are `(n, sites, m)`. A row has one of these for each of its `terms`: `index` `(rows, terms)`
says which, k is `(rows, terms, out)` or `(n, rows, terms, out)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from ddg_explorer.models.networks import Perceptron
from ddg_explorer.training.ends import layer_point


@dataclass(frozen=True)
class Rows:
    """Derivatives of a row: sums of outer products by weight, plain ones, and by point.

    Attributes
    ----------
    outer
        Weight → factors `(n, rows, terms, a)` and `(n, rows, terms, b)`, summed over the terms.
    plain
        Weight → `(n, rows, *shape of the weight)`.
    pull
        ∂φ/∂x, `(n, rows, terms, m)`.
    """

    outer: dict[str, tuple[Tensor, Tensor]]
    plain: dict[str, Tensor]
    pull: Tensor


def blocks(parts: Sequence[Rows]) -> dict[str, Tensor]:
    """The sum of several parts of the same weights, `(n, rows, *shape of the weight)`."""
    out = {}
    for name in parts[0].outer:
        left, right = zip(*(part.outer[name] for part in parts), strict=True)
        out[name] = torch.cat(left, -2).mT @ torch.cat(right, -2)
    for name in parts[0].plain:
        out[name] = torch.stack([part.plain[name] for part in parts]).sum(0)
    return out


class Points(Protocol):
    """What is known at the points of one evaluation."""

    output: Tensor

    def rows(self, k: Tensor, index: Tensor) -> Rows: ...


class GradientPoints:
    """s = ∇e at points x; see the module's equation.

    Parameters
    ----------
    part
        A perceptron of depth 2 with one output.
    name
        Its name in the model, with a dot behind it.
    x
        Whitened inputs.
    """

    def __init__(self, part: Perceptron, name: str, x: Tensor) -> None:
        one, two, three = part.dense
        self.part, self.name, self.x = part, name, x
        self.first = layer_point(part.activation, one(x))
        self.second = layer_point(part.activation, two(self.first.t))
        self.w1, self.w2, self.w = one.weight, two.weight, three.weight[0] * part.scale
        self.sigma_w = self.second.d1 * self.w
        self.q = self.sigma_w @ self.w2
        self.sigma_q = self.first.d1 * self.q
        self.output = self.sigma_q @ self.w1
        if part.quadratic is not None:
            self.output = self.output + x @ self.symmetric

    @cached_property
    def symmetric(self) -> Tensor:
        assert self.part.quadratic is not None
        return (self.part.quadratic + self.part.quadratic.mT) / 2

    def rows(self, k: Tensor, index: Tensor) -> Rows:
        """Derivatives of φ = Σ k · s over the points of every row."""
        p = k @ self.w1.mT
        slope = self.first.d1[:, index]
        pull = slope * p
        m = pull @ self.w2.mT
        alpha2 = m * self.w * self.second.d2[:, index]
        alpha1 = (self.first.d2 * self.q)[:, index] * p + (alpha2 @ self.w2) * slope
        x, k = self.x[:, index], k.expand(*alpha1.shape[:-1], -1)
        last = (self.second.d1[:, index] * m).sum(-2, keepdim=True) * self.part.scale
        name = f"{self.name}layers."
        outer = {
            f"{name}0.weight": (
                torch.cat([self.sigma_q[:, index], alpha1], -2),
                torch.cat([k, x], -2),
            ),
            f"{name}1.weight": (
                torch.cat([self.sigma_w[:, index], alpha2], -2),
                torch.cat([pull, self.first.t[:, index]], -2),
            ),
        }
        plain = {
            f"{name}0.bias": alpha1.sum(-2),
            f"{name}1.bias": alpha2.sum(-2),
            f"{name}2.weight": last,
            f"{name}2.bias": torch.zeros_like(last[..., 0]),
        }
        back = alpha1 @ self.w1
        if self.part.quadratic is not None:
            product = k.mT @ x
            plain[f"{self.name}quadratic"] = (product + product.mT) / 2
            back = back + k @ self.symmetric
        return Rows(outer, plain, back)


class ValuePoints:
    """The perceptron's own values at points x; parameters as in `GradientPoints`, any output."""

    def __init__(self, part: Perceptron, name: str, x: Tensor) -> None:
        one, two, three = part.dense
        self.part, self.name, self.x = part, name, x
        self.first = layer_point(part.activation, one(x))
        self.second = layer_point(part.activation, two(self.first.t))
        self.w1, self.w2, self.w3 = one.weight, two.weight, three.weight
        self.output = three(self.second.t) * part.scale

    def rows(self, k: Tensor, index: Tensor) -> Rows:
        """Derivatives of φ = Σ k · e over the points of every row."""
        second, first = self.second, self.first
        k = k * self.part.scale
        alpha2 = second.d1[:, index] * (k @ self.w3)
        alpha1 = first.d1[:, index] * (alpha2 @ self.w2)
        k = k.expand(*alpha1.shape[:-1], -1)
        name = f"{self.name}layers."
        outer = {
            f"{name}0.weight": (alpha1, self.x[:, index]),
            f"{name}1.weight": (alpha2, first.t[:, index]),
            f"{name}2.weight": (k, second.t[:, index]),
        }
        plain = {
            f"{name}0.bias": alpha1.sum(-2),
            f"{name}1.bias": alpha2.sum(-2),
            f"{name}2.bias": k.sum(-2),
        }
        return Rows(outer, plain, alpha1 @ self.w1)
