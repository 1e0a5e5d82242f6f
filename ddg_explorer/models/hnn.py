"""Hamiltonian neural networks: u̇ = S ∇H_θ(u), and u̇ = G ∇H_θ(u) with any G (HNN++).

The law holds in continuous time only: a Runge–Kutta step loses it, at the order of the scheme.

Sources: S. Greydanus et al., NeurIPS 2019, arXiv:1906.01563 (HNN); T. Matsubara, A. Ishikawa and
T. Yaguchi, NeurIPS 2020, arXiv:1905.08604 (HNN++); Z. Chen et al., ICLR 2020, arXiv:1909.13334
(SRNN: separable energy, trained and rolled out with leapfrog).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ddg_explorer.discrete.ordinary import ordinary_grad
from ddg_explorer.grids import Grid
from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.networks import SeparableEnergy
from ddg_explorer.structure import Structure, Symplectic


class HNNpp(EnergyModel):
    """u̇ = G ∇H_θ(u), any structure operator G."""

    key = "hnnpp"
    title = "HNN++"
    schemes = ("rk2", "dopri5")


class HNN(HNNpp):
    """u̇ = S ∇H_θ(u): canonical coordinates (q, p)."""

    key = "hnn"
    title = "HNN"

    def __init__(
        self,
        network: nn.Module,
        structure: Structure,
        state_shape: tuple[int, ...],
        grid: Grid | None,
        **options: Any,
    ) -> None:
        if not is_canonical(structure):
            raise ValueError(
                "structure: an HNN has the canonical S; use HNN++ (hnnpp) for another G"
            )
        super().__init__(network, structure, state_shape, grid, **options)


class SRNN(EnergyModel):
    """q̇ = ∇T_θ(p), ṗ = −∇V_θ(q): symplectic under leapfrog, for ODE states (q, p)."""

    key = "srnn"
    title = "SRNN"
    schemes = ("leapfrog",)
    network: SeparableEnergy

    def __init__(
        self,
        network: SeparableEnergy,
        structure: Structure,
        state_shape: tuple[int, ...],
        grid: Grid | None,
        **options: Any,
    ) -> None:
        if not is_canonical(structure) or grid is not None:
            raise ValueError("structure: an SRNN needs ODE states (q, p) and the canonical S")
        super().__init__(network, structure, state_shape, grid, **options)

    @property
    def separable(self) -> bool:
        return True

    def kinetic_gradient(self, p: Tensor) -> Tensor:
        """∇T_θ(p)."""
        return ordinary_grad(self.network.kinetic, p)

    def potential_gradient(self, q: Tensor) -> Tensor:
        """∇V_θ(q)."""
        return ordinary_grad(self.network.potential, q)


def is_canonical(structure: Structure) -> bool:
    """Whether G is S, and not its damped relative."""
    return isinstance(structure, Symplectic) and structure.is_skew
