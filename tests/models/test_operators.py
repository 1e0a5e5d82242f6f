"""Structure operators by specification, their learning, and the freedom H → cH, G → G/c."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from zoo import FIELD, FIELD_2D, ODE, energy_model, states

from ddg_explorer.models import EnergyModel, ModelRecipe, normalise
from ddg_explorer.models.operators import OPERATORS
from ddg_explorer.structure import Laplacian, MatrixStructure, Symplectic

FIXED = {
    "symplectic": ODE,
    "damped_symplectic": ODE,
    "d_dx": FIELD,
    "laplacian": FIELD,
    "minus_identity": FIELD,
    "strain_wave": replace(FIELD, state_shape=(2, 16)),
    "kernel": FIELD_2D,
    "matrix": ODE,
}
LEARNED = {
    "learned_friction": ODE,
    "learned_matrix": ODE,
    "learned_skew_matrix": replace(ODE, state_shape=(4,)),
    "learned_dissipative_matrix": ODE,
    "learned_state_matrix": ODE,
    "learned_kernel": FIELD,
    "learned_skew_kernel": FIELD_2D,
    "learned_dissipative_kernel": FIELD_2D,
    "learned_mobility": FIELD,
}
OPTIONS = {
    "damped_symplectic": {"friction": 0.2},
    "kernel": {"weights": [[0.0, 1.0, 0.1], [1.0, -4.2, 1.0], [0.1, 1.0, 0.0]]},
    "matrix": {"entries": [[0.0, 1.0], [-1.0, -0.3]]},
}


def recipe_of(kind: str, **options: object) -> ModelRecipe:
    base = {**FIXED, **LEARNED}[kind]
    return replace(base, structure={"kind": kind, **OPTIONS.get(kind, {}), **options})


def test_every_kind_is_covered() -> None:
    assert set(FIXED) | set(LEARNED) == set(OPERATORS)


@pytest.mark.parametrize("kind", list(OPERATORS))
def test_specifications_survive_json(kind: str) -> None:
    """The same G, bit by bit, from a recipe that went through JSON."""
    recipe = recipe_of(kind)
    again = ModelRecipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert again == replace(recipe, state_shape=tuple(recipe.state_shape))
    first, second = recipe.build(), again.build()
    g, u = states(first, 2, 1), states(first, 2, 2)
    assert torch.equal(first.structure.apply(g, u), second.structure.apply(g, u))


@pytest.mark.parametrize("kind", list(LEARNED))
def test_what_is_learned_is_registered(kind: str) -> None:
    """Parameters of G appear under `operator`, get gradients, and change G."""
    model = energy_model(recipe_of(kind))
    own = dict(model.named_parameters(prefix=""))
    learned = [name for name in own if name.startswith("operator.")]
    assert learned
    g, u = states(model, 2, 1), states(model, 2, 2)
    before = model.structure.apply(g, u).detach()
    model.residual(u, g, 0.1).square().sum().backward()
    moving = [name for name in learned if own[name].grad is not None and own[name].grad.any()]
    assert moving
    with torch.no_grad():
        for name in moving:
            own[name] *= 1.3
    assert (model.structure.apply(g, u) - before).abs().max() > 1e-3


@pytest.mark.parametrize("kind", list(FIXED))
def test_fixed_operators_have_no_parameters(kind: str) -> None:
    model = recipe_of(kind).build()
    assert not [name for name, _ in model.named_parameters() if name.startswith("operator")]


@pytest.mark.parametrize(
    ("kind", "laws"),
    [
        ("learned_skew_matrix", {"is_skew"}),
        ("learned_dissipative_matrix", {"is_dissipative"}),
        ("learned_friction", {"is_dissipative"}),
        ("learned_skew_kernel", {"is_skew", "conserves_mass"}),
        ("learned_dissipative_kernel", {"is_dissipative"}),
        ("learned_mobility", {"is_dissipative", "conserves_mass"}),
        ("learned_state_matrix", {"is_skew"}),
    ],
)
def test_constrained_operators_obey_for_all_parameters(kind: str, laws: set[str]) -> None:
    """Flags promised by construction, measured after the parameters were changed at random."""
    model = energy_model(recipe_of(kind))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.get_submodule("operator").parameters():
            p.copy_(2 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    u = states(model, 1, 3)[0]
    report = model.structure.report(u, shape=model.state_shape, tolerance=1e-11)
    for law in laws:
        assert getattr(model.structure, law)
        assert getattr(report, law), law


def test_constrained_options_reach_the_kernel() -> None:
    model = recipe_of("learned_kernel", zero_sum=True, isotropic=True, width=5).build()
    assert model.structure.conserves_mass
    assert model.structure.is_isotropic
    centred = recipe_of("learned_kernel", centre=-2.0).build()
    assert centred.get_parameter("operator.raw")[1] == -2


def test_learned_friction_starts_where_documented() -> None:
    model = recipe_of("learned_friction").build()
    g = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert float(model.structure.apply(g).detach()[0, 1]) == pytest.approx(-0.1, rel=1e-12)


@pytest.mark.parametrize(
    ("recipe", "structure", "line"),
    [
        (ODE, {"kind": "magic"}, "kind='magic'"),
        (ODE, {}, "kind=None"),
        (ODE, {"kind": "laplacian"}, "'laplacian': needs a grid"),
        (FIELD, {"kind": "learned_state_matrix"}, "needs an ODE"),
        (FIELD, {"kind": "d_dx", "wiggle": 1}, "unexpected keyword argument 'wiggle'"),
        (FIELD, {"kind": "d_dx", "operator": "magic"}, "operator='magic'"),
        (ODE, {"kind": "damped_symplectic"}, "friction"),
        (FIELD, {"kind": "learned_kernel", "width": 17}, "kernel has shape"),
        (replace(ODE, state_shape=(3,)), {"kind": "symplectic"}, "even number"),
        (ODE, {"kind": "matrix", "entries": [[0.0] * 3] * 3}, "needs 3 components, .* have 2$"),
        (FIELD, {"kind": "matrix", "entries": [[0.0] * 2] * 2}, "needs 2 channels, .* have 1$"),
        (FIELD, {"kind": "learned_friction"}, "needs an even number of channels, .* have 1$"),
        (FIELD, {"kind": "learned_skew_matrix"}, "'learned_skew_matrix': needs 2 or more channels"),
        (
            replace(ODE, state_shape=(1,)),
            {"kind": "learned_state_matrix"},
            "'learned_state_matrix': needs 2 or more components",
        ),
        (FIELD, {"kind": "strain_wave"}, "'strain_wave': needs 2 channels, the states have 1$"),
        (FIELD_2D, {"kind": "strain_wave"}, "'strain_wave': needs 3 channels, .* have 1$"),
    ],
)
def test_refusals(recipe: ModelRecipe, structure: dict, line: str) -> None:
    with pytest.raises(ValueError, match=line) as error:
        replace(recipe, structure=structure).build()
    assert "\n" not in str(error.value)


def test_recipe_refusals() -> None:
    good = ODE.to_dict()
    for change, line in {
        ("model", "perceptron"): "model='perceptron'",
        ("dtype", "float16"): "dtype='float16'",
        ("hidden", 0): "hidden=0",
        ("depth", 2.5): r"depth=2\.5",
        ("colour", 1): "unknown keys colour",
    }.items():
        with pytest.raises(ValueError, match=line):
            ModelRecipe.from_dict({**good, change[0]: change[1]})
    with pytest.raises(ValueError, match="state_shape is missing"):
        ModelRecipe.from_dict({"model": "dgnet"})
    with pytest.raises(ValueError, match="structure=None"):
        replace(ODE, structure=None).build()
    with pytest.raises(ValueError, match="a field has"):
        replace(FIELD, state_shape=(1, 17)).build()


FREE = ["learned_matrix", "learned_skew_matrix", "learned_kernel", "learned_skew_kernel"]
ONE_SIGN = ["learned_dissipative_matrix", "learned_dissipative_kernel", "learned_mobility"]


@pytest.mark.parametrize("kind", [*FREE, *ONE_SIGN, "learned_state_matrix"])
@pytest.mark.parametrize("factor", [37.0, -0.02])
def test_normalisation_fixes_the_freedom(kind: str, factor: float) -> None:
    """Two models that differ by H → cH, G → G/c end as the same one; u̇ never changes."""
    if factor < 0 and kind in ONE_SIGN:
        factor = -factor
    model, other = (energy_model(recipe_of(kind, **ZERO_SUM.get(kind, {}))) for _ in range(2))
    rescale(other, kind, factor)
    u, v = states(model, 3, 1), states(model, 3, 2)
    rate = model.discrete_rhs(v, u, 0.1)
    assert (other.discrete_rhs(v, u, 0.1) - rate).abs().max() < 1e-13 * rate.abs().max() * 10
    at = u[0] if model.structure.state_dependent else None
    c = normalise(model, at=at)
    assert normalise(other, at=at) == pytest.approx(c / factor, rel=1e-12)
    assert normalise(model, at=at) == pytest.approx(1.0, rel=1e-12)
    for m in (model, other):
        assert (m.discrete_rhs(v, u, 0.1) - rate).abs().max() < 1e-12 * rate.abs().max()
    g = states(model, 3, 4)
    image = model.structure.apply(g, u)
    assert (other.structure.apply(g, u) - image).abs().max() < 1e-12 * image.abs().max()
    energy = model.energy(u)
    assert (other.energy(u) - energy).abs().max() < 1e-12 * energy.abs().max()


ZERO_SUM = {"learned_dissipative_kernel": {"zero_sum": True}}


@torch.no_grad()
def rescale(model: EnergyModel, kind: str, factor: float) -> None:
    """H → H·factor, G → G/factor by hand."""
    part = model.network.get_submodule("density")
    part.get_buffer("scale").mul_(factor)
    operator = model.get_submodule("operator")
    if kind == "learned_state_matrix":
        operator.get_buffer("entries.scale").div_(factor)
    elif kind == "learned_mobility":
        operator.get_buffer("strength").div_(factor)
    else:
        power = 0.5 if kind.startswith("learned_dissipative") else 1.0
        raw = operator.get_parameter("raw")
        raw.div_(abs(factor) ** power if power < 1 else factor)
        if kind == "learned_dissipative_matrix":
            operator.get_parameter("skew").div_(factor)


def test_normalised_kernel_has_the_size_and_sign_of_the_laplacian() -> None:
    """A kernel −7Δ, learned with the wrong sign, becomes Δ."""
    model = energy_model(recipe_of("learned_kernel"))
    with torch.no_grad():
        model.get_parameter("operator.raw").copy_(torch.tensor([-7.0, 14.0, -7.0]))
    assert not model.structure.is_dissipative
    normalise(model)
    assert model.structure.is_dissipative
    g = states(model, 2)
    assert model.grid is not None
    difference = model.structure.apply(g) - Laplacian(model.grid).apply(g)
    assert difference.abs().max() < 1e-12


def test_normalised_matrix_is_the_canonical_one() -> None:
    model = energy_model(recipe_of("learned_matrix"))
    with torch.no_grad():
        model.get_parameter("operator.raw").copy_(torch.tensor([[0.0, -3.0], [3.0, 0.0]]))
    normalise(model)
    g = states(model, 2)
    assert (model.structure.apply(g) - Symplectic().apply(g)).abs().max() < 1e-14


def test_normalisation_leaves_what_has_no_freedom() -> None:
    for kind in ("symplectic", "learned_friction"):
        model = energy_model(recipe_of(kind))
        before = {name: w.clone() for name, w in model.state_dict().items()}
        assert normalise(model) == 1
        assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())


def test_a_dissipative_matrix_takes_the_norm_of_a_reference_that_opposes_it() -> None:
    model = energy_model(recipe_of("learned_dissipative_matrix"))
    u, v = states(model, 3, 1), states(model, 3, 2)
    rate = model.discrete_rhs(v, u, 0.1)
    c = normalise(model, reference=MatrixStructure(torch.eye(2, dtype=torch.float64)))
    assert c > 0
    matrix = model.structure.matrix((2,)).detach()
    assert float(matrix.norm()) == pytest.approx(2**0.5)
    assert model.structure.is_dissipative
    assert (model.discrete_rhs(v, u, 0.1) - rate).abs().max() < 1e-12 * rate.abs().max()


def test_normalisation_leaves_a_zero_operator_and_asks_for_a_state() -> None:
    zero = energy_model(recipe_of("learned_kernel"))
    with torch.no_grad():
        zero.get_parameter("operator.raw").zero_()
    energy = zero.energy(states(zero, 3))
    assert normalise(zero) == 1
    assert torch.equal(zero.energy(states(zero, 3)), energy)
    with pytest.raises(ValueError, match="at=None"):
        normalise(energy_model(recipe_of("learned_state_matrix")))
