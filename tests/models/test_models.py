"""The interface every model has: slopes equal their integrators, batches, gradients, refusals."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from zoo import FIELD, ODE, RECIPES, energy_model, lively, states

from ddg_explorer import simulate
from ddg_explorer.data import Dataset
from ddg_explorer.grids import Grid
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.models import HNN, MODELS, SRNN, ModelRecipe, SymplecticForm
from ddg_explorer.models.base import DOPRI5_STEPS
from ddg_explorer.recipes import make_dataset
from ddg_explorer.structure import DampedSymplectic, MatrixStructure, Symplectic
from ddg_explorer.systems import SYSTEMS

KEYS = list(RECIPES)
THREADED = {"dgnet-1d": "midpoint", "symplectic_form": "midpoint", "srnn": "leapfrog"}
DT = 0.02


def test_every_model_has_a_recipe_here() -> None:
    assert {recipe.model for recipe in RECIPES.values()} == set(MODELS)
    assert all(key == cls.key and cls.title for key, cls in MODELS.items())


@pytest.mark.parametrize("key", KEYS)
def test_training_slope_is_the_prediction_step(key: str) -> None:
    """(v − u)/Δt − Φ = 0 where v is one step of the integrator the scheme is published with.

    Else a model would learn one map and be rolled out with another.
    """
    schemes = MODELS[RECIPES[key].model].schemes
    for scheme in schemes:
        model = lively(replace(RECIPES[key], scheme=scheme).build())
        u = states(model, 3)
        step = INTEGRATORS[model.integrators[0]]().stepper(model).step(u, DT)
        assert step.converged.all()
        v = step.value
        bound = 5e-6 if scheme == "dopri5" else 1e-11
        assert model.residual(v, u, DT).abs().max() < bound
        assert model.residual(u, u, DT).abs().max() > 0.1
        assert torch.equal(model(v, u, DT), model.residual(v, u, DT))


@pytest.mark.parametrize("key", ["node-1d", "hnnpp-1d"])
def test_dormand_prince_in_training_gives_up_on_a_stiff_field(key: str) -> None:
    """Every adaptive step is kept for the gradient, so their number must be bounded."""
    model = lively(replace(RECIPES[key], scheme="dopri5").build(), speed=1e5)
    u, calls = states(model, 3), []
    model.get_submodule("network").register_forward_hook(lambda *_: calls.append(1))
    assert model.slope(u, u, DT).isnan().all()
    assert len(calls) < 7 * DOPRI5_STEPS + 10
    assert model.slope(u, u, DT / 1e4).isfinite().all()


def test_published_pairs() -> None:
    """The pairs of training and prediction of the published tables."""
    assert RECIPES["dgnet-1d"].build().integrators == ("discrete_gradient", "midpoint", "dopri5")
    for key in ("node-ode", "hnn", "hnnpp-1d", "symplectic_form"):
        made = {s: replace(RECIPES[key], scheme=s).build().integrators for s in ("rk2", "dopri5")}
        assert made == {"rk2": ("midpoint",), "dopri5": ("dopri5",)}
    assert RECIPES["srnn"].build().integrators == ("leapfrog",)


@pytest.mark.parametrize("key", KEYS)
def test_batches_are_their_members(key: str) -> None:
    model = lively(RECIPES[key].build())
    u, v = states(model, 4, 1), states(model, 4, 2)
    for batch in (model.rhs(u), model.slope(v, u, DT)):
        assert batch.shape == u.shape
    for k in range(4):
        assert (model.rhs(u)[k] - model.rhs(u[k])).abs().max() < 1e-12
        assert (model.slope(v, u, DT)[k] - model.slope(v[k], u[k], DT)).abs().max() < 1e-11
    deep = u.reshape(2, 2, *model.state_shape)
    assert (model.rhs(deep).reshape(u.shape) - model.rhs(u)).abs().max() < 1e-12
    if model.has_energy:
        assert model.energy(deep).shape == (2, 2)


@pytest.mark.parametrize("key", KEYS)
def test_float32_follows_float64(key: str) -> None:
    model = lively(RECIPES[key].build())
    small = replace(RECIPES[key], dtype="float32").build()
    small.load_state_dict(model.state_dict())
    u = states(model, 3)
    slope = small.slope(u.float(), u.float(), DT)
    assert slope.dtype == torch.float32
    assert (slope - model.slope(u, u, DT)).abs().max() < 2e-5 * model.rhs(u).abs().max()
    with pytest.raises(ValueError, match="float64: this model's weights are float32"):
        small.batch_shape(u)


@pytest.mark.parametrize("key", KEYS)
def test_gradients_reach_all_parameters(key: str) -> None:
    """Only additive constants, the last biases of an energy and of a 1-form, have no influence."""
    model = lively(RECIPES[key].build())
    u, v = states(model, 6, 1), states(model, 6, 2)
    model.residual(v, u, DT).square().sum().backward()
    last = max(int(n.split("layers.")[1][0]) for n, _ in model.named_parameters() if "layers" in n)
    for name, p in model.named_parameters():
        constant = model.has_energy and name.endswith(f"layers.{last}.bias")
        moved = p.grad is not None and bool(p.grad.abs().max() > 0)
        assert moved != constant, name


@pytest.mark.parametrize("key", ["dgnet-ode", "hnn", "srnn", "symplectic_form", "node-1d"])
def test_parameter_gradients_match_differences(key: str) -> None:
    """dL/dθ along a random direction against a central difference."""
    model = lively(RECIPES[key].build())
    u, v = states(model, 3, 1), states(model, 3, 2)
    weights = [p for p in model.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(0)
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in weights]

    def loss(step: float) -> torch.Tensor:
        moved = {
            name: p + step * d
            for (name, p), d in zip(model.named_parameters(), direction, strict=True)
        }
        return torch.func.functional_call(model, moved, (v, u, DT)).square().mean()

    grads = torch.autograd.grad(loss(0.0), weights, allow_unused=True)
    exact = sum((g * d).sum() for g, d in zip(grads, direction, strict=True) if g is not None)
    h = 1e-5
    difference = (loss(h) - loss(-h)) / (2 * h)
    error, size = (exact - difference).detach(), difference.detach().abs()
    assert error.abs() < 1e-7 * size.clamp_min(1.0)


@pytest.mark.parametrize("key", ["dgnet-1d", "symplectic_form", "srnn"])
def test_two_threads_equal_serial(key: str) -> None:
    """One model in two threads at once: rollouts and parameter gradients are bitwise the same."""
    model = lively(RECIPES[key].build())
    weights = list(model.parameters())

    def work(seed: int) -> torch.Tensor:
        u, v = states(model, 2, seed), states(model, 2, seed + 10)
        out = [simulate(model, u, dt=DT, steps=20, integrator=THREADED[key]).u.flatten()]
        for _ in range(20):
            loss = model.residual(v, u, DT).square().sum()
            grads = torch.autograd.grad(loss, weights, allow_unused=True)
            out.extend(g.flatten() for g in grads if g is not None)
        return torch.cat(out)

    serial = [work(seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        parallel = list(pool.map(work, (1, 2)))
    assert all(torch.equal(a, b) for a, b in zip(serial, parallel, strict=True))


def test_symplectic_form_is_a_closed_two_form() -> None:
    """W is exactly skew, ∂ᵢWⱼₖ + ∂ⱼWₖᵢ + ∂ₖWᵢⱼ = 0, and W u̇ = ∇H, so ∇H·u̇ = 0."""
    model = energy_model(RECIPES["symplectic_form"])
    assert isinstance(model, SymplecticForm)
    u = states(model, 4)
    w = model.form_matrix(u)
    assert torch.equal(w, -w.mT)
    d = torch.func.jacrev(model.form_matrix)(u[0]).movedim(-1, 0)
    cyclic = d + d.movedim((0, 1, 2), (1, 2, 0)) + d.movedim((0, 1, 2), (2, 0, 1))
    assert cyclic.abs().max() < 1e-13
    assert d.abs().max() > 1e-3
    power = (model.gradient(u) * model.rhs(u)).sum(-1)
    assert power.abs().max() < 1e-13
    product = torch.einsum("nij,nj->ni", w, model.rhs(u))
    assert (product - model.gradient(u)).abs().max() < 1e-12


def test_symplectic_form_of_p_dq_is_canonical() -> None:
    """With the network at zero, Θ = Σ p dq, W is the matrix of dΘ = Σ dp ∧ dq, and u̇ = S∇H."""
    model = energy_model(RECIPES["symplectic_form"])
    assert isinstance(model, SymplecticForm)
    with torch.no_grad():
        model.one_form.field.scale.zero_()
    u = states(model, 3)
    eye, zero = torch.eye(2, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)
    form = torch.cat([torch.cat([zero, -eye], 1), torch.cat([eye, zero], 1)])
    assert torch.equal(model.form_matrix(u), form.expand(3, 4, 4))
    assert (model.rhs(u) - Symplectic(size=4).apply(model.gradient(u))).abs().max() < 1e-14


def test_models_without_a_law_say_so() -> None:
    """A NODE is refused by every scheme that needs an energy or a G, in one line."""
    node = RECIPES["node-1d"].build()
    u = states(node, 1)
    for refused in (lambda: node.energy(u), lambda: node.structure):
        with pytest.raises(ValueError, match="neither an energy nor a G"):
            refused()
    assert not hasattr(node, "structure")
    assert hasattr(RECIPES["dgnet-1d"].build(), "structure")
    for name in ("discrete_gradient", "collocation4", "implicit_midpoint", "etdrk4", "leapfrog"):
        with pytest.raises(ValueError, match="neither an energy nor a G"):
            simulate(node, u, dt=DT, steps=1, integrator=name)


@pytest.mark.parametrize("key", KEYS)
def test_a_model_shows_in_a_line(key: str) -> None:
    line = repr(RECIPES[key].build())
    assert "\n" not in line
    assert line.startswith(f"{MODELS[RECIPES[key].model].__name__}(state_shape=")


def test_the_line_of_a_model_tells_what_it_learns() -> None:
    known = replace(ODE, context={"system": "pendulum"}).build()
    assert repr(known) == ("DGNet('pendulum', state_shape=(2,), structure=Symplectic, scheme='dg')")
    assert repr(RECIPES["node-1d"].build()) == "NODE(state_shape=(1, 16), scheme='rk2')"


def test_a_model_in_the_place_of_something_else_is_told_in_a_line() -> None:
    model = ODE.build()
    made: dict[str, Callable[[], object]] = {
        "^recipe=a DGNet: use one of kdv, ": lambda: make_dataset(model),  # pyright: ignore
        "^structure=a DGNet: must be a specification": lambda: replace(ODE, structure=model),
        "^data=a DGNet: must be a Dataset": lambda: ModelRecipe.fitting("dgnet", model),
        "^structure=a DGNet: is no fixed operator": lambda: fitting(model),
    }
    for line, call in made.items():
        with pytest.raises(ValueError, match=line) as refusal:
            call()
        assert "\n" not in str(refusal.value)


def fitting(structure: Any, size: int = 2) -> ModelRecipe:
    known = {"structure": {"kind": "minus_identity"}}
    data = Dataset(torch.zeros(1, 2, size, dtype=torch.float64), 0.1, None, known)
    return ModelRecipe.fitting("dgnet", data, structure=structure, hidden=2)


@pytest.mark.parametrize(
    ("structure", "line"),
    [
        (Symplectic(size=4), r"^structure=a Symplectic: .* shape \(2,\) \(g has 2 .* needs 4\)$"),
        (DampedSymplectic([0.1, 0.2]), r"^structure=a DampedSymplectic: .* needs 4\)$"),
        (MatrixStructure(torch.eye(3)), r"^structure=a MatrixStructure: .* shape \(2,\)"),
        ({}, "^structure kind=None: use one of symplectic, "),
        ({"friction": 0.1}, "^structure kind=None: use one of symplectic, "),
        (3, "^structure=3: is no fixed operator"),
    ],
)
def test_a_structure_that_is_not_that_of_the_data_is_refused(structure: Any, line: str) -> None:
    with pytest.raises(ValueError, match=line) as refusal:
        fitting(structure).build()
    assert "\n" not in str(refusal.value)


def test_a_structure_of_the_data_s_size_is_taken() -> None:
    for given in (Symplectic(), Symplectic(size=4)):
        assert fitting(given, size=4).structure == {"kind": "symplectic"}
    damped = fitting(DampedSymplectic([0.1, 0.2]), size=4)
    assert damped.structure == {"kind": "damped_symplectic", "friction": [0.1, 0.2]}
    assert fitting("learned_matrix").structure == {"kind": "learned_matrix"}
    assert fitting(None).structure == {"kind": "minus_identity"}


def test_structure_must_suit_the_model() -> None:
    network = RECIPES["hnn"].build().network
    with pytest.raises(ValueError, match="canonical S"):
        HNN(network, DampedSymplectic(0.1, size=2), (2,), None)
    with pytest.raises(ValueError, match="canonical S"):
        replace(ODE, model="srnn", structure={"kind": "minus_identity"}).build()
    with pytest.raises(ValueError, match="takes none"):
        replace(ODE, model="node").build()
    with pytest.raises(ValueError, match="even ODE state"):
        replace(ODE, model="symplectic_form", state_shape=(3,), structure=None).build()
    with pytest.raises(ValueError, match="scheme='dg': hnn trains with rk2, dopri5"):
        replace(ODE, model="hnn", scheme="dg").build()
    assert isinstance(RECIPES["srnn"].build(), SRNN)


def test_misfit_names_what_differs() -> None:
    system = SYSTEMS["kdv"]("published")
    assert system.grid is not None
    context = {"system": "kdv", "operator": "finite_difference", "parameters": system.values}
    recipe = ModelRecipe(
        "dgnet", (1, 50), system.grid.to_dict(), {"kind": "d_dx"}, 4, context=context
    )
    model = recipe.build()
    assert model.misfit(system) == ""
    assert model.misfit(SYSTEMS["kdv"]("published", n=100, length=20.0)) == ""
    lines = {
        "Δx = 0.2, this grid has Δx = 0.1": SYSTEMS["kdv"]("published", n=100),
        "alpha = -6, this system has 3": SYSTEMS["kdv"]("published", alpha=3.0),
        "viscosity = 0, this system has 0.1": SYSTEMS["kdv"]("published", viscosity=0.1),
        "trained on finite_difference, not spectral": SYSTEMS["kdv"](
            "published", operator="spectral"
        ),
        "trained on kdv, not cahn_hilliard": SYSTEMS["cahn_hilliard"]("published", length=10.0),
        "this one has (2,)": SYSTEMS["pendulum"](),
        "this one has (1, 64, 64)": SYSTEMS["cahn_hilliard_2d"]("published"),
        "this one has 2": SYSTEMS["wave"](n=50, length=10.0),
    }
    for line, other in lines.items():
        assert line in model.misfit(other)
        assert "\n" not in model.misfit(other)
    ode = lively(ODE.build())
    assert "this one has 8" in ode.misfit(SYSTEMS["two_body"]())


def test_on_a_larger_grid_the_model_is_the_same_stencil() -> None:
    """A field repeated twice has twice the energy, and the same rate at every node."""
    model = energy_model(replace(FIELD, structure={"kind": "learned_kernel"}))
    large = model.on_grid(Grid((32,), (8.0,)))
    u = states(model, 2)
    twice = torch.cat([u, u], -1)
    assert torch.allclose(large.energy(twice), 2 * model.energy(u), rtol=1e-13)
    assert (large.rhs(twice)[..., :16] - model.rhs(u)).abs().max() < 1e-13
    assert large.recipe is not None
    assert large.recipe.state_shape == (1, 32)
    with pytest.raises(ValueError, match=r"Δx = 0\.25, this grid has Δx = 0\.125"):
        model.on_grid(Grid((32,), (4.0,)))
    assert model.on_grid(Grid((32,), (8.0 * (1 + 1e-12),))).grid != large.grid
    with pytest.raises(ValueError, match=r"Δx = 0\.25, this grid has Δx = 0\.25000025$"):
        model.on_grid(Grid((32,), (8.0 * (1 + 1e-6),)))
    with pytest.raises(ValueError, match="trained on 1 axes"):
        model.on_grid(Grid((32, 32), (8.0, 8.0)))
    with pytest.raises(ValueError, match="needs a model with a grid"):
        ODE.build().on_grid(Grid((32,), (8.0,)))
