"""Neural symplectic form: a Hamiltonian system in coordinates that need not be canonical.

    W_θ(u) u̇ = ∇H_θ(u),    Wᵢⱼ(u) = ∂Θⱼ/∂uᵢ − ∂Θᵢ/∂uⱼ,    Θ(q, p) = (p, 0) + network(q, p)

W is the matrix of dΘ for a learned 1-form Θ, so the 2-form is closed and W skew by construction;
hence dH_θ/dt = 0 in continuous time. The network starts small: near Θ = Σ p dq, for which dΘ is
Σ dp ∧ dq and W⁻¹ the canonical S, W is regular, and any other exact form is reached from there.
States `(..., d)` of an ODE, d even.

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

START = 0.1
"""Factor on the initial last layer of the 1-form's network."""


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
        if structure is not None:
            raise ValueError(f"structure={type(structure).__name__}: a symplectic form has its own")
        inverse = StateDependent(self._solve, is_skew=True)
        super().__init__(network, inverse, state_shape, grid, **options)
        self.one_form = one_form
        last = one_form.field.layers[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.mul_(START)

    def form_matrix(self, u: Tensor) -> Tensor:
        """W(u), exactly skew, `(..., d, d)`."""
        flat = u.reshape(-1, u.shape[-1])
        # in reverse: forward mode is one at a time for all threads of a process
        jacobian = torch.func.vmap(torch.func.jacrev(self._one_form))(flat)
        return (jacobian.mT - jacobian).reshape(*u.shape, u.shape[-1])

    def _one_form(self, u: Tensor) -> Tensor:
        """Θ(u), one number per component."""
        _, p = u.chunk(2, -1)
        return torch.cat([p, torch.zeros_like(p)], -1) + self.one_form(u)

    def _solve(self, g: Tensor, u: Tensor) -> Tensor:
        return torch.linalg.solve(self.form_matrix(u), g.unsqueeze(-1)).squeeze(-1)
