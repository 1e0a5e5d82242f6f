"""What a row reports, how it is judged and printed, and how it is kept as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers.clock import QUIET
from ddg_explorer.paper.runs import write_json

RESULTS = Path(__file__).parent / "results"
VERDICTS = {"aim": "✓ aim", "least": "✓ at least", "missed": "✗ missed", "": ""}


@dataclass(frozen=True)
class Figure:
    """One number of a row.

    Attributes
    ----------
    label, unit
        What it is.
    value
        The measured number.
    least, aim
        The bounds it is held to, None for a number that is only context.
    better
        Whether small or large values are good.
    """

    label: str
    value: float
    unit: str = ""
    least: float | None = None
    aim: float | None = None
    better: Literal["lower", "higher"] = "lower"

    def meets(self, bound: float) -> bool:
        if not math.isfinite(self.value):
            return False
        return self.value <= bound if self.better == "lower" else self.value >= bound

    @property
    def verdict(self) -> str:
        """ "aim", "least", "missed", or "" where nothing is asked of the number."""
        if self.least is None and self.aim is None:
            return ""
        if self.aim is not None and self.meets(self.aim):
            return "aim"
        if self.least is not None and self.meets(self.least):
            return "least"
        return "missed"

    def line(self) -> str:
        sign = "≤" if self.better == "lower" else "≥"
        bounds = ", ".join(
            f"{name} {sign} {bound:.4g}"
            for name, bound in (("least", self.least), ("aim", self.aim))
            if bound is not None
        )
        number = f"{self.value:.4g} {self.unit}".strip()
        return f"    {self.label:<58} {number:>18}   {VERDICTS[self.verdict]:<11} {bounds}".rstrip()


@dataclass
class Row:
    """A measured row of the table.

    `recipe` holds everything needed to measure it again, seed included; `unavailable` says why
    figures are missing (a peer that cannot be installed, no browser); `disturbance` is the largest
    wall over CPU time of the runs that count, 1 on a quiet machine.
    """

    name: str
    title: str
    recipe: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unavailable: str = ""
    disturbance: float = 1.0

    def saw(self, *ratios: float) -> None:
        """Keep the largest wall over CPU time among the runs whose times are reported."""
        self.disturbance = max(self.disturbance, *ratios)

    def add(self, label: str, value: Any, unit: str = "", **bounds: Any) -> None:
        """Append a figure; `value` is anything that float() takes."""
        self.figures.append(Figure(label, float(value), unit, **bounds))

    @property
    def failed(self) -> bool:
        """Whether a bound was missed or something could not be measured."""
        return bool(self.unavailable) or any(f.verdict == "missed" for f in self.figures)

    def print(self) -> None:
        print(f"\n{self.name}: {self.title}")
        for figure in self.figures:
            print(figure.line())
        for note in self.notes:
            print(f"    · {note}")
        if self.disturbance > QUIET:
            print(f"    ! the machine was busy: wall time up to {self.disturbance:.2f} × CPU time")
        if self.unavailable:
            print(f"    not available: {self.unavailable}")

    def save(self, machine: dict[str, Any], seconds: float) -> Path:
        """Write `results/<name>.json` (`<name>.<device>.json` off the CPU), atomically.

        Numbers that JSON does not have are null there.
        """
        device = machine["device"]
        suffix = "" if device == "cpu" else f".{device.replace(':', '')}"
        path = RESULTS / f"{self.name}{suffix}.json"
        record = {
            "row": self.name,
            "title": self.title,
            "recipe": self.recipe,
            "figures": [asdict(f) | {"verdict": f.verdict} for f in self.figures],
            "notes": self.notes,
            "unavailable": self.unavailable,
            "wall_over_cpu_time": round(self.disturbance, 3),
            "seconds": round(seconds, 1),
            "machine": machine,
        }
        RESULTS.mkdir(exist_ok=True)
        write_json(record, path)
        return path


def summary(rows: Iterable[Row]) -> str:
    """One line per figure that is held to a bound."""
    lines = ["", f"{'row':<20} {'what':<58} {'measured':>12}   verdict"]
    for row in rows:
        for f in row.figures:
            if f.verdict:
                lines.append(
                    f"{row.name:<20} {f.label:<58} {f.value:>12.4g}   {VERDICTS[f.verdict]}"
                )
        if row.unavailable:
            lines.append(f"{row.name:<20} not available: {row.unavailable}")
    return "\n".join(lines)
