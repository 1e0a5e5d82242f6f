"""What a training worker does: data, model, training, previews; a generator of plain events.

    {"event": "data", "done": fraction}
    {"event": "compiling"}                     before a run that is compiled first
    {"event": "note", "line": …}               what else there is to know of this run
    {"event": "progress", "step", "steps", "loss", "validation_loss", "elapsed", "rate", "eta"}
    {"event": "preview", …}                    see `preview`
    {"event": "done", "checkpoint": path, "card": …}
    {"event": "refused", "line": …}            a run that cannot be, or diverged

The same specification, folder and seed give the same weights, also where the run was interrupted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from ddg_explorer.app.training.preview import LAST_SECONDS, SECONDS, Preview
from ddg_explorer.app.training.specification import WAYS, DataSpec, JobSpec
from ddg_explorer.budgets import Budget
from ddg_explorer.data import Dataset
from ddg_explorer.data_cache import make_writable, user_folder
from ddg_explorer.fitting import Fit
from ddg_explorer.io import named
from ddg_explorer.own_data import read_dataset
from ddg_explorer.recipes import advance_dataset
from ddg_explorer.refusal import offering
from ddg_explorer.training.defaults import resume_problem

log = logging.getLogger(__name__)

Event = dict[str, Any]
RUN, MODEL = "run.safetensors", "model.safetensors"
"""The snapshot to resume from, and the finished model, in the job's folder."""
PREVIEW_SHARE = 9.0
"""CPU seconds of training for one of previews, at least."""
PREVIEW_PERIOD = 1.5
"""CPU seconds between previews, at least."""
FIRST_SECONDS = 0.3
"""CPU seconds of training before the first preview, and those it may take."""
DATA_PERIOD = 0.2


def work(spec: JobSpec, folder: Path) -> Iterator[Event]:
    """Run one job; ValueError with one line for what cannot be trained."""
    data = yield from _data(spec, folder)
    budget, lost = _budget(spec, folder / RUN)
    if lost:
        yield {"event": "note", "line": lost}
    fit = Fit(
        spec.model,
        data,
        budget,
        seed=spec.seed,
        device=spec.device,
        checkpoint=folder / RUN,
        **spec.network,
    )
    preview = Preview.of(spec.data.resolved(), fit)
    if fit.compiles:
        yield {"event": "compiling"}
    next_at, seconds = time.process_time() + FIRST_SECONDS, FIRST_SECONDS
    for progress in fit:
        yield {
            "event": "progress",
            "step": progress.step,
            "steps": progress.steps,
            "loss": progress.loss,
            "validation_loss": progress.validation_loss,
            "elapsed": progress.elapsed,
            "rate": progress.rate,
            "eta": progress.eta,
        }
        if progress.reason:
            yield {"event": "refused", "line": progress.reason}
            return
        begin = time.process_time()
        if progress.done or begin >= next_at:
            seen = preview.of_model(fit.model, LAST_SECONDS if progress.done else seconds)
            yield {"event": "preview", "step": progress.step, **seen}
            now = time.process_time()
            next_at = now + max(PREVIEW_PERIOD, PREVIEW_SHARE * (now - begin))
            seconds = SECONDS
    card = fit.card("Train tab of the explorer", name=spec.name)
    path = fit.model.save(folder / MODEL, card)
    yield {"event": "done", "checkpoint": str(path), "card": card}


def _budget(spec: JobSpec, run: Path) -> tuple[Budget, str]:
    """The job's budget; without compiling, and with a line that says so, where its run was compiled
    and this machine no longer can."""
    problem = resume_problem(run)
    if not problem:
        return spec.budget, ""
    line = f"it goes on without compiling, equal to rounding: {problem}"
    return spec.budget.with_options(compile=False), line


def _data(spec: JobSpec, folder: Path) -> Generator[Event, None, Dataset]:
    """Read or make the trajectories."""
    source, recipe = spec.data, spec.data.resolved()
    yield {"event": "data", "done": 0.0}
    if recipe is None:
        assert source.file is not None
        try:
            data = read_dataset(source.file, dt=source.file_dt, length=source.file_length)
        except ValueError as problem:
            line = offering(problem, WAYS)
            raise named(line, source.file, Path(source.file).name) from problem
    else:
        cache = _cache(source, folder)
        made, told = None, time.process_time()
        for made in advance_dataset(recipe, seed=source.data_seed, cache=cache):
            if isinstance(made, float) and time.process_time() - told >= DATA_PERIOD:
                told = time.process_time()
                yield {"event": "data", "done": made}
        assert isinstance(made, Dataset)
        data = made
    yield {"event": "data", "done": 1.0}
    return data.with_noise(source.noise, source.data_seed) if source.noise else data


def _cache(source: DataSpec, folder: Path) -> bool | Path:
    """Where data are kept: published ones in the user's cache, for all, if it can be written to;
    others in the job's folder, for its resumption."""
    if source.recipe is None:
        return folder
    try:
        make_writable(user_folder())
    except OSError as error:
        log.warning("data in the job's folder, for the user's cannot be written to: %s", error)
        return folder
    return True
