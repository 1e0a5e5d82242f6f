"""The tables: results of all seeds beside the published figures, as plain data and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ddg_explorer.paper.published import PUBLISHED
from ddg_explorer.paper.runs import read_result

METRICS = ("one_step", "energy_mse", "state_mse")
"""The published ones; everything else that is measured is summarised beside them."""
MEANINGLESS = 1e6
"""Errors beyond it, of rollouts that diverged, are told as that and not as a number."""
NOTES = {
    "pendulum": "The published pendulum energy is q² + p²; the true H is in the last column.",
    "real-pendulum": "The measured data are not shipped: a synthetic damped pendulum with noise "
    "stands in, so the published figures are not comparable.",
}


def summarise(folder: Path, experiments: Iterable[str]) -> dict[str, Any]:
    """Experiment → row `model@budget/train/predict` → figures over the seeds found in `folder`.

    A row has for every metric `{mean, median, stderr, seeds}` on the published test set, the same
    under `fresh` and `long` where those were run (with the `seed_numbers` that ran them),
    `published`, and the mean `wall_s` of a training.
    """
    return {name: _experiment(folder, name) for name in experiments}


def _experiment(folder: Path, name: str) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((folder / name).glob("*.json")):
        result = read_result(path)
        for prediction, tests in result["predictions"].items():
            row = f"{result['model']}@{result['budget']}/{result['train']}/{prediction}"
            rows.setdefault(row, []).append({**result, "tests": tests})
    return {row: _row(name, row, found) for row, found in rows.items()}


def _row(experiment: str, row: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    found = sorted(found, key=lambda result: result["seed"])
    who, train, predict = row.split("/")
    name = f"{who.partition('@')[0]}/{train}/{predict}"
    out: dict[str, Any] = {}
    for test in ("test", "fresh", "long"):
        ran = [result for result in found if test in result["tests"]]
        figures = [result["tests"][test] for result in ran]
        if figures:
            part = {metric: over_seeds(figures, metric) for metric in _metrics(figures[0])}
            seeds = {"seed_numbers": [result["seed"] for result in ran]}
            out |= part if test == "test" else {test: part | seeds}
    out["published"] = PUBLISHED[experiment].get(name)
    out["wall_s"] = _mean([result["wall_s"] for result in found])
    out["steps"] = found[0]["steps"]
    out["seed_numbers"] = [result["seed"] for result in found]
    out["parameters"] = found[0]["parameters"]
    out["versions"] = found[-1]["versions"]
    out["date"] = found[-1]["date"]
    out["command"] = found[-1]["command"]
    return out


def _metrics(figures: Mapping[str, Any]) -> list[str]:
    rest = [
        name
        for name, value in figures.items()
        if name not in (*METRICS, "wall_s") and isinstance(value, int | float | None)
    ]
    return [*METRICS, *rest]


def over_seeds(figures: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    """Mean, median, standard error and the value of every seed; None where a seed has none."""
    seeds = [one[metric] for one in figures]
    values = [value for value in seeds if value is not None]
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return {
        "mean": _mean(values),
        "median": statistics.median(values) if values else None,
        "stderr": error,
        "seeds": seeds,
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def markdown(tables: Mapping[str, Any]) -> str:
    """The tables for people; every figure is the mean over seeds, with the published one beside."""
    return "\n\n".join(_table(name, rows) for name, rows in tables.items())


def _table(name: str, rows: Mapping[str, Any]) -> str:
    head = ["model", "train", "predict", "budget", "seeds", "train s"]
    for metric in ("du/dt", "energy", "state"):
        head += [metric, "published"]
    extra = name == "pendulum"
    head += ["true energy"] if extra else []
    lines = [f"## {name}", "", _line(head), _line(["---"] * len(head))]
    listed = {key: rows[key] for key in sorted(rows, key=_order)}
    for key, row in listed.items():
        lines.append(_line(_cells(key, row, extra)))
    for key, row in PUBLISHED[name].items():
        if not any(_plain_name(done) == key for done in rows):
            model, train, predict = key.split("/")
            figures = [x for metric in METRICS for x in ("–", _number(row.get(metric)))]
            empty = ["–"] if extra else []
            lines.append(_line([model, train, predict, "–", "–", "–", *figures, *empty]))
    return "\n".join([*lines, *(["", NOTES[name]] if name in NOTES else [])])


def _cells(key: str, row: Mapping[str, Any], extra: bool) -> list[str]:
    who, train, predict = key.split("/")
    model, _, budget = who.partition("@")
    cells = [model, train, predict, budget, str(len(row["seed_numbers"])), _number(row["wall_s"])]
    lost = sum(x or 0 for x in row.get("diverged", {}).get("seeds", []))
    for metric in METRICS:
        mean = row.get(metric, {}).get("mean")
        gone = lost and metric != "one_step" and (mean is None or mean > MEANINGLESS)
        cells += ["diverged" if gone else _number(mean)]
        cells += [_number((row["published"] or {}).get(metric))]
    if lost:
        cells[2] += f" ({lost} rollouts diverged)"
    return cells + ([_number(row.get("true_energy_mse", {}).get("mean"))] if extra else [])


def _plain_name(key: str) -> str:
    who, train, predict = key.split("/")
    return f"{who.partition('@')[0]}/{train}/{predict}"


def _order(key: str) -> tuple[int, str]:
    names = [name for rows in PUBLISHED.values() for name in rows]
    return names.index(_plain_name(key)), key


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if abs(value) >= 1 else f"{value:.2e}"
