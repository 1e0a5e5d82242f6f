"""Which pairs (H, G) of a model with a free matrix have the same right-hand side.

    G ∇H = (G A⁻¹)(A ∇H)      for every A such that A ∇²H(u) is symmetric in every state u

for then A∇H is the gradient of another energy. A = c is the scale that `gauge` fixes. There is more
where H is separable, H = V(q) + T(p): diag(a, b) makes aV + bT of it and [[0, 1/b], [−1/a, 0]] of
S; and for a quadratic H, whose ∇²H is one matrix. Then data cannot tell S from its relatives.

Found from the Hessians of the learned H at states like those it was trained on: A is in the null
space of a linear system of equations.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.networks import EnergyNetwork
from ddg_explorer.structure.coefficients import Free

STATES = 64
TOLERANCE = 1e-2
"""Relative size up to which the antisymmetric part of A∇²H counts as none: errors of learned second
derivatives stay below it, couplings of an energy are above."""


def family(model: EnergyModel) -> Tensor | None:
    """A basis of all such A, `(freedom, d, d)`; None where G is no free matrix of an ODE.

    1 is the scale alone.
    """
    free = isinstance(model.structure.module, Free) and model.grid is None
    if not free or not isinstance(model.network, EnergyNetwork):
        return None
    part = model.network.density
    generator = torch.Generator().manual_seed(0)
    size = (STATES, model.state_shape[0])
    whitened = (2 * torch.rand(size, generator=generator, dtype=torch.float64) - 1).to(model.dtype)
    states = torch.linalg.solve(part.whiten.mT, whitened.mT).mT + part.mean
    return symmetrising(hessians(model, states))


def hessians(model: EnergyModel, states: Tensor) -> Tensor:
    """∇²H, `(n, d, d)`, in reverse mode, which threads do not share."""
    second = torch.func.jacrev(torch.func.grad(model.energy))
    return torch.func.vmap(second)(states).detach().double()


def symmetrising(matrices: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """A basis of {A : A M symmetric for all M}, `(n, d, d)`, from `(n, d, d)` symmetric M.

    Components are scaled to second derivatives of equal size first, DMD and DAD⁻¹: where they
    differ much, as beside a G of very unequal entries, small ones would pass for zero.
    """
    d = matrices.shape[-1]
    units = torch.eye(d * d, dtype=matrices.dtype).unflatten(1, (d, d))
    sizes = matrices.diagonal(dim1=-2, dim2=-1).square().mean(0).sqrt()
    scale = sizes.clamp_min(1e-12 * sizes.max()).rsqrt()
    products = units[:, None] @ (scale[:, None] * matrices * scale)
    defects = (products - products.mT).flatten(1)
    _, values, vectors = torch.linalg.svd(defects.mT, full_matrices=True)
    found = torch.zeros(d * d, dtype=matrices.dtype)
    found[: len(values)] = values
    basis = vectors[found <= tolerance * values.max()].unflatten(1, (d, d))
    return basis / scale[:, None] * scale


def family_distance(found: Tensor, true: Tensor, basis: Tensor) -> float:
    """max|G_true A − G| over max|G| for the A of the family that brings them closest."""
    columns = (true @ basis).flatten(1).mT
    c = torch.linalg.lstsq(columns, found.flatten()[:, None], driver="gelsd").solution
    gap = (columns @ c)[:, 0] - found.flatten()
    return float(gap.abs().max() / found.abs().max())
