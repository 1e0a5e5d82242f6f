"""The table of `docs/benchmarks.md`: every figure that is held to a bound, from the JSON files.

`python -m benchmarks --table` writes it between its two marks. Results of other devices than the
CPU are not in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT
from benchmarks.peers.clock import QUIET
from benchmarks.report import RESULTS, Figure
from benchmarks.rows import ROWS
from ddg_explorer.io import atomic

DOCS = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->"
VERDICTS = {"aim": "aim met", "least": "met", "missed": "**missed**"}


def records(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """What is kept of each row measured on the CPU, in the order of `ROWS`."""
    paths = [folder / f"{name}.json" for name in ROWS]
    return [json.loads(path.read_text("utf-8")) for path in paths if path.exists()]


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: machine and count of verdicts, then one line per figure that has a bound."""
    judged = [(row, figure) for row in rows for figure in _judged(row)]
    count = {v: sum(figure.verdict == v for _, figure in judged) for v in VERDICTS}
    lines = [
        _machines(rows),
        f"Of {len(judged)} figures {count['aim']} reach the aim, {count['least']} more what is "
        f"asked at least, {count['missed']} miss it.",
        "",
        "| row | figure | measured | at least | aim | |",
        "|---|---|---|---|---|---|",
    ]
    before = None
    for row, figure in judged:
        name = f"`{row['row']}`" if row is not before else ""
        busy = " (busy machine)" if name and row["wall_over_cpu_time"] > QUIET else ""
        before = row
        cells = (
            name + busy,
            figure.label.replace("|", "\\|"),
            f"{figure.value:.3g} {figure.unit}".strip(),
            _bound(figure, figure.least),
            _bound(figure, figure.aim),
            VERDICTS[figure.verdict],
        )
        lines.append("| " + " | ".join(cells) + " |")
    missing = [f"`{r['row']}`: {r['unavailable']}" for r in rows if r["unavailable"]]
    if missing:
        lines += ["", f"Not available: {'; '.join(missing)}."]
    return "\n".join(lines) + "\n"


def write(docs: Path = DOCS, folder: Path = RESULTS) -> None:
    """Put the table of a folder of results into a document.

    Raises
    ------
    ValueError
        If the document lacks the marks.
    """
    before, _, after = _split(docs.read_text("utf-8"))
    with atomic(docs) as path:
        path.write_text(before + BEGIN + table(records(folder)) + END + after, "utf-8")


def written(docs: Path = DOCS) -> str:
    """The table as the document has it."""
    return _split(docs.read_text("utf-8"))[1]


def _split(text: str) -> tuple[str, str, str]:
    before, begin, rest = text.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no {BEGIN.strip()} … {END} in the document")
    return before, inside, after


def _judged(row: dict[str, Any]) -> Iterator[Figure]:
    for found in row["figures"]:
        kept = {key: value for key, value in found.items() if key != "verdict"}
        value = math.nan if kept["value"] is None else kept["value"]
        figure = Figure(**{**kept, "value": value})
        if figure.verdict:
            yield figure


def _bound(figure: Figure, bound: float | None) -> str:
    sign = "≤" if figure.better == "lower" else "≥"
    return "" if bound is None else f"{sign} {bound:.4g}"


def _machines(rows: list[dict[str, Any]]) -> str:
    names = sorted(
        {f"{m['device_name']}, {m['cores']} cores" for m in (row["machine"] for row in rows)}
    )
    torch = sorted({row["machine"]["versions"]["torch"] for row in rows})
    dates = sorted({row["machine"]["date"][:10] for row in rows})
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} … {dates[-1]}"
    return f"{'; '.join(names)}; torch {', '.join(torch)}; {when}."
