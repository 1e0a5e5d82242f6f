"""One hidden layer at the start of a step: how its output moves when its input does.

    σ̄(a + δ, a) = (σ(a + δ) − σ(a))/δ,      tanh:  σ̄ = (1 − t²) k/(1 + t δ k),  k = tanh(δ)/δ

The increment δ itself goes in and σ̄·δ comes out, so nothing cancels: in float32 an increment keeps
all its digits, however small it is beside the state. For tanh the formula is the addition theorem;
t = tanh(a) enters to absolute accuracy, which is enough where slopes only multiply weights. Other
activations use the closed forms of `discrete`.

Arrays are `(h, sites)`. Results live in buffers that the next call overwrites.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ddg_explorer.discrete import ACTIVATIONS, secant

RATIONAL: tuple[tuple[tuple[float, ...], tuple[float, ...], dict[torch.dtype, float]], ...] = (
    ((105, 945), (15, 420, 945), {torch.float64: 0.12, torch.float32: 1.0}),
    (
        (378, 17325, 135135),
        (28, 3150, 62370, 135135),
        {torch.float64: 0.45, torch.float32: 2.0},
    ),
)
"""tanh(δ)/δ = N(δ²)/D(δ²) to rounding: coefficients from the highest power, N's first is 1 and left
out, and up to which |δ| it is so. Convergents of Lambert's continued fraction."""
SMALL = 4096
"""Numbers up to which one tanh costs less than the calls that a rational function takes."""
LONG = 2.0
"""Up to here the sum 1 + t tanh(δ) of the addition theorem cancels by less than two digits."""


class LayerAt(ABC):
    """One layer's activation at the pre-activations of a state."""

    value: Tensor
    """σ(a) where the layer was made; a `move` need not see to it."""

    @abstractmethod
    def slope(self, delta: Tensor) -> Tensor:
        """σ̄(a + δ, a)."""

    @abstractmethod
    def move(self, delta: Tensor) -> None:
        """Go on to a + δ; all else is computed from there.

        Rounding of a carried a adds up. That of a carried σ(a) is multiplied: by the ratio of the
        slopes, where a neuron comes out of saturation.
        """

    @abstractmethod
    def derivatives(self) -> tuple[Tensor, Tensor]:
        """σ′(a) and σ″(a)."""


class TanhAt(LayerAt):
    """tanh: the addition theorem, with a rational k while increments are short.

    δ must not be zero: the caller adds a tiny number to it.
    """

    def __init__(self, a: Tensor) -> None:
        self._a = a
        self.value = torch.tanh(a)
        self.steep = self._steep()
        self._top, self._bottom = torch.empty_like(a), torch.empty_like(a)
        self._square, self._cross = torch.empty_like(a), torch.empty_like(a)

    def _steep(self) -> Tensor:
        """1 − t²."""
        return torch.mul(self.value, self.value).neg_().add_(1.0)

    def slope(self, delta: Tensor) -> Tensor:
        low, high = torch.aminmax(delta)
        reach = max(-float(low), float(high))
        for numerator, denominator, limit in RATIONAL if delta.numel() > SMALL else ():
            if reach <= limit[delta.dtype]:
                return self._rational(delta, numerator, denominator)
        top = torch.tanh(delta, out=self._top)
        bottom = torch.mul(self.value, top, out=self._bottom).add_(1.0)
        if reach <= LONG:
            return top.mul_(self.steep).div_(bottom.mul_(delta))
        # long increments take the plain quotient, which loses nothing there; a selection by `where`
        # would cost as much as ten products
        near = top.mul_(self.steep).div_(bottom.clamp_min_(0.01).mul_(delta))
        far = torch.tanh(self._a + delta).sub_(self.value).div_(delta)
        return torch.lerp(near, far, torch.abs(delta).gt_(1.0))

    def _rational(
        self, delta: Tensor, numerator: tuple[float, ...], denominator: tuple[float, ...]
    ) -> Tensor:
        """k = N/D, so that σ̄ = (1 − t²) N/(D + t δ N); nothing is divided by δ."""
        z = torch.mul(delta, delta, out=self._square)
        first, *others = numerator
        top = torch.add(z, first, out=self._top)
        for c in others:
            top.mul_(z).add_(c)
        cross = torch.mul(self.value, delta, out=self._cross).mul_(top)
        first, *others = denominator
        bottom = torch.mul(z, first, out=self._bottom)
        for c in others[:-1]:
            bottom.add_(c).mul_(z)
        bottom.add_(others[-1]).add_(cross)
        return top.mul_(self.steep).div_(bottom)

    def move(self, delta: Tensor) -> None:
        self._a.add_(delta)
        torch.tanh(self._a, out=self.value)
        self.steep = self._steep()

    def derivatives(self) -> tuple[Tensor, Tensor]:
        return self.steep, self.value * self.steep * -2


class AnyAt(LayerAt):
    """Any activation by name."""

    def __init__(self, a: Tensor, activation: str) -> None:
        self.activation = activation
        self._a = a
        self.value = ACTIVATIONS[activation](a)

    def slope(self, delta: Tensor) -> Tensor:
        return secant(self.activation, self._a + delta, self._a)

    def move(self, delta: Tensor) -> None:
        self._a = self._a + delta

    def derivatives(self) -> tuple[Tensor, Tensor]:
        # in reverse mode, which threads do not share
        with torch.enable_grad():
            a = self._a.detach().requires_grad_()
            (first,) = torch.autograd.grad(
                ACTIVATIONS[self.activation](a).sum(), a, create_graph=True
            )
            if not first.requires_grad:
                return first, torch.zeros_like(first)
            (second,) = torch.autograd.grad(first.sum(), a, materialize_grads=True)
        return first.detach(), second


def layer_at(activation: str, a: Tensor) -> LayerAt:
    """The layer at pre-activations `a`, `(h, sites)`, which it may keep."""
    return TanhAt(a) if activation == "tanh" else AnyAt(a, activation)
