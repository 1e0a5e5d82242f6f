"""What "Add a lane" offers can be trained for the scene; what cannot be is not asked for."""

import panel as pn
import pytest

from ddg_explorer.app import Explorer
from ddg_explorer.app.state import AppState, Lane, Scene
from ddg_explorer.models import MODELS

PAIRED = {"hnn", "srnn", "symplectic_form"}


@pytest.fixture(autouse=True)
def _extension():
    pn.extension()


def shown(scene, *lanes):
    """An explorer whose true lane and others have had a turn."""
    explorer = Explorer(AppState(scene, (Lane(), *lanes)), play=False)
    (group,) = explorer.runner._groups
    turn = explorer.runner._take(group)
    pairs = [(entry.canvas, entry.simulation.turn(turn)) for entry in group.entries]
    explorer._on_outcomes(pairs)
    return explorer


@pytest.mark.parametrize(
    "scene",
    [
        Scene("kdv"),
        Scene("cahn_hilliard_2d", "spinodal"),
        Scene("wave", "damped"),
        Scene("wave", "strain"),
        Scene("two_body"),
        Scene("pendulum", "friction"),
    ],
)
def test_every_model_on_offer_can_be_trained_for_the_scene(scene):
    explorer = shown(scene)
    offered = [lane.model for lane in explorer.desk.lanebar._offers.values()]
    paired = scene.system in ("two_body", "pendulum")
    assert set(offered) == set(MODELS) - (set() if paired else PAIRED)
    for model in offered:
        explorer._train_for(model)
        job = explorer.tabs.page("train").form.spec().checked()
        assert (job.model, job.data.system) == (model, scene.system)
    explorer.close()


def test_another_system_is_offered_its_own_models():
    explorer = shown(Scene("pendulum"))
    bar = explorer.desk.lanebar
    assert "SRNN" in [item["label"] for item in bar.add.items]
    explorer.store.put_scene(Scene("kdv"))
    bar.show(explorer.store.state, field=True)
    assert [item["label"] for item in bar.add.items] == ["Neural ODE", "HNN++", "DGNet"]
    explorer.close()


@pytest.mark.parametrize(("name", "line"), [("hnn", "HNN"), ("srnn", "SRNN")])
def test_a_lane_of_a_link_that_no_training_can_fill_says_so_and_offers_none(name, line):
    explorer = shown(Scene("kdv"), Lane(name), Lane("dgnet"))
    _, lane, dgnet = explorer.race.canvases
    assert lane.misfit == f"{line} needs states (q, p); those of Korteweg–de Vries are a field"
    assert not lane.trainable
    assert dgnet.trainable
    explorer.close()
