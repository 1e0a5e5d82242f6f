"""Text tables of trajectories: one row per time, one column per number.

Columns are separated by semicolons, tabs, commas or spaces, decimals have a point. Leading lines
marked by % or # are comments, and a first row after them that is not numbers names the columns.
Where there is none, the last marked line does if it has as many words as there are columns. One
that names a time or trajectory among fewer or more (Schmidt and Lipson, 2009) is a comment where
`variable` says which columns are the state's, and refused elsewhere.

All columns that neither the names below nor `time`, `trajectory` or `variable` claim are components
of the state. Where no time is known, one of the first two that rises evenly, as times do, is
refused unless `variable` names it. Times must rise within each trajectory, also where Δt is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

EVEN = 1e-3
"""Largest deviation of a time or node from the even ones, in units of a step."""
TIME = ("time", "t")
TRAJECTORY = ("trajectory", "trial", "batch")
MARKS = ("%", "#")
SHOWN = 40
"""Characters of a word that an error repeats."""

Line = tuple[int, str]
"""The number of a line in its file, from 1, and its text."""


@dataclass
class Table:
    """States (trajectory, time, column), and the first trajectory's times if Δt is not given."""

    states: np.ndarray
    t: np.ndarray | None


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
        Their columns; None: those of the names above, where there are any.
    dt
        Δt; None: from the times, which are then needed.

    Raises
    ------
    ValueError
        One line for text that is not UTF-8, a row that cannot be read, names that are more or fewer
        than the columns, an unknown column, what looks like times but is not known to be, no times,
        times that do not rise, trajectories of unequal length or with other times than the first.
    """
    names, values = _numbers(path, variable is not None)
    when = _column(names, values, time, TIME)
    which = _column(names, values, trajectory, TRAJECTORY)
    if variable is None:
        columns = [k for k in range(values.shape[1]) if k not in (when, which)]
    else:
        wanted = [variable] if isinstance(variable, str) else list(variable)
        columns = [_index(names, values, name) for name in wanted]
    if not columns:
        raise ValueError("has no column for the state")
    rows = _by_trajectory(values, which)
    states = np.stack([values[part][:, columns] for part in rows])
    if when is None:
        if variable is None:
            _refuse_times(names, values, columns)
        if dt is None:
            listed = f"columns: {', '.join(names)}" if names else "its columns are unnamed"
            raise ValueError(f"has no column time or t ({listed}): rename it, or give dt")
        return Table(states, None)
    _check_rising(values[:, when], rows, which is not None)
    if dt is not None:
        return Table(states, None)
    t = np.stack([values[part, when] for part in rows])
    t = t - t[:, :1]
    step = np.abs(t[0]).max() / max(1, t.shape[1] - 1)
    if np.abs(t - t[0]).max() > EVEN * step:
        raise ValueError("trajectories have different times: give dt, or cut and resample them")
    return Table(states, t[0])


def even_step(points: np.ndarray, name: str, count: int) -> float:
    """The step of `count` evenly spaced increasing points; ValueError where they are not.

    Dates and durations (datetime64, timedelta64) are taken in seconds.
    """
    points = np.asarray(points)
    if points.ndim == 1 and points.dtype.kind in "mM":
        points = (points - points[:1]) / np.timedelta64(1, "s")
    if points.ndim != 1 or points.dtype.kind not in "fiu":
        raise ValueError(f"{name}: must be one column of numbers, not {points.dtype}{points.shape}")
    if len(points) != count:
        raise ValueError(f"{name}: has {len(points)} points, the states have {count}")
    steps = np.diff(points.astype(np.float64))
    if len(steps) < 1:
        raise ValueError(f"{name}: needs at least two points")
    mean = steps.mean()
    if not (np.isfinite(steps).all() and mean > 0):
        raise ValueError(f"{name}: must be finite and increasing")
    worst = int(np.abs(steps - mean).argmax())
    if abs(steps[worst] - mean) > EVEN * mean:
        raise ValueError(
            f"{name}: steps are uneven, {steps[worst]:.6g} after point {worst}, mean {mean:.6g}"
        )
    # nΔt gives Δt back to the last bit as its first step, a mean of differences does not
    return float(steps[0] if abs(steps[0] - mean) < 1e-12 * mean else mean)


def _numbers(path: Path, chosen: bool) -> tuple[list[str], np.ndarray]:
    """Column names (none where no line names all) and all numbers (rows, columns).

    Where columns are `chosen`, a marked line need not name all of them.
    """
    lines = _lines(path)
    first = next((k for k, (_, line) in enumerate(lines) if not line.startswith(MARKS)), len(lines))
    marked, rows = lines[:first], lines[first:]
    sure = bool(rows) and not all(_is_number(word) for word in _names(rows[0]))
    heading, rows = (rows[:1], rows[1:]) if sure else (marked[-1:], rows)
    if not rows:
        raise ValueError("has no rows of numbers")
    names = [word for line in heading for word in _names(line) if word or sure]
    if sure and "" in names:
        raise ValueError(
            f"line {heading[0][0]}: column {names.index('')} (from 0) has no name: an index, or a "
            "separator too many? Write without it (pandas: index=False)"
        )
    values = _values(rows, names)
    if len(names) == values.shape[1]:
        return names, values
    usual = {name.lower() for name in names} & {*TIME, *TRAJECTORY}
    if sure or (usual and not chosen):
        count = values.shape[1]
        raise ValueError(
            f"line {heading[0][0]} names {len(names)} columns, the others have {count}"
        )
    return [], values


def _lines(path: Path) -> list[Line]:
    """All lines but blank ones."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is no text in UTF-8: save it in that encoding") from None
    stripped = enumerate((line.strip(" ") for line in text.splitlines()), 1)
    lines = [(number, line) for number, line in stripped if line.strip()]
    if not lines:
        raise ValueError("is empty")
    return lines


def _delimiter(line: str) -> str | None:
    """What separates columns; None for spaces. A comma beside another mark is a decimal one."""
    return next((mark for mark in ";\t," if mark in line), None)


def _names(line: Line) -> list[str]:
    text = line[1].lstrip("%#")
    return [word.strip(" \"'") for word in text.split(_delimiter(text))]


def _values(rows: list[Line], names: list[str]) -> np.ndarray:
    delimiter = _delimiter(rows[0][1])
    try:
        return np.loadtxt([row for _, row in rows], delimiter=delimiter, comments=None, ndmin=2)
    except ValueError as error:
        raise ValueError(_fault(rows, delimiter, names) or str(error)) from None


def _fault(rows: list[Line], delimiter: str | None, names: list[str]) -> str:
    """The first row that cannot be read and why, "" where there is none."""
    count = len(rows[0][1].split(delimiter))
    for number, row in rows:
        words = [word.strip() for word in row.split(delimiter)]
        for k, word in enumerate(words):
            if not _is_number(word):
                column = repr(names[k]) if len(names) == count > k else f"{k} (from 0)"
                hint = ", decimals need a point" if _is_number(word.replace(",", ".")) else ""
                if not any(words[k:]):
                    hint = ", the line ends with a separator"
                return f"line {number}, column {column}: {word[:SHOWN]!r} is not a number{hint}"
        if len(words) != count:
            return f"line {number}: has {len(words)} columns, line {rows[0][0]} has {count}"
    return ""


def _refuse_times(names: list[str], values: np.ndarray, columns: Sequence[int]) -> None:
    """ValueError where one of the first two columns, taken for the state's, rises evenly."""
    for k in (k for k in columns if k < 2):
        steps = np.diff(values[:, k])
        up = steps[steps > 0]
        restarts = len(steps) - len(up)
        if len(up) < 2 or 2 * restarts > len(up) or not np.isfinite(steps).all():
            continue
        if np.abs(up - up.mean()).max() <= EVEN * up.mean():
            column, mend = f"column {k} (from 0)", "name the columns in a first row (t, q, p)"
            if names:
                column, mend = f"column {names[k]!r}", "rename it time or t"
            raise ValueError(
                f"{column} rises evenly as times do: {mend}, or give the argument time or variable"
            )


def _check_rising(t: np.ndarray, rows: list[np.ndarray], named: bool) -> None:
    """ValueError where times do not rise from row to row of a trajectory."""
    for part in rows:
        stays = np.flatnonzero(np.diff(t[part]) <= 0)
        if stays.size:
            mend = "sort the rows" if named else "name the trajectories' column trajectory, or sort"
            raise ValueError(f"time does not rise after row {part[stays[0]] + 1}: {mend}")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word


def _column(
    names: list[str], values: np.ndarray, given: str | int | None, usual: Sequence[str]
) -> int | None:
    if given is not None:
        return _index(names, values, given)
    lower = [name.lower() for name in names]
    return next((lower.index(name) for name in usual if name in lower), None)


def _index(names: list[str], values: np.ndarray, column: str | int) -> int:
    if isinstance(column, str):
        if column in names:
            return names.index(column)
        raise ValueError(f"has no column {column!r}, only {', '.join(names) or 'unnamed ones'}")
    if not 0 <= column < values.shape[1]:
        raise ValueError(f"column {column}: must lie in [0, {values.shape[1] - 1}]")
    return column


def _by_trajectory(values: np.ndarray, which: int | None) -> list[np.ndarray]:
    """The rows of each trajectory, by number."""
    if which is None:
        return [np.arange(len(values))]
    labels, start = np.unique(values[:, which], return_index=True)
    parts = [np.flatnonzero(values[:, which] == label) for label in labels[np.argsort(start)]]
    lengths = sorted({len(part) for part in parts})
    if len(lengths) > 1:
        raise ValueError(
            f"trajectories have {lengths[0]} to {lengths[-1]} rows: cut them to one length"
        )
    return parts
