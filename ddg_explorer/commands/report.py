"""What a command hands back to the command line to print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Report:
    """A result as figures for `--json` and as text for people, with the exit code."""

    figures: Mapping[str, Any]
    text: str
    code: int = 0


def table(rows: Mapping[str, Any]) -> str:
    """Aligned lines of name and value; floats with six digits."""
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {_readable(value)}" for name, value in rows.items())


def _readable(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
