"""The Train tab without a browser: what the page shows of a job, and what becomes of it."""

import asyncio
import itertools
import math
import re
from dataclasses import replace

import panel as pn
import pytest
from bokeh.plotting import figure

from ddg_explorer.app.theme import LANE_COLOURS, MODEL_ORDER
from ddg_explorer.app.training.curves import decades
from ddg_explorer.app.training.job import Job
from ddg_explorer.app.training.jobs import Jobs
from ddg_explorer.app.training.monitor import duration, ordinal
from ddg_explorer.app.training.preview import Preview
from ddg_explorer.app.training.view import TrainPage
from ddg_explorer.budgets import quick
from ddg_explorer.fitting import Fit
from ddg_explorer.recipes import DATA_RECIPES, make_dataset


@pytest.fixture(autouse=True)
def _extension():
    pn.extension()


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


def numbers_of(page):
    """What stands under each heading of the run's numbers."""
    cells = re.findall(
        r"<div[^>]*>([^<]+)</div><div[^>]*>([^<]+)</div>", page.monitor._numbers.object
    )
    return dict(cells)


def progress(step, loss, validation=None):
    times = {"elapsed": 0.5 * step, "rate": 2.0, "eta": 0.5 * (60 - step)}
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
        job.apply({**progress(3, 0.25), "elapsed": 40.5, "rate": None, "eta": None})
        page.update()
        assert [p.step for p in job.points] == [2, 3]
        assert job.elapsed == 41.5
        assert numbers_of(page)["Steps/s"] == numbers_of(page)["Left"] == "–"
        job.apply({**progress(7, 0.125), "elapsed": 42.5, "eta": 26.5})
        page.update()
        assert job.elapsed == 43.5
        assert (numbers_of(page)["Steps/s"], numbers_of(page)["Left"]) == ("2", "26 s")

    asyncio.run(scenario())


def test_refusals_are_told_and_nothing_is_queued(stage):
    page, jobs, said = stage

    async def scenario():
        page.form.source.trajectories.widget.value = 2000
        page.form.source.frames.widget.value = 5000
        press(page.start)

    asyncio.run(scenario())
    assert said["lines"] == [
        "Trajectories = 2000, Steps of each = 5000: take 3.7 GiB, at most 1 GiB are allowed"
    ]
    assert page._mine == []
    assert (jobs.running, jobs.waiting) == (0, 0)


def test_cards_of_a_run_come_with_what_they_show(stage):
    page, *_ = stage

    async def scenario():
        curves, preview = page.monitor.cards[1:]
        press(page.start)
        (job,) = page._mine
        for event in (None, {"event": "data", "done": 1.0}, {"event": "compiling"}):
            if event is not None:
                job.apply(event)
            page.update()
            assert (curves.visible, preview.visible) == (False, False)
        job.apply(progress(1, 0.5))
        page.update()
        assert (curves.visible, preview.visible) == (True, False)

    asyncio.run(scenario())


def test_start_and_resume_bring_the_run_into_view(stage, monkeypatch):
    page, jobs, _ = stage
    brought = []
    monkeypatch.setattr(page.monitor.reveal, "_send_msg", brought.append)

    async def scenario():
        press(page.start)
        assert len(brought) == 1
        jobs.end(page._mine[0], "cancelled")
        page.update()
        press(page.resume)
        assert len(brought) == 2
        page.form.hidden.widget.value = None
        press(page.start)
        assert len(brought) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("values", "exponents"),
    [
        ([0.9, 0.31], (-1, 0)),
        ([1.0, 0.1], (-1, 0)),
        ([1.2, 0.9], (-1, 1)),
        ([1.0], (-1, 0)),
        ([1e-3, 1e-3], (-4, -3)),
        ([3e-7, 40.0], (-7, 2)),
        ([], (-1, 0)),
    ],
)
def test_the_axis_of_the_loss_spans_whole_decades(values, exponents):
    assert decades(values) == exponents


def test_every_curve_lies_between_labelled_decades(stage):
    page, *_ = stage

    async def scenario():
        press(page.start)
        (job,) = page._mine
        curves = page.monitor.curves
        job.apply(progress(1, 0.97, 0.4))
        page.update()
        (axis,) = curves._figure.yaxis
        assert (curves._figure.y_range.start, curves._figure.y_range.end) == (0.1, 1.0)
        assert sorted(axis.ticker.ticks) == [0.1, 1.0]
        job.apply(progress(2, 3e-9, None))
        page.update()
        assert (curves._figure.y_range.start, curves._figure.y_range.end) == (1e-9, 1.0)
        ticks = sorted(axis.ticker.ticks)
        assert len(ticks) <= 7
        assert ticks[-1] == 1.0
        assert {round(math.log10(b / a)) for a, b in itertools.pairwise(ticks)} == {2}

    asyncio.run(scenario())


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
