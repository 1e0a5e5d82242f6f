"""The session's state, who changes it, and who wants to know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ddg_explorer.app.state import AppState, Lane, Scene


class Store:
    """The session's current state and who wants to know of changes.

    Subscribers are called with (old, new) after every change, in the order they subscribed.
    """

    def __init__(self, state: AppState | None = None) -> None:
        self.state = state or AppState()
        self._subscribers: list[Callable[[AppState, AppState], None]] = []

    def subscribe(self, callback: Callable[[AppState, AppState], None]) -> None:
        self._subscribers.append(callback)

    def put(self, state: AppState) -> None:
        old, self.state = self.state, state
        if old != state:
            for callback in list(self._subscribers):
                callback(old, state)

    def put_scene(self, scene: Scene) -> None:
        """Replace the scene as a whole; another system or preset brings its own lanes and speed."""
        old = self.state.scene
        if _same_preset(scene, old):
            self.put(replace(self.state, scene=scene))
        else:
            view = replace(self.state.view, speed=None, show="state")
            self.put(AppState(scene, view=view))

    def take_back(self, refused: Scene, held: AppState) -> None:
        """Return from a refused scene to the state that holds, unless another is wanted by now."""
        view = self.state.view
        if self.state.scene != refused:
            return
        if _same_preset(refused, held.scene):
            self.put(replace(self.state, scene=held.scene))
        else:
            self.put(replace(held, view=replace(view, speed=held.view.speed, show=held.view.show)))

    def put_lanes(self, lanes: Sequence[Lane]) -> None:
        """Replace the lanes; ValueError (state unchanged) where there are too many."""
        self.put(replace(self.state, lanes=tuple(lanes)))

    def change_scene(self, **changes: Any) -> None:
        """Replace fields of the scene; ValueError (state unchanged) if it cannot be so.

        Another grid or seed asks for another initial state than the one drawn or loaded.
        """
        if {"n", "seed"} & changes.keys():
            changes.setdefault("start", None)
        self.put(replace(self.state, scene=replace(self.state.scene, **changes)))

    def change_view(self, **changes: Any) -> None:
        """Replace fields of the view."""
        self.put(replace(self.state, view=replace(self.state.view, **changes)))

    def close(self) -> None:
        """Drop the subscribers, so that the session's objects can be freed."""
        self._subscribers.clear()


def _same_preset(one: Scene, two: Scene) -> bool:
    return (one.system, one.chosen_preset) == (two.system, two.chosen_preset)
