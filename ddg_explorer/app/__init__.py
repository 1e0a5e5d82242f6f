"""The live app: `Explorer` for pages and notebooks. Needs the `app` extra; the core never does.

The page's classes are loaded when asked for: a training worker is a module of this package too, and
has no use for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddg_explorer.app.explorer import Explorer

__all__ = ["Explorer", "explore"]


def explore(system: str = "kdv", *, preset: str | None = None, play: bool = True) -> Explorer:
    """The explorer on a system, to be shown in a notebook.

    Raises
    ------
    ValueError
        For an unknown system or preset.
    """
    from ddg_explorer.app.explorer import Explorer
    from ddg_explorer.app.state import AppState, Scene

    return Explorer(AppState(Scene(system, preset)), play=play)


def __getattr__(name: str) -> Any:
    if name == "Explorer":
        from ddg_explorer.app.explorer import Explorer

        return Explorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
