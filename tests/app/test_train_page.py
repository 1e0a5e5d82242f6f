"""The Train tab without a browser: what the form says, and what the page shows of a job."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import panel as pn
import pytest
import torch
from bokeh.plotting import figure

from ddg_explorer.app.theme import LANE_COLOURS, MODEL_ORDER
from ddg_explorer.app.training import choices
from ddg_explorer.app.training.form import TrainForm
from ddg_explorer.app.training.job import Job
from ddg_explorer.app.training.jobs import Jobs
from ddg_explorer.app.training.monitor import duration, ordinal
from ddg_explorer.app.training.preview import Preview
from ddg_explorer.app.training.specification import DataSpec, JobSpec
from ddg_explorer.app.training.view import TrainPage
from ddg_explorer.budgets import budget, quick
from ddg_explorer.fitting import Fit
from ddg_explorer.models import MODELS
from ddg_explorer.recipes import DATA_RECIPES, DataRecipe, make_dataset


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
    assert choices.default_steps("quick", "two_body", "node", "", noisy=False) == 600
    assert choices.default_steps("ours", "two_body", "node", "", noisy=False) == 5000
    for name in ("quick", "ours"):
        assert budget(name, "two_body", "node").training["optimizer"] == "soap"


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


class HeldJobs(Jobs):
    """Jobs that never get a process: a test plays the worker."""

    def _start_next(self) -> None:
        while self._queue and len(self._running) < self.limit:
            job = self._queue.popleft()
            job.state = "starting"
            self._running.append(job)

    def end(self, job: Job, state: str, line: str = "") -> None:
        self._running.remove(job)
        job.state, job.line = state, line
        self._start_next()
        self._tell_all()


def progress(step, loss, validation=None):
    times = {"elapsed": 0.5 * step, "eta": 0.5 * (60 - step)}
    return {
        "event": "progress",
        "step": step,
        "steps": 60,
        "loss": loss,
        "validation_loss": validation,
        **times,
    }


@pytest.fixture
def stage():
    """A page, its jobs, and what it has said."""
    said = {"models": [], "lines": []}
    jobs = HeldJobs(1)
    page = TrainPage(
        jobs=jobs,
        on_model=lambda *model: said["models"].append(model),
        notify=said["lines"].append,
    )
    yield page, jobs, said
    page._pump._task = None  # its loop has ended with the scenario
    page.close()


def press(button) -> None:
    button.clicks += 1


def test_a_run_is_shown_from_queue_to_model(stage, tmp_path):
    page, jobs, said = stage

    async def scenario():
        press(page.start)
        press(page.start)
        first, second = page._mine
        page.update()
        assert "Waiting: 1st in the queue" in page.monitor._state.object
        assert "1 running, 1 waiting" in page._capacity.object
        page._choose(first)
        first.apply({"event": "data", "done": 0.4})
        page.update()
        assert "Making the data (40 %)" in page.monitor._state.object
        assert page.monitor.bar.value == 40
        first.apply({"event": "compiling"})
        page.update()
        assert "Compiling the training step" in page.monitor._state.object
        assert page.monitor.bar.variant == "indeterminate"
        assert not page.cancel.disabled
        for step in (1, 2, 3):
            first.apply(progress(step, 10.0**-step, 0.1 * 10.0**-step))
        page.update()
        data = page.monitor.curves.source.data
        assert list(data["step"]) == [1, 2, 3]
        assert list(data["loss"]) == [0.1, 0.01, 0.001]
        assert page.monitor.bar.value == 5
        assert "3 / 60" in page.monitor._numbers.object
        assert "28 s" in page.monitor._numbers.object
        assert not page.cancel.disabled
        assert page.resume.disabled
        assert page.download.disabled
        first.apply({"event": "done", "checkpoint": str(tmp_path / "m.safetensors"), "card": {}})
        jobs.end(first, "finished")
        page.update()
        page.update()
        assert said["models"] == [(first.spec.name, tmp_path / "m.safetensors", {})]
        assert not page.download.disabled
        assert page.cancel.disabled
        page._choose(second)
        assert list(page.monitor.curves.source.data["step"]) == []
        assert figures_in(page) == []

    asyncio.run(scenario())


def test_a_failure_is_one_line_and_can_be_resumed(stage):
    page, jobs, _ = stage

    async def scenario():
        press(page.start)
        (job,) = page._mine
        job.apply(progress(2, 0.5))
        jobs.end(job, "failed", "diverged at step 2: <b>reduce</b> lr")
        page.update()
        assert "diverged at step 2: &lt;b&gt;" in page.monitor._state.object
        assert not page.resume.disabled
        press(page.resume)
        assert job.state == "starting"
        assert page.resume.disabled
        job.apply({**progress(3, 0.25), "elapsed": 0.5})
        page.update()
        assert [p.step for p in job.points] == [2, 3]
        assert (job.first, job.elapsed, job.rate) == (2, 1.5, 2.0)

    asyncio.run(scenario())


def test_refusals_are_told_and_nothing_is_queued(stage):
    page, jobs, said = stage

    async def scenario():
        page.form.source.trajectories.widget.value = 2000
        page.form.source.frames.widget.value = 5000
        press(page.start)

    asyncio.run(scenario())
    assert len(said["lines"]) == 1
    assert "GiB are allowed" in said["lines"][0]
    assert page._mine == []
    assert (jobs.running, jobs.waiting) == (0, 0)


def test_closing_the_page_releases_its_jobs(stage):
    page, jobs, _ = stage

    async def scenario():
        press(page.start)
        press(page.start)
        page.close()

    asyncio.run(scenario())
    assert all(not job.wanted for job in page._mine)
    assert jobs.waiting == 0


def test_a_model_has_its_own_colour_in_both_themes(stage):
    page, *_ = stage

    async def scenario():
        page.form.model.widget.value = "node"
        press(page.start)

    asyncio.run(scenario())
    for mode in ("dark", "light"):
        page.restyle(mode == "dark")
        line = page.monitor.curves._validation.glyph.line_color
        assert line == LANE_COLOURS[mode][MODEL_ORDER.index("node")]


@pytest.mark.parametrize(
    ("name", "kind"), [("kdv", "profile"), ("ch2d", "field"), ("spring", "phase")]
)
def test_previews_are_drawn(stage, name, kind):
    page, *_ = stage
    recipe = DATA_RECIPES[name]
    data = make_dataset(recipe, trajectories=2, steps=3, cache=False)
    fit = Fit("dgnet", data, quick(recipe.system, "dgnet"), hidden=2)
    seen = Preview.of(recipe, fit).of_model(fit.model, seconds=0.2)
    assert seen["kind"] == kind
    assert seen["times"][0] == seen["errors"][0] == 0
    view = page.monitor.preview
    view.show({"event": "preview", "step": 1, **seen}, "dgnet")
    assert view._field_panel.visible == (kind == "field")
    assert view._curve_panel.visible == (kind != "field")
    assert "held-out initial state" in view._caption.object
    drawn = [glyph.data_source.data for fig in figures_in(page) for glyph in fig.renderers]
    assert drawn
    assert all(len(column) for data in drawn for column in data.values())
    if kind == "field":
        assert view._images["truth"].data["image"][0].shape == (64, 64)
    else:
        assert len(view._truth.data["x"]) == len(view._curves.data["x"])


def test_a_preview_begins_where_nothing_was_learned():
    recipe = DATA_RECIPES["spring"]
    for seed in (0, 1):
        data = make_dataset(recipe, seed=seed, trajectories=2, steps=3, cache=False)
        fit = Fit("dgnet", data, quick(recipe.system, "dgnet"), hidden=2)
        first = Preview.of(replace(recipe, noise=0.0), fit).truth[0]
        clean = replace(recipe, noise=0.0)
        learned = make_dataset(clean, seed=seed, trajectories=2, steps=3, cache=False).u[:, 0]
        assert (learned - first).abs().amax(1).min() > 1e-3


def figures_in(page):
    """The figures that a browser is shown: those without data would have no ranges."""
    return list(page.view.get_root().select({"type": figure}))


def test_words_for_numbers():
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 22)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "22nd")
    ]
    assert [duration(s) for s in (3.4, 75, 3700, float("inf"))] == [
        *("3 s", "1 min 15 s", "1 h 01 min", "–")
    ]


def test_uploads_are_kept_apart_and_removed(form):
    form.source.file.param.update(filename="a.csv", value=b"time,q,p\n0,1,0\n1,0,1\n")
    path = form.source._path
    assert isinstance(path, Path)
    assert path.read_bytes().startswith(b"time")
    form.close()
    assert not path.exists()
