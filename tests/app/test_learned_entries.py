"""A learned G in the editor: rescaled only, compared with the true one, and running."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ddg_explorer.app import entries, learned_entries, operator_marks
from ddg_explorer.app.entrants import Misfit, Shelf
from ddg_explorer.app.operator_compare import Menu, comparison
from ddg_explorer.app.operator_editor import OperatorEditor
from ddg_explorer.app.simulation import Simulation, first_setup
from ddg_explorer.app.state import AppState, Lane, Scene
from ddg_explorer.app.store import Store
from ddg_explorer.app.training.specification import Description
from ddg_explorer.app.turns import Turn, build
from ddg_explorer.learned_structure import inspect_structure
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.recipes import DATA_RECIPES
from ddg_explorer.structure.comparison import gap

KERNEL, FRICTION = "DGNet, free kernel", "DGNet, friction"
CH2D = Scene("cahn_hilliard_2d")


def untrained(data, kind):
    """A model with a random learned G on the context of published data."""
    context = Description.of(DATA_RECIPES[data])
    return ModelRecipe.fitting("dgnet", context, structure={"kind": kind}, hidden=4).build()


def shipped(scene, title):
    model = learned_entries.candidates(scene.system, Shelf())[title]
    return model, learned_entries.opened(title, model, build(scene))


def as_edited(scene, g):
    parameters = {**scene.parameters, **g.parameters}
    return replace(scene, structure=g.structure, entries=g.entries, parameters=parameters)


@pytest.mark.parametrize(
    ("scene", "data", "kind"),
    [
        (CH2D, None, None),
        (Scene("kdv"), "kdv", "learned_kernel"),
        (Scene("cahn_hilliard"), "ch", "learned_dissipative_kernel"),
        (Scene("pendulum"), "pendulum", "learned_matrix"),
    ],
)
def test_entries_are_the_learned_g_divided_by_the_stated_factor(scene, data, kind):
    if data is None:
        model, g = shipped(scene, KERNEL)
    else:
        model = untrained(data, kind)
        g = learned_entries.opened("mine", model, build(scene))
    system = build(as_edited(scene, g))
    x = torch.randn(system.state_shape, dtype=torch.float64)
    with torch.no_grad():
        want = model.structure.apply(x)
    got = g.scale * system.structure.apply(x)
    assert float((got - want).abs().max()) < 1e-9 * float(want.abs().max())


def test_the_shipped_kernel_stands_at_the_distance_that_inspect_tells():
    model, g = shipped(CH2D, KERNEL)
    assert g.structure == "laplacian"
    assert g.entries[4] == -4.0
    system = build(as_edited(CH2D, g))
    form = entries.form_of(system, g.structure)
    assert form is not None
    menu = Menu.of(as_edited(CH2D, g), system, g.structure, form)
    assert menu.values == (0, 1, 0, 1, -4, 1, 0, 1, 0)
    size = gap(entries.tensor(g.entries, form), entries.tensor(menu.values, form))
    assert size == pytest.approx(inspect_structure(model).distance, rel=1e-6)
    assert "changes no motion" in g.sentence()


def test_a_learned_friction_has_no_scale_and_brings_the_true_strength():
    _, g = shipped(Scene("pendulum"), FRICTION)
    assert g.scale is None
    assert g.entries[:3] == (0, 1, -1)
    assert g.entries[3] == pytest.approx(-0.2, abs=0.01)
    assert (g.structure, g.parameters) == ("damped_symplectic", {"friction": 0.2})


def test_a_free_matrix_tells_of_the_factors_that_its_energy_leaves_open():
    context = Description.of(DATA_RECIPES["spring"])
    kind = {"kind": "learned_matrix"}
    model = ModelRecipe.fitting("dgnet", context, structure=kind, hidden=4, skip=True).build()
    weights = dict(model.network.named_parameters())
    with torch.no_grad():
        weights["density.layers.2.weight"].zero_()
        weights["density.quadratic"].copy_(torch.eye(2))
    g = learned_entries.opened("mine", model, build(Scene("mass_spring")))
    assert g.freedom > 1
    assert f"leaves {g.freedom} factors" in g.sentence()


@pytest.mark.parametrize(
    ("scene", "data", "kind", "line"),
    [
        (Scene("cahn_hilliard_2d", n=32), "ch2d", "learned_kernel", "this grid has"),
        (Scene("kdv", operator="spectral"), "kdv", "learned_kernel", "trained on finite"),
        (Scene("two_body"), "two-body", "learned_matrix", "not the same for every coordinate"),
    ],
)
def test_what_does_not_suit_says_why_in_one_line(scene, data, kind, line):
    with pytest.raises(Misfit, match=line):
        learned_entries.opened("mine", untrained(data, kind), build(scene))


def test_a_wider_kernel_does_not_fit_the_table():
    context = Description.of(DATA_RECIPES["kdv"])
    wide = {"kind": "learned_kernel", "width": 5}
    model = ModelRecipe.fitting("dgnet", context, structure=wide, hidden=4).build()
    with pytest.raises(Misfit, match="reach further"):
        learned_entries.opened("mine", model, build(Scene("kdv")))


def editor(scene, shelf=None):
    store = Store(AppState(scene))
    made = OperatorEditor(store, lambda **changes: store.change_scene(**changes), shelf)
    made.show(first_setup(store.state.scene))
    return store, made


def test_the_editor_opens_a_learned_g_beside_the_true_one():
    store, made = editor(CH2D)
    assert made.learned.widget.visible
    assert KERNEL in made.learned.widget.options.values()
    assert not made.comparison.visible
    made.learned.widget.value = KERNEL
    scene = store.state.scene
    assert scene.structure == "laplacian"
    made.show(first_setup(scene))
    assert made.learned.value == KERNEL
    assert list(made.table.values) == list(scene.entries)
    assert "can create energy" in made.badges.object
    assert "energy never rises" in made.badges.object
    assert "True: Δ" in made.comparison.object
    assert "distance 2.55e−5" in made.comparison.object
    assert 'class="true re"' in made.marks.object
    made.table._on_edit([*scene.entries[:8], 0.5])
    made.show(first_setup(store.state.scene))
    assert made.learned.value == "", "no longer the learned one"
    assert "Menu: Δ" in made.comparison.object
    made.table._on_action("menu")
    made.show(first_setup(store.state.scene))
    assert not made.comparison.visible
    assert 'class="true' not in made.marks.object


def test_a_model_of_the_session_is_offered_by_its_name():
    shelf = Shelf()
    name = shelf.put("mine", untrained("kdv", "learned_skew_kernel"))
    store, made = editor(Scene("kdv"), shelf)
    made.learned.widget.value = name
    assert store.state.scene.entries == (-0.5, 0, 0.5)
    assert "conserves energy" in made.badges.object


def test_where_none_fits_the_choice_says_so():
    _, made = editor(Scene("cahn_hilliard_2d", n=32))
    assert made.learned.widget.disabled
    assert "this grid has" in made.comparison.object
    _, other = editor(Scene("wave"))
    assert not other.learned.widget.visible


def test_the_true_energy_runs_under_the_learned_g():
    _, g = shipped(Scene("pendulum"), FRICTION)
    simulation = Simulation(Lane())
    simulation.turn(Turn(Scene("pendulum"), steps=2, budget=60.0))
    before = float(simulation.frame.own_energy)
    out = simulation.turn(Turn(as_edited(Scene("pendulum"), g), steps=40, budget=60.0))
    assert not out.error
    assert out.header.t > 2 * out.header.dt
    assert float(simulation.frame.own_energy) < before


def test_an_edit_of_a_spectral_operator_stands_beside_its_true_symbol():
    scene = Scene("kdv", "two_solitons", structure="d_dx", entries=(-0.5, 0.1, 0.5))
    system = build(scene)
    form = entries.form_of(system, "d_dx")
    assert form is not None
    menu = Menu.of(scene, system, "d_dx", form)
    assert not menu.exact
    assert menu.values == (-0.5, 0, 0.5)
    theta = np.linspace(0, np.pi, len(menu.symbol))[:-1]
    np.testing.assert_allclose(menu.symbol[:-1], 1j * theta, atol=1e-12)
    assert "finite differences" in comparison(scene.entries, menu, form)
    drawn = operator_marks.symbol(scene.entries, form, menu.symbol, menu.name)
    assert drawn.count("<polyline") == 4


def test_a_difference_from_minus_one_is_relative_to_its_centre():
    scene = Scene("cahn_hilliard", structure="minus_identity", entries=(0.0, -150.0, 0.0))
    system = build(scene)
    form = entries.form_of(system, "minus_identity")
    assert form is not None
    menu = Menu.of(scene, system, "minus_identity", form)
    assert "distance 0.5" in comparison(scene.entries, menu, form)


@pytest.mark.parametrize("g", [torch.eye(2), torch.zeros(2, 2)])
def test_a_g_without_a_part_of_the_true_one_is_refused(g):
    model = untrained("pendulum", "learned_matrix")
    ((_, weight),) = model.structure.module.named_parameters()
    with torch.no_grad():
        weight.copy_(g)
    with pytest.raises(Misfit, match="nothing of the true one"):
        learned_entries.opened("mine", model, build(Scene("pendulum")))
