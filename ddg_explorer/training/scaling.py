"""Scaling of a small network to its data: whitened inputs, scaled output, prefitted quadratic part.

    x = Aᵀ(s − μ),   A = E Λ^(−½) times 2/(99.9 % quantile),    c = rms(du/dt)/rms(Φ)

The stencil's values are nearly equal, its differences are what matters: principal axes scaled to
the same size make the optimisation problem well conditioned (raw inputs: errors 1e4 larger). Where
components are in units far apart each is divided by its `size` first, `(C, 1, …)`, and nothing that
is made here depends on the units.

Stencils are `(n, m)`; everything nondimensional.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.local_energy import LocalEnergy, dirichlet
from ddg_explorer.models.networks import (
    EnergyNetwork,
    MatrixField,
    Perceptron,
    SeparableEnergy,
    VectorField,
    orthogonal,
)
from ddg_explorer.models.symplectic_form import SymplecticForm
from ddg_explorer.structure import FreeKernel, StateMatrix

QUANTILE, SIZE = 0.999, 2.0
EMPTY = 1e-14
"""Variance, relative to the widest direction's, below which a direction holds rounding only."""


def perceptrons(model: Model) -> list[tuple[Perceptron, str]]:
    """The dense parts of a model, with the part of the state each sees: "all", "q" or "p"."""
    network = model.get_submodule("network")
    if isinstance(network, SeparableEnergy):
        return [(network.kinetic.density, "p"), (network.potential.density, "q")]
    if isinstance(network, LocalEnergy):
        return [(network.local.density, "all")]
    if isinstance(network, EnergyNetwork):
        return [(network.density, "all")]
    assert isinstance(network, VectorField)
    return [(network.field, "all")]


def fit_inputs(model: Model, states: Tensor, size: Tensor | None = None) -> None:
    """Whiten the inputs of every dense part on these states, `(n, *state_shape)`."""
    network = model.get_submodule("network")
    if isinstance(network, LocalEnergy):
        fit_unit(network, states)
        network = network.local
    for part, half in perceptrons(model):
        if half == "all":
            stencils = network.get_submodule("gather")(states).flatten(0, -2)
        else:
            stencils = states.chunk(2, -1)[half == "p"]
        _whiten(part, stencils, half, size)


def _whiten(part: Perceptron, stencils: Tensor, half: str, size: Tensor | None) -> None:
    if size is None:
        mean, whiten = whitening(stencils)
    else:
        one = _by_feature(size, half, stencils)
        mean, whiten = whitening(stencils / one)
        mean, whiten = one * mean, whiten / one[:, None]
    part.mean.copy_(mean)
    part.whiten.copy_(whiten)


def _by_feature(size: Tensor, half: str, stencils: Tensor) -> Tensor:
    """The size of every feature of a dense part, `(m,)`: those of one channel are next to each
    other."""
    found = size.flatten() if half == "all" else size.chunk(2)[half == "p"]
    return found.repeat_interleave(stencils.shape[1] // len(found)).to(stencils)


def fit_unit(network: LocalEnergy, states: Tensor) -> None:
    """The unit of κ: the variance of every channel over the mean of |∇u|², κ of order 1."""
    grid = network.grid
    axes = [0, *range(2, states.ndim)]
    variance = (states - states.mean(axes, keepdim=True)).square().mean(axes)
    slopes = dirichlet(states, grid).mean(0) / (grid.cell_volume * grid.size)
    known = (slopes > 0) & (variance > 0)
    network.unit.copy_(torch.where(known, variance / slopes, 1.0))


def whitening(stencils: Tensor) -> tuple[Tensor, Tensor]:
    """μ and A of the module's equation; directions without variance count as the widest one.

    Such are the centre of mass and the total momentum of bodies that start at rest together: scaled
    to size, they would be rounding errors blown up.
    """
    x = stencils.double()
    mean = x.mean(0)
    # every device takes the axes of one library: their signs are nobody's to choose
    covariance = ((x - mean).mT @ (x - mean) / len(x)).cpu()
    variance, axes = (found.to(x.device) for found in torch.linalg.eigh(covariance))
    largest = variance.max().clamp_min(torch.finfo(torch.float64).tiny)
    seen = variance > EMPTY * largest
    matrix = axes / torch.where(seen, variance, largest).sqrt()
    sample = ((x - mean) @ matrix).abs()[:: max(1, len(x) // 100_000)]
    size = torch.where(seen, torch.quantile(sample, QUANTILE, dim=0), SIZE)
    return mean, matrix * (SIZE / size.clamp_min(1e-3))


def initialise_small(model: Model, generator: torch.Generator, size: Tensor | None = None) -> None:
    """Start a small whitened network for second-order training.

    W₁ ~ 0.8 N(0, 1), b₁ ~ U(±1), W₂ … orthogonal, b₂ … ~ U(±½), w ~ N(0, 1)/√h, c = 1. The first
    layer of a field's energy sees mostly the centre of its stencil: losses after 80 iterations are
    ten times smaller, and in 2-D the start above stalls. A free kernel starts as a random average
    of neighbours minus the centre; from anywhere it can fall into a wrong basin.
    """
    if isinstance(model, EnergyModel) and isinstance(model.structure.module, FreeKernel):
        raw = model.structure.module.raw
        kernel = torch.rand(raw.shape, generator=generator, dtype=torch.float64)
        centre = tuple(w // 2 for w in raw.shape)
        kernel[centre] -= kernel.sum()
        raw.copy_(kernel)
    for part, _ in perceptrons(model):
        first, *middle, last = part.dense
        if model.grid is not None and isinstance(model, EnergyModel):
            first.weight.copy_(_centred(model, part, generator, size))
        else:
            first.weight.copy_(0.8 * _normal(first.weight, generator))
        first.bias.copy_(_uniform(first.bias, 1.0, generator))
        for layer in middle:
            layer.weight.copy_(orthogonal(layer.out_features, layer.in_features, generator))
            layer.bias.copy_(_uniform(layer.bias, 0.5, generator))
        last.weight.copy_(_normal(last.weight, generator) / math.sqrt(last.in_features))
        last.bias.zero_()
        part.scale.fill_(1.0)


def _centred(
    model: Model, part: Perceptron, generator: torch.Generator, size: Tensor | None
) -> Tensor:
    """W₁ that is N(0, 1) on the centre of every channel's stencil and 0.15 N(0, 1) elsewhere.

    On values whose 99.9 % quantile is 1.5, as if they were not whitened, each over its `size`.
    """
    first = part.dense[0].weight
    channels = model.state_shape[0]
    raw = _normal(first, generator).unflatten(1, (channels, -1))
    middle = raw.shape[-1] // 2
    centre = raw[..., middle].clone()
    raw = 0.15 * raw
    raw[..., middle] = centre
    # the whitened directions and their quantile give back the size of the values
    whiten = part.whiten
    if size is not None:
        whiten = whiten * _by_feature(size, "all", whiten)[:, None]
    spread = torch.linalg.inv(whiten)
    width = spread.square().sum(0).mean().sqrt()
    return torch.linalg.solve(whiten, (raw.flatten(1) * (0.75 / width)).mT).mT


def fit_output(model: Model, v: Tensor, u: Tensor, dt: float, size: Tensor | None = None) -> None:
    """Scale the output so that the slope Φ has the RMS of (v − u)/Δt on these pairs.

    What is linear in the weights is left out: it is fitted next. A scale that no finite factor can
    mend stays: of a network whose relus are all off, or of pairs that do not change.
    """
    parts = [part for part, _ in perceptrons(model)]
    for weight in [part.quadratic for part in parts] + [w for w, _ in linear_terms(model)]:
        if weight is not None:
            weight.zero_()
    target = _sized((v - u) / dt, size).square().mean().sqrt()
    slope = _sized(_first_slope(model, v, u, dt, size), size).square().mean().sqrt()
    factor = float(target / slope)
    if not 0 < factor < math.inf:
        return
    for part in parts:
        part.scale.mul_(factor)


def fit_units(model: Model, states: Tensor, size: Tensor) -> None:
    """Set the dense parts other than an energy to the sizes of the components.

    Outputs of a vector field are in units of its own σᵢ, those of a learned 1-form, Θᵢ of Σ Θᵢ duᵢ,
    in units of 1/σᵢ, and of A(u), of which G = A − Aᵀ, A or −AAᵀ, in those of G.
    """
    network, sigma = model.get_submodule("network"), size.flatten()
    if isinstance(network, VectorField):
        _set_units(network.field, sigma)
    if isinstance(model, SymplecticForm):
        _whiten(model.one_form.field, states, "all", size)
        product = (2 * sigma.log().mean()).exp()
        # beside Σ p dq, whose terms are of the size of qp
        model.one_form.field.scale = (product / sigma).to(states)
    if isinstance(model, EnergyModel) and isinstance(model.structure, StateMatrix):
        module, falls = model.structure.module, model.structure.is_dissipative
        if isinstance(module, MatrixField):
            _whiten(module.entries, states, "all", size)
            rows = falls and not model.structure.is_skew
            units = sigma.repeat_interleave(len(sigma)) if rows else _products(sigma)
            _set_units(module.entries, units)


def _products(sigma: Tensor) -> Tensor:
    return (sigma[:, None] * sigma).flatten()


def _set_units(part: Perceptron, units: Tensor) -> None:
    """Outputs in the proportions of `units`, those of equal ones as they are in the mean."""
    proportions = units / units.log().mean().exp()
    part.scale = part.scale.log().mean().exp() * proportions.to(part.scale)


def _first_slope(model: Model, v: Tensor, u: Tensor, dt: float, size: Tensor | None) -> Tensor:
    """Φ, or where components have sizes f: linear in an output whose unit is not fitted yet."""
    return model.slope(v, u, dt) if size is None else model.rhs(u)


def _sized(slope: Tensor, size: Tensor | None) -> Tensor:
    return slope if size is None else slope / size.to(slope)


def linear_terms(model: Model) -> list[tuple[Tensor, list[Tensor]]]:
    """Weights in which the energy is linear, each with the directions in which it can change.

    The quadratic part, in symmetric matrices, and the stiffness of a `LocalEnergy`; of a separable
    energy the part of p, for leapfrog multiplies the two.
    """
    terms = []
    part, _ = perceptrons(model)[0]
    if part.quadratic is not None:
        terms.append((part.quadratic, _symmetric(part.quadratic)))
    network = model.get_submodule("network")
    if isinstance(network, LocalEnergy):
        terms.append((network.stiffness, list(torch.eye(len(network.stiffness)).to(network.unit))))
    return terms


def _symmetric(like: Tensor) -> list[Tensor]:
    out = []
    for i, j in zip(*torch.triu_indices(*like.shape).tolist(), strict=True):
        direction = torch.zeros_like(like)
        direction[i, j] += 0.5
        direction[j, i] += 0.5
        out.append(direction)
    return out


def fit_linear(
    model: EnergyModel, v: Tensor, u: Tensor, dt: float, size: Tensor | None = None
) -> None:
    """Least-squares fit of the linear terms to the pairs, the network's part left out.

    Columns are scaled to equal size before the fit, directions that the data do not determine get
    the smallest norm, and all of them stay zero where none changes the slope.
    """
    terms = linear_terms(model)
    (part, _) = perceptrons(model)[0]
    scale = part.scale.clone()
    part.scale.zero_()
    basis = []
    for weight, directions in terms:
        for direction in directions:
            weight.copy_(direction)
            basis.append(_sized(_first_slope(model, v, u, dt, size), size).flatten())
        weight.zero_()
    part.scale.copy_(scale)
    matrix = torch.stack(basis, 1).double()
    length = matrix.square().mean(0).sqrt()
    if not 0 < float(length.max()) < math.inf:
        return
    length = length.clamp_min(1e-6 * length.max())
    target = _sized((v - u) / dt, size).flatten().double()
    columns, wanted = (matrix / length).cpu(), target[:, None].cpu()
    solution = torch.linalg.lstsq(columns, wanted, driver="gelsd", rcond=1e-8).solution[:, 0]
    length = length.cpu()
    for weight, directions in terms:
        values, solution = solution[: len(directions)], solution[len(directions) :]
        scaled = (values / length[: len(directions)]).to(weight)
        length = length[len(directions) :]
        weight.copy_(torch.tensordot(scaled, torch.stack(directions), 1))


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=torch.float64)


def _uniform(like: Tensor, size: float, generator: torch.Generator) -> Tensor:
    return size * (2 * torch.rand(like.shape, generator=generator, dtype=torch.float64) - 1)
