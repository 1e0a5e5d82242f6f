"""The live app: `Explorer` for pages and notebooks. Needs the `app` extra; the core never does."""

from __future__ import annotations

from ddg_explorer.app.explorer import Explorer
from ddg_explorer.app.state import AppState, Scene

__all__ = ["Explorer", "explore"]


def explore(system: str = "kdv", *, preset: str | None = None, play: bool = True) -> Explorer:
    """The explorer on a system, to be shown in a notebook.

    Raises
    ------
    ValueError
        For an unknown system or preset.
    """
    return Explorer(AppState(Scene(system, preset)), play=play)
