"""What makes the pages behind the tabs; their code is imported when a page is first opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ddg_explorer.app import session
from ddg_explorer.app.tabs import Page


def make_train(dark: bool, on_model: Callable[[str, Path, Mapping[str, Any]], None]) -> Page:
    """Training; `on_model` hears of every model that is finished."""
    from ddg_explorer.app.training.view import TrainPage

    return TrainPage(dark, on_model=on_model, notify=session.notify)


def make_results(dark: bool) -> Page:
    """The published experiments."""
    from ddg_explorer.app.pages.results import ResultsPage

    return ResultsPage(dark)


def make_structure(dark: bool) -> Page:
    """Structure operators, fixed and learned."""
    from ddg_explorer.app.pages.structure import StructurePage

    return StructurePage(dark)


def make_theory(dark: bool) -> Page:
    """The method."""
    from ddg_explorer.app.pages.theory import TheoryPage

    return TheoryPage(dark)
