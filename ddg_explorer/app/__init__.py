"""The live app: `Explorer` for pages and notebooks. Needs the `app` extra; the core never does.

The page's classes are loaded when asked for: a training worker is a module of this package too, and
has no use for them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ddg_explorer.io import described
from ddg_explorer.systems import SYSTEMS

if TYPE_CHECKING:
    from ddg_explorer.app.explorer import Explorer

__all__ = ["Explorer", "explore"]


def explore(system: str = "kdv", *, preset: str | None = None, play: bool = True) -> Explorer:
    """The explorer on a registered system, to be shown in a notebook.

    It shows the systems of `SYSTEMS`, with their presets and controls; one of your own is shown
    once it is among them (CONTRIBUTING.md). A notebook that has not loaded Panel's extension gets
    it here, from this installation.

    Raises
    ------
    ValueError
        For a system that is not registered, or an unknown preset.
    """
    if not isinstance(system, str) or system not in SYSTEMS:
        raise ValueError(
            f"system={described(system)}: the explorer shows registered systems, use one of "
            f"{', '.join(SYSTEMS)}; your own is registered by its line there (CONTRIBUTING.md)"
        )
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
