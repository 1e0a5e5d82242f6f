"""The tables for people, as Markdown whose columns line up, so that it reads in a terminal too.

One table an experiment with the means over seeds beside the published ones; below it, where asked
for, everything over seeds: mean and standard error, median, and the value of every seed on every
test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ddg_explorer.paper.published import PUBLISHED, RowName

METRICS = {"one_step": "du/dt", "energy_mse": "energy", "state_mse": "state"}
"""The published ones, and how a table heads them."""
TEST_SETS = ("test", "fresh", "long")
MEANINGLESS = 1e6
"""Errors beyond it, of rollouts that diverged, are told as that and not as a number."""
NOTES = {
    "pendulum": "The published pendulum energy is q² + p²; the true H is in the last column.",
    "real-pendulum": "The measured data are not shipped: a synthetic damped pendulum with noise "
    "stands in, so the published figures are not comparable.",
}


def markdown(tables: Mapping[str, Any], *, seeds: bool = False) -> str:
    """The tables of `summarise`; with `seeds` also what every seed gave."""
    return "\n\n".join(_experiment(name, rows, seeds) for name, rows in tables.items())


def _experiment(name: str, rows: Mapping[str, Any], seeds: bool) -> str:
    listed = {key: rows[key] for key in sorted(rows, key=_order)}
    extra = name == "pendulum"
    head = ["model", "train", "predict", "budget", "seeds", "wall s", "CPU s"]
    for title in METRICS.values():
        head += [title, "published"]
    lines = [head + (["true energy"] if extra else [])]
    lines += [_cells(key, row, extra) for key, row in listed.items()]
    done = {RowName.parse(key).published for key in rows}
    for key, row in PUBLISHED[name].items():
        if key not in done:
            figures = [x for metric in METRICS for x in ("–", number(row.get(metric)))]
            lines.append([*key.split("/"), *["–"] * 4, *figures, *(["–"] if extra else [])])
    parts = [f"## {name}", aligned(lines)]
    if name in NOTES:
        parts.append(NOTES[name])
    if seeds and listed:
        parts += ["### Every seed", aligned(_seed_rows(listed))]
    return "\n\n".join(parts)


def _cells(key: str, row: Mapping[str, Any], extra: bool) -> list[str]:
    name = RowName.parse(key)
    cells = [name.model, name.train, name.predict, name.budget, str(len(row["seed_numbers"]))]
    cells += [number(row["wall_s"]), number(row["cpu_s"])]
    lost = _lost(row)
    for metric in METRICS:
        cells += [_mean(row, metric, lost), number((row["published"] or {}).get(metric))]
    if lost:
        cells[2] += f" ({lost} rollouts diverged)"
    return cells + ([_mean(row, "true_energy_mse", lost)] if extra else [])


def _seed_rows(rows: Mapping[str, Any]) -> list[list[str]]:
    out = [["row", "test set", "error", "mean ± standard error", "median", "every seed"]]
    for key, row in rows.items():
        for test in TEST_SETS:
            figures = row if test == "test" else row.get(test, {})
            for metric, title in METRICS.items():
                if metric not in figures:
                    continue
                found = figures[metric]
                mean, error = number(found["mean"]), found["stderr"]
                every = ", ".join(number(x) for x in found["seeds"])
                spread = "" if error is None else f" ± {error:.1e}"
                out.append([key, test, title, mean + spread, number(found["median"]), every])
    return out


def _lost(figures: Mapping[str, Any]) -> int:
    return sum(x or 0 for x in figures.get("diverged", {}).get("seeds", []))


def _mean(row: Mapping[str, Any], metric: str, lost: int) -> str:
    mean = row.get(metric, {}).get("mean")
    gone = lost and metric != "one_step" and (mean is None or mean > MEANINGLESS)
    return "diverged" if gone else number(mean)


def _order(key: str) -> tuple[int, str]:
    names = [name for rows in PUBLISHED.values() for name in rows]
    return names.index(RowName.parse(key).published), key


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of a head and rows, its columns padded to the same width."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rule = ["-" * width for width in widths]
    head, *rows = (
        [cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines
    )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])


def number(value: float | None) -> str:
    """Three digits; a dash for what there is not."""
    return "–" if value is None else f"{value:.3g}" if 1 <= abs(value) < 1e4 else f"{value:.2e}"
