"""Neural symplectic form: a Hamiltonian system in coordinates that need not be canonical.

    ω_θ(u)(u̇, ·) = dH_θ,   ω = dΘ,   W(u)ᵢⱼ = ∂Θⱼ/∂uᵢ − ∂Θᵢ/∂uⱼ,   u̇ = W(u)⁻¹ ∇H_θ(u) up to sign

with the 1-form Θ a network, so that ω is closed and W skew by construction; hence dH_θ/dt = 0 in
continuous time. In canonical coordinates Θ = Σ p dq gives W⁻¹ = S. ODE states `(..., d)`, d even.

Source: Y. Chen, T. Matsubara and T. Yaguchi, NeurIPS 2021.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.networks import VectorField
from ddg_explorer.structure import StateDependent, Structure


class SymplecticForm(EnergyModel):
    """u̇ = W_θ(u)⁻¹ ∇H_θ(u), W_θ the matrix of a learned closed 2-form."""

    key = "symplectic_form"
    title = "Neural symplectic form"
    schemes = ("rk2", "dopri5")

    def __init__(
        self,
        network: nn.Module,
        structure: Structure | None,
        state_shape: tuple[int, ...],
        grid: Grid | None,
        *,
        one_form: VectorField,
        **options: Any,
    ) -> None:
        if grid is not None or state_shape[0] % 2:
            raise ValueError(
                f"state_shape={state_shape}: a symplectic form needs an even ODE state"
            )
        inverse = StateDependent(self._solve, is_skew=True)
        super().__init__(network, inverse, state_shape, grid, **options)
        self.one_form = one_form

    def form_matrix(self, u: Tensor) -> Tensor:
        """W(u), skew, `(..., d, d)`."""
        flat = u.reshape(-1, u.shape[-1])
        jacobian = torch.func.vmap(torch.func.jacfwd(self.one_form))(flat)
        return (jacobian.mT - jacobian).reshape(*u.shape, u.shape[-1])

    def _solve(self, g: Tensor, u: Tensor) -> Tensor:
        return torch.linalg.solve(self.form_matrix(u), g.unsqueeze(-1)).squeeze(-1)
