"""The tables for people, as Markdown whose columns line up, so that it reads in a terminal too.

One table an experiment with the means over seeds beside the published ones; below it, where asked
for, everything over seeds: mean and standard error, median, and the value of every seed on every
test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ddg_explorer.paper.published import PUBLISHED, RowName

METRICS = {
    "du_dt": "du/dt",
    "one_step": "one step",
    "energy_mse": "energy",
    "state_mse": "state",
}
"""How a table heads them; the one-step error is ours alone and has no published figure."""
ROLLOUTS = ("energy_mse", "state_mse", "true_energy_mse")
"""Metrics that say nothing where rollouts diverged."""
TEST_SETS = ("test", "fresh", "long")
MEANINGLESS = 1e6
"""Errors beyond it, of rollouts that diverged, are told as that and not as a number."""
INCOMPARABLE = ("real-pendulum",)
"""Experiments whose published data are not those used here."""
NOISE_FLOOR = {"spring": 0.040, "pendulum": 0.036}
"""du/dt error of the true right-hand side where it is taken on noisy states."""
SCATTER = 1.25
"""Multiple of that up to which an error of du/dt is taken for the noise's."""
NOISY_SLOPES = (
    "The published du/dt is taken on noisy states, and so is ours: the true right-hand side itself "
    "has {floor} there, and differences near it say nothing of a model. One-step errors are taken "
    "on noiseless states."
)
NOTES = {
    "spring": NOISY_SLOPES.format(floor=NOISE_FLOOR["spring"])
    + " Explicit midpoint steps (rk2) of any quadratic H let it grow, of the true H by a factor "
    "1 + (ωΔt)⁴/4 = 1.007 a step and nearly 2 a rollout.",
    "pendulum": "The published pendulum energy is q² + p²; the true H is in the last column. "
    + NOISY_SLOPES.format(floor=NOISE_FLOOR["pendulum"]),
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
    for metric, title in METRICS.items():
        head += [title, "published"] if metric != "one_step" else [title]
    lines = [head + (["true energy"] if extra else [])]
    lines += [_cells(key, row, extra) for key, row in listed.items()]
    done = {RowName.parse(key).published for key in rows}
    for key, row in PUBLISHED[name].items():
        if key not in done:
            figures = _beside(dict.fromkeys(METRICS, "–"), row)
            lines.append([*key.split("/"), *["–"] * 4, *figures, *(["–"] if extra else [])])
    parts = [f"## {name}", aligned(lines)]
    parts += [part for part in (NOTES.get(name), _behind(name, listed)) if part]
    if seeds and listed:
        parts += ["### Every seed", aligned(_seed_rows(listed))]
    return "\n\n".join(parts)


def _cells(key: str, row: Mapping[str, Any], extra: bool) -> list[str]:
    name = RowName.parse(key)
    cells = [name.model, name.train, name.predict, name.budget, ran(row, row)]
    cells += [number(row["wall_s"]), number(row["cpu_s"])]
    lost = _lost(row)
    cells += _beside({metric: _mean(row, metric, lost) for metric in METRICS}, row["published"])
    if lost:
        cells[2] += f" ({lost} rollouts diverged)"
    return cells + ([_mean(row, "true_energy_mse", lost)] if extra else [])


def _beside(ours: Mapping[str, str], published: Mapping[str, float] | None) -> list[str]:
    """Our figures, and after each the published one where there can be one."""
    cells = []
    for metric, figure in ours.items():
        cells.append(figure)
        if metric != "one_step":
            cells.append(number((published or {}).get(metric)))
    return cells


def not_beaten(
    experiment: str, ours: Mapping[str, float | None], published: Mapping[str, float]
) -> list[str]:
    """ "energy 1.32e-03 against 6.17e-04" for every metric whose published figure is smaller.

    None where data differ, and not of du/dt where it is no more than that of the noise.
    """
    if experiment in INCOMPARABLE:
        return []
    noise = {"du_dt": SCATTER * NOISE_FLOOR.get(experiment, 0.0)}
    return [
        f"{METRICS[metric]} {number(mean) if mean <= MEANINGLESS else 'diverged'} "
        f"against {number(other)}"
        for metric, other in published.items()
        if (mean := ours.get(metric)) is not None and mean > max(other, noise.get(metric, 0.0))
    ]


def _behind(experiment: str, rows: Mapping[str, Any]) -> str:
    """One line on rows of our budget that do not beat the published ones."""
    found = []
    for key, row in rows.items():
        if RowName.parse(key).budget == "ours":
            means = {metric: row.get(metric, {}).get("mean") for metric in METRICS}
            parts = not_beaten(experiment, means, row["published"] or {})
            found += [f"{key} ({part})" for part in parts]
    return f"Ours is larger than published: {'; '.join(found)}." if found else ""


def _seed_rows(rows: Mapping[str, Any]) -> list[list[str]]:
    head = ["row", "test set", "error", "seeds", "mean ± standard error", "median", "every seed"]
    out = [head]
    for key, row in rows.items():
        for test in TEST_SETS:
            figures = row if test == "test" else row.get(test, {})
            for metric, title in METRICS.items():
                found = figures.get(metric)
                if found is None or found["mean"] is None:
                    continue
                mean, error = number(found["mean"]), found["stderr"]
                every = ", ".join(number(x) for x in found["seeds"])
                spread = "" if error is None else f" ± {error:.1e}"
                count, median = ran(row, figures), number(found["median"])
                out.append([key, test, title, count, mean + spread, median, every])
    return out


def ran(row: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """How many seeds a test set has: "5", or "4 of 5" where not all that were trained ran it."""
    return of(len(figures["seed_numbers"]), len(row["trained"]))


def of(seeds: int, trained: int) -> str:
    """ "5", or "4 of 5"."""
    return str(seeds) if seeds == trained else f"{seeds} of {trained}"


def _lost(figures: Mapping[str, Any]) -> int:
    return sum(x or 0 for x in figures.get("diverged", {}).get("seeds", []))


def _mean(row: Mapping[str, Any], metric: str, lost: int) -> str:
    mean = row.get(metric, {}).get("mean")
    gone = lost and metric in ROLLOUTS and (mean is None or mean > MEANINGLESS)
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
