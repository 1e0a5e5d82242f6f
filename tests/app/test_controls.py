"""The sidebar: what it offers can be chosen, and it shows what runs."""

import panel as pn
import pytest

from ddg_explorer.app.controls import Controls
from ddg_explorer.app.simulation import first_setup
from ddg_explorer.app.state import AppState, Scene
from ddg_explorer.app.store import Store
from ddg_explorer.app.turns import build
from ddg_explorer.app.widgets import Choice
from ddg_explorer.systems import SYSTEMS

PRESETS = [(name, preset) for name, cls in SYSTEMS.items() for preset in cls.presets]


@pytest.fixture(autouse=True)
def _extension():
    pn.extension()


def controls_of(scene):
    """Controls of a scene, their store, and what they report."""
    store, told = Store(AppState(scene)), []
    return Controls(store, first_setup(scene), told.append), store, told


def test_options_of_other_names_for_the_same_value_show_the_new_name():
    heard = []
    choice = Choice("Preset", {"Race: two solitons": "race", "Soliton": "one"}, heard.append)
    sent = choice.widget.get_root().data
    assert sent.value == "Race: two solitons"
    choice.show("race", options={"Wide swing": "swing", "Race: a pendulum": "race"})
    assert choice.value == "race"
    assert sent.value == "Race: a pendulum"
    assert heard == []


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_operator_on_the_menu_runs(name, preset):
    controls, store, told = controls_of(Scene(name, preset))
    for key in controls.structure.widget.options.values():
        controls.structure.widget.value = key
        assert build(store.state.scene).structure_key == key
        assert AppState.from_flat(store.state.to_flat()).scene == store.state.scene
    assert told == []


def test_an_operator_of_the_other_form_is_refused_where_the_system_is_built():
    with pytest.raises(ValueError, match=r"^structure='strain_wave': wave has symplectic"):
        build(Scene("wave", structure="strain_wave"))


@pytest.mark.parametrize("key", SYSTEMS["wave"]().structures)
def test_another_form_of_the_equation_drops_the_operator_of_the_one_before(key):
    controls, store, told = controls_of(Scene("wave", "pulse", structure=key))
    controls._parameters._choices["form"].widget.value = "strain"
    assert build(store.state.scene).structure_key == "strain_wave"
    assert told == []


def test_an_edited_operator_is_dropped_with_its_form():
    controls, store, _ = controls_of(Scene("wave", "pulse", entries=(0.0, 1.0, -1.0, -0.1)))
    controls._parameters._choices["form"].widget.value = "strain"
    assert store.state.scene.entries is None
    assert build(store.state.scene).structure_key == "strain_wave"


def test_a_refused_choice_gives_back_what_runs():
    controls, store, told = controls_of(Scene("kdv", "two_solitons"))
    before = store.state
    shown = controls.dt.value
    controls.dt._receive(type("Event", (), {"data": {"value": 1e9}})())
    assert told == ["dt=1e+09: must lie in [1e-08, 1000]"]
    assert store.state is before
    assert controls.dt.value == shown


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_the_mark_of_explicit_schemes_lies_on_the_slider_of_the_time_step(name, preset):
    dt = controls_of(Scene(name, preset))[0].dt
    assert dt.low <= dt.start < dt.value < dt.end
    if dt.mark is not None:
        assert dt.start < dt.mark


@pytest.mark.parametrize(
    ("name", "key", "label"),
    [
        ("kdv", "alpha", "Nonlinearity α"),
        ("kdv", "beta", "Dispersion β"),
        ("cahn_hilliard", "gamma", "Interface stiffness γ"),
        ("pendulum", "mass", "Mass m"),
    ],
)
def test_a_slider_is_called_by_what_it_is(name, key, label):
    assert controls_of(Scene(name))[0]._parameters._sliders[key].label == label


def test_limits_are_written_like_all_numbers():
    controls, _, _ = controls_of(Scene("cahn_hilliard_2d", "published"))
    controls.show_limits([("HNN++", "#000000", 3.4e-4)])
    assert controls.dt.note == "explicit schemes: up to about 4.6e−6 · HNN++: about 3.4e−4"
    ratio = controls.dt.value / controls.dt.mark
    assert ratio == pytest.approx(40, rel=0.1)
