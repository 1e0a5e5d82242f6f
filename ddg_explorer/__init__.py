"""Energy-based, discrete-time learned physics with an exact discrete energy law.

    (v − u)/Δt = Ḡ ∇̄H(v, u)

The public names of the library; importing it loads torch and numpy only. States are `(..., d)` for
an ODE and `(..., C, *grid)` for a field on a periodic grid; everything is nondimensional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddg_explorer.discrete import ACTIVATIONS, discrete_grad
from ddg_explorer.grids import Grid
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.recording import Recording
from ddg_explorer.rollout import Rollout
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import STRUCTURES, Structure
from ddg_explorer.systems import SYSTEMS, System
from ddg_explorer.trajectory import Trajectory, load_trajectory
from ddg_explorer.version import __version__

if TYPE_CHECKING:
    from ddg_explorer.app import Explorer

__all__ = [
    "ACTIVATIONS",
    "INTEGRATORS",
    "STRUCTURES",
    "SYSTEMS",
    "Grid",
    "Recording",
    "Rollout",
    "Structure",
    "System",
    "Trajectory",
    "__version__",
    "discrete_grad",
    "explore",
    "load_trajectory",
    "simulate",
]


def explore(system: str = "kdv", *, preset: str | None = None, play: bool = True) -> Explorer:
    """The explorer page as a notebook widget; needs the `app` extra.

    Parameters
    ----------
    system, preset
        Names in `SYSTEMS` and in its presets; no preset is the first one.
    play
        Whether it starts running.

    Raises
    ------
    ValueError
        For an unknown system or preset.
    ModuleNotFoundError
        Without the `app` extra: `pip install 'ddg-explorer[app]'`.
    """
    from ddg_explorer.app import explore

    return explore(system, preset=preset, play=play)
