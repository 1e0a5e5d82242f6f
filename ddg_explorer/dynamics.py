"""What integrators, rollouts and diagnostics see of a system or a learned model.

    u̇ = G(u) δH/δu            (continuous)
    (v − u)/Δt = G((u + v)/2) ∇̄H(v, u)/Δxᵈ      (discrete gradient)

States are `(..., d)` for an ODE and `(..., C, *grid)` for a field on a periodic grid; everything
before is a batch. Energies carry the cell volume, `energy(u)` has the batch's shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.discrete import discrete_grad
from ddg_explorer.grids import Grid
from ddg_explorer.structure import Structure


class Dynamics:
    """An energy and a structure operator, with the right-hand sides that follow from them.

    Subclasses set `structure`, `grid` (None for an ODE) and `state_shape`, and define `energy`.
    """

    structure: Structure
    grid: Grid | None = None
    state_shape: tuple[int, ...] = ()

    def energy(self, u: Tensor) -> Tensor:
        """H(u), one number per trajectory, cell volume included."""
        raise TypeError(f"{type(self).__name__} does not define energy(u)")

    @property
    def cell_volume(self) -> float:
        """Δxᵈ for a field, 1 for an ODE."""
        return 1.0 if self.grid is None else self.grid.cell_volume

    def batch_shape(self, u: Tensor) -> tuple[int, ...]:
        """Leading dimensions of `u`; ValueError if the rest is not `state_shape`."""
        d = len(self.state_shape)
        if tuple(u.shape[u.ndim - d :]) != self.state_shape or u.ndim < d:
            raise ValueError(f"state has shape {tuple(u.shape)}: needs (..., *{self.state_shape})")
        return tuple(u.shape[: u.ndim - d])

    def gradient(self, u: Tensor) -> Tensor:
        """Variational derivative δH/δu = ∇H(u)/Δxᵈ by automatic differentiation."""
        with torch.enable_grad():
            x = u.detach().requires_grad_()
            (g,) = torch.autograd.grad(self.energy(x).sum(), x)
        return g / self.cell_volume

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """Discrete variational derivative ∇̄H(v, u)/Δxᵈ by automatic discrete differentiation."""
        return discrete_grad(self.energy)(v, u) / self.cell_volume

    def rhs(self, u: Tensor) -> Tensor:
        """G(u) δH/δu."""
        return self.structure.apply(self.gradient(u), u)

    def discrete_rhs(self, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """(v − u)/Δt of the discrete-gradient scheme; `dt` does not enter here."""
        return self.structure.apply(self.discrete_gradient(v, u), (u + v) / 2)

    def mass(self, u: Tensor) -> Tensor | None:
        """∫u per channel, shape (..., C); None for an ODE."""
        return None if self.grid is None else self.grid.integral(u)

    def quadratic_symbol(self) -> Tensor | None:
        """Symbol Q(k) (half shape, real) of the quadratic part ½⟨u, Qu⟩ of H, None if unknown.

        Semi-implicit solvers treat this part exactly; where it is None they use other means.
        """
        return None

    def nonlinear_gradient(self, u: Tensor) -> Tensor:
        """δH/δu − Qu, with Q of `quadratic_symbol`."""
        q = self.quadratic_symbol()
        g = self.gradient(u)
        if q is None or self.grid is None:
            return g
        return g - self.grid.irfft(q * self.grid.rfft(u))
