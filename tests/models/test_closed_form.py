"""The closed-form discrete gradient of networks is the automatic one, and their worker's too."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from zoo import FIELD, FIELD_2D, ODE, RECIPES, energy_model, states

from ddg_explorer.discrete import ACTIVATIONS, discrete_grad
from ddg_explorer.models import EnergyModel, ModelRecipe, increments

SHAPES = {
    "ode": ODE,
    "ode, depth 3, skip": replace(ODE, state_shape=(4,), depth=3, skip=True),
    "1-D, depth 1": replace(FIELD, depth=1),
    "1-D, width 5": replace(FIELD, width=5, skip=True),
    "wave": RECIPES["dgnet-wave"],
    "2-D": replace(FIELD_2D, skip=True),
    "learned G": replace(FIELD_2D, structure={"kind": "learned_kernel"}),
}
SMOOTH = [name for name in ACTIVATIONS if name not in ("relu", "leaky_relu")]


def model_of(recipe: ModelRecipe, activation: str = "tanh") -> EnergyModel:
    """A lively model whose inputs are shifted and mixed as whitening does."""
    model = energy_model(replace(recipe, activation=activation))
    part = model.network.get_submodule("density")
    generator = torch.Generator().manual_seed(3)
    mean, whiten = part.get_buffer("mean"), part.get_buffer("whiten")
    mean.copy_(0.3 * torch.randn(mean.shape, generator=generator))
    whiten.add_(0.3 * torch.randn(whiten.shape, generator=generator))
    return model.requires_grad_(False)  # pyright: ignore[reportReturnType]


def ends(model: EnergyModel, distance: float = 0.3) -> tuple[Tensor, Tensor]:
    u = states(model, 3, 1)
    return u + states(model, 3, 2, distance), u


def error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).abs().max() / exact.abs().max())


@pytest.mark.parametrize("kind", list(SHAPES))
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_all_three_ways_agree(kind: str, activation: str) -> None:
    model = model_of(SHAPES[kind], activation)
    # where a kink lies between close ends, the slope is only known to ε/|v − u|
    for distance in (1.0, 1e-3, 1e-9) if activation in SMOOTH else (1.0,):
        v, u = ends(model, distance)
        automatic = discrete_grad(model.energy)(v, u) / model.cell_volume
        assert error(model.discrete_gradient(v, u), automatic) < 5e-15
        work = model.increments()
        assert work is not None
        work.start(u, torch.float64)
        assert error(work(v - u), automatic) < 3e-14


@pytest.mark.parametrize("kind", list(SHAPES))
def test_float32_increments_lose_only_the_rounding_of_slopes(kind: str) -> None:
    model = model_of(SHAPES[kind])
    for distance in (1.0, 1e-3, 1e-9):
        v, u = ends(model, distance)
        work = model.increments()
        assert work is not None
        work.start(u, torch.float32)
        found = work(v - u)
        assert found.dtype == torch.float64
        assert error(found, model.discrete_gradient(v, u)) < 3e-6


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_symmetric_and_consistent(activation: str) -> None:
    model = model_of(SHAPES["2-D"], activation)
    v, u = ends(model)
    assert torch.equal(model.discrete_gradient(v, u), model.discrete_gradient(u, v))
    assert error(model.discrete_gradient(u, u), model.gradient(u)) < 5e-15


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_chain_rule_holds_however_long_the_increment(scale: float, dtype: torch.dtype) -> None:
    """Saturated units, and units that go from one end of tanh to the other."""
    model = model_of(ODE)
    u = states(model, 200, 1, scale)
    w = states(model, 200, 2, scale)
    work = model.increments()
    assert work is not None
    work.start(u, dtype)
    change = model.energy(u + w) - model.energy(u)
    terms = model.network.get_parameter("density.layers.2.weight").abs().sum()
    terms = terms * model.network.get_buffer("density.scale").abs()
    defect = ((work(w) * w).sum(-1) - change).abs().max()
    assert defect < (3e-14 if dtype == torch.float64 else 3e-5) * terms


@pytest.mark.parametrize("kind", ["ode", "wave", "2-D"])
def test_closed_form_is_differentiable_in_ends_and_weights(kind: str) -> None:
    model = model_of(SHAPES[kind]).requires_grad_(True)
    v, u = ends(model)
    seed = states(model, 3, 5)
    wanted = [v.requires_grad_(), u.requires_grad_()]
    wanted += [p for name, p in model.named_parameters() if name.startswith("network.")]

    def pull(g: Tensor) -> list[Tensor]:
        found = torch.autograd.grad((g * seed).sum(), wanted, materialize_grads=True)
        return list(found)

    automatic = pull(discrete_grad(model.energy)(v, u) / model.cell_volume)
    for closed, other in zip(pull(model.discrete_gradient(v, u)), automatic, strict=True):
        assert (closed - other).abs().max() <= 1e-13 * (1 + other.abs().max())


@pytest.mark.parametrize("activation", ["tanh", "softplus", "sin"])
def test_going_on_equals_starting_anew(activation: str) -> None:
    model = model_of(SHAPES["2-D"], activation)
    v, u = ends(model)
    for dtype, bound in ((torch.float64, 1e-14), (torch.float32, 1e-6)):
        moved, fresh = model.increments(), model.increments()
        assert moved is not None
        assert fresh is not None
        moved.start(u, dtype)
        moved(v - u)
        moved.advance(v)
        fresh.start(v, dtype)
        w = states(model, 3, 7, 0.2)
        assert error(moved(w), fresh(w)) < bound


@pytest.mark.parametrize("kind", list(SHAPES))
@pytest.mark.parametrize("activation", SMOOTH)
def test_curvature_is_half_the_second_derivative(kind: str, activation: str) -> None:
    model = model_of(SHAPES[kind], activation)
    u, d = states(model, 2, 1), states(model, 2, 4)
    work = model.increments()
    assert work is not None
    found = work.curvature(u, torch.float64)
    with torch.enable_grad():
        x = u.clone().requires_grad_()
        (exact,) = torch.autograd.grad((model.gradient(x) * d).sum(), x)
    assert error(found.apply(d), exact / 2) < 1e-13
    dense = (found.dense() @ d.flatten(1).unsqueeze(-1)).view(d.shape)
    assert error(dense, exact / 2) < 1e-13


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_piecewise_linear_networks_have_no_curvature_but_the_skip(activation: str) -> None:
    model = model_of(SHAPES["1-D, width 5"], activation)
    work = model.increments()
    assert work is not None
    one, two = (work.curvature(states(model, 2, s), torch.float64).dense() for s in (1, 2))
    assert torch.equal(one, two)
    assert one.abs().max() > 0


def test_sites_in_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(SHAPES["2-D"])
    v, u = ends(model)
    found = []
    for chunk in (2**17, 500):
        monkeypatch.setattr(increments, "CHUNK", chunk)
        monkeypatch.setattr(increments, "BLOCK_CHUNK", chunk)
        work = model.increments()
        assert work is not None
        work.start(u, torch.float64)
        found.append((work(v - u), work.curvature(u, torch.float64).weights))
    torch.testing.assert_close(found[0], found[1], rtol=1e-13, atol=1e-13)


def test_weights_are_followed() -> None:
    """Also after a write in place, which training does."""
    model = model_of(SHAPES["2-D"])
    v, u = ends(model)
    work = model.increments()
    assert work is not None
    work.start(u, torch.float64)
    with torch.no_grad():
        model.get_parameter("network.density.layers.1.weight").mul_(1.5)
    work.start(u, torch.float64)
    assert error(work(v - u), discrete_grad(model.energy)(v, u) / model.cell_volume) < 1e-13


def test_ends_of_different_shapes_are_named() -> None:
    model = model_of(ODE)
    with pytest.raises(ValueError, match="v has shape"):
        model.discrete_gradient(torch.zeros(2).double(), torch.zeros(1, 2).double())
