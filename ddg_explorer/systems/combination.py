"""Sum of two structure operators, G = A + c·B: friction added, or the law broken."""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.structure import Structure


class Combination(Structure):
    """G = A + c·B, with the flags that follow from those of A, B and the sign of c.

    Skew if both are; dissipative if A is and c·B is; mass-conserving and isotropic if both are (or
    c = 0).
    """

    def __init__(self, first: Structure, weight: float, second: Structure) -> None:
        self.first, self.weight, self.second = first, float(weight), second
        self.grid = getattr(first, "grid", None)
        off = self.weight == 0
        second_falls = second.is_skew or (second.is_dissipative and self.weight > 0)
        self.is_skew = first.is_skew and (off or second.is_skew)
        self.is_dissipative = first.is_dissipative and (off or second_falls)
        self.conserves_mass = first.conserves_mass and (off or second.conserves_mass)
        self.is_isotropic = first.is_isotropic and (off or second.is_isotropic)
        self.state_dependent = first.state_dependent or second.state_dependent

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        return self.first.apply(g, u) + self.weight * self.second.apply(g, u)

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor | None:
        first = self.first.symbol(dtype, device)
        second = self.second.symbol(dtype, device)
        return None if first is None or second is None else first + self.weight * second
