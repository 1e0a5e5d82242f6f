"""The state tree: what it refuses, and its flat form."""

import pytest

from ddg_explorer.app.races import RACES
from ddg_explorer.app.state import AppState, Lane, Scene, View
from ddg_explorer.app.store import Store
from ddg_explorer.recipes import TRAIN_SEED
from ddg_explorer.weights import SHIPPED


def test_default_state_is_a_short_link():
    assert AppState().to_flat() == {"system": "kdv"}


@pytest.mark.parametrize(
    "state",
    [
        AppState(),
        AppState(Scene("cahn_hilliard_2d", n=64, seed=3, parameters={"gamma": 1.25e-3})),
        AppState(Scene("pendulum", "friction", structure="damped_symplectic", dt=0.1 + 0.2)),
        AppState(Scene("wave", choices={"form": "strain"}, dtype="float32", tol=1e-5)),
        AppState(lanes=(Lane(), Lane(integrator="implicit_midpoint")), view=View(7, dark=True)),
        AppState(
            view=View(dark=False, exact=True, lockstep=False, show="difference", page="theory")
        ),
        AppState(lanes=(Lane(), Lane("dgnet", "midpoint"), Lane("srnn"))),
        AppState(Scene("kdv", "two_solitons", activation="sin")),
        AppState(view=View(page="theory", lang="ja")),
    ],
)
def test_flat_form_restores_the_state_exactly(state):
    flat = state.to_flat()
    assert all(isinstance(v, str) for v in flat.values())
    assert AppState.from_flat(flat) == state


@pytest.mark.parametrize(
    ("flat", "named"),
    [
        ({"system": "nonsense"}, "system='nonsense'"),
        ({"preset": "nonsense"}, "preset='nonsense'"),
        ({"integrator": "nonsense"}, "integrator='nonsense'"),
        ({"structure": "symplectic"}, "structure='symplectic'"),
        ({"dt": "fast"}, "dt='fast'"),
        ({"dt": "-1"}, "dt=-1"),
        ({"dt": "nan"}, "dt=nan"),
        ({"n": "100000"}, "n=100000"),
        ({"n": "3.5"}, "n='3.5'"),
        ({"seed": "-1"}, "seed=-1"),
        ({"n": "9" * 400}, "n=" + "9" * 40 + ": must lie"),
        ({"seed": "9" * 400}, "seed=999"),
        ({"speed": "9" * 400}, "speed=999"),
        ({"speed": "9" * 5000}, "speed='999"),
        ({"p.alpha": "1e9"}, "alpha=1e"),
        ({"p.nonsense": "1"}, "parameter='nonsense'"),
        ({"c.form": "strain"}, "choice='form'"),
        ({"speed": "0"}, "speed=0"),
        ({"theme": "pink"}, "theme='pink'"),
        ({"lanes": "truth,nonsense"}, "lane='nonsense'"),
        ({"lanes": "dgnet"}, "lanes: the first is truth"),
        ({"page": "nowhere"}, "page='nowhere'"),
        ({"show": "all"}, "show='all'"),
        ({"lang": "fr"}, "lang='fr': use one of en, ja"),
        ({"lockstep": "yes"}, "lockstep='yes'"),
        ({"activation": "magic"}, "activation='magic'"),
        ({"unknown": "1"}, "unknown='1'"),
    ],
)
def test_bad_links_are_refused_in_one_line_that_names_the_setting(flat, named):
    with pytest.raises(ValueError, match="^" + named.replace(".", r"\.")) as caught:
        AppState.from_flat(flat)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_store_tells_subscribers_of_changes_only():
    store, seen = Store(), []
    store.subscribe(lambda old, new: seen.append((old.scene.seed, new.scene.seed)))
    store.change_scene(seed=4)
    store.change_scene(seed=4)
    assert seen == [(None, 4)]


def test_every_race_is_on_the_preset_of_its_training_data_and_on_a_held_out_state():
    for system, race in RACES.items():
        rows = [row for row in SHIPPED if row.system == system and row.data != "pendulum_damped"]
        assert {row.recipe.preset for row in rows} == {race.preset}
        assert {row.model for row in rows} >= set(race.models)
        assert {row.recipe.integrator for row in rows} == {race.integrator}
        assert race.seed != TRAIN_SEED
        scene = Scene(system)
        assert (scene.chosen_preset, scene.chosen_seed) == (race.preset, race.seed)
        assert [lane.model for lane in AppState(scene).lanes] == ["truth", *race.models]


def test_another_preset_brings_its_own_lanes_and_a_change_of_the_scene_keeps_them():
    store = Store()
    store.put_lanes([Lane(), Lane("dgnet"), Lane("dgnet", "dopri5")])
    lanes = store.state.lanes
    store.change_scene(dt=2e-3)
    assert store.state.lanes == lanes
    store.put_scene(Scene("kdv", "two_solitons"))
    assert store.state.lanes == (Lane(),)


def test_lanes_of_the_session_stay_out_of_the_link():
    state = AppState(lanes=(Lane(), Lane("node"), Lane("dgnet", source="mine")))
    assert state.to_flat()["lanes"] == "truth,node"


@pytest.mark.parametrize("lanes", [(Lane("dgnet"),), (Lane(),) * 7])
def test_lanes_begin_with_the_truth_and_are_six_at_most(lanes):
    with pytest.raises(ValueError, match=r"^lanes: "):
        AppState(lanes=lanes)


def test_store_keeps_its_state_when_a_change_is_refused():
    store = Store()
    before = store.state
    with pytest.raises(ValueError, match="dt=-1"):
        store.change_scene(dt=-1.0)
    assert store.state is before
