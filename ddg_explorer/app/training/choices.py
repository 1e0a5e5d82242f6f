"""What the form offers: names for people, and the values a choice fills in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ddg_explorer.app.training.specification import DataSpec
from ddg_explorer.budgets import (
    ADAM_WHITENED,
    QUICK_FIRST_ORDER_STEPS,
    QUICK_TRAJECTORIES,
    Budget,
    budget,
)
from ddg_explorer.models import MODELS
from ddg_explorer.models.recipe import WITHOUT_STRUCTURE
from ddg_explorer.recipes import DataRecipe
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.training.defaults import DEFAULT_STEPS
from ddg_explorer.training.optimizers import FIRST_ORDER

SOURCES = {"Published data": "recipe", "Current system": "system", "Own file": "file"}
RECIPES = {
    "Korteweg–de Vries": "kdv",
    "Korteweg–de Vries (textbook signs)": "kdv_textbook",
    "Cahn–Hilliard (1-D)": "ch",
    "Cahn–Hilliard (2-D)": "ch2d",
    "Mass–spring": "spring",
    "Pendulum": "pendulum",
    "Pendulum with friction": "pendulum_damped",
    "Two bodies": "two-body",
}
BUDGETS = {
    "Quick: in front of a class": "quick",
    "Full: best accuracy": "ours",
    "As published (Adam, slow)": "published",
}
OPTIMISERS = {
    "Best for the model": "",
    "Levenberg–Marquardt": "lm",
    "Adam": "adam",
    "SOAP": "soap",
}
SCHEDULES = {"Constant rate": "constant", "Cosine decay": "cosine"}
LABELS = {
    "trajectories": "Trajectories",
    "frames": "Steps of each",
    "noise": "Noise",
    "data_seed": "Seed of the data",
    "hidden": "Width",
    "steps": "Steps",
    "seed": "Seed",
    "lr": "Learning rate",
    "activation": "Activation",
    "structure": "Structure operator G",
    "device": "Device",
}
"""Parameters of a job that a person sees under another name."""
NO_STRUCTURE, OWN = "none", "own"
"""Choices of G that follow from the model or the data and need no specification."""
FIXED: Mapping[str, Mapping[str, str]] = {
    "field": {"Fixed: ∂x": "d_dx", "Fixed: Laplacian": "laplacian", "Fixed: −1": "minus_identity"},
    "ode": {"Fixed: symplectic": "symplectic"},
}
LEARNED: Mapping[str, Mapping[str, str]] = {
    "field": {
        "Learned: free kernel": "learned_kernel",
        "Learned: skew kernel": "learned_skew_kernel",
        "Learned: dissipative kernel": "learned_dissipative_kernel",
    },
    "ode": {
        "Learned: free matrix": "learned_matrix",
        "Learned: skew matrix": "learned_skew_matrix",
        "Learned: dissipative matrix": "learned_dissipative_matrix",
        "Learned: friction": "learned_friction",
    },
}
PAIRED_MODELS = ("hnn", "srnn", "symplectic_form")
"""Models of states (q, p) alone."""
PAIRED = ("symplectic", "learned_friction")
"""Structure operators of states (q, p) alone."""
QUICK_COUNT = 30
HIDDEN = (1, 1000)


def model_titles(*, paired: bool) -> dict[str, str]:
    """Title → key of every kind of model, DGNet first; `paired` tells whether states are (q, p)."""
    suit = [key for key in MODELS if paired or key not in PAIRED_MODELS]
    keys = sorted(suit, key=lambda key: key != "dgnet")
    return {MODELS[key].title: key for key in keys}


def structures(model: str, where: str, *, known: bool, paired: bool) -> dict[str, str]:
    """Label → kind of G for states on a "field" or of an "ode".

    `known` tells whether the data have a G of their own, which a file of plain numbers has not;
    `paired` whether states are (q, p).
    """
    if model in WITHOUT_STRUCTURE:
        return {"None: this model has no G": NO_STRUCTURE}
    if model in ("hnn", "srnn"):
        return dict(FIXED["ode"])
    own = {"Fixed: the system's own": OWN} if known else FIXED[where]
    found = {**own, **LEARNED[where]}
    return {label: kind for label, kind in found.items() if paired or kind not in PAIRED}


def chosen_budget(
    name: str,
    system: str,
    model: str,
    optimizer: str,
    steps: int | None,
    first_order: Mapping[str, Any],
    *,
    ode: bool,
    noisy: bool = False,
) -> Budget:
    """The budget of that name with the form's optimiser, steps, and settings of Adam and SOAP."""
    found = budget(name, system, model, ode=ode, noisy=noisy)
    if optimizer in FIRST_ORDER:
        # whitened inputs for small networks, as they are for the published ones
        own = found.training if name == "published" else {**ADAM_WHITENED}
        training = {**own, **first_order, "optimizer": optimizer}
        chosen = replace(found, training=training, otherwise=None)
    else:
        chosen = found.with_optimizer(optimizer or None)
    if steps == default_steps(name, system, model, optimizer, ode=ode, noisy=noisy):
        return chosen.with_options(steps=steps)
    return chosen.with_steps(steps)


def default_steps(
    name: str, system: str, model: str, optimizer: str, *, ode: bool, noisy: bool
) -> int:
    """The number of steps that the form starts with."""
    if optimizer in FIRST_ORDER and name != "published":
        return QUICK_FIRST_ORDER_STEPS if name == "quick" else ADAM_WHITENED["steps"]
    found = budget(name, system, model, ode=ode, noisy=noisy)
    if optimizer in FIRST_ORDER:
        return found.training["steps"]
    usual = DEFAULT_STEPS["states" if noisy and ode else "lm"]
    return found.with_optimizer(optimizer or None).training.get("steps", usual)


def default_trajectories(name: str, recipe: DataRecipe) -> int:
    """The number of trajectories that the form starts with."""
    if name != "quick":
        return recipe.trajectories
    return min(recipe.trajectories, QUICK_TRAJECTORIES.get(recipe.system, QUICK_COUNT))


def scene_data(
    system: str,
    *,
    preset: str | None = None,
    n: int | None = None,
    length: float | None = None,
    operator: str | None = None,
    structure: str | Mapping[str, Any] | None = None,
    dt: float | None = None,
    parameters: Mapping[str, float] | None = None,
    choices: Mapping[str, str] | None = None,
) -> DataSpec:
    """Data of a scene: its system, preset, grid, physics, Δt, and G by its key or specification."""
    options: dict[str, Any] = {**(parameters or {}), **(choices or {})}
    given = {"n": n, "length": length, "operator": operator, "structure": structure}
    options |= {name: value for name, value in given.items() if value is not None}
    return DataSpec(system=system, preset=preset, options=options, dt=dt)


def describe(recipe: DataRecipe) -> str:
    """One line on what the trajectories are."""
    system = recipe.make_system()
    where = ""
    if system.grid is not None:
        where = f", {' × '.join(map(str, system.grid.shape))} points"
    noise = f", noise {recipe.noise:g}" if recipe.noise else ""
    changed = ", ".join(_option(*option) for option in recipe.options.items() if option[0] != "n")
    title = system.presets[str(system.preset)].title
    return (
        f"{system.title}, {title[:1].lower() + title[1:]}{where}"
        f"{', ' + changed if changed else ''}: Δt = {recipe.dt:.4g}, up to t = "
        f"{recipe.dt * recipe.steps:.4g}{noise}. Every tenth trajectory is held out."
    )


def _option(name: str, value: Any) -> str:
    return "G as edited" if isinstance(value, Mapping) else f"{name} {value}"


def in_words(line: str) -> str:
    """A refusal with the form's labels in place of the names of parameters."""
    what, colon, why = line.partition(": ")
    return re.sub(rf"\b({'|'.join(LABELS)})=", lambda found: f"{LABELS[found[1]]} = ", what) + (
        colon + why
    )


def run_name(model: str, system: str, number: int) -> str:
    """What a person reads: "DGNet, Korteweg–de Vries, no. 3"."""
    title = SYSTEMS[system].title if system in SYSTEMS else system or "own data"
    return f"{re.sub(r' [(].*', '', MODELS[model].title)} · {title} · {number}"
