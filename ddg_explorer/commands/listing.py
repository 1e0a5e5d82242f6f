"""List the names that can be chosen: systems with presets and operators, models, integrators."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from ddg_explorer.commands.report import Report, table
from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.models import MODELS
from ddg_explorer.models.operators import operators_of
from ddg_explorer.systems import SYSTEMS


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(args: argparse.Namespace) -> Report:
    """The names, as the other commands and the page's address take them."""
    presets = {name: list(system.presets) for name, system in SYSTEMS.items()}
    structures = {name: list(system.structures) for name, system in SYSTEMS.items()}
    operators = {"ode": operators_of(field=False), "field": operators_of(field=True)}
    figures = {
        "systems": list(SYSTEMS),
        "models": list(MODELS),
        "integrators": list(INTEGRATORS),
        "activations": list(ACTIVATIONS),
        "structures": structures,
        "operators": operators,
        "presets": presets,
    }
    models = table(
        {
            key: f"{model.title}; trains with {', '.join(model.schemes)}"
            for key, model in MODELS.items()
        }
    )
    integrators = table({name: scheme.preserves for name, scheme in INTEGRATORS.items()})
    text = "\n\n".join(
        (
            f"Systems and their presets\n{_lines(presets)}",
            f"Structure operators of the systems\n{_lines(structures)}",
            f"Models\n{models}",
            f"Structure operators of models, fixed and learned\n{_lines(operators)}",
            f"Integrators and what they preserve\n{integrators}",
            f"Activations with exact secants\n{', '.join(ACTIVATIONS)}",
        )
    )
    return Report(figures, text)


def _lines(names: Mapping[str, Sequence[str]]) -> str:
    return table({owner: ", ".join(own) for owner, own in names.items()})
