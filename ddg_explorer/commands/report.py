"""What a command hands back to the command line to print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Report:
    """A result as figures for `--json` and as text for people, with the exit code."""

    figures: Mapping[str, Any]
    text: str
    code: int = 0


def table(rows: Mapping[str, Any]) -> str:
    """Aligned lines of name and value; floats with six digits, a dash for nothing."""
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {_readable(value)}" for name, value in rows.items())


def _readable(value: Any) -> str:
    if value in (None, "") or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def columns(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same keys under a head of their names, aligned; floats with four digits."""
    head = list(rows[0])
    cells = [head, *([_short(row[name]) for name in head] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _short(value: Any) -> str:
    text = _readable(value)
    return f"{value:.3e}" if isinstance(value, float) and text != "-" else text
