"""What a file that a person opens holds: a state of the page, a model, or an initial state.

Nothing of a session is touched, so that it can be done in a worker.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ddg_explorer.app.share.files import opened_model, opened_state
from ddg_explorer.app.share.recipe import load_recipe
from ddg_explorer.app.simulation import first_setup
from ddg_explorer.app.state import AppState, Scene, Start
from ddg_explorer.models.base import Model

SUFFIXES = (".json", ".safetensors", ".npz", ".nc")


def opened(name: str, data: bytes, scene: Scene) -> AppState | Model | Start:
    """What the file holds; an initial state has to be one of `scene`.

    Raises
    ------
    ValueError
        One line that begins with the file's name, for what cannot be read or cannot be shown.
    """
    suffix = Path(name).suffix.lower()
    if suffix == ".json":
        return _recipe(name, data)
    if suffix == ".safetensors":
        return opened_model(name, data)
    if suffix in SUFFIXES:
        shape = first_setup(replace(scene, start=None)).system.state_shape
        return Start(opened_state(name, data, shape), name)
    raise ValueError(f"{name}: open one of {', '.join(SUFFIXES)}")


def _recipe(name: str, data: bytes) -> AppState:
    try:
        state, start = load_recipe(data)
        begun = None if start is None else Start(start, "initial state")
        first_setup(replace(state.scene, start=begun))
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None
    if begun is None:
        return state
    return replace(state, scene=replace(state.scene, start=replace(begun, label=name)))
