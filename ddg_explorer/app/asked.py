"""What a scene asks of one lane: its initial state and scheme; and where its model belongs."""

from __future__ import annotations

from torch import Tensor

from ddg_explorer.app.numerals import number
from ddg_explorer.app.state import Lane, Scene
from ddg_explorer.app.texts import short_scheme
from ddg_explorer.app.turns import live_tol
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.base import Integrator
from ddg_explorer.integrators.collocation import Collocation
from ddg_explorer.models.base import Model
from ddg_explorer.models.own_step import departed
from ddg_explorer.recording import note_of
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems.builtin import PresetSystem


def initial_state(scene: Scene, system: PresetSystem) -> Tensor:
    """The state that time begins with; ValueError for one of another shape."""
    if scene.start is None:
        return system.initial(scene.chosen_seed)
    u = scene.start.state
    if tuple(u.shape) != system.state_shape:
        own, needed = tuple(u.shape), system.state_shape
        raise ValueError(f"{scene.start.label}: has shape {own}, this scene needs {needed}")
    return u.to(system.dtype).to(system.device)


def scheme_key(scene: Scene, lane: Lane, dynamics: Dynamics) -> str:
    """Key of the lane's integrator: its own choice, a model's own, or the scene's."""
    own = dynamics.integrators[0] if isinstance(dynamics, Model) else scene.chosen_integrator
    return lane.integrator or own


def scheme(scene: Scene, lane: Lane, dynamics: Dynamics) -> Integrator:
    """The lane's integrator, to the tolerance that the scene asks for."""
    chosen = INTEGRATORS[scheme_key(scene, lane, dynamics)]
    loose = scene.tol is None and chosen.implicit
    tol = live_tol(scene, dynamics) if loose else scene.tol
    learned = isinstance(dynamics, Model) and dynamics.grid is not None and dynamics.grid.ndim > 1
    if learned and issubclass(chosen, Collocation):
        # hundreds of substeps would be one step that nothing can interrupt
        return chosen(tol=tol, adaptive=False)
    return chosen(tol=tol)


def belonging(run: Rollout) -> tuple[str, str]:
    """Where a model runs at another Δt or with another scheme than its own: few words, and why.

    Both are "" elsewhere; see `models.own_step`.
    """
    why = note_of(run)
    if not why:
        return "", ""
    own, learned = departed(run.dynamics, run.dt, run.integrator.name)
    parts = [] if own is None else [short_scheme(own)]
    if learned is not None:
        digits = 3 if number(run.dt) != number(learned) else 6
        parts.append(f"Δt = {number(learned, digits)}")
    return f"belongs to {', '.join(parts)}", f"{why[0].upper()}{why[1:]}."
