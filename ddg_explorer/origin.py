"""Where data come from: what a run or a file notes of its system, and whether that is a given one.

    v = Φ(u, Δt), H(u)      the step and the energy of the system, compared with those recorded

Notes are the recipe of a `Trajectory` or the context of a `Dataset`; in a file they are attributes,
mappings and lists as JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.io import one_line
from ddg_explorer.models.operators import specification
from ddg_explorer.rollout import Rollout
from ddg_explorer.sampling import EVEN
from ddg_explorer.systems import SYSTEMS, System

BESIDE = ("reason", "energy_scale", "note")
"""What the file of a run notes beside its recipe."""
NOTES = ("context", "recipe", "parameters", "length")
"""What the file of data notes: JSON objects, and the side lengths of a box."""
SAME_ENERGY = {torch.float64: 1e-9, torch.float32: 1e-3}
"""Part of the H-scale by which the same energy, computed once more, may differ."""
SAME_STEP = {torch.float64: 1e-6, torch.float32: 1e-2}
"""Part of its change by which a repeated frame may differ, besides the tolerance of its solves."""


def mapping(name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object among the attributes, empty where there is none of that name."""
    value = decoded(name, attributes) if name in attributes else {}
    if not isinstance(value, dict):
        raise ValueError(f"attribute {name!r}: must be a JSON object")
    return value


def decoded(name: str, attributes: Mapping[str, Any]) -> Any:
    """An attribute, of a text the JSON in it; ValueError where that is none."""
    value = attributes[name]
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        value = str(value)
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        raise ValueError(f"attribute {name}={value!r}: is no JSON") from None


def foreign_notes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a file of any origin, without texts that only have the name of a note."""
    kept = {}
    for name, value in attributes.items():
        with suppress(ValueError, TypeError):
            like_note = name in NOTES or _like_json(value)
            plain = decoded(name, attributes) if like_note else value
            if name == "length":
                np.asarray(plain, dtype=np.float64)
            elif name in NOTES and not isinstance(plain, dict):
                continue
            kept[name] = value
    return kept


def _like_json(value: Any) -> bool:
    return isinstance(value, str) and value[:1] in ("{", "[")


def run_notes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a run, of its file's attributes or as it is, in plain types without nulls."""
    notes = {}
    for name, value in attributes.items():
        if name in BESIDE or value is None:
            continue
        if _like_json(value):
            value = decoded(name, attributes)
        notes[name] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return notes


def noted_context(attributes: Mapping[str, Any], grid: Grid | None) -> dict[str, Any]:
    """The context of data on this grid by what their file notes; {} where that is no true system.

    A run of a built-in system notes G by its key there, and all else that makes that G again.
    """
    if "context" in attributes:
        return mapping("context", attributes)
    if "system" not in attributes or "model" in attributes:
        return {}
    parameters = mapping("parameters", attributes)
    known = {
        "system": str(attributes["system"]),
        "operator": attributes.get("operator"),
        "parameters": {k: v for k, v in parameters.items() if not isinstance(v, str)},
        "structure": _noted_structure(attributes, parameters, grid),
    }
    return {key: value for key, value in known.items() if value is not None}


def _noted_structure(
    attributes: Mapping[str, Any], parameters: Mapping[str, Any], grid: Grid | None
) -> dict[str, Any] | None:
    """G of the built-in system that is noted, None where notes do not make that system again."""
    make = SYSTEMS.get(str(attributes["system"]))
    if make is None or "structure" not in attributes:
        return None
    # of a G that does not act a strength is noted as 0, which may be out of its range
    acting = {name: value for name, value in parameters.items() if value != 0}
    if not set(acting) <= {*make.parameters, *make.choices}:
        return None
    notes = run_notes(attributes)
    options = {name: notes.get(name) for name in ("preset", "operator", "structure")}
    if grid is not None:
        options |= {"n": grid.shape, "length": grid.length}
    try:
        system = make(**options, **acting)
    except (TypeError, ValueError):
        return None
    return None if other_system(system, notes) else specification_of(system)


def specification_of(system: System) -> dict[str, Any] | None:
    """G of a true system as `models.operators` names it, None where it has no name there."""
    return specification(system.structure, system.grid)


def other_system(system: System, notes: Mapping[str, Any]) -> str:
    """One line where notes name another system, other parameters or another G, else ""."""
    whose = notes.get("model") or notes.get("system", system.name)
    if whose != system.name:
        return f"is one of {whose}, not of {system.name}"
    noted = {"operator": notes.get("operator"), **mapping("parameters", notes)}
    own = {"operator": system.operator, **system.values, **system.chosen}
    structure = notes.get("structure")
    if isinstance(structure, Mapping):
        noted["structure"] = structure
        own["structure"] = specification_of(system)
    elif None not in (structure, system.structure_key):
        noted["structure"], own["structure"] = structure, system.structure_key
    for name, value in noted.items():
        if value is not None and name in own and own[name] != value:
            return f"made with {name} = {_told(value)}, this {system.name} has {_told(own[name])}"
    return ""


def other_run(
    system: System, notes: Mapping[str, Any], u: Tensor, t: np.ndarray, energy: Tensor
) -> str:
    """One line where the numbers of a run are none of `system`, else "".

    H of the first frame has to be the system's. Where notes do not settle G, as that of a system of
    one's own, the first frame has to lead to the second: the noted scheme takes the steps between
    them once more, if it is one of `INTEGRATORS`.

    Parameters
    ----------
    notes
        `run_notes` of the run, in which `other_system` finds nothing.
    u, t
        Its states (frames, *batch, *state_shape), frames ≥ 2, and their times.
    energy
        H of its frames, (frames, *batch); not compared where it is NaN.
    """
    start = u[0].to(system.device, system.dtype)
    with torch.no_grad():
        own = system.energy(start).cpu().to(torch.float64).flatten()
    recorded = energy[0].to(torch.float64).flatten()
    own, recorded = own[recorded.isfinite()], recorded[recorded.isfinite()]
    scale = max((system.energy_scale, *recorded.abs().tolist()))
    for found, known in zip(own.tolist(), recorded.tolist(), strict=True):
        if not abs(found - known) <= SAME_ENERGY[u.dtype] * scale:
            return f"has another energy, H = {known:.6g} where that of {system.name} is {found:.6g}"
    settled = None not in (notes.get("structure"), system.structure_key)
    return "" if settled else _other_step(system, notes, start, u[:2], float(t[1] - t[0]))


def _other_step(
    system: System, notes: Mapping[str, Any], start: Tensor, u: Tensor, span: float
) -> str:
    scheme, dt, tol = (notes.get(name) for name in ("integrator", "dt", "tol"))
    if not (isinstance(scheme, str) and scheme in INTEGRATORS):
        return ""
    if not (isinstance(dt, int | float) and 0 < dt < math.inf and isinstance(tol, float | None)):
        return ""
    steps = round(span / dt)
    if steps < 1 or abs(steps * dt - span) > EVEN * dt:
        return ""
    try:
        rollout = Rollout(system, start, dt, scheme, tol=tol, growth=math.inf)
    except ValueError as error:
        return f"is none of {system.name}, {one_line(error)}"
    frame = rollout.step(steps)
    if frame.reason:
        return f"is none of {system.name}, which {frame.reason}"
    before, after = u.to(torch.float64)
    off = float((frame.u.cpu() - after).abs().max())
    moved, size = float((after - before).abs().max()), float(after.abs().max())
    solved = steps * max(10 * (tol or 0.0), 1e3 * torch.finfo(u.dtype).eps)
    if off <= SAME_STEP[u.dtype] * moved + solved * size:
        return ""
    return f"moves otherwise than {system.name}, whose second frame is off by {off:.2g}"


def _told(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
