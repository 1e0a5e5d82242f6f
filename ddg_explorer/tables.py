"""Text tables of trajectories: one row per time, one column per number.

Columns are separated by commas, semicolons, tabs or spaces. A first row that is not numbers names
them; a leading % or # there is ignored. A first row so marked may name fewer columns than there are
(Schmidt and Lipson, 2009): then it is a comment, and `variable` says which the state's are.
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


@dataclass
class Table:
    """States (trajectory, time, column), and the times of the first trajectory if there are any."""

    states: np.ndarray
    t: np.ndarray | None


def read_table(
    path: Path,
    variable: str | Sequence[str | int] | None,
    time: str | int | None,
    trajectory: str | int | None,
) -> Table:
    """The trajectories of a table.

    Parameters
    ----------
    variable
        Columns of the state by name or number; None: all that are neither time nor trajectory.
    time, trajectory
        Their columns; None: those of the names above, where there are any.

    Raises
    ------
    ValueError
        One line for a row that cannot be read, names that are more or fewer than the columns, an
        unknown column, trajectories of unequal length or with other times than the first.
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
    states = np.stack([part[:, columns] for part in rows])
    if when is None:
        return Table(states, None)
    t = np.stack([part[:, when] for part in rows])
    t = t - t[:, :1]
    step = np.abs(t[0]).max() / max(1, t.shape[1] - 1)
    if np.abs(t - t[0]).max() > EVEN * step:
        raise ValueError("trajectories have different times: give dt, or cut and resample them")
    return Table(states, t[0])


def _numbers(path: Path, chosen: bool) -> tuple[list[str], np.ndarray]:
    """Column names (none without a first row of names) and all numbers, (rows, columns).

    Where columns are `chosen`, a marked first row need not name all of them.
    """
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    while lines and not lines[0].strip():
        lines.pop(0)
    if not lines:
        raise ValueError("is empty")
    delimiter = next((mark for mark in ",;\t" if mark in lines[0]), None)
    first = [word.strip(" \"'") for word in lines[0].strip().lstrip("%#").split(delimiter)]
    has_names = not all(_is_number(word) for word in first)
    body = lines[1:] if has_names else lines
    if not any(row.strip() for row in body):
        raise ValueError("has no rows of numbers")
    values = np.loadtxt(body, delimiter=delimiter, comments=None, ndmin=2)
    names = [word for word in first if word] if has_names else []
    if not names or len(names) == values.shape[1]:
        return names, values
    if chosen and lines[0].lstrip().startswith(("%", "#")):
        return [], values
    raise ValueError(f"the first row names {len(names)} columns, the others have {values.shape[1]}")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


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
    if which is None:
        return [values]
    labels, start = np.unique(values[:, which], return_index=True)
    parts = [values[values[:, which] == label] for label in labels[np.argsort(start)]]
    lengths = sorted({len(part) for part in parts})
    if len(lengths) > 1:
        raise ValueError(
            f"trajectories have {lengths[0]} to {lengths[-1]} rows: cut them to one length"
        )
    return parts
