"""List the names of systems with their presets, models, integrators and structure operators."""

from __future__ import annotations

import argparse

from ddg_explorer.commands.report import Report, table
from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.models import MODELS
from ddg_explorer.structure import STRUCTURES
from ddg_explorer.systems import SYSTEMS


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(args: argparse.Namespace) -> Report:
    """The names, as the other commands and the page's address take them."""
    presets = {name: list(system.presets) for name, system in SYSTEMS.items()}
    figures = {
        "systems": list(SYSTEMS),
        "models": list(MODELS),
        "integrators": list(INTEGRATORS),
        "activations": list(ACTIVATIONS),
        "structures": list(STRUCTURES),
        "presets": presets,
    }
    systems = table({name: ", ".join(names) for name, names in presets.items()})
    models = table(
        {
            key: f"{model.title}; trains with {', '.join(model.schemes)}"
            for key, model in MODELS.items()
        }
    )
    integrators = table({name: scheme.preserves for name, scheme in INTEGRATORS.items()})
    text = "\n\n".join(
        (
            f"Systems and their presets\n{systems}",
            f"Models\n{models}",
            f"Integrators and what they preserve\n{integrators}",
            f"Structure operators\n{', '.join(STRUCTURES)}",
            f"Activations with exact secants\n{', '.join(ACTIVATIONS)}",
        )
    )
    return Report(figures, text)
