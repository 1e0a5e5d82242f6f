"""What the results page says: the headline figures, and what they rest on."""

from __future__ import annotations

import html
from collections.abc import Sequence

from ddg_explorer.app.numerals import number
from ddg_explorer.app.pages import markup
from ddg_explorer.app.pages.palette import model_title
from ddg_explorer.app.pages.published_rows import FEWER, METRIC_TITLES, Row
from ddg_explorer.paper import DATA, TESTS
from ddg_explorer.paper.tables import INCOMPARABLE, NOTES, not_beaten
from ddg_explorer.recipes import DATA_RECIPES

BUDGET_NOTES = {
    "ours": "Our budget: a small network on whitened inputs, trained with Levenberg–Marquardt, or "
    "with Adam or SOAP where that does not suit. The published budget is a network of width 200 "
    "and thousands of Adam steps: same data recipe, another training.",
    "published": "Published budget: the network and the Adam steps of the paper.",
    FEWER: "Rows that name a number of steps were trained with fewer than their budget has: their "
    "errors say what so many steps reach, not what the model can do.",
}


def tiles(rows: Sequence[Row], experiment: str, test: str) -> str:
    """The DGNet that predicts with its own scheme, in large figures."""
    best = [r for r in rows if r.model == "dgnet" and r.predict == "dg" and r.budget == "ours"]
    if not best:
        return ""
    row, drawn = best[0], []
    count = f"mean of {len(row.seeds)} seeds" if len(row.seeds) > 1 else "one seed"
    for metric in ("energy_mse", "state_mse", "du_dt", "one_step"):
        found = row.figures.get(metric)
        if found is None or found.mean is None or row.lost(metric):
            continue
        beside = _beside(found.mean, row.published.get(metric), experiment, test)
        drawn.append(
            f'<div class="tile"><span>{METRIC_TITLES[metric]}, {model_title("dgnet")}</span>'
            f"<b>{number(found.mean)}</b><span>{html.escape(f'{count}{beside}')}</span></div>"
        )
    return f'<div class="tiles">{"".join(drawn)}</div>'


def _beside(mean: float, published: float | None, experiment: str, test: str) -> str:
    if published is None or test != "test" or experiment in INCOMPARABLE or not mean:
        return ""
    ratio = published / mean
    words = (
        f"{number(ratio, 2)} times larger" if ratio > 1 else f"{number(1 / ratio, 2)} times smaller"
    )
    return f"; published: {number(published)}, {words}"


def captions(rows: Sequence[Row], experiment: str, test: str) -> str:
    """Test set, seeds, budgets, and what cannot be compared."""
    kinds = dict.fromkeys(row.budget_kind for row in rows if row.budget_kind)
    return markup.caption(
        _test_line(experiment, test),
        _seed_line(rows),
        _behind_line(rows, experiment),
        *(BUDGET_NOTES[kind] for kind in kinds),
        NOTES.get(experiment, ""),
        "Published: means over 15 trials of Matsubara, Ishikawa and Yaguchi (NeurIPS 2020, "
        "arXiv:1905.08604). All quantities are nondimensional.",
    )


def _test_line(experiment: str, test: str) -> str:
    recipe, kind = DATA_RECIPES[DATA[experiment]].for_test(), TESTS[test]
    count, steps = kind.trajectories or recipe.trajectories, kind.steps or recipe.steps
    size = f"{count} rollouts of {steps} steps of Δt = {recipe.dt:.3g}"
    if test == "test":
        return f"Test set: {size}, made by the published recipe."
    what = {
        "fresh": "initial states that were not looked at while budgets were chosen",
        "long": "long rollouts, far beyond the time trained on",
    }[test]
    return f"Test set: {what}; {size}. The published figures belong to the published test set."


def _behind_line(rows: Sequence[Row], experiment: str) -> str:
    """Rows of our budget that do not beat the published ones."""
    found = []
    for row in rows:
        if row.budget_kind == "ours":
            means = {metric: figures.mean for metric, figures in row.figures.items()}
            parts = not_beaten(experiment, means, row.published)
            found += [f"{row.title} ({part})" for part in parts]
    return f"Ours is larger than published: {'; '.join(found)}." if found else ""


def _seed_line(rows: Sequence[Row]) -> str:
    counts = sorted({len(row.seeds) for row in rows if row.seeds})
    if not counts:
        none = "None of these rows was run here yet; the published figures stand alone."
        return none if rows else ""
    some = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Seeds a row: {some}; a seed draws weights, validation split and batches. "
        "DG: discrete gradient; RK2: explicit midpoint; DP: Dormand–Prince; "
        "“DG → RK2”: trained with one, predicted with the other."
    )
