"""What integrators, rollouts and diagnostics see of a system or a learned model.

    u̇ = G(u) δH/δu            (continuous)
    (v − u)/Δt = G((u + v)/2) ∇̄H(v, u)/Δxᵈ      (discrete gradient)

States are `(..., d)` for an ODE and `(..., C, *grid)` for a field on a periodic grid; everything
before is a batch. Energies carry the cell volume, `energy(u)` has the batch's shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from ddg_explorer.discrete import discrete_grad
from ddg_explorer.discrete.ordinary import ordinary_grad
from ddg_explorer.grids import Grid
from ddg_explorer.stencils import LocalOperator
from ddg_explorer.structure import Structure

DOPRI5_TOL = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Local error that Dormand–Prince allows, in rollouts and in training."""


class Increments(Protocol):
    """∇̄H of one energy from one start u, for a solver that asks for many ends u + w.

    Belongs to one run: it may keep arrays. All states are (B, *state).
    """

    smooth: bool
    """Whether `curvature` stands for the derivative of a call: not where ∇H jumps."""

    def start(self, u: Tensor, dtype: torch.dtype) -> None:
        """Take u as the start; arithmetic in `dtype`, which may be less precise than u's."""
        ...

    def __call__(self, w: Tensor) -> Tensor:
        """∇̄H(u + w, u)/Δxᵈ."""
        ...

    def advance(self, u: Tensor) -> None:
        """Go on to `u`, the start plus the last w."""
        ...

    def curvature(self, u: Tensor, dtype: torch.dtype) -> LocalOperator:
        """½ δ²H/δu² at u, about the derivative of a call by w where u is start + w/2."""
        ...


class Dynamics:
    """An energy and a structure operator, with the right-hand sides that follow from them.

    Subclasses set `structure`, `grid` (None for an ODE) and `state_shape`, and define `energy`.
    """

    structure: Structure
    grid: Grid | None = None
    state_shape: tuple[int, ...] = ()
    is_learned: bool = False
    """Whether H is that of a model; the true one is then another system's."""
    energy_degree: int | None = None
    """Polynomial degree of H in the state, None for an energy that is no polynomial."""

    def energy(self, u: Tensor) -> Tensor:
        """H(u), one number per trajectory, cell volume included."""
        raise TypeError(f"{type(self).__name__} does not define energy(u)")

    @property
    def has_energy(self) -> bool:
        """Whether there is an H; a learned vector field has none."""
        return True

    @property
    def energy_scale(self) -> float:
        """H-scale: relative drift is |H − H₀| / max(|H₀|, H-scale); 0 where none is known."""
        return 0.0

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
        """Variational derivative δH/δu = ∇H(u)/Δxᵈ by automatic differentiation.

        Differentiable itself, in reverse and in forward mode: implicit schemes take its Jacobian.
        """
        return ordinary_grad(self.energy, u) / self.cell_volume

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """Discrete variational derivative ∇̄H(v, u)/Δxᵈ by automatic discrete differentiation."""
        return discrete_grad(self.energy)(v, u) / self.cell_volume

    def increments(self) -> Increments | None:
        """A fast way to `discrete_gradient` for one run, None where there is no other."""
        return None

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
        """Symbol Q(k) of the quadratic part ½⟨u, Qu⟩ of H, real; None if unknown.

        Half shape where Q acts alike on every channel, `(C, C, *half_shape)` and Hermitian where it
        mixes or scales channels (wave: diag(c²k², 1)). Semi-implicit solvers treat this part
        exactly; where it is None they use other means.
        """
        return None

    def apply_symbol(self, symbol: Tensor, u: Tensor) -> Tensor:
        """Convolution by a Fourier symbol of half shape or of `(C, C, *half_shape)`."""
        if self.grid is None:
            raise ValueError("apply_symbol: this dynamics has no grid")
        u_hat = self.grid.rfft(u)
        if symbol.ndim == self.grid.ndim:
            return self.grid.irfft(symbol * u_hat)
        channel = -self.grid.ndim - 1
        return self.grid.irfft((symbol * u_hat.unsqueeze(channel - 1)).sum(channel))

    def nonlinear_gradient(self, u: Tensor) -> Tensor:
        """δH/δu − Qu, with Q of `quadratic_symbol`."""
        q = self.quadratic_symbol()
        return self.gradient(u) if q is None else self.gradient(u) - self.apply_symbol(q, u)

    def nonlinear_discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """∇̄H(v, u)/Δxᵈ − Q(u + v)/2, with Q of `quadratic_symbol`.

        Systems may give it in closed form: it is what a semi-implicit step evaluates in every
        iteration.
        """
        q = self.quadratic_symbol()
        g = self.discrete_gradient(v, u)
        return g if q is None else g - self.apply_symbol(q, (u + v) / 2)

    def split_discrete_gradient(self, u: Tensor, c: float) -> Callable[[Tensor], Tensor]:
        """v ↦ N(v, u) − c (v − u)/2 with N = `nonlinear_discrete_gradient`, for one u.

        Systems may give it in closed form: what depends on u only is computed once a step.
        """
        return less_linear(lambda v: self.nonlinear_discrete_gradient(v, u), u, c)

    @property
    def separable(self) -> bool:
        """Whether H = T(p) + V(q) with the canonical G = S, as leapfrog needs.

        q is the first half and p the second half of the last dimension (ODE) or of the channels.
        """
        return False

    def kinetic_gradient(self, p: Tensor) -> Tensor:
        """δT/δp of a separable energy; ValueError where none is declared."""
        raise ValueError(f"{type(self).__name__} does not define kinetic_gradient(p), δT/δp")

    def potential_gradient(self, q: Tensor) -> Tensor:
        """δV/δq of a separable energy; ValueError where none is declared."""
        raise ValueError(f"{type(self).__name__} does not define potential_gradient(q), δV/δq")


def less_linear(
    term: Callable[[Tensor], Tensor], u: Tensor, c: float
) -> Callable[[Tensor], Tensor]:
    """v ↦ term(v) − c (v − u)/2 for one u."""
    start = (c / 2) * u
    return lambda v: torch.add(term(v) + start, v, alpha=-c / 2)


def check_device(device: torch.device | str, dtype: torch.dtype) -> torch.device:
    """The device, if it is here and has this dtype.

    Raises
    ------
    ValueError
        One line that names the device and what to do: float32 where there is no float64.
    """
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype={dtype}: use torch.float64 or torch.float32")
    here = ["cpu"]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None:
        kind = accelerator.type
        here += [kind, *(f"{kind}:{k}" for k in range(torch.accelerator.device_count()))]
    if str(device) not in here:
        raise ValueError(
            f"device={str(device)!r}: not available here, use one of {', '.join(here)}"
        )
    found = torch.device(device)
    try:
        torch.zeros(1, dtype=dtype, device=found)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device={str(device)!r}: has no {str(dtype).removeprefix('torch.')}; "
            "use dtype=torch.float32"
        ) from None
    return found
