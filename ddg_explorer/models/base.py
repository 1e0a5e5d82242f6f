"""One interface for every learned model of u̇ = f(u).

    residual(v, u, Δt) = (v − u)/Δt − Φ(v, u, Δt)

A model is a `Dynamics`: it has `rhs(u)` and, where its law has one, `energy(u)`, `structure` and
`discrete_rhs(v, u, dt)`, so integrators, rollouts and diagnostics treat it like a true system. The
slope Φ it is trained with (`scheme`) and the integrator it predicts with are two choices.

States are `(..., d)` or `(..., C, *grid)`, everything nondimensional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.grids import Grid
from ddg_explorer.structure import Structure

if TYPE_CHECKING:
    from ddg_explorer.models.recipe import ModelRecipe

PREDICTORS = {
    "dg": ("discrete_gradient", "midpoint", "dopri5"),
    "rk2": ("midpoint",),
    "dopri5": ("dopri5",),
    "leapfrog": ("leapfrog",),
}
"""Training scheme → the integrators it is published with, the first one the default."""


class Model(nn.Module, Dynamics):
    """A learned u̇ = f(u).

    Parameters
    ----------
    state_shape, grid
        Of the training data: `(d,)` and None, or `(C, *grid)` and the periodic grid. A stencil
        network knows its Δx; `misfit` says where a system does not match it.
    scheme
        One of `schemes`: the one-step slope it is trained with.
    context
        Name and parameter values of the system whose data it learns, for `misfit` and the recipe.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]
    recipe: ModelRecipe | None = None
    """What rebuilds it; None for a model that was put together by hand and cannot be saved."""

    def __init__(
        self,
        state_shape: tuple[int, ...],
        grid: Grid | None,
        *,
        scheme: str | None = None,
        context: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.state_shape, self.grid = tuple(state_shape), grid
        self.scheme = self.schemes[0] if scheme is None else scheme
        if self.scheme not in self.schemes:
            raise ValueError(f"scheme={scheme!r}: {self.key} trains with {', '.join(self.schemes)}")
        self.context = dict(context or {})

    @property
    def has_energy(self) -> bool:
        """Whether the model has an energy of its own."""
        return True

    @property
    def integrators(self) -> tuple[str, ...]:
        """Prediction schemes published for this training scheme, the default first."""
        return PREDICTORS[self.scheme]

    def slope(self, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """Φ(v, u, Δt) of the training scheme; only the discrete gradient looks at v."""
        if self.scheme == "dg":
            return self.discrete_rhs(v, u, dt)
        if self.scheme == "rk2":
            return self.rhs(u + (dt / 2) * self.rhs(u))
        if self.scheme == "leapfrog":
            return (self._leapfrog(u, dt) - u) / dt
        from torchdiffeq import odeint

        times = torch.tensor([0.0, dt], dtype=u.dtype, device=u.device)
        tol = 1e-7 if u.dtype == torch.float64 else 1e-5
        end = odeint(lambda _, x: self.rhs(x), u, times, method="dopri5", rtol=tol, atol=tol)[-1]
        return (end - u) / dt

    def residual(self, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """(v − u)/Δt − Φ(v, u, Δt): what training makes small, shape of u."""
        return (v - u) / dt - self.slope(v, u, dt)

    def forward(self, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """The residual, so that `torch.func.functional_call` can take it with other weights."""
        return self.residual(v, u, dt)

    def _leapfrog(self, u: Tensor, dt: float) -> Tensor:
        q, p = u.chunk(2, -1)
        p = p - (dt / 2) * self.potential_gradient(q)
        q = q + dt * self.kinetic_gradient(p)
        p = p - (dt / 2) * self.potential_gradient(q)
        return torch.cat([q, p], -1)

    def misfit(self, dynamics: Dynamics) -> str:
        """Why this model does not describe `dynamics`: one line, "" where it fits.

        The state must have as many channels and axes, a stencil the same Δx; the system's name and
        parameters must be those of the training data. The number of points may differ.
        """
        if (self.grid is None) != (dynamics.grid is None) or len(self.state_shape) != len(
            dynamics.state_shape
        ):
            return f"trained on states {self.state_shape}, this one has {dynamics.state_shape}"
        if self.grid is not None and dynamics.grid is not None:
            if self.state_shape[0] != dynamics.state_shape[0]:
                return f"trained on {self.state_shape[0]} channels, not {dynamics.state_shape[0]}"
            pairs = zip(self.grid.spacing, dynamics.grid.spacing, strict=True)
            if any(abs(a - b) > 1e-9 * a for a, b in pairs):
                own = ", ".join(f"{h:.6g}" for h in self.grid.spacing)
                other = ", ".join(f"{h:.6g}" for h in dynamics.grid.spacing)
                return f"trained with Δx = {own}, this grid has Δx = {other}"
        elif self.state_shape != dynamics.state_shape:
            return f"trained on states {self.state_shape}, this one has {dynamics.state_shape}"
        return self._other_physics(dynamics)

    def _other_physics(self, dynamics: Dynamics) -> str:
        name, values = getattr(dynamics, "name", None), getattr(dynamics, "values", {})
        if "system" in self.context and self.context["system"] != name:
            return f"trained on {self.context['system']}, not {name}"
        for key, value in self.context.get("parameters", {}).items():
            if key in values and values[key] != value:
                return f"trained with {key} = {value:g}, this system has {values[key]:g}"
        return ""


class EnergyModel(Model):
    """A model with an energy network and a structure operator: u̇ = G ∇H_θ(u)."""

    def __init__(
        self,
        network: nn.Module,
        structure: Structure,
        state_shape: tuple[int, ...],
        grid: Grid | None,
        **options: Any,
    ) -> None:
        super().__init__(state_shape, grid, **options)
        self.network = network
        self.structure = structure
        self.operator = structure.module

    def energy(self, u: Tensor) -> Tensor:
        """H_θ(u), cell volume included."""
        return self.network(u)
