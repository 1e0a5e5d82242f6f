"""A learned G as entries of the editor: who has one that suits a scene, and at what scale.

    u̇ = G ∇H = (G/c) ∇(cH)

for every c ≠ 0, so data leave the scale of a learned G open. Here it is the one that
`learned_structure.distance` compares at: the centre of the true kernel, or the least squares where
that has none; of an operator without a known true one, the norm that `models.gauge` gives it. A
learned friction has no such freedom and stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ddg_explorer.app import entries
from ddg_explorer.app.entrants import Misfit, Shelf, stored
from ddg_explorer.learned_structure import normalised_structure
from ddg_explorer.models import MODELS
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.freedom import family
from ddg_explorer.structure import Friction
from ddg_explorer.structure.comparison import matching_scale
from ddg_explorer.systems.builtin import PresetSystem
from ddg_explorer.weights import SHIPPED

LEARNED = {
    "learned_kernel": "free kernel",
    "learned_friction": "friction",
    "learned_matrix": "free matrix",
}
"""Kind of a shipped model's learned G → what it is."""


@dataclass(frozen=True)
class Learned:
    """A learned G as an edited scene holds it.

    Attributes
    ----------
    title
        Whose it is.
    structure, parameters
        The menu's operator that it resembles: the true one of its data, with its strengths.
    entries
        Of the editor.
    scale
        c by which its G was divided and its H multiplied; None for a friction.
    freedom
        Factors of a free matrix that data leave open; 1 is the scale alone.
    """

    title: str
    structure: str
    parameters: Mapping[str, float]
    entries: tuple[float, ...]
    scale: float | None
    freedom: int = 1

    def sentence(self) -> str:
        """Where the entries come from, for people."""
        if self.scale is None:
            return f"Learned by {self.title}; S beside its friction fixes the scale."
        line = (
            f"Learned by {self.title}, at the scale of the true one: H → cH, G → G/c with "
            f"c = {self.scale:.7g} changes no motion."
        )
        if self.freedom > 1:
            line += (
                f" Its H leaves {self.freedom} factors of G open, not this one alone: beside the "
                "true H another of these G may move otherwise."
            )
        return line


def candidates(system: str, shelf: Shelf) -> dict[str, EnergyModel]:
    """Title → model, of all that have learned a G for this system: the session's, then shipped."""
    found: dict[str, Model] = dict(shelf.items())
    for row in SHIPPED:
        if row.system == system and row.structure in LEARNED and row.path.is_file():
            found[f"{MODELS[row.model].title}, {LEARNED[row.structure]}"] = stored(row.path)
    return {
        title: model
        for title, model in found.items()
        if isinstance(model, EnergyModel) and _has_learned(model, system)
    }


@torch.no_grad()
def opened(title: str, model: EnergyModel, system: PresetSystem) -> Learned:
    """The learned G of a model as entries for this system; `Misfit` in one line where it is none.

    Parameters of H may be others than those of its data; grid and derivatives may not.
    """
    key = _known_key(model, system)
    values = {
        name: value
        for name, value in model.context.get("parameters", {}).items()
        if name in system.parameters and key in (system.parameters[name].structures or (key,))
    }
    strengths = {n: v for n, v in values.items() if system.parameters[n].structures}
    twin = system.with_(structure=key, **values)
    if reason := model.misfit(twin):
        raise Misfit(reason)
    form = entries.form_of(twin, key)
    if form is None:
        raise Misfit(f"{system.title} in this form has no kernel or matrix to edit")
    try:
        structure, scale, _ = normalised_structure(model)
        friction = isinstance(structure.module, Friction)
        found = entries.of_structure(structure, twin, form)
        if not friction and "structure" in model.context:
            true = entries.tensor(entries.started(twin, key, form), form)
            match = matching_scale(entries.tensor(found, form), true)
            if not (math.isfinite(match) and match):
                raise ValueError(
                    "its G has nothing of the true one, whose scale it would be shown at"
                )
            found, scale = entries.of_structure(structure, twin, form, match), scale / match
        found = entries.checked(found)
    except ValueError as problem:
        raise Misfit(str(problem)) from None
    basis = family(model)
    return Learned(
        title,
        key,
        strengths,
        found,
        None if friction else scale,
        1 if basis is None else len(basis),
    )


def opened_all(
    models: Mapping[str, EnergyModel], system: PresetSystem
) -> tuple[dict[str, Learned], str]:
    """Those that suit the system by title, and one line on the first that does not, "" for none."""
    found, refused = {}, ""
    for title, model in models.items():
        try:
            found[title] = opened(title, model, system)
        except Misfit as misfit:
            refused = refused or f"{title}: {misfit}."
    return found, refused


def _has_learned(model: EnergyModel, system: str) -> bool:
    """Whether a model has learned one G for all states of this system."""
    if model.context.get("system", system) != system:
        return False
    return model.structure.module is not None and not model.structure.state_dependent


def _known_key(model: EnergyModel, system: PresetSystem) -> str:
    """The menu's operator that was the true one, else the system's first."""
    kind = model.context.get("structure", {}).get("kind")
    return kind if kind in system.structures else next(iter(system.structures))
