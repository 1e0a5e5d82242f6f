"""What makes the pages behind the tabs; their code is imported when a page is first opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ddg_explorer.app import session
from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.tabs import Page, Tabs
from ddg_explorer.app.turns import Setup
from ddg_explorer.origin import specification_of


def make_train(dark: bool, on_model: Callable[[str, Path, Mapping[str, Any]], None]) -> Page:
    """Training; `on_model` hears of every model that is finished."""
    from ddg_explorer.app.training.view import TrainPage

    return TrainPage(dark, on_model=on_model, notify=session.notify)


def prepare_train(page: Any, model: str, setup: Setup) -> None:
    """Set the training page to a model and a scene that runs."""
    page.prepare(setup.scene.system, model, **_data_of(setup))


def follow_train(tabs: Tabs, shown: str, setup: Setup) -> None:
    """Tell the training page, where it is the one that is shown, which scene runs."""
    if shown == "train" and shown in tabs.opened:
        page: Any = tabs.page(shown)
        page.follow(setup.scene.system, **_data_of(setup))


def _data_of(setup: Setup) -> dict[str, Any]:
    """What the training page takes of a scene that runs, with its G where that was edited."""
    scene = setup.scene
    return {
        "preset": scene.chosen_preset,
        "n": scene.n,
        "length": scene.length,
        "operator": scene.operator,
        "structure": scene.structure if scene.entries is None else specification_of(setup.system),
        "dt": scene.dt,
        "parameters": dict(scene.parameters),
        "choices": dict(scene.choices),
    }


def make_results(dark: bool) -> Page:
    """The published experiments."""
    from ddg_explorer.app.pages.results import ResultsPage

    return ResultsPage(dark)


def make_structure(dark: bool, shelf: Shelf) -> Page:
    """Structure operators, fixed and learned, those of the session's models among them."""
    from ddg_explorer.app.pages.structure import StructurePage

    return StructurePage(dark, shelf)


def make_theory(dark: bool) -> Page:
    """The method."""
    from ddg_explorer.app.pages.theory import TheoryPage

    return TheoryPage(dark)
