"""The form of the Train tab without a browser: what it offers, what it says, what it refuses."""

import asyncio
import json
import re
from pathlib import Path

import numpy as np
import panel as pn
import pytest
import torch

from ddg_explorer import cli
from ddg_explorer.app.training import choices
from ddg_explorer.app.training.form import TrainForm
from ddg_explorer.app.training.jobs import Jobs
from ddg_explorer.app.training.specification import DataSpec, JobSpec
from ddg_explorer.app.training.view import TrainPage
from ddg_explorer.budgets import budget
from ddg_explorer.commands.data_options import training_data
from ddg_explorer.commands.train import _budget
from ddg_explorer.fitting import Fit
from ddg_explorer.models import MODELS
from ddg_explorer.recipes import DATA_RECIPES, DataRecipe
from ddg_explorer.training.defaults import DEFAULT_STEPS


@pytest.fixture(autouse=True)
def _extension():
    pn.extension()


@pytest.fixture
def form():
    found = TrainForm()
    yield found
    found.close()


def test_every_published_set_is_offered_with_every_budget(form):
    assert set(choices.RECIPES.values()) == set(DATA_RECIPES)
    for key in DATA_RECIPES:
        form.source.recipe.widget.value = key
        for name in choices.BUDGETS.values():
            form.budget.widget.value = name
            spec = form.spec().checked()
            assert spec.data.recipe == key
            assert spec.budget.training["steps"] == form.steps.value


def test_every_model_is_offered_and_has_a_structure_or_none(form):
    form.source.recipe.widget.value = "pendulum"
    assert set(choices.model_titles(paired=True).values()) == set(MODELS)
    for key in MODELS:
        form.model.widget.value = key
        for kind in form.structure.widget.options.values():
            form.structure.widget.value = kind
            spec = form.spec().checked()
            assert spec.model == key
            assert spec.name.startswith(MODELS[key].title)
            assert ("structure" in spec.network) == (kind not in ("none", "own"))


def test_a_budget_fills_in_the_numbers(form):
    assert (form.steps.value, form.source.trajectories.value) == (60, 30)
    form.budget.widget.value = "ours"
    assert (form.steps.value, form.source.trajectories.value) == (540, 90)
    form.budget.widget.value = "published"
    assert (form.steps.value, form.hidden.value) == (10_000, 200)


def test_adam_shows_its_settings_and_takes_them(form):
    assert not form._adam.visible
    form.optimizer.widget.value = "adam"
    assert form._adam.visible
    form.schedule.widget.value = "cosine"
    form.lr.value = 0.01
    training = form.spec().budget.training
    assert (training["optimizer"], training["schedule"], training["lr"]) == ("adam", "cosine", 0.01)
    assert training["scale"] is True


def test_a_wide_neural_ode_is_trained_by_gradients_whatever_the_budget():
    for name, steps in (("quick", 600), ("ours", 5000)):
        assert choices.default_steps(name, "two_body", "node", "", ode=True, noisy=False) == steps
    for name in ("quick", "ours"):
        assert budget(name, "two_body", "node").training["optimizer"] == "soap"


def test_the_published_budget_with_soap_takes_the_published_steps():
    for system, ode, steps in (("kdv", False, 10_000), ("pendulum", True, 2000), ("", True, 2000)):
        for optimizer in ("adam", "soap"):
            found = choices.default_steps(
                "published", system, "dgnet", optimizer, ode=ode, noisy=True
            )
            assert found == steps


def test_soap_takes_the_settings_of_adam():
    form = TrainForm()
    form.optimizer.widget.value = "soap"
    assert form._adam.visible
    assert form.steps.value == 600
    training = form.spec().checked().budget.training
    assert (training["optimizer"], training["lr"], training["scale"]) == ("soap", 3e-3, True)
    form.close()


def test_only_devices_that_are_here_are_offered(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    form = TrainForm()
    assert not form.device.widget.visible
    assert form.spec().device == "cpu"
    form.close()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "test")
    form = TrainForm()
    assert form.device.widget.visible
    form.device.widget.value = "cuda"
    spec = form.spec()
    assert (spec.device, spec.budget.training["optimizer"]) == ("cuda", "adam")
    assert JobSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    form.optimizer.widget.value = "lm"
    with pytest.raises(ValueError, match="device='cuda': Levenberg–Marquardt trains on cpu"):
        form.spec().checked()
    form.close()


def test_a_scene_is_data_of_its_own():
    page = TrainPage(jobs=Jobs(1), on_model=lambda *_: None, notify=lambda _: None)
    page.prepare(
        "cahn_hilliard", "node", preset="ripening", n=64, dt=1e-4, parameters={"gamma": 1e-3}
    )
    spec = page.form.spec().checked()
    recipe = spec.data.resolved()
    assert isinstance(recipe, DataRecipe)
    system = recipe.make_system()
    assert (system.grid.shape, system.values["gamma"], system.dt) == ((64,), 1e-3, system.dt)
    assert (recipe.preset, recipe.dt, spec.model) == ("ripening", 1e-4, "node")
    with pytest.raises(ValueError, match="preset='x'"):
        page.prepare("kdv", preset="x")
    page.prepare(model="dgnet")
    assert page.form.spec().model == "dgnet"
    page.close()


def test_a_preset_alone_is_not_the_published_data():
    recipe = DataSpec(system="kdv").resolved()
    assert recipe is not None
    assert recipe.preset == "two_solitons"


def table_of(*columns):
    """Bytes of a table of times and these components."""
    t = 0.1 * np.arange(len(columns[0]))
    names = ",".join(["time", *"qprs"[: len(columns)]])
    rows = [",".join(f"{x:.12g}" for x in row) for row in zip(t, *columns, strict=True)]
    return "\n".join([names, *rows]).encode()


def upload(form, name, data):
    """As the browser sends a file, and its reading done."""
    form.source.file.param.update(filename=name, value=data)
    if form.source._path is not None:
        asyncio.run(form.source.look())


SYMPLECTIC = {"dgnet": {"kind": "symplectic"}, "srnn": {"kind": "symplectic"}}
CIRCLE = np.cos(0.1 * np.arange(30)), -np.sin(0.1 * np.arange(30))


def test_an_own_file_is_looked_at(form):
    form.source.kind.widget.value = "file"
    with pytest.raises(ValueError, match="choose one first"):
        form.spec()
    upload(form, "mine.csv", table_of(*CIRCLE))
    assert "mine.csv: 1 × 29 steps, states of 2 numbers, Δt = 0.1" in form.source._about.object
    form.model.widget.value = "dgnet"
    assert "symplectic" in form.structure.widget.options.values()
    assert form.spec().network["structure"] == {"kind": "symplectic"}
    upload(form, "other.csv", b"time,q\n0,1\n1,x\n")
    assert "other.csv: " in form.source._about.object
    assert "ddg-explorer-data" not in form.source._about.object


@pytest.mark.parametrize("noise", [0.0, 5.0])
@pytest.mark.parametrize("model", ["dgnet", "node", "srnn"])
@pytest.mark.parametrize("name", ["ours", "quick", "published"])
def test_a_file_of_an_ode_is_trained_as_the_command_line_trains_it(
    form, tmp_path, name, model, noise
):
    """The same network, the same options of `train`, and under the same name."""
    path = tmp_path / "mine.csv"
    path.write_bytes(table_of(*CIRCLE))
    form.source.kind.widget.value = "file"
    upload(form, path.name, path.read_bytes())
    form.source.noise.value = noise
    form.model.widget.value = model
    form.budget.widget.value = name
    shown = form.spec().checked()
    words = ["train", "--data", str(path), "--model", model, "--budget", name]
    args = cli.build_parser().parse_args([*words, "--noise", str(noise / 100)])
    data, recipe = training_data(args)
    assert recipe is None
    data = data.with_noise(args.noise, args.data_seed) if noise else data
    told = _budget(args, data)
    assert shown.budget.name == told.name == name
    assert shown.budget.network == told.network
    assert shown.network["hidden"] == told.network.get("hidden", 200)
    settings = []
    for budget_, options in ((shown.budget, shown.network), (told, {})):
        fit = Fit(model, data, budget_, **{**options, "structure": SYMPLECTIC.get(model)})
        settings.append((fit.model.recipe, dict(fit.options)))
    (page, options), (line, wanted) = settings
    assert page == line
    steps = DEFAULT_STEPS["states" if noise and name != "published" else "lm"]
    assert options == {"steps": steps, **wanted}
    if name == "published":
        assert (options["steps"], options["batch"], page.dtype) == (2000, None, "float32")


def test_what_is_known_of_a_file_is_shown_when_the_form_comes_back_to_it(form):
    form.source.kind.widget.value = "file"
    upload(form, "mine.csv", table_of(*CIRCLE))
    shown = form.source._about.object
    form.source.kind.widget.value = "recipe"
    assert form.source._about.object != shown
    form.source.kind.widget.value = "file"
    assert form.source._about.object == shown


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [("b.csv", b"", "b.csv: is empty"), ("b.pkl", b"x", "b.pkl: must end in .npz, ")],
)
def test_a_file_that_cannot_be_takes_the_place_of_the_one_before(form, name, data, line):
    form.source.kind.widget.value = "file"
    upload(form, "a.csv", table_of(*CIRCLE))
    upload(form, name, data)
    assert line in form.source._about.object
    with pytest.raises(ValueError, match="choose one first"):
        form.spec()


def test_states_of_three_numbers_are_offered_what_suits_them(form):
    form.model.widget.value = "srnn"
    form.source.kind.widget.value = "file"
    upload(form, "three.CSV", table_of(*CIRCLE, CIRCLE[0] ** 2))
    assert set(form.model.widget.options.values()) == {"dgnet", "hnnpp", "node"}
    assert form.model.value == "dgnet"
    kinds = form.structure.widget.options.values()
    assert "symplectic" not in kinds
    assert "learned_friction" not in kinds
    assert form.spec().network["structure"]["kind"] in kinds


def test_a_reading_that_was_overtaken_says_nothing(form):
    form.source.kind.widget.value = "file"
    form.source.file.param.update(filename="first.csv", value=table_of(*CIRCLE))

    async def both():
        first = asyncio.create_task(form.source.look())
        await asyncio.sleep(0)
        form.source.file.param.update(filename="second.csv", value=table_of(*CIRCLE)[:-1])
        await form.source.look()
        await first

    asyncio.run(both())
    assert "second.csv" in form.source._about.object


def test_typed_numbers_outlive_other_choices(form):
    typed = {form.steps: 9, form.hidden: 5, form.source.trajectories: 7, form.source.frames: 50}
    for field, value in typed.items():
        field.widget.value = value
    form.model.widget.value = "hnnpp"
    form.optimizer.widget.value = "adam"
    form.budget.widget.value = "ours"
    assert {field: field.value for field in typed} == typed
    form.steps.widget.value = None
    form.budget.widget.value = "quick"
    assert form.steps.value == 600


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("steps=300000: must lie in [1, 200000]", "Steps = 300000: must lie in [1, 200000]"),
        ("data_seed=-1, noise=2: x", "Seed of the data = -1, Noise = 2: x"),
        ("device='cuda': no seed=0 there", "Device = 'cuda': no seed=0 there"),
        ("20 trainings are waiting already", "20 trainings are waiting already"),
    ],
)
def test_refusals_speak_of_the_form_s_fields(line, shown):
    assert choices.in_words(line) == shown


def test_a_number_that_is_missing_is_named_by_its_label(form):
    source = form.source
    form.optimizer.widget.value = "adam"
    widgets = [form.hidden.widget, form.steps.widget, form.seed, form.lr, source.noise]
    widgets += [source.data_seed, source.trajectories.widget, source.frames.widget]
    for widget in widgets:
        kept, widget.value = widget.value, None
        with pytest.raises(ValueError, match=f"^{re.escape(widget.label)}: needs a number$"):
            form.spec()
        widget.value = kept
    form.spec().checked()


def test_the_form_starts_with_the_system_that_runs_and_follows_it(form):
    form.follow(choices.scene_data("pendulum", preset="published", dt=0.1))
    assert form.source.kind.value == "system"
    assert form.spec().checked().data.system == "pendulum"
    assert "Pendulum" in form.source._about.object
    form.steps.widget.value = 7
    form.follow(choices.scene_data("wave", n=32))
    assert (form.spec().data.system, form.steps.value) == ("wave", 7)
    assert "symplectic" not in form.structure.widget.options.values()


def test_data_that_a_person_has_chosen_stay_while_the_scene_changes(form):
    form.follow(choices.scene_data("pendulum"))
    form.source.kind.widget.value = "recipe"
    form.source.recipe.widget.value = "spring"
    form.follow(choices.scene_data("wave", n=32))
    assert form.spec().data.recipe == "spring"
    form.source.kind.widget.value = "system"
    assert form.spec().data.system == "wave"
    form.follow(choices.scene_data("kdv"))
    assert form.spec().data.system == "kdv"


def test_a_scene_that_did_not_change_renews_nothing(form, monkeypatch):
    scene = choices.scene_data("wave", n=32)
    form.follow(scene)
    monkeypatch.setattr(form.source, "_on_change", pytest.fail)
    form.follow(choices.scene_data("wave", n=32))


def test_uploads_are_kept_apart_and_removed(form):
    form.source.file.param.update(filename="a.csv", value=b"time,q,p\n0,1,0\n1,0,1\n")
    path = form.source._path
    assert isinstance(path, Path)
    assert path.read_bytes().startswith(b"time")
    form.close()
    assert not path.exists()
