"""The live app: `Explorer` for pages and notebooks. Needs the `app` extra; the core never does.

The page's classes are loaded when asked for: a training worker is a module of this package too, and
has no use for them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddg_explorer.app.explorer import Explorer

__all__ = ["Explorer", "explore"]


def explore(system: str = "kdv", *, preset: str | None = None, play: bool = True) -> Explorer:
    """The explorer on a system, to be shown in a notebook.

    A notebook that has not loaded Panel's extension gets it here, from this installation.

    Raises
    ------
    ValueError
        For an unknown system or preset.
    """
    from ddg_explorer.app.explorer import Explorer
    from ddg_explorer.app.state import AppState, Scene

    explorer = Explorer(AppState(Scene(system, preset)), play=play)
    _load_extension()
    return explorer


def _load_extension() -> None:
    """What a notebook needs to show Panel's objects, unless it has it; nothing outside one."""
    import panel as pn

    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if hasattr(shell, "kernel") and not pn.extension._loaded:
        pn.extension(inline=True)


def __getattr__(name: str) -> Any:
    if name == "Explorer":
        from ddg_explorer.app.explorer import Explorer

        return Explorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
