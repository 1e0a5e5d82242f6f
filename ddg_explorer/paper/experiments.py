"""The published experiments as runs: one training, several predictions, three test sets.

A `Cell` is one training run: experiment, model, training scheme, budget and seed. Its result is a
JSON file of its own, so that a table is resumed cell by cell, and a cell prediction by prediction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ddg_explorer.budgets import Budget, budget
from ddg_explorer.models import MODELS
from ddg_explorer.paper.published import PUBLISHED
from ddg_explorer.recipes import DATA_RECIPES, TEST_SEED, DataRecipe

DATA = {name: name for name in PUBLISHED} | {"real-pendulum": "pendulum_damped"}
"""Experiment → data recipe. The measured pendulum's data are not shipped: a damped pendulum with
noise stands in, and its figures cannot be compared with the published ones."""


@dataclass(frozen=True)
class TestSet:
    """True rollouts that models are tested on.

    Attributes
    ----------
    seed
        Of its initial states.
    trajectories, steps
        Its size; None: the recipe's.
    """

    seed: int
    trajectories: int | None = None
    steps: int | None = None


TESTS = {
    "test": TestSet(TEST_SEED),
    "fresh": TestSet(2024),
    "long": TestSet(2025, trajectories=5, steps=5000),
}
"""The published one, one that was never looked at while recipes were chosen, and long rollouts."""


@dataclass(frozen=True)
class Cell:
    """One training run of an experiment.

    Attributes
    ----------
    experiment
        Key of `PUBLISHED`.
    model, train
        Key of `MODELS` and its training scheme.
    budget
        "ours" or "published".
    seed
        Of weights, validation split and batches.
    steps
        Optimiser steps, None for those of the budget; others become part of the budget's name.
    """

    experiment: str
    model: str
    train: str
    budget: str
    seed: int
    steps: int | None = None

    @property
    def recipe(self) -> DataRecipe:
        """The training data."""
        return DATA_RECIPES[DATA[self.experiment]]

    @property
    def how(self) -> Budget:
        """Network and training."""
        recipe = self.recipe
        found = budget(self.budget, recipe.system, self.model, noisy=recipe.noise > 0)
        return found.with_steps(self.steps)

    @property
    def predictions(self) -> tuple[str, ...]:
        """Prediction schemes that the published table has for this training scheme."""
        rows = (row.split("/") for row in PUBLISHED[self.experiment])
        return tuple(p for model, train, p in rows if (model, train) == (self.model, self.train))

    @property
    def structure(self) -> dict[str, str] | None:
        """G of the model where it is not the system's own: a friction is learned with the energy.

        An HNN and an SRNN have none, as published.
        """
        if self.experiment == "real-pendulum" and self.model == "dgnet":
            return {"kind": "learned_friction"}
        return {"kind": "symplectic"} if self.model in ("hnn", "srnn") else None

    def path(self, folder: Path) -> Path:
        """Its result."""
        name = f"{self.model}@{self.how.name}-{self.train}-seed{self.seed}.json"
        return folder / self.experiment / name


def check_experiment(name: str) -> str:
    """`name`, if it is an experiment; else ValueError."""
    if name not in PUBLISHED:
        raise ValueError(f"experiment={name!r}: use some of {', '.join(PUBLISHED)}")
    return name


def cells(
    experiments: Sequence[str],
    *,
    models: Sequence[str] | None = None,
    budgets: Sequence[str] = ("ours",),
    seeds: int = 1,
    steps: int | None = None,
) -> Iterator[Cell]:
    """The training runs behind the tables.

    Parameters
    ----------
    experiments
        Keys of `PUBLISHED`.
    models
        Keys of `MODELS`, or `model/train` for one training scheme only; None: all of the table.
        Schemes that Levenberg–Marquardt does not suit are left out of "ours" unless asked for.
    budgets, seeds
        Budgets, and how many seeds of each, from 0.
    steps
        Optimiser steps instead of the budget's.

    Raises
    ------
    ValueError
        For a name that is not in the table, or fewer than one seed.
    """
    if seeds < 1:
        raise ValueError(f"seeds={seeds}: must be at least 1")
    for name in experiments:
        rows = dict.fromkeys(row.rpartition("/")[0] for row in PUBLISHED[check_experiment(name)])
        for key in budgets:
            chosen = _chosen(list(rows), models, lean=key == "ours")
            for model, train in chosen:
                for seed in range(seeds):
                    yield Cell(name, model, train, key, seed, steps)


def _chosen(rows: list[str], models: Sequence[str] | None, lean: bool) -> list[tuple[str, str]]:
    """(model, train) of the table's rows that were asked for."""
    for name in models or ():
        if name.partition("/")[0] not in MODELS:
            raise ValueError(f"models={name!r}: use some of {', '.join(MODELS)}")
    chosen = []
    for row in rows:
        model, _, train = row.partition("/")
        expensive = lean and train == "dopri5"
        if row in (models or ()) or (not expensive and (models is None or model in models)):
            chosen.append((model, train))
    return chosen
