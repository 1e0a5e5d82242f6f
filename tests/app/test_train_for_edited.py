"""Training under an edited G: the data, the job and the lane all have the G of the table."""

import json
from pathlib import Path

import pytest

from ddg_explorer.app.entrants import Misfit, Shelf, entrant
from ddg_explorer.app.explorer import Explorer
from ddg_explorer.app.state import AppState, Lane, Scene
from ddg_explorer.app.training.jobs import Jobs
from ddg_explorer.app.training.specification import JobSpec
from ddg_explorer.app.training.view import TrainPage
from ddg_explorer.app.training.work import work
from ddg_explorer.app.turns import build
from ddg_explorer.models.files import load_model
from ddg_explorer.origin import specification_of

SCENES = {
    "kernel": Scene("kdv", n=30, length=6.0, entries=(-0.6, 0.0, 0.6)),
    "matrix": Scene("pendulum", entries=(0.0, 1.0, -1.0, -0.3)),
    "channels": Scene("wave", n=32, length=3.2, entries=(0.0, 1.0, -1.0, -0.5)),
}


def trained(scene, model, folder):
    """A model of a few steps, by way of the form, JSON and the worker."""
    page = TrainPage(jobs=Jobs(1), on_model=lambda *_: None, notify=pytest.fail)
    page.prepare(
        scene.system,
        model,
        preset=scene.chosen_preset,
        n=scene.n,
        length=scene.length,
        structure=specification_of(build(scene)),
    )
    form = page.form
    sizes = {form.steps: 2, form.source.trajectories: 3, form.source.frames: 10}
    for field, number in sizes.items():
        field.widget.value = number
    assert "G as edited" in form.source._about.object
    spec = JobSpec.from_dict(json.loads(json.dumps(form.spec().checked().to_dict())))
    page.close()
    *_, last = work(spec, folder)
    assert last["event"] == "done"
    return load_model(Path(last["checkpoint"]))


@pytest.mark.parametrize("kind", SCENES)
@pytest.mark.parametrize("model", ["node", "dgnet"])
def test_a_model_is_trained_on_the_edited_g_and_runs_under_it(kind, model, tmp_path):
    scene, shelf = SCENES[kind], Shelf()
    found = trained(scene, model, tmp_path)
    lane, system = Lane(model, source=shelf.put("mine", found)), build(scene)
    assert found.context["structure"] == specification_of(system)
    assert entrant(lane, scene, system, shelf).key == model
    menu = Scene(scene.system, n=scene.n, length=scene.length)
    if model == "node":
        with pytest.raises(Misfit, match="motion as a whole"):
            entrant(lane, menu, build(menu), shelf)
    else:
        assert found.structure.law == system.structure.law


def test_train_for_this_takes_the_scene_as_it_is_edited():
    explorer = Explorer(AppState(SCENES["kernel"]), play=False)
    explorer._train_for("node")
    assert explorer.store.state.view.page == "train"
    page = explorer.tabs.page("train")
    recipe = page.form.spec().data.resolved()
    assert recipe is not None
    system, wanted = recipe.make_system(), build(SCENES["kernel"])
    assert system.grid == wanted.grid
    assert specification_of(system) == specification_of(wanted)
    explorer.close()


def test_a_menu_g_without_a_name_in_models_is_not_offered_as_the_models_own():
    page = TrainPage(jobs=Jobs(1), on_model=lambda *_: None, notify=pytest.fail)
    page.prepare("kdv", "dgnet", preset="published", structure="d_dx_viscous")
    assert "own" not in page.form.structure.widget.options.values()
    page.form.spec().checked()
    page.close()
