"""All learned weights as one vector, as second-order methods see them.

A quadratic form enters by its upper triangle, since only its symmetric part acts. A friction
r = softplus(raw) enters as r, in which G is linear, and ends at `LEAST` or above: a step of raw
that wants r ≤ 0 ends where r has no slope, and never comes back. While the weights of G are held,
or a free kernel's to their sum, only changes that keep it are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

QUADRATIC = "quadratic"
STIFFNESS = "stiffness"
OPERATOR = "operator."
STRUCTURE = (OPERATOR, "one_form.")
"""Where weights of G are: those in which it is linear, and the network of a symplectic form."""
Held = Literal["all", "sum"]
"""What does not change of a learned G: its weights, or their sum."""
LEAST = 1e-30
"""Friction, in its units, below which it does not fall: none, to rounding."""


class Layout:
    """Where every weight stands in the vector.

    Parameters
    ----------
    weights
        Learned parameters by name, changed in place by `move`.
    frictions
        Of those that are the raw of a friction by component: where r ends, below and above.

    Attributes
    ----------
    size
        Length of the vector.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        frictions: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        self.weights, self.frictions = dict(weights), dict(frictions or {})
        self._sizes = [self._length(name, w) for name, w in self.weights.items()]
        self.size = sum(self._sizes)

    def _length(self, name: str, weight: Tensor) -> int:
        m = len(weight) if weight.ndim else 1
        return m * (m + 1) // 2 if name.endswith(QUADRATIC) else weight.numel()

    def columns(self, blocks: Mapping[str, Tensor], held: Held | None) -> Tensor:
        """J `(rows, size)` from blocks `(rows, *shape of the weight)`."""
        parts = []
        for name, weight in self.weights.items():
            block = blocks[name]
            if name.endswith(QUADRATIC):
                i, j = torch.triu_indices(*weight.shape)
                block = block[:, i, j] + block[:, j, i] * (i != j)
            if name in self.frictions:
                block = block / weight.sigmoid().clamp_min(torch.finfo(weight.dtype).tiny)
            block = block.reshape(len(block), -1)
            parts.append(_left(block, held) if name.startswith(STRUCTURE) else block)
        return torch.cat(parts, 1)

    def values(self) -> Tensor:
        """The weights themselves, `(size,)`."""
        parts = []
        for name, weight in self.weights.items():
            if name.endswith(QUADRATIC):
                i, j = torch.triu_indices(*weight.shape)
                parts.append(weight[i, j])
            else:
                parts.append(weight.flatten())
        return torch.cat(parts)

    def penalised(self) -> Tensor:
        """1 for the network's weights, 0 for the quadratic part, κ and G, `(size,)`."""
        pairs = zip(self.weights, self._sizes, strict=True)
        return torch.cat([torch.full((n,), float(not self._linear(k))) for k, n in pairs]).double()

    def floor(self, diagonal: Tensor, relative: float) -> Tensor:
        """What is added to the diagonal of JᵀJ: a fraction of its mean over the network's weights.

        The quadratic part, κ and G are linear and well determined: none is added there, unless they
        are held and their columns are zero.
        """
        parts = dict(zip(self.weights, diagonal.split(self._sizes), strict=True))
        network = torch.cat([d for name, d in parts.items() if not self._linear(name)])
        floor = relative * network.mean()
        free = {name for name, d in parts.items() if self._linear(name) and bool(d.any())}
        values = {n: 1e-12 * d.mean() if n in free else floor for n, d in parts.items()}
        return torch.cat([values[name].expand(len(d)) for name, d in parts.items()])

    def _linear(self, name: str) -> bool:
        return name.endswith((QUADRATIC, STIFFNESS)) or name.startswith(OPERATOR)

    def snapshot(self) -> dict[str, Tensor]:
        """Copies of all weights."""
        return {name: w.clone() for name, w in self.weights.items()}

    def move(self, start: Mapping[str, Tensor], delta: Tensor, held: Held | None) -> None:
        """Set the weights to `start` + `delta`."""
        parts = delta.split(self._sizes)
        for (name, weight), part in zip(self.weights.items(), parts, strict=True):
            if name.startswith(STRUCTURE):
                part = _left(part, held)
            if name.endswith(QUADRATIC):
                i, j = torch.triu_indices(*weight.shape)
                full = torch.zeros_like(weight)
                full[i, j] = part
                full[j, i] = part
                weight.copy_(start[name] + full)
            elif name in self.frictions:
                change = part.reshape(weight.shape)
                weight.copy_(_rubbed(start[name], change, *self.frictions[name]))
            else:
                weight.copy_(start[name] + part.reshape(weight.shape))


def raw_of(friction: Tensor) -> Tensor:
    """The inverse of r = softplus(raw) at r > 0, for large ones too."""
    return friction + (-friction).expm1().neg().log()


def _rubbed(raw: Tensor, change: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The raw of a friction after a change of r between these ends; as it is without one."""
    friction = (torch.nn.functional.softplus(raw) + change).clamp(low, high)
    return torch.where(change == 0, raw, raw_of(friction))


def _left(changes: Tensor, held: Held | None) -> Tensor:
    """The changes `(..., n)` of G that are left."""
    if held == "all":
        return torch.zeros_like(changes)
    return changes - changes.mean(-1, keepdim=True) if held == "sum" else changes
