"""Residuals at sampled sites and their Jacobian, in closed form where one is known.

Closed forms cover networks of depth 2 trained with dg, rk2 or leapfrog and a G that is the same in
every state; all else is differentiated automatically, one site at a time. `weak` averages residuals
with ψ (`training.weak`), `Weighted` divides them component by component.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.dgnet import DGNet
from ddg_explorer.models.hnn import SRNN
from ddg_explorer.models.local_energy import LocalEnergy
from ddg_explorer.models.networks import EnergyNetwork
from ddg_explorer.training.averaged_jacobian import AveragedJacobian
from ddg_explorer.training.coupling import couples
from ddg_explorer.training.leapfrog_jacobian import LeapfrogJacobian
from ddg_explorer.training.midpoint_jacobian import MidpointJacobian
from ddg_explorer.training.patches import Weights, centre_residual
from ddg_explorer.training.prepare import Scale
from ddg_explorer.training.scaling import perceptrons
from ddg_explorer.training.stencil_jacobian import StencilJacobian


class AutomaticJacobian:
    """Residuals and Jacobian of any model at single sites, by automatic differentiation."""

    def __init__(self, model: Model, dt: float, scale: float, *, weak: bool = False) -> None:
        self.model, self.scale = model, scale
        residual = centre_residual(model, dt, weak=weak)

        def scaled(weights: Weights, fixed: Weights, v: Tensor, u: Tensor) -> Tensor:
            return residual({**weights, **fixed}, v, u) / scale

        axes = (None, None, 0, 0)
        self._residual = torch.func.vmap(scaled, axes)
        self._jacobian = torch.func.vmap(torch.func.jacrev(scaled), axes)

    def _state(self) -> tuple[Weights, Weights]:
        weights = {name: w.detach() for name, w in self.model.named_parameters()}
        return weights, dict(self.model.named_buffers())

    def __call__(self, v: Tensor, u: Tensor) -> tuple[Tensor, Weights]:
        """Scaled residuals `(rows,)` and the Jacobian's blocks by weight name, `(rows, …)`."""
        # without gradients `torch.linalg.solve` does not keep what its derivative needs
        with torch.enable_grad():
            blocks = self._jacobian(*self._state(), v, u)
        return self.residual(v, u), {name: b.flatten(0, 1) for name, b in blocks.items()}

    def residual(self, v: Tensor, u: Tensor) -> Tensor:
        """Scaled residuals alone."""
        return self._residual(*self._state(), v, u).flatten()


class Weighted:
    """Residuals and rows of another Jacobian, divided by a number for each component, `(C,)`.

    The last of the indices by which all Jacobians number their rows is the component.
    """

    def __init__(self, inner: ClosedJacobian | AutomaticJacobian, scale: Tensor) -> None:
        self.inner, self.scale = inner, scale.flatten()

    def __call__(self, v: Tensor, u: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Scaled residuals `(rows,)` and the Jacobian's blocks by weight name, `(rows, …)`."""
        r, blocks = self.inner(v, u)
        return self._divided(r), {name: self._divided(block) for name, block in blocks.items()}

    def residual(self, v: Tensor, u: Tensor) -> Tensor:
        """Scaled residuals alone, in the same order."""
        return self._divided(self.inner.residual(v, u))

    def _divided(self, rows: Tensor) -> Tensor:
        scale = self.scale.repeat(len(rows) // len(self.scale))
        return rows / scale.reshape(-1, *[1] * (rows.ndim - 1))


ClosedJacobian = StencilJacobian | MidpointJacobian | LeapfrogJacobian | AveragedJacobian
Residuals = ClosedJacobian | AutomaticJacobian | Weighted


def closed_jacobian(
    model: Model, dt: float, scale: float, *, weak: bool = False
) -> ClosedJacobian | None:
    """The closed form that covers the model, None where there is none.

    Parameters
    ----------
    dt, scale
        Δt of the data, and the RMS of du/dt by which residuals are divided.
    weak
        Whether residuals are averaged with ψ; fields only.
    """
    if any(len(part.layers) != 3 for part, _ in perceptrons(model)):
        return None
    if isinstance(model, SRNN):
        return LeapfrogJacobian(model, dt, scale)
    if isinstance(model, EnergyModel):
        if not isinstance(model.network, EnergyNetwork | LocalEnergy) or not couples(model):
            return None
        if isinstance(model, DGNet):
            return StencilJacobian(model, dt, scale, weak=weak)
        if isinstance(model.network, LocalEnergy):
            return None
    if model.scheme != "rk2":
        return None
    found = MidpointJacobian(model, dt, scale)
    return AveragedJacobian(found, model) if weak else found


def jacobian(model: Model, dt: float, scale: Scale, *, weak: bool = False) -> Residuals:
    """The closed form where there is one, else the automatic one, `Weighted` where `scale` is a
    number for each component."""
    if isinstance(scale, Tensor):
        return Weighted(_unweighted(model, dt, 1.0, weak), scale)
    return _unweighted(model, dt, scale, weak)


def single_sites(residuals: Residuals) -> bool:
    """Whether they are evaluated at one site at a time."""
    inner = residuals.inner if isinstance(residuals, Weighted) else residuals
    return isinstance(inner, AutomaticJacobian)


def _unweighted(
    model: Model, dt: float, scale: float, weak: bool
) -> ClosedJacobian | AutomaticJacobian:
    found = closed_jacobian(model, dt, scale, weak=weak)
    return found or AutomaticJacobian(model, dt, scale, weak=weak)
