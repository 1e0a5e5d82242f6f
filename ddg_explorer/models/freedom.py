"""Which pairs (H, G) of a model with a free matrix have the same right-hand side.

    G ∇H = (G A⁻¹)(A ∇H)      for every A such that A ∇²H(u) is symmetric in every state u

for then A∇H is the gradient of another energy. A = c is the scale that `gauge` fixes. There is more
where H is separable, H = V(q) + T(p): diag(a, b) makes aV + bT of it and [[0, 1/b], [−1/a, 0]] of
S; and for a quadratic H, whose ∇²H is one matrix. Then data cannot tell S from its relatives.

`lawful` is the pair of all these by whose G energy rises least: skew or dissipative where one is.

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

DRAWS = 64
CONDITION = 30.0
"""Of a G that is well conditioned."""
SINGULAR = 1e8


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
    sizes = matrices.diagonal(dim1=-2, dim2=-1).square().mean(0).sqrt()
    scale = sizes.clamp_min(1e-12 * sizes.max()).rsqrt()
    basis = nearly_symmetrising(scale[:, None] * matrices * scale, tolerance)
    return basis / scale[:, None] * scale


def nearly_symmetrising(matrices: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """A basis of the A with A M symmetric up to `tolerance`, `(k, d, d)`, from any `(n, d, d)` M.

    At least the A that comes closest.
    """
    d = matrices.shape[-1]
    units = torch.eye(d * d).to(matrices).unflatten(1, (d, d))
    products = units[:, None] @ matrices
    defects = (products - products.mT).flatten(1).mT.cpu()
    _, values, vectors = torch.linalg.svd(defects, full_matrices=len(defects) < d * d)
    found = torch.zeros(d * d, dtype=matrices.dtype)
    found[: len(values)] = values
    small = found <= tolerance * values.max()
    small[-1] = True
    return vectors[small].unflatten(1, (d, d)).to(matrices)


def family_distance(found: Tensor, true: Tensor, basis: Tensor) -> float:
    """max|G_true A − G| over max|G| for the A of the family that brings them closest."""
    columns = (true @ basis).flatten(1).mT
    c = torch.linalg.lstsq(columns, found.flatten()[:, None], driver="gelsd").solution
    gap = (columns @ c)[:, 0] - found.flatten()
    return float(gap.abs().max() / found.abs().max())


def lawful(matrix: Tensor, basis: Tensor) -> Tensor | None:
    """Of all G A⁻¹, with A from a basis `(k, d, d)`, the one by which energy rises least.

    As large as G; one that is skew has the sign of S. None where none is well conditioned.
    """
    if not float(torch.linalg.cond(matrix)) < SINGULAR:
        return None
    inverse = falling(basis @ torch.linalg.inv(matrix))
    if inverse is None:
        return None
    found = torch.linalg.inv(inverse)
    found = found * (matrix.norm() / found.norm())
    half = len(found) // 2
    forward = float((found[:half, half:] - found[half:, :half].mT).trace()) >= 0
    skew = float((found + found.mT).norm() / found.norm()) < TOLERANCE
    return -found if skew and not forward else found


def falling(basis: Tensor) -> Tensor | None:
    """Of the inverses M = G⁻¹ in the span of `(k, d, d)`, the one by whose G energy rises least.

    M and G are skew together, and negative semi-definite together. Of norm 1; None where none is
    well conditioned.
    """
    sums = (basis + basis.mT).flatten(1)
    _, nearly_skew = torch.linalg.eigh(sums @ sums.mT)
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(DRAWS, len(basis), generator=generator, dtype=torch.float64).to(basis)
    weights = torch.cat([nearly_skew[:, :1].mT, draws])
    candidates = torch.tensordot(torch.cat([weights, -weights]), basis, 1)
    candidates = candidates / candidates.norm(dim=(1, 2), keepdim=True)
    rise = torch.linalg.eigvalsh(candidates + candidates.mT)[:, -1]
    rise[torch.linalg.cond(candidates) > CONDITION] = torch.inf
    best = int(rise.argmin())
    return candidates[best] if bool(rise[best].isfinite()) else None
