"""The text of a table: names of its columns, and its numbers.

Columns are separated by semicolons, tabs, commas or spaces, decimals have a point. Leading lines
marked by % or # are comments, and a first row after them that is not numbers names the columns.
Where there is none, the last marked line does if it has as many words as there are columns. One
that names a time or trajectory among fewer or more (Schmidt and Lipson, 2009) is a comment where
the columns of the state are chosen, and refused elsewhere. One column may hold labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ddg_explorer.array_files import TIME, TRAJECTORY
from ddg_explorer.refusal import Refusal

MARKS = ("%", "#")
UNIT = re.compile(r"\s*(\(.*\)|\[.*\]|/.*)$")
"""What may stand behind the name of a column: t (s), t [s], t/s."""
SHOWN = 40
"""Characters of a word that an error repeats."""

Line = tuple[int, str]
"""The number of a line in its file, from 1, and its text."""


@dataclass
class Columns:
    """Names of the columns, none where no line names all; numbers (rows, columns); and labels.

    Where the column of the trajectories holds words, its numbers count `labels`.
    """

    names: list[str]
    values: np.ndarray
    labels: list[str]

    def find(self, column: str | int | None, usual: Sequence[str]) -> int | None:
        """The column that is given, else the first of the usual names; None where there is none."""
        return named_column(self.names, usual) if column is None else self.index(column)

    def index(self, column: str | int) -> int:
        """The column of that name, or of that number from 0, which may be written in digits."""
        if isinstance(column, str):
            if column in self.names:
                return self.names.index(column)
            if not column.isdecimal():
                known = ", ".join(self.names) or "unnamed ones"
                raise ValueError(f"has no column {column!r}, only {known}")
            column = int(column)
        if not 0 <= column < self.values.shape[1]:
            raise ValueError(f"column {column}: must lie in [0, {self.values.shape[1] - 1}]")
        return column


def read_columns(path: Path, chosen: bool, trajectory: str | int | None) -> Columns:
    """All columns of a table; ValueError of one line for what cannot be read.

    Where the state's columns are `chosen`, a marked line need not name all of them. `trajectory` is
    the column that may hold labels, where it is not called as usual.
    """
    lines = _lines(path)
    first = next((k for k, (_, line) in enumerate(lines) if not line.startswith(MARKS)), len(lines))
    marked, rows = lines[:first], lines[first:]
    sure = bool(rows) and _is_heading(_names(rows[0]), trajectory)
    heading, rows = (rows[:1], rows[1:]) if sure else (marked[-1:], rows)
    if not rows:
        raise ValueError("has no rows of numbers")
    names = [word for line in heading for word in _names(line) if word or sure]
    if sure and "" in names:
        raise ValueError(
            f"line {heading[0][0]}: column {names.index('')} (from 0) has no name: an index, or a "
            "separator too many? Write without it (pandas: index=False)"
        )
    values, labels = _values(rows, names, trajectory)
    if len(names) == values.shape[1]:
        return Columns(names, values, labels)
    usual = [known for known in (TIME, TRAJECTORY) if named_column(names, known) is not None]
    if sure or (usual and not chosen):
        count = values.shape[1]
        raise ValueError(
            f"line {heading[0][0]} names {len(names)} columns, the others have {count}"
        )
    return Columns([], values, labels)


def named_column(names: Sequence[str], usual: Sequence[str]) -> int | None:
    """The first column with one of these names, whatever their case, with or without a unit.

    Beside a unit T is no time: it is a temperature.
    """
    lower = [name.lower() for name in names]
    bare = [UNIT.sub("", name) for name in names]
    bare = [name if len(name) == 1 else name.lower() for name in bare]
    found = (known.index(name) for known in (lower, bare) for name in usual if name in known)
    return next(found, None)


def _is_heading(words: list[str], trajectory: str | int | None) -> bool:
    """Whether a first row names the columns: it has words beside those of the trajectory's."""
    return any(not _is_number(word) for k, word in enumerate(words) if str(k) != str(trajectory))


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


def _bare(word: str) -> str:
    return word.strip(" \"'")


def _names(line: Line) -> list[str]:
    text = line[1].lstrip("%#")
    return [_bare(word) for word in text.split(_delimiter(text))]


def _values(
    rows: list[Line], names: list[str], trajectory: str | int | None
) -> tuple[np.ndarray, list[str]]:
    """All numbers, and the labels that those of the trajectories' column count, [] for numbers."""
    delimiter = _delimiter(rows[0][1])
    count = len(rows[0][1].split(delimiter))
    empty = Columns(names if len(names) == count else [], np.empty((0, count)), [])
    which = empty.find(trajectory, TRAJECTORY)
    labels: dict[str, int] = {}
    converters: dict[int, Callable[[str], float]] = {}
    if which is not None and _has_labels(rows, delimiter, which):
        converters[which] = lambda word: labels.setdefault(_bare(word), len(labels))
    try:
        values = np.loadtxt(
            [row for _, row in rows],
            delimiter=delimiter,
            comments=None,
            ndmin=2,
            converters=converters or None,  # pyright: ignore[reportArgumentType]
        )
    except ValueError as error:
        fault = _fault(rows, delimiter, names, which if converters else None)
        raise fault or ValueError(str(error)) from None
    return values, list(labels)


def _has_labels(rows: list[Line], delimiter: str | None, which: int) -> bool:
    """Whether all rows have a word there, and some of them one that is no number."""
    split = (row.split(delimiter) for _, row in rows)
    words = [_bare(row[which]) for row in split if which < len(row)]
    blank = any(word.lower() in ("", "nan") for word in words)
    return not blank and not all(_is_number(word) for word in words)


def _fault(
    rows: list[Line], delimiter: str | None, names: list[str], labels: int | None
) -> ValueError | None:
    """The first row that cannot be read and why, None where there is none."""
    count = len(rows[0][1].split(delimiter))
    for number, row in rows:
        words = [word.strip() for word in row.split(delimiter)]
        for k, word in enumerate(words):
            if _is_number(word) or k == labels:
                continue
            column = repr(names[k]) if len(names) == count > k else f"{k} (from 0)"
            fault = f"line {number}, column {column}: {word[:SHOWN]!r} is not a number"
            if not any(words[k:]):
                return ValueError(f"{fault}, the line ends with a separator")
            if _is_number(word.replace(",", ".")):
                return ValueError(f"{fault}, decimals need a point")
            if labels is None and _all_words(rows, delimiter, k):
                mend = "if these label the trajectories, name the column trajectory"
                return Refusal(fault, mend, ("trajectory",))
            return ValueError(fault)
        if len(words) != count:
            return ValueError(f"line {number}: has {len(words)} columns, {_first(rows, count)}")
    return None


def _first(rows: list[Line], count: int) -> str:
    return f"line {rows[0][0]} has {count}"


def _all_words(rows: list[Line], delimiter: str | None, k: int) -> bool:
    """Whether no row has a number there, or nothing."""
    words = [row.split(delimiter)[k : k + 1] for _, row in rows]
    return all(word and word[0].strip() and not _is_number(word[0]) for word in words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word
