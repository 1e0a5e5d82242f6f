"""The assembled views, without a browser."""

import gc
import weakref
from dataclasses import replace

import panel as pn
import pytest

from ddg_explorer.app import Explorer, explore, session
from ddg_explorer.app.component import style
from ddg_explorer.app.looks import Look
from ddg_explorer.app.races import first_preset
from ddg_explorer.app.state import AppState, Lane, Scene, View
from ddg_explorer.app.theme import PALETTES, colour_table
from ddg_explorer.app.turns import Turn
from ddg_explorer.models import ModelRecipe
from ddg_explorer.recipes import make_dataset
from ddg_explorer.structure import Symplectic
from ddg_explorer.systems import SYSTEMS, System


@pytest.fixture(autouse=True)
def _extension():
    pn.extension()


def first_outcome(explorer, simulation=None):
    """The true system's canvas and the outcome of its first step."""
    simulation = simulation or explorer.race.simulations[0]
    return explorer.race.canvases[0], simulation.turn(Turn(explorer.store.state.scene, steps=1))


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_assembles_for_every_system(name):
    explorer = Explorer(AppState(Scene(name)))
    system = SYSTEMS[name](first_preset(name))
    assert explorer.desk.controls.system.value == name
    assert explorer.desk.controls.preset.value == explorer.store.state.scene.chosen_preset
    assert explorer.desk.controls.structure.value == system.structure_key
    assert explorer.desk.controls.dt.value == system.dt
    charts = [chart["name"] for chart in explorer.race.plots.charts]
    assert ("mass" in charts) == (system.grid is not None)
    explorer._on_outcomes([first_outcome(explorer)])
    assert len(explorer.race.plots.traces[0].rows)
    explorer.close()


def test_notebook_layout_and_page_hold_the_same_views():
    explorer = explore("pendulum", play=False)
    layout = explorer.__panel__()
    assert explorer.race.canvases[0] in layout.select(type(explorer.race.canvases[0]))
    page = explorer.page()
    assert page.title
    explorer.close()


def test_unknown_system_is_refused():
    with pytest.raises(
        ValueError, match="system='nonsense': the explorer shows registered systems"
    ):
        explore("nonsense")
    own = System(lambda u: u.square().sum(-1), Symplectic(), state_shape=(2,))
    with pytest.raises(ValueError, match=r"system=a System: .*, use one of .*CONTRIBUTING"):
        explore(own)


def test_showing_a_scene_writes_nothing_back():
    explorer = Explorer(AppState(Scene("kdv", "two_solitons", dt=0.02, parameters={"alpha": 3.0})))
    before = explorer.store.state
    explorer._on_outcomes([first_outcome(explorer)])
    assert explorer.store.state is before
    explorer.close()


def test_choosing_a_system_starts_from_its_preset():
    explorer = Explorer(AppState(Scene("kdv", "two_solitons", dt=0.02, parameters={"alpha": 3.0})))
    explorer.desk.controls.system.widget.value = "pendulum"
    assert explorer.store.state.scene == Scene("pendulum")
    explorer.close()


def test_a_refused_change_returns_to_what_runs():
    explorer = Explorer(AppState(Scene("kdv", n=32)))
    explorer._on_outcomes([first_outcome(explorer)])
    explorer.store.change_scene(integrator="leapfrog")
    explorer._on_outcomes([first_outcome(explorer)])
    assert explorer.store.state.scene.chosen_integrator == "discrete_gradient"
    assert explorer.desk.controls.integrator.value == "discrete_gradient"
    explorer.close()


def test_a_refused_system_gives_back_the_lanes_as_they_were():
    lanes = (Lane(), Lane("node"))
    explorer = Explorer(AppState(Scene("kdv"), lanes), play=False)
    explorer._on_outcomes([first_outcome(explorer)])
    explorer.store.put(AppState(Scene("pendulum", n=64)))
    explorer._on_outcomes([first_outcome(explorer)])
    assert explorer.store.state.scene == Scene("kdv")
    assert explorer.store.state.lanes == lanes
    explorer.close()


def test_a_later_wish_outlives_the_refusal_of_an_earlier_one():
    explorer = Explorer(AppState(Scene("kdv", "two_solitons")), play=False)
    explorer._on_outcomes([first_outcome(explorer)])
    explorer.store.change_scene(integrator="leapfrog")
    refused = first_outcome(explorer)
    explorer.store.change_scene(integrator=None, dt=0.02)
    explorer._on_outcomes([refused])
    assert explorer.store.state.scene == Scene("kdv", "two_solitons", dt=0.02)
    explorer.close()


def test_a_refused_gesture_leaves_the_wanted_scene():
    explorer = Explorer(AppState(Scene("kdv", "two_solitons")), play=False)
    explorer._on_outcomes([first_outcome(explorer)])
    canvas, outcome = first_outcome(explorer)
    explorer.store.change_scene(dt=0.02)
    explorer._on_outcomes([(canvas, replace(outcome, error="edit: cannot be"))])
    assert explorer.store.state.scene.dt == 0.02
    explorer.close()


@pytest.mark.parametrize(("system", "runs"), [("pendulum", True), ("kdv", False)])
def test_a_trained_model_runs_where_it_fits(system, runs, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(session, "tell", said.append)
    data = make_dataset("pendulum", trajectories=2, steps=3, cache=False)
    path = ModelRecipe.fitting("node", data, hidden=2).build().save(tmp_path / "m.safetensors")
    explorer = Explorer(AppState(Scene(system)), play=False)
    before = explorer.store.state.lanes
    explorer._on_model("mine", path, {})
    added = explorer.store.state.lanes[len(before) :]
    assert added == ((Lane("node", source="mine"),) if runs else ())
    assert "mine" in explorer.shelf.items()
    assert ("runs as a lane" in said[0]) == runs
    explorer.close()


def test_the_exact_solution_s_switch_follows_the_state():
    explorer = Explorer(AppState(Scene("kdv", "two_solitons")), play=False)
    switch, links = explorer.desk.controls.exact, []
    explorer.browser.write = links.append
    explorer.store.put(AppState(Scene("kdv", "two_solitons"), view=View(exact=True)))
    assert switch.value
    switch.value = False
    assert not explorer.store.state.view.exact
    assert ["exact" in link for link in links] == [True, False]
    explorer.close()


def test_the_link_carries_the_language_of_the_theory():
    explorer = Explorer(AppState(view=View(page="theory", lang="ja")), play=False)
    theory = explorer.tabs.page("theory")
    assert "離散勾配" in theory._prose["discrete"].object
    theory.language.value = "en"
    assert explorer.store.state.to_flat() == {"system": "kdv", "page": "theory"}
    theory.language.value = "ja"
    assert explorer.store.state.to_flat()["lang"] == "ja"
    explorer.close()


def test_the_drawer_follows_the_room_there_is():
    explorer = Explorer(play=False)
    page = explorer.page()
    explorer._drawer.on_width(False)
    assert not page.sidebar_open
    page.sidebar_open = True
    explorer._drawer.on_width(False)
    assert page.sidebar_open, "opened by the person"
    explorer._drawer.on_width(True)
    assert page.sidebar_open
    explorer.close()


def test_the_drawer_is_open_where_its_controls_act():
    explorer = Explorer(play=False)
    page = explorer.page()
    seen = []
    for key in ("explore", "train", "results", "structure", "explore"):
        explorer.store.change_view(page=key)
        seen.append(page.sidebar_open)
    assert seen == [True, True, False, False, True]
    explorer.close()


def test_what_the_person_chose_of_the_drawer_is_kept():
    explorer = Explorer(AppState(view=View(page="results")), play=False)
    page = explorer.page()
    assert not page.sidebar_open
    page.sidebar_open = True
    explorer.store.change_view(page="theory")
    assert page.sidebar_open
    explorer.store.change_view(page="explore")
    page.sidebar_open = False
    explorer.store.change_view(page="results")
    explorer.store.change_view(page="explore")
    assert not page.sidebar_open
    explorer.close()


def test_a_window_made_narrow_on_another_page_keeps_the_drawer_closed_on_return():
    explorer = Explorer(play=False)
    page = explorer.page()
    explorer.store.change_view(page="results")
    explorer._drawer.on_width(False)
    explorer.store.change_view(page="explore")
    assert not page.sidebar_open
    explorer._drawer.on_width(True)
    assert page.sidebar_open
    explorer.close()


@pytest.mark.parametrize("dark", [False, True])
def test_signs_have_the_same_colours_in_the_editor_as_in_heat_maps(dark):
    table, palette = colour_table("diverging", dark), PALETTES["dark" if dark else "light"]
    assert palette["negative"] == f"#{table[:3].hex()}"
    assert palette["positive"] == f"#{table[-4:-1].hex()}"
    css = style("operator")
    assert css.index("--ddg-positive") < css.index("input.negative") < css.index("--ddg-negative")


def test_dark_theme_swaps_table_and_colours():
    explorer = Explorer(AppState(view=View(dark=True)))
    canvas = explorer.race.canvases[0]
    assert canvas.palette == {**PALETTES["dark"], "swatch": Look(0).swatch(True)}
    assert canvas.table == colour_table("sequential", True)
    explorer._set_dark(False)
    assert canvas.palette == {**PALETTES["light"], "swatch": Look(0).swatch(False)}
    assert explorer.store.state.view.dark is False
    explorer.close()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("scale", ["diverging", "sequential"])
def test_colour_tables_are_256_opaque_colours(scale, dark):
    table = colour_table(scale, dark)
    assert len(table) == 1024
    assert set(table[3::4]) == {255}


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_contrast_is_at_least_4_5(name):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    palette = PALETTES[name]
    for text in ("ink", "muted", "accent", "good", "warn", "bad"):
        for back in ("surface", "page"):
            a, b = sorted((luminance(palette[text]), luminance(palette[back])))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (text, back)


def test_twenty_closed_explorers_are_freed():
    alive = []
    for page in ["explore"] * 16 + ["train", "results", "structure", "theory"]:
        explorer = Explorer(AppState(view=View(page=page)))
        explorer.page()
        alive.append(weakref.ref(explorer))
        explorer.close()
    del explorer
    gc.collect()
    assert [ref() for ref in alive] == [None] * 20


def test_reset_to_preset_begins_the_run_anew_where_the_scene_is_the_preset_already():
    explorer = Explorer(AppState(Scene("kdv", "two_solitons"), (Lane(),)), play=False)
    group = explorer.runner._groups[0]
    explorer.runner._take(group)
    explorer.desk.controls.reset.clicks += 1
    assert explorer.runner._take(group).reset
    explorer.close()
