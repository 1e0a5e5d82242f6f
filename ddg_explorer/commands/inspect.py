"""Inspect a checkpoint: its card, and what its structure operator turned out to be."""

from __future__ import annotations

import argparse
from typing import Any

from torch import Tensor

from ddg_explorer.commands.options import naming
from ddg_explorer.commands.report import Report, table
from ddg_explorer.learned_structure import TOLERANCE, StructureFindings, inspect_structure
from ddg_explorer.models import EnergyModel, load_model, read_card

OPERATOR = (
    *(
        "learned",
        "at",
        "kernel",
        "matrix",
        "sum_over_centre",
        "anisotropy",
        "symbol_max_over_abs_min",
    ),
    *("distance", "verdicts", "margins", "tolerance", "scale", "freedom", "family_distance"),
    "still",
)
"""What is said of G; None for a model without one."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `inspect`."""
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="a .safetensors file")
    what = f"relative defect that a verdict allows ({TOLERANCE:g})"
    add("--tolerance", type=float, default=TOLERANCE, metavar="T", help=what)


def run(args: argparse.Namespace) -> Report:
    """The operator's weights, its margins and the verdicts."""
    with naming(path="checkpoint"):
        content = read_card(args.checkpoint)
        model = load_model(args.checkpoint)
    assert model.recipe is not None
    figures: dict[str, Any] = {
        "model": model.key,
        "system": model.context.get("system"),
        "structure": model.recipe.structure,
        **dict.fromkeys(OPERATOR),
        "card": content["card"],
        "created": content["created"],
    }
    found = None
    if isinstance(model, EnergyModel):
        found = inspect_structure(model, tolerance=args.tolerance)
        figures |= _operator(found)
    return Report(figures, _text(figures, found))


def _operator(found: StructureFindings) -> dict[str, Any]:
    return {
        "learned": found.learned,
        "at": found.at or None,
        "kernel": _list(found.kernel),
        "matrix": _list(found.matrix),
        "sum_over_centre": found.sum_over_centre,
        "anisotropy": found.anisotropy,
        "symbol_max_over_abs_min": found.symbol_max_over_abs_min,
        "distance": found.distance,
        "verdicts": found.verdicts(),
        "margins": found.margins(),
        "tolerance": found.tolerance,
        "scale": found.scale,
        "freedom": found.freedom,
        "family_distance": found.family_distance,
        "still": list(found.still),
    }


def _list(values: Tensor | None) -> list[Any] | None:
    return None if values is None else values.tolist()


def _text(figures: dict[str, Any], found: StructureFindings | None) -> str:
    card = figures["card"]
    parts = []
    shown = {name: figures[name] for name in ("model", "system", "created")}
    wanted = ("parameters", "steps", "loss", "validation_loss", "wall_s", "seed", "command")
    parts.append(table(shown | {name: card[name] for name in wanted if name in card}))
    if found is None:
        return "\n\n".join([*parts, "this model has no structure operator"])
    weights = found.kernel if found.kernel is not None else found.matrix
    if weights is not None:
        how = "learned" if found.learned else "fixed"
        name = f"G at {found.at}" if found.at else "G"
        if found.matrix is not None and found.anisotropy is not None:
            name = "G of the channels at every point"
        parts.append(f"{name} ({how}, up to the scale H → cH, G → G/c)\n{_grid(weights)}")
    names = ("sum_over_centre", "anisotropy", "symbol_max_over_abs_min", "distance", "freedom")
    margins = {name: figures[name] for name in names if figures[name] is not None}
    if margins:
        parts.append(table(margins))
    parts.append("\n".join(found.sentences()))
    return "\n\n".join(parts)


def _grid(weights: Tensor) -> str:
    rows = weights.reshape(-1, weights.shape[-1]).tolist()
    return "\n".join("  ".join(f"{value + 0.0:12.5g}" for value in row) for row in rows)
