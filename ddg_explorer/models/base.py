"""One interface for every learned model of u̇ = f(u).

    residual(v, u, Δt) = (v − u)/Δt − Φ(v, u, Δt)

A model is a `Dynamics`: it has `rhs(u)` and, where its law has one, `energy(u)`, `structure` and
`discrete_rhs(v, u, dt)`, so integrators, rollouts and diagnostics treat it like a true system. The
slope Φ it is trained with (`scheme`) and the integrator it predicts with are two choices.

    dg         Φ = G ∇̄H(v, u)                       rk2       Φ = f(u + ½Δt f(u))
    leapfrog   Φ = (drift, kick, drift − u)/Δt       dopri5    Φ = (u(t + Δt) − u)/Δt

States are `(..., d)` or `(..., C, *grid)`, everything nondimensional.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from ddg_explorer.discrete.gradient import check_ends
from ddg_explorer.dynamics import DOPRI5_TOL, Dynamics, Increments
from ddg_explorer.grids import Grid
from ddg_explorer.models.closed_form import discrete_gradient
from ddg_explorer.models.increments import NetworkIncrements
from ddg_explorer.models.networks import EnergyNetwork
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
DOPRI5_STEPS = 100
"""Adaptive steps within Δt that training with Dormand–Prince takes at most: every one is remembered
for the gradient. A field that needs more has the slope NaN, and its training has diverged."""


class Shaped(Protocol):
    """What has states: a dynamics, or data."""

    @property
    def state_shape(self) -> tuple[int, ...]:
        """(d,) or (C, *grid)."""
        ...

    @property
    def grid(self) -> Grid | None:
        """The periodic grid of a field."""
        ...


class Model(nn.Module, Dynamics):
    """A learned u̇ = f(u).

    Parameters
    ----------
    state_shape, grid
        Of the training data: `(d,)` and None, or `(C, *grid)` and the periodic grid. A stencil
        network knows its Δx; `misfit` says where a system does not match it.
    scheme
        One of `schemes`: the one-step slope it is trained with. None: the first.
    context
        Name and parameter values of the system whose data it learns, for `misfit`.

    Attributes
    ----------
    card
        What it was trained on and how, as plain data (`Fit.card`); {} where that is not known. It
        comes with a checkpoint and goes with copies.

    Raises
    ------
    ValueError
        For a training scheme the model does not have.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]
    is_learned = True
    recipe: ModelRecipe | None = None
    """What rebuilds it; None for a model that was put together by hand and cannot be saved."""

    def __init__(
        self,
        state_shape: tuple[int, ...],
        grid: Grid | None,
        *,
        scheme: str | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.state_shape, self.grid = tuple(state_shape), grid
        self.scheme = self.schemes[0] if scheme is None else scheme
        if self.scheme not in self.schemes:
            raise ValueError(f"scheme={scheme!r}: {self.key} trains with {', '.join(self.schemes)}")
        self.context = dict(context or {})
        self.card: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        told = [f"state_shape={self.state_shape}", f"scheme={self.scheme!r}"]
        if "system" in self.context:
            told.insert(0, repr(self.context["system"]))
        if hasattr(self, "structure"):
            told.insert(-1, f"structure={type(self.structure).__name__}")
        return f"{type(self).__name__}({', '.join(told)})"

    @property
    def integrators(self) -> tuple[str, ...]:
        """Prediction schemes published for this training scheme, the default first."""
        return PREDICTORS[self.scheme]

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, and so of the states it takes."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def batch_shape(self, u: Tensor) -> tuple[int, ...]:
        """Leading dimensions of `u`; ValueError if the rest is not `state_shape`, or the dtype
        not that of the weights."""
        if u.dtype != self.dtype:
            wanted = str(self.dtype).removeprefix("torch.")
            raise ValueError(f"state has dtype {u.dtype}: this model's weights are {wanted}")
        return super().batch_shape(u)

    def slope(self, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """Φ(v, u, Δt) of the training scheme; only the discrete gradient looks at v."""
        if self.scheme == "dg":
            return self.discrete_rhs(v, u, dt)
        if self.scheme == "rk2":
            return self.rhs(u + (dt / 2) * self.rhs(u))
        if self.scheme == "leapfrog":
            return self._leapfrog_slope(u, dt)
        return self._dopri5_slope(u, dt)

    def residual(self, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """(v − u)/Δt − Φ(v, u, Δt): what training makes small, shape of u."""
        return (v - u) / dt - self.slope(v, u, dt)

    def forward(self, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """The residual, so that `torch.func.functional_call` can take it with other weights."""
        return self.residual(v, u, dt)

    def _leapfrog_slope(self, u: Tensor, dt: float) -> Tensor:
        """Of drift, kick, drift: the same map as the integrator's, or the model learns another."""
        q, p = u.chunk(2, -1)
        first = self.kinetic_gradient(p)
        kick = -self.potential_gradient(q + (dt / 2) * first)
        return torch.cat([(first + self.kinetic_gradient(p + dt * kick)) / 2, kick], -1)

    def _dopri5_slope(self, u: Tensor, dt: float) -> Tensor:
        from torchdiffeq import odeint

        times = torch.tensor([0.0, dt], dtype=torch.float64, device=u.device)
        tol = DOPRI5_TOL[u.dtype]
        how = {"method": "dopri5", "options": {"max_num_steps": DOPRI5_STEPS}}
        try:
            path = odeint(lambda _, x: self.rhs(x), u, times, rtol=tol, atol=tol, **how)
        except AssertionError:  # so torchdiffeq tells that steps or their size run out
            return torch.full_like(u, torch.nan)
        assert isinstance(path, Tensor)
        return (path[-1] - u) / dt

    def misfit(self, to: Shaped) -> str:
        """Why this model does not describe a dynamics, or data: one line, "" where it fits.

        The state must have as many channels and axes, a stencil the same Δx; the name, operator and
        parameters of a system must be those of the training data. The number of points may differ:
        `on_grid` gives the model on another one.
        """
        own, other = self.state_shape, to.state_shape
        if len(own) != len(other) or (self.grid is None) != (to.grid is None):
            return f"trained on states {own}, this one has {other}"
        if own[0] != other[0]:
            return f"trained on {own[0]} components or channels, this one has {other[0]}"
        if self.grid is not None and to.grid is not None:
            line = spacing_misfit(self.grid, to.grid)
            if line:
                return line
        return self._other_physics(to)

    def _other_physics(self, to: Shaped) -> str:
        for key, name in (("system", "name"), ("operator", "operator")):
            known, value = self.context.get(key), getattr(to, name, None)
            if known is not None and value is not None and known != value:
                return f"trained on {known}, not {value}"
        values = getattr(to, "values", {})
        for key, value in self.context.get("parameters", {}).items():
            if key in values and values[key] != value:
                return f"trained with {key} = {value:g}, this system has {values[key]:g}"
        return ""

    def on_grid(self, grid: Grid) -> Model:
        """The same weights on a grid of another number of points and the same Δx, as a copy.

        Raises
        ------
        ValueError
            For an ODE model, one without a recipe, or another Δx.
        """
        if self.grid is None or self.recipe is None:
            raise ValueError(f"grid={grid}: needs a model with a grid, and a recipe to rebuild it")
        line = "" if grid.ndim == self.grid.ndim else f"trained on {self.grid.ndim} axes"
        line = line or spacing_misfit(self.grid, grid)
        if line:
            raise ValueError(f"grid={grid}: {line}")
        other = self.recipe.on_grid(grid).build().to(dtype=self.dtype, device=self.device)
        other.load_state_dict(self.state_dict())
        other.card = self.card
        return other

    def save(self, path: str | Path, card: Mapping[str, Any] | None = None) -> Path:
        """Write a checkpoint, see `models.files.save_model`."""
        from ddg_explorer.models.files import save_model

        return save_model(self, path, card)


class EnergyModel(Model):
    """A model with an energy network and a structure operator: u̇ = G ∇H_θ(u).

    What G can learn is registered as the submodule `operator`.
    """

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

    def under(self, structure: Structure, context: Mapping[str, Any]) -> EnergyModel:
        """The same learned H under another G, as a copy that shares the weights.

        H is learned under the G of the data and is determined up to what that G does not see: an
        H whose gradient is off by a constant is the same under ∂x and under ∂x + νΔ, and another
        one under −I.

        Parameters
        ----------
        structure
            The operator instead of the model's own.
        context
            What the model is to be taken as trained for, see `misfit`.
        """
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.structure, other.operator = structure, structure.module
        other.context, other.recipe = dict(context), None
        return other

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """∇̄H(v, u)/Δxᵈ: what automatic discrete differentiation gives, in closed form."""
        if not isinstance(self.network, EnergyNetwork):
            return super().discrete_gradient(v, u)
        check_ends(v, u)
        return discrete_gradient(self.network, v, u)

    def increments(self) -> Increments | None:
        """A worker with buffers that evaluates the closed form for one run."""
        if not isinstance(self.network, EnergyNetwork):
            return None
        return NetworkIncrements(self.network, self.state_shape, self.grid)


def spacing_misfit(own: Grid, other: Grid) -> str:
    """One line where the Δx of two grids of one dimension differ beyond rounding, else ""."""
    pairs = list(zip(own.spacing, other.spacing, strict=True))
    if all(abs(a - b) <= 1e-9 * a for a, b in pairs):
        return ""
    digits = 6 if any(f"{a:.6g}" != f"{b:.6g}" for a, b in pairs) else 12
    told = [dict.fromkeys(f"{h:.{digits}g}" for h in grid.spacing) for grid in (own, other)]
    trained, here = (" × ".join(spacing) for spacing in told)
    return f"trained with Δx = {trained}, this grid has Δx = {here}"
