"""Rows of the results page: ours beside the published ones, from the committed summaries.

A row is one model, training scheme, prediction scheme and budget of an experiment, on one test set;
rows that were only published have no budget. Errors are nondimensional.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ddg_explorer.app.pages.palette import model_title
from ddg_explorer.paper import PUBLISHED
from ddg_explorer.paper.published import RowName
from ddg_explorer.paper.tables import MEANINGLESS, ROLLOUTS

METRIC_TITLES = {
    "energy_mse": "Energy MSE",
    "state_mse": "State MSE",
    "du_dt": "du/dt MSE",
    "one_step": "One-step error (ours only)",
    "true_energy_mse": "True energy MSE",
}
EXPERIMENTS = {
    "kdv": "KdV, two solitons",
    "ch": "Cahn–Hilliard, 1-D",
    "spring": "Mass and spring",
    "pendulum": "Pendulum",
    "two-body": "Two bodies",
    "real-pendulum": "Damped pendulum",
}
SCHEMES = {"dg": "DG", "rk2": "RK2", "dopri5": "DP", "leapfrog": "leapfrog"}
"""Training and prediction schemes as the tables abbreviate them."""
FEWER = "fewer"
"""Kind of every budget whose number of steps was changed."""


@dataclass(frozen=True)
class Figures:
    """One metric over the seeds; a seed without a value is None."""

    mean: float | None
    median: float | None
    stderr: float | None
    seeds: tuple[float | None, ...]


@dataclass(frozen=True)
class Row:
    """One line of an experiment's table.

    Attributes
    ----------
    model, train, predict
        As `PUBLISHED` names them.
    budget
        "ours", "published", either with its steps, or None: published only.
    figures
        Metric → what was found here.
    published
        Metric → published mean.
    seeds, trained
        The numbers of those that ran this test set, () for a row that was not run; and how many
        were trained.
    steps, wall_s, parameters
        Optimiser steps, mean training time, and weights; None where it was not run.
    diverged
        Rollouts that did, over all seeds.
    """

    model: str
    train: str
    predict: str
    budget: str | None = None
    figures: Mapping[str, Figures] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    trained: int = 0
    steps: int | None = None
    wall_s: float | None = None
    parameters: int | None = None
    diverged: int = 0

    @property
    def schemes(self) -> str:
        """How it is trained and predicts."""
        train, predict = SCHEMES[self.train], SCHEMES[self.predict]
        return train if train == predict else f"{train} → {predict}"

    @property
    def budget_kind(self) -> str | None:
        """ "ours", "published", `FEWER`, or None for a row that was not run."""
        return self.budget if self.budget in ("ours", "published", None) else FEWER

    @property
    def budget_title(self) -> str:
        """The budget in words."""
        if self.budget is None:
            return "not run here"
        name, _, steps = self.budget.removesuffix("-steps").partition("-")
        title = "our budget" if name == "ours" else "published budget"
        return f"{title}, {steps} steps" if steps else title

    @property
    def title(self) -> str:
        """Model and schemes."""
        return f"{model_title(self.model)}, {self.schemes}"

    def lost(self, metric: str) -> bool:
        """Whether the metric says no more than that rollouts diverged."""
        found = self.figures.get(metric)
        if found is None or not self.diverged or metric not in ROLLOUTS:
            return False
        return found.mean is None or found.mean > MEANINGLESS


def rows_of(tables: Mapping[str, Any], experiment: str, test: str) -> list[Row]:
    """The rows of an experiment in the order of the published table.

    Parameters
    ----------
    tables
        What `paper.summarise` gives.
    experiment, test
        Key of `PUBLISHED`, and of `paper.TESTS`. Published figures belong to "test".
    """
    rows: list[Row] = []
    for name, published in PUBLISHED[experiment].items():
        model, train, predict = name.split("/")
        shown = published if test == "test" else {}
        ran = [
            _row(key, summary, shown, test)
            for key, summary in sorted(tables.get(experiment, {}).items())
            if RowName.parse(key).published == name and (test == "test" or test in summary)
        ]
        if not ran and shown:
            ran = [Row(model, train, predict, published=shown)]
        rows += ran
    return rows


def _row(key: str, summary: Mapping[str, Any], published: Mapping[str, float], test: str) -> Row:
    row = RowName.parse(key)
    part = summary if test == "test" else summary[test]
    return Row(
        model=row.model,
        train=row.train,
        predict=row.predict,
        budget=row.budget,
        figures={name: _figures(part[name]) for name in METRIC_TITLES if name in part},
        published=published,
        seeds=tuple(part["seed_numbers"]),
        trained=len(summary["trained"]),
        steps=summary["steps"],
        wall_s=summary["wall_s"],
        parameters=summary["parameters"],
        diverged=sum(x or 0 for x in part.get("diverged", {}).get("seeds", [])),
    )


def _figures(found: Mapping[str, Any]) -> Figures:
    return Figures(found["mean"], found["median"], found["stderr"], tuple(found["seeds"]))


def budget_kinds(rows: Iterable[Row]) -> dict[str, str]:
    """Words → kind, for the budgets there are."""
    titles = {"ours": "Ours", FEWER: "Fewer steps", "published": "As published"}
    there = {row.budget_kind for row in rows}
    return {title: kind for kind, title in titles.items() if kind in there}


def chosen(rows: Sequence[Row], models: Sequence[str], budgets: Sequence[str]) -> list[Row]:
    """Rows of these models and budgets; a published-only row follows its model alone."""
    return [
        row
        for row in rows
        if row.model in models and (row.budget_kind is None or row.budget_kind in budgets)
    ]
