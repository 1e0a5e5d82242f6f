"""The freedom H → cH, G → G/c of a learned G, and its normalisation.

    u̇ = G ∇H = (G/c) ∇(cH)

for every c ≠ 0, so data determine neither alone, and "dissipates" means nothing until the sign of
c is fixed. Here c is such that

    ‖G‖ = ‖R‖,   ⟨G, R⟩ ≥ 0

in the Frobenius norm, with a reference operator R. Where the symmetric part of G is the larger one
(tr G² > 0) that is Δ for a kernel and −I for a matrix, else Σₐ∂ₐ for a kernel and S for a matrix.
A multiple of Σu, which a mass-conserving G leaves free in H, is not touched.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.local_energy import LocalEnergy
from ddg_explorer.models.networks import MatrixField, Mobility, Perceptron
from ddg_explorer.structure import (
    CentralDerivative,
    DissipativeKernel,
    DissipativeMatrix,
    FreeKernel,
    Friction,
    KernelStructure,
    Laplacian,
    MinusIdentity,
    MobilityStructure,
    SkewKernel,
    SkewMatrix,
    StateMatrix,
    Structure,
    Symplectic,
)
from ddg_explorer.structure.coefficients import Free


@torch.no_grad()
def normalise(
    model: EnergyModel, *, reference: Structure | None = None, at: Tensor | None = None
) -> float:
    """Fix the freedom of a model with a learned G, in place; its right-hand sides stay the same.

    Parameters
    ----------
    model
        A model whose G is learned; one whose G is fixed, or learned in its friction only, has no
        such freedom and stays as it is.
    reference
        R; None: the module's choice.
    at
        One state, `state_shape`: where a state-dependent G is measured.

    Returns
    -------
    c, by which H was multiplied and G divided.

    Raises
    ------
    ValueError
        For a state-dependent G without `at`, a G that is zero, one without a reference of its own
        (skew of odd size), or one that is dissipative by construction and opposed to R.
    """
    module = model.structure.module
    if module is None or isinstance(module, Friction):
        return 1.0
    if model.structure.state_dependent and at is None:
        raise ValueError("at=None: this G depends on the state; give one to measure it at")
    units = _units(model)
    own = _columns(model.structure, units, at)
    if reference is None:
        symmetric = float((_columns(model.structure, own, at) * units).sum()) > 0
        reference = _reference(model, symmetric)
    goal = _columns(reference, units, at)
    if not own.any():
        raise ValueError("structure: a G that is zero has no normalisation")
    factor = float(goal.norm() / own.norm())
    if float((own * goal).sum()) < 0:
        factor = -factor
    dissipative = isinstance(model.structure, StateMatrix) and not model.structure.is_skew
    _scale_operator(module, factor, dissipative and model.structure.is_dissipative)
    for part in model.network.modules():
        if isinstance(part, Perceptron):
            part.scale.div_(factor)
            if part.quadratic is not None:
                part.quadratic.div_(factor)
        if isinstance(part, LocalEnergy):
            part.stiffness.div_(factor)
    return 1 / factor


def _units(model: EnergyModel) -> Tensor:
    """Unit vectors: of every unknown, or of one node where G is the same at every node."""
    shape = model.state_shape
    like = next(model.parameters())
    if model.grid is None or model.structure.state_dependent:
        size = math.prod(shape)
        return torch.eye(size, dtype=like.dtype, device=like.device).reshape(size, *shape)
    units = torch.zeros((shape[0], *shape), dtype=like.dtype, device=like.device)
    channels = torch.eye(shape[0], dtype=like.dtype, device=like.device)
    units[(slice(None), slice(None), *(0,) * model.grid.ndim)] = channels
    return units


def _columns(structure: Structure, units: Tensor, at: Tensor | None) -> Tensor:
    return structure.apply(units, None if at is None else at.to(units).expand_as(units))


def _reference(model: EnergyModel, symmetric: bool) -> Structure:
    grid = model.grid
    if grid is not None and isinstance(model.structure, KernelStructure | MobilityStructure):
        if symmetric:
            return Laplacian(grid)
        first, *others = (CentralDerivative(grid, axis=axis) for axis in grid.axes)
        return sum(others, first)
    if symmetric:
        return MinusIdentity(grid)
    if model.state_shape[0] % 2:
        raise ValueError("reference=None: there is no canonical skew operator of odd size")
    return Symplectic(grid, size=model.state_shape[0])


def _scale_operator(module: nn.Module, factor: float, quadratic: bool) -> None:
    """Multiply what the module makes by `factor`; `quadratic`: G is a square of what it makes."""
    if isinstance(module, Free | FreeKernel | SkewMatrix | SkewKernel):
        module.raw.mul_(factor)
        return
    if isinstance(module, MatrixField) and not quadratic:
        module.entries.scale.mul_(factor)
        return
    if factor < 0:
        raise ValueError("structure: dissipative by construction, it cannot change its sign")
    if isinstance(module, MatrixField):
        module.entries.scale.mul_(math.sqrt(factor))
    elif isinstance(module, Mobility):
        module.strength.mul_(factor)
    elif isinstance(module, DissipativeMatrix | DissipativeKernel):
        module.raw.mul_(math.sqrt(factor))
        if module.skew is not None:
            module.skew.mul_(factor)
    else:
        raise ValueError(f"structure: {type(module).__name__} is not one that can be rescaled")
