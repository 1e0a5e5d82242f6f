"""A model in the place of a system: for which systems it stands, and under which G.

    u̇ = G ∇H_θ(u)

H is the model's own; G is that of its data, or for the models that take any, the system's. States
are `(..., d)` or `(..., C, *grid)`, everything nondimensional.
"""

from __future__ import annotations

import copy
from typing import Any

from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.dgnet import DGNet
from ddg_explorer.models.hnn import HNNpp
from ddg_explorer.models.operators import specification
from ddg_explorer.systems.base import System

ANY_STRUCTURE = (DGNet.key, HNNpp.key)
"""Models whose H may run under another G than that of their data."""


def misplaced(model: Model, system: System) -> str:
    """Why a model, as it was trained, does not describe a system: one line, "" where it does.

    As `Model.misfit`, and the system's G must be that of the data where that is known.
    """
    line = model.misfit(system)
    known = model.context.get("structure")
    if line or known is None or _same(model, system):
        return line
    here = system.structure_key or type(system.structure).__name__
    return f"trained under G = {known.get('kind')}, this system has {here}"


def stand_in(model: Model, system: System) -> Model:
    """The model as it runs in the system's place: its H under the system's G, where that is not
    the data's; on the system's number of points, in its dtype, on its device.

    The model itself is not changed; weights are shared where they need not be converted.

    Raises
    ------
    ValueError
        One line for a model of other physics, states or Δx, and for a G that it cannot take.
    """
    own = context = model.context
    if isinstance(model, EnergyModel) and model.key in ANY_STRUCTURE and not _same(model, system):
        context = _under(model, system)
        reason = model.under(system.structure, context).misfit(system)
    else:
        reason = model.misfit(system) or _bound(model, system)
    if reason:
        raise ValueError(reason)
    model = placed(model, system)
    if context is not own and isinstance(model, EnergyModel):
        return model.under(system.structure, context)
    return model


def placed(model: Model, system: System) -> Model:
    """The model on the system's number of points, in its dtype and on its device; ValueError for
    another Δx."""
    if system.grid is not None and system.grid != model.grid:
        model = model.on_grid(system.grid)
    if model.dtype != system.dtype or model.device != system.device:
        model = copy.deepcopy(model).to(dtype=system.dtype, device=system.device)
    return model


def _same(model: Model, system: System) -> bool:
    """Whether the system's G is taken as that of the data: it is known to be, or neither has more
    than a key of the system."""
    learned, true = model.context.get("structure"), specification(system.structure, system.grid)
    keyed = system.structure_key is not None and "system" in model.context
    return learned == true and (true is not None or keyed)


def _bound(model: Model, system: System) -> str:
    """Why a model does not follow a change of G, "" where there is none.

    A G that has no key is taken as changed unless it is known to be that of the data.
    """
    told = system.structure_key is None or "structure" in model.context
    if not told or _same(model, system):
        return ""
    if isinstance(model, EnergyModel):
        return f"{model.title} has its own G, that of its data; only DGNet and HNN++ take another"
    return f"{model.title} learned the motion as a whole: it has no H to put another G before"


def _under(model: Model, system: System) -> dict[str, Any]:
    """The model's context with the system's G, and the parameters that act through it."""
    own = {name: system.values[name] for name, p in system.parameters.items() if p.structures}
    context = {**model.context, "parameters": {**model.context.get("parameters", {}), **own}}
    context["structure"] = specification(system.structure, system.grid)
    return {key: value for key, value in context.items() if value is not None}
