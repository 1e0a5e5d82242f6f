"""Which trained models are shipped, and how each is made.

Every system has a DGNet, an HNN (HNN++ for fields and for friction) and a neural ODE with tanh, a
separable one an SRNN; some have DGNets with other activations or with a learned G. Data of the ODEs
are free of noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ddg_explorer.budgets import Budget, ours
from ddg_explorer.recipes import DATA_RECIPES, DataRecipe

FOLDER = Path(__file__).parent
ACTIVATION = "tanh"
VARIANTS = ("sigmoid", "softplus", "sin", "relu")
MODELS_OF = {
    "kdv": ("dgnet", "hnnpp", "node"),
    "ch": ("dgnet", "hnnpp", "node"),
    "ch2d": ("dgnet", "hnnpp", "node"),
    "spring": ("dgnet", "hnn", "srnn", "node"),
    "pendulum": ("dgnet", "hnn", "srnn", "node"),
    "pendulum_damped": ("dgnet", "hnnpp", "node"),
    "two-body": ("dgnet", "hnn", "srnn", "node"),
}
"""Data recipe → models."""
STEPS = {"dgnet": None, "hnnpp": 60, "node": 100}
"""Optimiser steps for a field; None: those of `budgets.ours`. The baselines cost more a step."""
ODES = ("spring", "pendulum", "pendulum_damped", "two-body")
ODE_STEPS = {"hnn": 60, "hnnpp": 60}
"""Optimiser steps for an ODE where they are not 300: explicit midpoint steps of an energy model
cannot hold an orbit, so its loss stands still early, and more steps only bend H."""
ODE_HIDDEN = {"hnn": 8, "hnnpp": 8}
VARIANT_STEPS = 200
TRAJECTORIES = {"two-body": 100}
"""Fewer trajectories than the recipe's, where that is plenty."""


@dataclass(frozen=True)
class Shipped:
    """One shipped model.

    Attributes
    ----------
    data
        Key of `DATA_RECIPES`.
    model, activation
        Keys of `MODELS` and `ACTIVATIONS`.
    structure
        Kind of the model's G (`models.operators`), None for the system's own.
    steps
        Optimiser steps, None for those of `budgets.ours`.
    """

    data: str
    model: str
    activation: str = ACTIVATION
    structure: str | None = None
    steps: int | None = None

    @property
    def name(self) -> str:
        """Name of the file without its suffix."""
        parts = [self.data, self.model, self.activation, self.structure or ""]
        return ".".join(part for part in parts if part)

    @property
    def path(self) -> Path:
        """Where the file is, or is to be."""
        return FOLDER / f"{self.name}.safetensors"

    @property
    def system(self) -> str:
        """Key of `SYSTEMS`."""
        return DATA_RECIPES[self.data].system

    @property
    def recipe(self) -> DataRecipe:
        """The data it is trained on."""
        recipe = DATA_RECIPES[self.data]
        trajectories = TRAJECTORIES.get(self.data, recipe.trajectories)
        return replace(recipe, noise=0.0, trajectories=trajectories)

    @property
    def budget(self) -> Budget:
        """Network and training."""
        found = ours(self.system, self.model).with_steps(self.steps)
        network = dict(found.network)
        if self.data in ODES and self.model in ODE_HIDDEN:
            network["hidden"] = ODE_HIDDEN[self.model]
        if self.data == "spring" and self.model != "node":
            # tested up to 1.4 times the largest radius trained on, where a bare tanh network bends
            network["skip"] = True
        if self.activation == "relu":
            # a piecewise linear H alone has a ∇̄H too rough for the implicit step
            network["skip"] = True
        return replace(found, network=network)


def _table() -> Iterator[Shipped]:
    for data, models in MODELS_OF.items():
        for model in models:
            structure, steps = _friction(data, model), _steps(data, model)
            yield Shipped(data, model, structure=structure, steps=steps)
    for data in ("kdv", "ch2d", "pendulum"):
        for activation in VARIANTS:
            yield Shipped(data, "dgnet", activation, steps=VARIANT_STEPS)
    yield Shipped("ch2d", "dgnet", structure="learned_kernel")


def _steps(data: str, model: str) -> int | None:
    """A field's, or an ODE's where its budget has no number of its own."""
    if data not in ODES:
        return STEPS[model]
    own = "steps" in ours(DATA_RECIPES[data].system, model).training
    return None if own else ODE_STEPS.get(model, 300)


def _friction(data: str, model: str) -> str | None:
    """A damped system's friction is learned with the energy."""
    return "learned_friction" if data == "pendulum_damped" and model != "node" else None


SHIPPED: tuple[Shipped, ...] = tuple(_table())
"""All of them, made or not."""


def find_weights(
    system: str, model: str, activation: str = ACTIVATION, *, data: str | None = None
) -> Path | None:
    """The shipped file of a model of a system; None where there is none.

    Parameters
    ----------
    system, model, activation
        Keys of `SYSTEMS`, `MODELS` and `ACTIVATIONS`.
    data
        Key of `DATA_RECIPES`, where a system has several; None: the first that there is.
    """
    for row in SHIPPED:
        asked = (row.system, row.model, row.activation) == (system, model, activation)
        if asked and data in (None, row.data) and row.path.is_file():
            return row.path
    return None
