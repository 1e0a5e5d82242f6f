"""Which pairs (H, G) of a model with a free matrix have the same right-hand side.

    G ∇H = (G A⁻¹)(A ∇H)      for every A such that A ∇²H(u) is symmetric in every state u

for then A∇H is the gradient of another energy. A = c is the scale that `gauge` fixes. There is more
where H is separable, H = V(q) + T(p): diag(a, b) makes aV + bT of it and [[0, 1/b], [−1/a, 0]] of
S; and for a quadratic H, whose ∇²H is one matrix. Then data cannot tell S from its relatives.

These A are a linear space that holds the inverses of its members, for AM = MAᵀ and MA⁻ᵀ = A⁻¹M
are one equation: so the G of the family are one too. `lawful` is the member by which energy rises
least, skew or dissipative where one is; `falling` states that problem and what is guaranteed.

The A are found from the Hessians of the learned H at states like those it was trained on, in the
null space of a linear system of equations.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.discrete.ordinary import jacobian_of, ordinary_grad
from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.networks import EnergyNetwork
from ddg_explorer.structure.coefficients import Free

STATES = 64
TOLERANCE = 1e-2
"""Relative size up to which the antisymmetric part of A∇²H counts as none: errors of learned second
derivatives stay below it, couplings of an energy are above."""

CONDITION = 1e3
"""Of a G that is well conditioned, relative to the spread of the components."""
SINGULAR = 1e8

PULL, FACTOR, STRONGEST = 1e-4, 4.0, 1e2
"""The first ρ of `falling`, by what it grows where nothing is found, and where the search ends."""
SMALL = 1e-3
"""Norm below which the nearest X counts as zero: its direction would be rounding."""
GAP = 1e-12
"""Accuracy to which the problem of `falling` is solved."""
STRIDE = 30.0
"""Of τ in `_proximal`."""
ROUNDS, GAIN = 20, 1e-10
"""Repetitions from the X found, as long as each lowers the rise by this."""


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
    with torch.enable_grad():
        u = states.detach().requires_grad_()
        gradient = ordinary_grad(model.energy, u)
    return jacobian_of(gradient, u).double()


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


def lawful(matrix: Tensor, basis: Tensor, sizes: Tensor | None = None) -> Tensor | None:
    """Of all G A, with A from a basis `(k, d, d)`, the one by which energy rises least.

    Parameters
    ----------
    matrix
        G, `(d, d)`.
    basis
        As `family` has it.
    sizes
        `margins.spread` of the components, `(d,)`: the rise is that of G in these units, so that
        the choice is the same in all others; None: as they are.

    Returns
    -------
    A matrix as large as G; one that is skew has the sign of S. None where none is well conditioned.
    """
    sizes = torch.ones(len(matrix)).to(matrix) if sizes is None else sizes.to(matrix)
    units = sizes[:, None] * sizes
    if not float(torch.linalg.cond(matrix / units)) < SINGULAR:
        return None
    found = falling(matrix @ basis / units)
    if found is None:
        return None
    found = found * units
    return found * (matrix.norm() / found.norm())


def falling(basis: Tensor) -> Tensor | None:
    """Of the X in the span of `(k, d, d)`, the one by which energy rises least; of norm 1.

        minimise  f(X) = λmax(½(X + Xᵀ))  over ‖X‖ = 1        (Frobenius)

    f is convex, the sphere is not. What is solved is strongly convex, for some R of norm 1,

        X(R) = argmin f(X) + ρ‖X − R‖²  over ‖X‖ ≤ 1,

    and as f(sX) = s f(X) for s ≥ 0, comparison with ‖X(R)‖ Y shows for every Y of norm 1

        f(X̂) ≤ f(Y) + ρ(‖Y − R‖² − ‖X̂ − R‖²),    X̂ = X(R)/‖X(R)‖ where X(R) ≠ 0.

    So X̂ is within 4ρ of the global minimum, and R ← X̂ never raises f: repeated, it ends where f
    falls no more. If that is below zero, it is the global minimum, for where f < 0 the sets
    f ≤ −c‖X‖ are convex cones. ρ is `PULL`, a tenth of what verdicts on learned operators allow.

    For R stand S, its kin and both signs of all k axes of the span. X(R) = 0 for all of them at
    that ρ only if every X rises by 2ρ/√k at least. Then ρ grows by `FACTOR` until one is not zero,
    and as f(X̂) < 2ρ it is at most 4√k times the minimum; in practice it is the minimum too.

    Of X that rise alike (the energies of uncoupled bodies can be weighted at will) it is the one
    nearest to S, or to the first R that has one. X and X⁻¹ are skew together, and negative
    semi-definite together: the span may be that of G or of G⁻¹.

    Returns
    -------
    X, the same from the same basis; None where none is well conditioned.
    """
    _, values, axes = torch.linalg.svd(basis.flatten(1), full_matrices=False)
    unit = axes[values > 1e-12 * values[0]].unflatten(1, basis.shape[1:])
    if not len(unit):
        return None
    parts, references, pull = (unit + unit.mT) / 2, _references(unit), PULL
    while pull < STRONGEST:
        weights, known = _nearest(parts, unit, references, pull)
        if known.any():
            rise = _rise(parts, weights).where(known, torch.inf)
            chosen = weights[int((rise <= rise.min() + PULL).int().argmax())]
            return torch.tensordot(_lowered(parts, unit, chosen, pull), unit, 1)
        pull *= FACTOR
    return None


def _lowered(parts: Tensor, unit: Tensor, weights: Tensor, pull: float) -> Tensor:
    """Weights after R ← X̂, repeated while that lowers the rise."""
    for _ in range(ROUNDS):
        (lower,), known = _nearest(parts, unit, weights[None], pull)
        if not bool(known) or _rise(parts, lower) > _rise(parts, weights) - GAIN:
            break
        weights = lower
    return weights


def _references(unit: Tensor) -> Tensor:
    """R as weights of norm 1, `(n, k)`: nearest to S, to sign(j − i) and to −I, and all axes."""
    d = unit.shape[-1]
    ones = torch.ones(d, d).to(unit)
    wanted = [ones.triu() - ones.tril(), -torch.eye(d).to(unit)]
    if d % 2 == 0:
        wanted.insert(0, torch.eye(d).to(unit).roll(d // 2, 1) * wanted[0])
    near = torch.stack(wanted).flatten(1) @ unit.flatten(1).mT
    far = near.norm(dim=1) > 0.1 * torch.stack(wanted).norm(dim=(1, 2))
    axes = torch.eye(len(unit)).to(unit)
    return torch.cat([torch.nn.functional.normalize(near[far]), axes, -axes])


def _rise(parts: Tensor, weights: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(torch.tensordot(weights, parts, 1))[..., -1]


def _nearest(parts: Tensor, unit: Tensor, references: Tensor, pull: float) -> tuple[Tensor, Tensor]:
    """X̂(R) of every R as weights `(n, k)`, and whether it is one: not zero, well conditioned."""
    weights = _proximal(parts, references, pull)
    size = weights.norm(dim=1)
    weights = weights / size.clamp_min(torch.finfo(weights.dtype).tiny)[:, None]
    condition = torch.linalg.cond(torch.tensordot(weights, unit, 1))
    return weights, (size > SMALL) & (condition < CONDITION)


def _proximal(parts: Tensor, references: Tensor, pull: float) -> Tensor:
    """argmin of λmax(Σ wᵢPᵢ) + ρ|w − r|² over |w| ≤ 1 for every r, `(n, k)`, of symmetric P.

    As min t + ρ|w − r|² over tI − Σ wᵢPᵢ ≻ 0 and |w| < 1, by damped Newton steps on that times τ,
    minus the logarithms of the determinant and of 1 − |w|², for growing τ: where the sum is least,
    the first is (d + 1)/τ from its minimum. It is self-concordant, so steps of length 1/(1 + λ),
    with λ Newton's decrement, stay inside and converge from everywhere.
    """
    d = parts.shape[-1]
    terms = torch.cat([torch.eye(d).to(parts)[None], -parts])
    x = torch.cat([_rise(parts, references)[:, None] + 1, references / 2], 1)
    goal = torch.cat([torch.zeros(len(x), 1).to(x), references], 1)
    slope, bend = torch.zeros(len(terms)).to(x), torch.ones(len(terms)).to(x)
    slope[0], bend[0] = 1, 0
    tau = 1.0
    while tau < (d + 1) / GAP:
        tau = min(STRIDE * tau, (d + 1) / GAP)
        for _ in range(100):
            root = torch.linalg.inv(torch.linalg.cholesky(torch.tensordot(x, terms, 1)))[:, None]
            scaled = root @ terms @ root.mT
            traces = scaled.diagonal(dim1=-2, dim2=-1).sum(-1)
            w = x * bend
            out = 2 * w / (1 - w.square().sum(1, keepdim=True))
            gradient = tau * (slope + 2 * pull * bend * (x - goal)) - traces + out
            pushed = 2 * tau * pull + 2 / (1 - w.square().sum(1, keepdim=True))
            curvature = scaled.flatten(2) @ scaled.flatten(2).mT + out[:, None] * out[..., None]
            curvature = curvature + torch.diag_embed(pushed * bend)
            step = torch.linalg.solve(curvature, gradient)
            decrement = (step * gradient).sum(1, keepdim=True).clamp_min(0).sqrt()
            x = x - step / torch.where(decrement < 0.25, 1.0, 1 + decrement)
            if float(decrement.max()) < 0.1:
                break
    return x[:, 1:]
