"""The published experiments: their tables as data, runs of every row, and ours beside them."""

from __future__ import annotations

from pathlib import Path

from ddg_explorer.paper.experiments import DATA, TESTS, Cell, cells, check_experiment
from ddg_explorer.paper.published import PUBLISHED
from ddg_explorer.paper.runs import Event, Study, read_result, write_json
from ddg_explorer.paper.summary import summarise
from ddg_explorer.paper.tables import markdown

COMMITTED = Path(__file__).parent.parent / "results"
"""The results that come with the package."""

__all__ = [
    "COMMITTED",
    "DATA",
    "PUBLISHED",
    "TESTS",
    "Cell",
    "Event",
    "Study",
    "cells",
    "check_experiment",
    "markdown",
    "read_result",
    "summarise",
    "write_json",
]
