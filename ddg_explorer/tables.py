"""Text tables of trajectories: one row per time, one column per number (`table_text`).

All columns that neither the usual names nor `time`, `trajectory` or `variable` claim are components
of the state. Trajectories are numbers or labels. Where no time is known, one of the first two that
rises evenly, as times do, is refused unless `variable` names it. Times must rise within each
trajectory, without gaps, and fit a Δt that is given.

Trajectories of unequal length are refused. Cut into windows of one length they would lose no row,
but a held-out trajectory could be a window of one that was learned, and its error too good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddg_explorer.array_files import TIME, TRAJECTORY
from ddg_explorer.refusal import Refusal
from ddg_explorer.sampling import EVEN, check_gaps, check_given_step
from ddg_explorer.table_text import Columns, read_columns

LISTED = 8
"""Trajectories whose lengths an error lists."""


@dataclass
class Table:
    """States (trajectory, time, column), and the first trajectory's times if Δt is not given."""

    states: np.ndarray
    t: np.ndarray | None


@dataclass
class Part:
    """The rows of one trajectory, by number, and what it is called; "" for the only one."""

    rows: np.ndarray
    label: str

    @property
    def time(self) -> str:
        """What its times are called."""
        return f"time of trajectory {self.label}" if self.label else "time"


def read_table(
    path: Path,
    variable: str | Sequence[str | int] | None,
    time: str | int | None,
    trajectory: str | int | None,
    dt: float | None,
) -> Table:
    """The trajectories of a table.

    Parameters
    ----------
    variable
        Columns of the state by name or number; None: all that are neither time nor trajectory.
    time, trajectory
        Their columns; None: those of the usual names, where there are any.
    dt
        Δt; None: from the times, which are then needed.

    Raises
    ------
    ValueError
        One line for text that is not UTF-8, a row that cannot be read, names that are more or fewer
        than the columns, an unknown column, what looks like times but is not known to be, no times,
        times that do not rise, have gaps or are of another step than the given one, trajectories of
        unequal length or, without a given step, with other times than the first.
    """
    table = read_columns(path, variable is not None, trajectory)
    when = table.find(time, TIME)
    which = table.find(trajectory, TRAJECTORY)
    if variable is None:
        columns = [k for k in range(table.values.shape[1]) if k not in (when, which)]
    else:
        wanted = [variable] if isinstance(variable, str) else list(variable)
        columns = [table.index(name) for name in wanted]
    if not columns:
        raise ValueError("has no column for the state")
    parts = _by_trajectory(table, which)
    if when is None:
        if variable is None:
            _refuse_times(table, columns)
        if dt is None:
            listed, mend = "its columns are unnamed", "name them in a first row (t, q, p)"
            if table.names:
                listed, mend = f"columns: {', '.join(table.names)}", "rename it"
            raise Refusal(f"has no column time or t ({listed})", mend, ("time", "dt"))
        return Table(_stacked(table.values[:, columns], parts), None)
    t = table.values[:, when]
    _check_rising(t, parts)
    for part in parts:
        check_gaps(t[part.rows], part.time)
    states = _stacked(table.values[:, columns], parts)
    if dt is None:
        return Table(states, _common_times(_stacked(t, parts)))
    for part in parts:
        check_given_step(t[part.rows], dt, part.time, len(part.rows))
    return Table(states, None)


def _by_trajectory(table: Columns, which: int | None) -> list[Part]:
    """The trajectories in the order of their first rows."""
    if which is None:
        return [Part(np.arange(len(table.values)), "")]
    column = table.values[:, which]
    numbers, first = np.unique(column, return_index=True)
    return [
        Part(np.flatnonzero(column == number), _label(table, number))
        for number in numbers[np.argsort(first)]
    ]


def _label(table: Columns, number: float) -> str:
    return table.labels[int(number)] if table.labels else f"{number:g}"


def _stacked(values: np.ndarray, parts: Sequence[Part]) -> np.ndarray:
    """(trajectory, time, ...) of (row, ...); ValueError where they are of unequal length."""
    lengths = [len(part.rows) for part in parts]
    if len(set(lengths)) > 1:
        told = [f"{part.label}: {n}" for part, n in zip(parts, lengths, strict=True)][:LISTED]
        more = ", …" if len(parts) > LISTED else ""
        least = min(lengths)
        raise ValueError(
            f"trajectories have {least} to {max(lengths)} rows ({', '.join(told)}{more}): cut all "
            f"to {least}, or leave out the short ones"
        )
    return np.stack([values[part.rows] for part in parts])


def _common_times(t: np.ndarray) -> np.ndarray:
    """(time,), from where each begins, of all trajectories' (trajectory, time)."""
    t = t - t[:, :1]
    step = np.abs(t[0]).max() / max(1, t.shape[1] - 1)
    if np.abs(t - t[0]).max() > EVEN * step:
        mend = "cut and resample them"
        raise Refusal("trajectories have different times", mend, ("dt",))
    return t[0]


def _refuse_times(table: Columns, columns: Sequence[int]) -> None:
    """ValueError where one of the first two columns, taken for the state's, rises evenly."""
    for k in (k for k in columns if k < 2):
        steps = np.diff(table.values[:, k])
        up = steps[steps > 0]
        restarts = len(steps) - len(up)
        if len(up) < 2 or 2 * restarts > len(up) or not np.isfinite(steps).all():
            continue
        if np.abs(up - up.mean()).max() <= EVEN * up.mean():
            column, mend = f"column {k} (from 0)", "name the columns in a first row (t, q, p)"
            if table.names:
                column, mend = f"column {table.names[k]!r}", "rename it time or t"
            raise Refusal(f"{column} rises evenly as times do", mend, ("time", "variable"))


def _check_rising(t: np.ndarray, parts: Sequence[Part]) -> None:
    """ValueError where times do not rise from row to row of a trajectory."""
    for part in parts:
        stays = np.flatnonzero(np.diff(t[part.rows]) <= 0)
        if stays.size:
            fault = f"time does not rise after row {part.rows[stays[0]] + 1}"
            if part.label:
                raise Refusal(fault, "sort the rows")
            mend = "name the trajectories' column trajectory, or sort the rows"
            raise Refusal(fault, mend, ("trajectory",))
