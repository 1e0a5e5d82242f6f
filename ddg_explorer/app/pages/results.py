"""Results: the committed runs of the published experiments beside the published figures."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app.layout import card
from ddg_explorer.app.numerals import number
from ddg_explorer.app.pages import markup
from ddg_explorer.app.pages.figures import pane
from ddg_explorer.app.pages.palette import model_colour, model_marker, model_title
from ddg_explorer.app.pages.published_rows import (
    EXPERIMENTS,
    METRIC_TITLES,
    Row,
    budget_kinds,
    chosen,
    rows_of,
)
from ddg_explorer.app.pages.results_chart import metric_chart
from ddg_explorer.app.pages.results_words import captions, tiles
from ddg_explorer.app.theme import PALETTES, mode
from ddg_explorer.app.widgets import Choice
from ddg_explorer.paper import COMMITTED, PUBLISHED, TESTS, summarise
from ddg_explorer.paper.tables import of

TEST_TITLES = {"test": "As published", "fresh": "Fresh states", "long": "Long rollouts"}
TEST_SETS = {"test": "published test set", "fresh": "fresh test set", "long": "long rollouts"}
CHARTS = ("energy_mse", "state_mse")


class ResultsPage:
    """Charts and a table of one experiment at a time.

    Parameters
    ----------
    dark
        Theme.
    folder
        Folder of results as `reproduce` writes them; None: the committed ones.

    Attributes
    ----------
    view
        What the main area shows.
    """

    def __init__(self, dark: bool, folder: Path | None = None) -> None:
        self._dark = dark
        self._tables = summarise(COMMITTED if folder is None else folder, PUBLISHED)
        names = {title: name for name, title in EXPERIMENTS.items()}
        self.experiment = Choice("Experiment", names, lambda _: self._enter())
        tests = {title: name for name, title in TEST_TITLES.items()}
        self.test = Choice("Test set", tests, lambda _: self._draw())
        self.models = _several("Models")
        self.budgets = _several("Budgets")
        for widget in (self.models, self.budgets):
            widget.param.watch(lambda _: self._draw(), "value")
        self._head, self._tiles, self._key, self._notes, self._table = (
            markup.text() for _ in range(5)
        )
        self._charts = {name: pane() for name in CHARTS}
        self._empty = {name: markup.text() for name in CHARTS}
        self._held = False
        self.view = self._layout()
        self._enter()

    def restyle(self, dark: bool) -> None:
        """Redraw in the other theme."""
        if dark != self._dark:
            self._dark = dark
            self._draw()

    @property
    def rows(self) -> list[Row]:
        """What is shown."""
        return chosen(self._all(), self.models.value, self.budgets.value)

    def _all(self) -> list[Row]:
        return rows_of(self._tables, self.experiment.value, self.test.value)

    def _enter(self) -> None:
        """Offer what this experiment has, and show all of it."""
        name = self.experiment.value
        everything = [row for test in TESTS for row in rows_of(self._tables, name, test)]
        models = {model_title(row.model): row.model for row in everything}
        budgets = budget_kinds(everything)
        there = [test for test in TESTS if test == "test" or rows_of(self._tables, name, test)]
        self._held = True
        try:
            self.models.param.update(options=models, value=list(models.values()))
            self.budgets.param.update(
                options=budgets, value=list(budgets.values()), visible=bool(budgets)
            )
            tests = {TEST_TITLES[test]: test for test in there}
            self.test.show("test", options=tests, disabled=len(tests) == 1)
        finally:
            self._held = False
        self._draw()

    def _draw(self) -> None:
        if self._held:
            return
        rows, test, name = self.rows, self.test.value, self.experiment.value
        self._head.object = markup.heading(
            "Results",
            "Errors of this package's trained models, next to those published for the same "
            "experiment. Smaller is better.",
        )
        self._tiles.object = tiles(rows, name, test)
        self._key.object = _key(rows, self._dark)
        for metric in CHARTS:
            self._charts[metric].object = fig = metric_chart(rows, metric, self._dark)
            self._charts[metric].visible = fig is not None
            self._empty[metric].visible = fig is None
            self._empty[metric].object = markup.caption("No figures for this choice.")
        self._notes.object = captions(rows, name, test)
        self._table.object = _table(rows, name, test, self._dark)

    def _layout(self) -> pn.Column:
        controls = pn.FlexBox(
            pn.Row(self.experiment.widget, styles={"flex": "1 1 190px"}),
            pn.Row(self.test.widget, styles={"flex": "1 1 150px"}),
            pn.Row(self.models, styles={"flex": "2 1 270px"}),
            pn.Row(self.budgets, styles={"flex": "1.5 1 200px"}),
            sizing_mode="stretch_width",
            align_items="center",
            gap="6px 16px",
        )
        charts = pn.FlexBox(
            *(
                card(
                    markup.text(f"<h3>{METRIC_TITLES[name]}</h3>"),
                    self._charts[name],
                    self._empty[name],
                    styles={"flex": "1 1 400px"},
                )
                for name in CHARTS
            ),
            sizing_mode="stretch_width",
            gap="16px",
        )
        return pn.Column(
            self._head,
            card(controls),
            card(self._tiles, self._key, styles={"gap": "14px"}),
            charts,
            self._notes,
            card(self._table),
            sizing_mode="stretch_width",
            styles={"gap": "16px"},
        )


def _several(label: str) -> pmui.MultiChoice:
    return pmui.MultiChoice(
        label=label,
        options={},
        value=[],
        margin=(6, 0),
        sizing_mode="stretch_width",
        delete_button=False,
        solid=False,
        sx={"& .MuiSelect-select": {"paddingTop": "9px", "paddingBottom": "6px"}},
    )


def _key(rows: Sequence[Row], dark: bool) -> str:
    ink = PALETTES[mode(dark)]["muted"]
    models = dict.fromkeys(row.model for row in rows if row.budget)
    drawn = [
        (
            markup.mark(model_marker(name), model_colour(name, dark)),
            f"{model_title(name)}, one seed",
        )
        for name in models
    ]
    if drawn:
        drawn.append((markup.mark("tick", ink), "mean of the seeds"))
        drawn.append((markup.mark("line", ink), "from the smallest to the largest"))
    if any(row.published for row in rows):
        drawn.append((markup.mark("diamond", ink, filled=False), "published mean of 15 trials"))
    return markup.key(*drawn)


def _table(rows: Sequence[Row], experiment: str, test: str, dark: bool) -> str:
    metrics = [m for m in METRIC_TITLES if any(m in r.figures or m in r.published for r in rows)]
    if not rows or not metrics:
        return markup.caption("No rows for this choice.")
    published = [m for m in metrics if any(m in row.published for row in rows)]
    head = ["Model"]
    for metric in metrics:
        head.append(METRIC_TITLES[metric])
        head += ["Published"] if metric in published else []
    head += ["Seeds", "Steps", "Training, s"]
    body = [_cells(row, metrics, published, dark) for row in rows]
    title = f"{EXPERIMENTS[experiment]}: {TEST_SETS[test]}"
    drawn = markup.table(head, body, numbers=range(1, len(head)), label=title)
    link = quote(_csv(rows, metrics, published))
    save = (
        f'<a download="{experiment}-{test}.csv" href="data:text/csv;charset=utf-8,{link}">'
        "Download as CSV</a>"
    )
    note = markup.caption(_error_line(rows))
    return f'<h3>{html.escape(title)}</h3>{note}{drawn}<p class="caption">{save}</p>'


def _cells(row: Row, metrics: Sequence[str], published: Sequence[str], dark: bool) -> list[str]:
    dot = f'<span class="dot" style="background:{model_colour(row.model, dark)}"></span>'
    seeds, count = ", ".join(map(str, row.seeds)), of(len(row.seeds), row.trained)
    cells = [f"{dot}{html.escape(row.title)}<small>{html.escape(row.budget_title)}</small>"]
    for metric in metrics:
        cells.append(_figure(row, metric))
        cells += [number(row.published.get(metric))] if metric in published else []
    return [
        *cells,
        f'<span title="seeds {seeds}">{count}</span>' if row.seeds else "–",
        "–" if row.steps is None else f"{row.steps:,}",
        number(row.wall_s),
    ]


def _error_line(rows: Sequence[Row]) -> str:
    """What ± and the lines below the figures are, where there are some."""
    most = max((len(row.seeds) for row in rows), default=0)
    if most < 2:
        return ""
    median = "; below it their median, from three seeds on" if most > 2 else ""
    return f"Mean of the seeds ± its standard error{median}."


def _figure(row: Row, metric: str) -> str:
    """Mean and standard error, below them the median, or how few seeds there are."""
    if row.lost(metric):
        return f'<span class="bad">diverged</span><small>{row.diverged} rollouts</small>'
    found = row.figures.get(metric)
    if found is None or found.mean is None:
        return "–"
    error = "" if found.stderr is None else f" ± {number(found.stderr, 2)}"
    few = {1: "one seed", 2: "two seeds"}
    below = few.get(len(row.seeds), f"median {number(found.median)}")
    return f"{number(found.mean)}{error}<small>{below}</small>"


def _csv(rows: Sequence[Row], metrics: Sequence[str], published: Sequence[str]) -> str:
    columns = ["model", "train", "predict", "budget", "steps"]
    columns += ["seeds", "trained", "diverged", "wall_s"]
    for metric in metrics:
        columns += [f"{metric}_{x}" for x in ("mean", "median", "stderr")]
        columns += [f"{metric}_published"] if metric in published else []
    lines = [columns]
    for row in rows:
        line: list[Any] = [row.model, row.train, row.predict, row.budget, row.steps]
        line += [len(row.seeds), row.trained, row.diverged, row.wall_s]
        for metric in metrics:
            found = row.figures.get(metric)
            parts = (None,) * 3 if found is None else (found.mean, found.median, found.stderr)
            line += [*parts, row.published.get(metric)] if metric in published else parts
        lines.append(["" if x is None else str(x) for x in line])
    return "\n".join(",".join(line) for line in lines)
