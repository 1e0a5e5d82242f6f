"""Run cells of the published tables: train, predict, write the result, skip what is there.

A cell killed at any point goes on from its last training event; its trained model and its state of
training are kept in a work folder, its result as JSON in the results folder. Every file is complete
or absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.evaluation import (
    advance_forecast,
    derivative_error,
    errors,
    one_step_error,
    own_drift,
    true_drift,
)
from ddg_explorer.fitting import Fit, device_name, surroundings
from ddg_explorer.io import atomic, plain
from ddg_explorer.models import Model, load_model, read_card
from ddg_explorer.models.base import PREDICTORS
from ddg_explorer.paper.experiments import TESTS, Cell
from ddg_explorer.recipes import DataRecipe, make_dataset, make_test, published_energy


@dataclass(frozen=True)
class Event:
    """Where a cell stands.

    Attributes
    ----------
    cell, what
        The cell, and what is being done: "train", or prediction and test set.
    done, total
        Steps of it.
    note
        Loss, or why a run failed.
    """

    cell: Cell
    what: str
    done: int
    total: int
    note: str = ""


@dataclass
class Study:
    """Where results and work in progress are kept.

    Attributes
    ----------
    results
        Folder of the results, one JSON file a cell.
    work
        Folder of trained models and of training under way.
    command
        The command line, for the results.
    cache
        Cache of the data sets, as `make_dataset` takes it.
    device
        Where models are trained with first-order optimisers and predict. Levenberg–Marquardt
        trains on the CPU wherever that is.
    sizes
        Options of the data sets other than the recipe's.
    data
        Data sets that were made already, by name.
    """

    results: Path
    work: Path
    command: str
    cache: bool | Path = True
    device: str = "cpu"
    sizes: dict[str, int] = field(default_factory=dict)
    data: dict[tuple[str, str], Dataset] = field(default_factory=dict)

    def run(self, cell: Cell, tests: Sequence[str] = ("test",)) -> Iterator[Event]:
        """Train the cell and predict on the test sets, what of it is not there yet."""
        path = cell.path(self.results)
        weights = self.work / cell.path(Path()).with_suffix(".safetensors")
        result = _of_these(read_result(path), weights, cell.predictions, tests)
        missing = [
            (prediction, test)
            for prediction in cell.predictions
            for test in tests
            if test not in result.get("predictions", {}).get(prediction, {})
        ]
        if not missing:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if not result:
            result = yield from self._train(cell, weights, path)
        model = load_model(weights).to(self.device)
        for prediction, test in missing:
            figures = yield from self._predict(cell, model, prediction, test)
            result["predictions"].setdefault(prediction, {})[test] = figures
            write_json(result, path)

    def _train(self, cell: Cell, weights: Path, path: Path) -> Iterator[Event]:
        """Train, and leave model and result complete before the state of training goes."""
        weights.parent.mkdir(parents=True, exist_ok=True)
        state = weights.with_suffix(".training.safetensors")
        options: dict[str, Any] = {} if cell.structure is None else {"structure": cell.structure}
        fit = Fit(
            cell.model,
            self._data(cell, "train"),
            cell.how,
            seed=cell.seed,
            checkpoint=state,
            scheme=cell.train,
            device="cpu" if cell.how.training["optimizer"] == "lm" else self.device,
            **options,
        )
        for progress in fit:
            note = progress.reason or f"loss {progress.loss:.2e}"
            yield Event(cell, "train", progress.step, progress.steps, note)
        card = fit.card(self.command, experiment=cell.experiment)
        fit.model.save(weights)
        result = {
            "experiment": cell.experiment,
            "model": cell.model,
            "train": cell.train,
            "network": None if fit.model.recipe is None else fit.model.recipe.to_dict(),
            **card,
            "reason": "" if fit.last is None else fit.last.reason,
            "predictions": {},
        }
        write_json(result, path)
        state.unlink(missing_ok=True)
        return result

    def _predict(self, cell: Cell, model: Model, prediction: str, test: str) -> Iterator[Event]:
        data = self._data(cell, test)
        steps, found = data.frames - 1, None
        scheme, *_ = PREDICTORS[prediction]
        run = advance_forecast(model, data.u[:, 0], data.dt, steps, scheme)
        for step, last in enumerate(run):
            found = last
            yield Event(cell, f"{prediction} on {test}", min(step + 1, steps), steps)
        assert found is not None
        clean, observed = self._observed(cell, test)
        return {
            "du_dt": derivative_error(model, cell.recipe.make_system(), clean, observed),
            **measures(model, found, data, cell.recipe),
            "wall_s": found.wall_s,
            "device": device_name(model.device),
            "reasons": found.reasons,
            "data": data.digest(),
            **surroundings(self.command),
        }

    def _observed(self, cell: Cell, test: str) -> tuple[Dataset, Tensor]:
        """Held-out states and what is observed of them, for the error of du/dt.

        Those of the test set; where training data are noisy, held-out trajectories of their kind
        with that noise, as published.
        """
        if not cell.recipe.noise:
            data = self._data(cell, test)
            return data, data.u
        kind = TESTS[test]
        sizes = {"trajectories": kind.trajectories, "steps": kind.steps} | self.sizes
        clean, noisy = (
            make_dataset(recipe, seed=kind.seed, cache=self.cache, **sizes)
            for recipe in (replace(cell.recipe, noise=0.0), cell.recipe)
        )
        return clean, noisy.u

    def _data(self, cell: Cell, test: str) -> Dataset:
        """The training data or a test set of a cell's experiment, made once."""
        key = (cell.experiment, test)
        if key not in self.data:
            if test == "train":
                self.data[key] = make_dataset(cell.recipe, cache=self.cache, **self.sizes)
            else:
                kind = TESTS[test]
                sizes = {"trajectories": kind.trajectories, "steps": kind.steps} | self.sizes
                self.data[key] = make_test(cell.recipe, seed=kind.seed, cache=self.cache, **sizes)
        return self.data[key]


def _of_these(
    result: dict[str, Any], weights: Path, predictions: Sequence[str], tests: Sequence[str]
) -> dict[str, Any]:
    """The result, or {} where it lacks predictions and its own trained model is gone."""
    known = result.get("predictions", {})
    if all(test in known.get(prediction, {}) for prediction in predictions for test in tests):
        return result
    if not weights.is_file():
        return {}
    same = read_card(weights)["card"].get("date") == result.get("date")
    return result if same else {}


def measures(model: Model, found: Any, data: Dataset, recipe: DataRecipe) -> dict[str, Any]:
    """The published metrics of a forecast; and of the pendulum, the true energy's beside them.

    `energy_mse` is of the energy that the published table compares.
    """
    system = recipe.make_system()
    out: dict[str, Any] = {"one_step": one_step_error(model, data)}
    out |= errors(found, data.u, lambda u: published_energy(recipe, u))
    if recipe.system == "pendulum":
        out["true_energy_mse"] = errors(found, data.u, system.energy)["energy_mse"]
    return out | {
        "max_energy_drift": true_drift(found, system.energy, system.energy_scale),
        "max_own_energy_drift": own_drift(found, system.energy_scale),
    }


def read_result(path: Path) -> dict[str, Any]:
    """A cell's result, {} where there is none; ValueError for a file that is no result."""
    if not path.is_file():
        return {}
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        result["predictions"].keys()
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"results={str(path)!r}: is no result ({error})") from None
    return result


def write_json(values: Any, path: Path) -> None:
    """Write plain values, atomically; numbers that JSON does not have become null."""
    with atomic(path) as file:
        text = json.dumps(plain(values), indent=1, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")
