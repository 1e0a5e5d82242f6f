"""Energy-based, discrete-time learned physics with an exact discrete energy law.

    (v − u)/Δt = Ḡ ∇̄H(v, u)

The public names of the library; importing it costs next to nothing, each name follows with what it
needs, torch first of all, at its first use. States are `(..., d)` for an ODE and `(..., C, *grid)`
for a field on a periodic grid; everything is nondimensional.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ddg_explorer.version import __version__

if TYPE_CHECKING:
    from ddg_explorer.app import Explorer
    from ddg_explorer.data import Dataset
    from ddg_explorer.discrete import ACTIVATIONS, discrete_grad
    from ddg_explorer.grids import Grid
    from ddg_explorer.integrators import INTEGRATORS
    from ddg_explorer.models import MODELS
    from ddg_explorer.models import load_model as load
    from ddg_explorer.own_data import read_dataset
    from ddg_explorer.recipes import make_dataset
    from ddg_explorer.recording import Recording
    from ddg_explorer.rollout import Rollout
    from ddg_explorer.simulation import simulate
    from ddg_explorer.structure import STRUCTURES, Structure
    from ddg_explorer.systems import SYSTEMS, System
    from ddg_explorer.training import train
    from ddg_explorer.trajectory import Trajectory, load_trajectory

__all__ = [
    "ACTIVATIONS",
    "INTEGRATORS",
    "MODELS",
    "STRUCTURES",
    "SYSTEMS",
    "Dataset",
    "Grid",
    "Recording",
    "Rollout",
    "Structure",
    "System",
    "Trajectory",
    "__version__",
    "discrete_grad",
    "explore",
    "load",
    "load_trajectory",
    "make_dataset",
    "read_dataset",
    "simulate",
    "train",
]

_LATER = {
    "ACTIVATIONS": ("ddg_explorer.discrete", "ACTIVATIONS"),
    "INTEGRATORS": ("ddg_explorer.integrators", "INTEGRATORS"),
    "MODELS": ("ddg_explorer.models", "MODELS"),
    "STRUCTURES": ("ddg_explorer.structure", "STRUCTURES"),
    "SYSTEMS": ("ddg_explorer.systems", "SYSTEMS"),
    "Dataset": ("ddg_explorer.data", "Dataset"),
    "Grid": ("ddg_explorer.grids", "Grid"),
    "Recording": ("ddg_explorer.recording", "Recording"),
    "Rollout": ("ddg_explorer.rollout", "Rollout"),
    "Structure": ("ddg_explorer.structure", "Structure"),
    "System": ("ddg_explorer.systems", "System"),
    "Trajectory": ("ddg_explorer.trajectory", "Trajectory"),
    "discrete_grad": ("ddg_explorer.discrete", "discrete_grad"),
    "load": ("ddg_explorer.models", "load_model"),
    "load_trajectory": ("ddg_explorer.trajectory", "load_trajectory"),
    "make_dataset": ("ddg_explorer.recipes", "make_dataset"),
    "read_dataset": ("ddg_explorer.own_data", "read_dataset"),
    "simulate": ("ddg_explorer.simulation", "simulate"),
    "train": ("ddg_explorer.training", "train"),
}
"""Public name → module and name of what is imported at its first use."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LATER[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def explore(system: str = "kdv", *, preset: str | None = None, play: bool = True) -> Explorer:
    """The explorer page as a notebook widget; needs the `app` extra.

    Parameters
    ----------
    system, preset
        Names in `SYSTEMS` and in its presets; no preset is the first one. A system of your own is
        shown once it is registered there (CONTRIBUTING.md).
    play
        Whether it starts running.

    Raises
    ------
    ValueError
        For a system that is not registered, or an unknown preset.
    ModuleNotFoundError
        Without the `app` extra; it says what to install.
    """
    from ddg_explorer.app import explore

    try:
        return explore(system, preset=preset, play=play)
    except ModuleNotFoundError as error:
        line = (
            f"the app needs {error.name}, which is not installed: pip install 'ddg-explorer[app]'"
        )
        raise ModuleNotFoundError(line, name=error.name) from None
