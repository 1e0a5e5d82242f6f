"""The freedom H → cH, G → G/c of a learned G, and its normalisation.

    u̇ = G ∇H = (G/c) ∇(cH)

for every c ≠ 0, so data determine neither alone, and "dissipates" means nothing until the sign of
c is fixed. Here c is such that

    ‖G‖ = ‖R‖,   ⟨G, R⟩ ≥ 0

in the Frobenius norm, with a reference operator R. Where the symmetric part of G is the larger one
(tr G² > 0) that is Δ for a kernel and −I for a matrix, else Σₐ∂ₐ for a kernel and S for a matrix,
for one of odd size Rᵢⱼ = sign(j − i). A G that is dissipative by construction has no other sign to
take: there c > 0, and ‖G‖ = ‖R‖ alone is fixed. A multiple of Σu, which a mass-conserving G leaves
free in H, is not touched.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.local_energy import LocalEnergy
from ddg_explorer.models.networks import (
    EnergyNetwork,
    MatrixField,
    Mobility,
    Perceptron,
    SeparableEnergy,
)
from ddg_explorer.structure import (
    CentralDerivative,
    DampedSymplectic,
    DissipativeKernel,
    DissipativeMatrix,
    FreeKernel,
    KernelStructure,
    Laplacian,
    MatrixStructure,
    MinusIdentity,
    MobilityStructure,
    SkewKernel,
    SkewMatrix,
    StateMatrix,
    Structure,
    Symplectic,
)
from ddg_explorer.structure.coefficients import Free

Learned = (
    Free
    | FreeKernel
    | SkewMatrix
    | SkewKernel
    | MatrixField
    | Mobility
    | DissipativeMatrix
    | DissipativeKernel
)
"""Modules that make a G which can be rescaled."""


@torch.no_grad()
def normalise(
    model: EnergyModel, *, reference: Structure | None = None, at: Tensor | None = None
) -> float:
    """Fix the freedom of a model with a learned G, in place; its right-hand sides stay the same.

    Parameters
    ----------
    model
        A model whose G is learned. It stays as it is where G is fixed, learned in its friction
        only, a sum or a module of one's own, or zero, and where H is no network of this package.
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
        For a state-dependent G without `at`.
    """
    module = model.structure.module
    ours = isinstance(model.network, EnergyNetwork | SeparableEnergy | LocalEnergy)
    if not (ours and isinstance(module, Learned)):
        return 1.0
    if model.structure.state_dependent and at is None:
        raise ValueError("at=None: this G depends on the state; give one to measure it at")
    units = _units(model)
    own = _columns(model.structure, units, at)
    if not own.any():
        return 1.0
    if reference is None:
        symmetric = float((_columns(model.structure, own, at) * units).sum()) > 0
        reference = _reference(model, symmetric)
    goal = _columns(reference, units, at)
    factor = float(goal.norm() / own.norm())
    if float((own * goal).sum()) < 0 and not falls(model.structure):
        factor = -factor
    _scale_operator(module, factor, quadratic=falls(model.structure))
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
    size = model.state_shape[0]
    if size % 2:
        ones = torch.ones(size, size, dtype=torch.float64)
        return MatrixStructure(ones.triu() - ones.tril(), grid)
    return Symplectic(grid, size=size)


def falls(structure: Structure) -> bool:
    """Whether G is dissipative, and not skew, by construction: −G is then no G of its kind."""
    if isinstance(structure, DampedSymplectic):
        return not structure.is_skew
    if isinstance(structure, StateMatrix):
        return structure.is_dissipative and not structure.is_skew
    return isinstance(structure.module, DissipativeMatrix | DissipativeKernel | Mobility)


def _scale_operator(module: Learned, factor: float, *, quadratic: bool) -> None:
    """Multiply what the module makes by `factor`; `quadratic`: of a MatrixField G is a square."""
    if isinstance(module, Free | FreeKernel | SkewMatrix | SkewKernel):
        module.raw.mul_(factor)
    elif isinstance(module, MatrixField):
        module.entries.scale.mul_(math.sqrt(factor) if quadratic else factor)
    elif isinstance(module, Mobility):
        module.strength.mul_(factor)
    else:
        module.raw.mul_(math.sqrt(factor))
        if module.skew is not None:
            module.skew.mul_(factor)
