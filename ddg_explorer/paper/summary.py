"""The tables: results of all seeds beside the published figures, as plain data."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ddg_explorer.paper.published import PUBLISHED, RowName
from ddg_explorer.paper.runs import read_result
from ddg_explorer.paper.tables import METRICS


def summarise(folder: Path, experiments: Iterable[str]) -> dict[str, Any]:
    """Experiment → row `model@budget/train/predict` → figures over the seeds found in `folder`.

    A row has for every metric `{mean, median, stderr, seeds}` on the published test set with the
    `seed_numbers` that ran it, the same under `fresh` and `long` where those were run, the seeds
    that were `trained`, `published`, and the mean `wall_s` and `cpu_s` of a training.
    """
    return {name: _experiment(folder, name) for name in experiments}


def _experiment(folder: Path, name: str) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((folder / name).glob("*.json")):
        result = read_result(path)
        for prediction, tests in result["predictions"].items():
            row = RowName(result["model"], result["train"], prediction, result["budget"])
            rows.setdefault(str(row), []).append({**result, "tests": tests})
    return {row: _row(name, row, found) for row, found in rows.items()}


def _row(experiment: str, row: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    found = sorted(found, key=lambda result: result["seed"])
    out: dict[str, Any] = {}
    for test in ("test", "fresh", "long"):
        ran = [result for result in found if test in result["tests"]]
        figures = [result["tests"][test] for result in ran]
        if figures:
            part: dict[str, Any] = {m: over_seeds(figures, m) for m in _metrics(figures[0])}
            part["seed_numbers"] = [result["seed"] for result in ran]
            out |= part if test == "test" else {test: part}
    out["published"] = PUBLISHED[experiment].get(RowName.parse(row).published)
    out["wall_s"] = _mean([result["wall_s"] for result in found])
    out["cpu_s"] = _mean([result["cpu_s"] for result in found])
    out["steps"] = found[0]["steps"]
    out.setdefault("seed_numbers", [])
    out["trained"] = [result["seed"] for result in found]
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
    seeds = [one.get(metric) for one in figures]
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
