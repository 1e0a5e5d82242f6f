"""Networks: stencils against convolutions, buffers, initial weights, symmetries."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from zoo import FIELD, FIELD_2D, ODE, RECIPES, lively, perceptrons, states

from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.grids import Grid
from ddg_explorer.models import ModelRecipe
from ddg_explorer.models.networks import (
    EnergyNetwork,
    Gather,
    MatrixField,
    Mobility,
    Perceptron,
    SeparableEnergy,
    VectorField,
    orthogonal,
)

EXACT = 1e-13


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("width", [1, 3, 5])
@pytest.mark.parametrize("shape", [(9,), (8, 7)])
def test_gathered_stencils_are_a_circular_convolution(shape: tuple[int, ...], width: int) -> None:
    """W·stencil at every site equals the convolution with circular padding of the same weights."""
    channels, out = 2, 3
    grid = Grid(shape, (1.0,) * len(shape))
    u = torch.randn((4, channels, *shape), generator=generator(), dtype=torch.float64)
    kernel = (width,) * len(shape)
    weight = torch.randn((out, channels, *kernel), generator=generator(1), dtype=torch.float64)
    gather = Gather((channels, *shape), grid, width)
    assert gather.features == channels * width ** len(shape)
    ours = (gather(u) @ weight.flatten(1).T).movedim(-1, 1)
    padded = F.pad(u, (width // 2,) * (2 * len(shape)), mode="circular")
    theirs = (F.conv1d if len(shape) == 1 else F.conv2d)(padded, weight)
    assert (ours - theirs).abs().max() < EXACT * 10


def test_perceptron_is_its_equation() -> None:
    """x = Aᵀ(s − μ), h = σ(W₁x + b₁), c (w·h + b) + ½ xᵀQx of one state, A and Q not symmetric."""
    part = Perceptron(3, 1, hidden=5, depth=1, skip=True, generator=generator())
    draws = generator(1)
    with torch.no_grad():
        for values in (*part.parameters(), *part.buffers()):
            values.copy_(torch.randn(values.shape, generator=draws, dtype=torch.float64))
        s = torch.randn(3, generator=draws, dtype=torch.float64)
        first, last = part.dense
        x = part.whiten.T.mv(s - part.mean)
        h = torch.tanh(first.weight.mv(x) + first.bias)
        assert part.quadratic is not None
        out = part.scale * (last.weight.mv(h) + last.bias) + x.dot(part.quadratic.mv(x)) / 2
        assert (part(s) - out).abs().max() < EXACT


@pytest.mark.parametrize("width", [0, 2, -1])
def test_stencils_have_odd_widths(width: int) -> None:
    with pytest.raises(ValueError, match=f"width={width}"):
        Gather((1, 9), Grid((9,), (1.0,)), width)


@pytest.mark.parametrize(("rows", "columns"), [(5, 5), (9, 3), (3, 9), (1, 6)])
def test_initial_weights_are_orthogonal(rows: int, columns: int) -> None:
    w = orthogonal(rows, columns, generator())
    gram = w @ w.T if rows <= columns else w.T @ w
    assert (gram - torch.eye(min(rows, columns))).abs().max() < EXACT


def test_orthogonal_matrices_are_drawn_without_bias() -> None:
    """Haar measure: every entry of an n × n matrix has mean 0 and variance 1/n."""
    source = generator(3)
    draws = torch.stack([orthogonal(4, 4, source) for _ in range(2000)])
    assert draws.mean(0).abs().max() < 0.05
    assert (draws.square().mean(0) - 0.25).abs().max() < 0.03


def test_initial_layers_and_seed() -> None:
    recipe = replace(ODE, hidden=7, depth=3, seed=11)
    (part,) = perceptrons(recipe.build())
    assert [tuple(layer.weight.shape) for layer in part.layers] == [(7, 2), (7, 7), (7, 7), (1, 7)]
    for layer in part.layers:
        assert not layer.bias.any()
        w = layer.weight.detach()
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        assert (gram - torch.eye(len(gram))).abs().max() < EXACT
    again, other = recipe.build(), replace(recipe, seed=12).build()
    for a, b, c in zip(part.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.ndim == 1 or not torch.equal(a, c)


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    for recipe in RECIPES.values():
        recipe.build()
    assert torch.equal(before, torch.random.get_rng_state())


def test_whitening_scale_and_skip_act_as_documented() -> None:
    """out = c·(w·h(x)) + ½xᵀQx with x = (s − μ)A, from the layers by hand."""
    model = lively(replace(ODE, skip=True).build())
    (part,) = perceptrons(model)
    a = torch.randn(2, 2, generator=generator(1), dtype=torch.float64)
    mu = torch.tensor([0.3, -0.2], dtype=torch.float64)
    with torch.no_grad():
        part.mean.copy_(mu)
        part.whiten.copy_(a)
        part.scale.fill_(2.5)
    s = states(model, 5)
    x = (s - mu) @ a
    first, second, last = part.layers
    h = torch.tanh(torch.tanh(x @ first.weight.T + first.bias) @ second.weight.T + second.bias)
    plain = 2.5 * (h @ last.weight.T + last.bias)[:, 0]
    assert part.quadratic is not None
    skip = torch.einsum("ni,ij,nj->n", x, part.quadratic, x) / 2
    assert (model.energy(s) - plain - skip).abs().max() < EXACT * 10
    assert {"mean", "whiten", "scale"} <= {
        name.rpartition(".")[-1] for name, _ in model.named_buffers()
    }


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("depth", [1, 3])
def test_every_activation_and_depth(activation: str, depth: int) -> None:
    """The gradient is that of autograd: the network is one differentiable program."""
    model = lively(replace(FIELD, activation=activation, depth=depth).build())
    u = states(model, 2).requires_grad_()
    (slope,) = torch.autograd.grad(model.energy(u).sum(), u)
    assert (model.gradient(u.detach()) * model.cell_volume - slope).abs().max() < EXACT
    assert slope.abs().max() > 1e-3


@pytest.mark.parametrize("key", ["node-1d", "node-2d", "hnnpp-1d", "dgnet-2d", "dgnet-wave"])
def test_fields_are_translation_equivariant(key: str) -> None:
    """f(Tu) = T f(u) for every shift T by whole nodes, and H(Tu) = H(u)."""
    model = lively(RECIPES[key].build())
    assert model.grid is not None
    u = states(model, 3)
    for shift in itertools.product((0, 3), (0, 5)[: model.grid.ndim]):
        steps = shift[: model.grid.ndim]
        moved = torch.roll(u, steps, model.grid.axes)
        difference = model.rhs(moved) - torch.roll(model.rhs(u), steps, model.grid.axes)
        assert difference.abs().max() < EXACT * model.rhs(u).abs().max() * 10
        if model.has_energy:
            energy = model.energy(u)
            assert (model.energy(moved) - energy).abs().max() < EXACT * energy.abs().max() * 10


def test_energies_carry_the_cell_volume() -> None:
    """A constant state has the same energy density on a grid of half the spacing: H ∝ volume."""
    coarse = lively(FIELD_2D.build())
    (part,) = perceptrons(coarse)
    fine = ModelRecipe(
        "dgnet", (1, 32, 24), {"shape": [32, 24], "length": [1.0, 0.75]}, FIELD_2D.structure, 8
    ).build()
    fine.load_state_dict(coarse.state_dict())
    level = torch.full((1, 1, 1, 1), 0.4, dtype=torch.float64)
    a = coarse.energy(level.expand(1, 1, 16, 12))
    assert torch.allclose(a, fine.energy(level.expand(1, 1, 32, 24)), rtol=1e-13)
    assert torch.allclose(a, 0.75 * part(level.flatten().expand(9))[0], rtol=1e-13)


def test_separable_energy_is_a_sum() -> None:
    """∂²H/∂q∂p = 0, and odd states are refused."""
    model = lively(RECIPES["srnn"].build())
    hessian = torch.func.hessian(model.energy)(states(model, 1)[0])
    assert hessian[:2, 2:].abs().max() == 0
    assert hessian[:2, :2].abs().max() > 1e-3
    for shape in ((3,), (2, 50)):
        with pytest.raises(ValueError, match=r"needs an ODE whose states are .* of even size"):
            SeparableEnergy(shape, generator=generator())


def test_stencils_fit_the_grid() -> None:
    grid = Grid((9, 12), (1.0, 1.0))
    assert Gather((1, 9, 12), grid, 9).features == 81
    with pytest.raises(ValueError, match="width=11: at most 9, the points of the grid"):
        EnergyNetwork((1, 9, 12), grid, width=11, generator=generator())


def test_bad_network_options_are_named() -> None:
    with pytest.raises(ValueError, match="activation='step'"):
        EnergyNetwork((2,), None, activation="step", generator=generator())
    with pytest.raises(ValueError, match="depth=0"):
        VectorField((2,), None, depth=0, generator=generator())


def test_matrix_field_and_mobility() -> None:
    """A(u) has one matrix per state; M(u) is positive and looks at u point by point."""
    u = torch.randn(5, 3, generator=generator(), dtype=torch.float64)
    assert MatrixField(3, hidden=4, generator=generator())(u).shape == (5, 3, 3)
    mobility = Mobility(hidden=4, generator=generator())
    field = 5 * torch.randn(2, 1, 8, generator=generator(), dtype=torch.float64)
    values = mobility(field)
    assert values.shape == field.shape
    assert (values > 0).all()
    assert torch.equal(torch.roll(values, 3, -1), mobility(torch.roll(field, 3, -1)))
