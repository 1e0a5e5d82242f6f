"""Rollouts of a trained model from held-out states, and their errors."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from ddg_explorer.compare import held_out_seed
from ddg_explorer.data import Dataset
from ddg_explorer.evaluation import (
    Forecast,
    advance_forecast,
    errors,
    one_step_error,
    variance,
)
from ddg_explorer.fitting import Fit
from ddg_explorer.models import Model
from ddg_explorer.recipes import DataRecipe, make_test, published_energy

GLANCE = (4, 100)
"""Held-out trajectories and steps of them that a model of a file is rolled out on unasked."""


def held_out(args: argparse.Namespace, fit: Fit, recipe: DataRecipe | None) -> Dataset:
    """The recipe's test set; of a file, the trajectories that were not trained on, without --test
    `GLANCE` of them."""
    if recipe is not None:
        return make_test(recipe, seed=held_out_seed(0, {args.data_seed}))
    assert fit.validation is not None
    rows, steps = GLANCE
    test = fit.validation
    return test if args.test else replace(test, u=test.u[:rows, : steps + 1])


def roll_out(model: Model, test: Dataset) -> Forecast:
    """The model's rollouts from the first states of `test`, with a bar on a terminal."""
    from tqdm import tqdm

    steps, found = test.frames - 1, None
    bar = tqdm(total=steps, desc="test", unit="step", file=sys.stderr, disable=None, leave=False)
    with bar:
        for found in advance_forecast(model, test.u[:, 0], test.dt, steps):
            bar.update(found is None)
    assert found is not None
    return found


def measured(
    model: Model, found: Forecast, test: Dataset, recipe: DataRecipe | None
) -> dict[str, float | int]:
    """One-step error, energy and state MSE over the test rollouts; the true energy of a file is not
    known."""
    energy = None if recipe is None else recipe.make_system().energy
    out: dict[str, float | int] = {"one_step": one_step_error(model, test)}
    out |= errors(found, test.u, energy)
    out["rollouts"] = test.trajectories
    out["relative_state_mse"] = out["state_mse"] / variance(test.u)
    if recipe is not None and recipe.system == "pendulum":
        published = errors(found, test.u, lambda u: published_energy(recipe, u))
        out["published_energy_mse"] = published["energy_mse"]
    return out
