"""A model as plain data: everything that is needed to build it again, except its weights.

The same recipe and seed give the same initial weights, bit by bit on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch

from ddg_explorer.grids import Grid
from ddg_explorer.models import MODELS
from ddg_explorer.models.base import Model
from ddg_explorer.models.networks import EnergyNetwork, SeparableEnergy, VectorField
from ddg_explorer.models.operators import make_operator

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class ModelRecipe:
    """What `build` needs.

    Attributes
    ----------
    model
        Key of `MODELS`.
    state_shape, grid
        Of the training data; `grid` is `{"shape": […], "length": […]}` or None.
    structure
        Specification of G (`models.operators`); None for models that have none of their own.
    hidden, depth, activation, width, skip
        Of the network; width is that of the stencil, None for the model's own (3 for an energy, 5
        for a vector field).
    scheme
        Training scheme; None for the model's first.
    seed, dtype
        Of the initial weights.
    context
        Name and parameters of the system it learns, see `Model.misfit`.
    """

    model: str
    state_shape: tuple[int, ...]
    grid: Mapping[str, Any] | None = None
    structure: Mapping[str, Any] | None = None
    hidden: int = 200
    depth: int = 2
    activation: str = "tanh"
    width: int | None = None
    skip: bool = False
    scheme: str | None = None
    seed: int = 0
    dtype: str = "float64"
    context: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model={self.model!r}: use one of {', '.join(MODELS)}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype={self.dtype!r}: use one of {', '.join(DTYPES)}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelRecipe:
        """The recipe of a dict such as `to_dict` gives; ValueError for unknown or missing keys."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown or "model" not in values or "state_shape" not in values:
            raise ValueError(
                f"model recipe: unknown or missing keys {unknown or 'model, state_shape'}"
            )
        return cls(**{**values, "state_shape": tuple(values["state_shape"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they go into a checkpoint."""
        return asdict(self)

    def build(self) -> Model:
        """A freshly initialised model."""
        generator = torch.Generator().manual_seed(self.seed)
        grid = None
        if self.grid is not None:
            grid = Grid(tuple(self.grid["shape"]), tuple(self.grid["length"]))
        options: dict[str, Any] = {"scheme": self.scheme, "context": dict(self.context)}
        structure = None
        if self.model not in ("node", "symplectic_form"):
            if self.structure is None:
                raise ValueError(f"structure=None: the model {self.model!r} needs one")
            dtype = DTYPES[self.dtype]
            structure = make_operator(self.structure, self.state_shape, grid, generator, dtype)
        network = self._network(grid, generator)
        if self.model == "symplectic_form":
            options["one_form"] = VectorField(self.state_shape, None, **self._perceptron(generator))
        model = MODELS[self.model](network, structure, self.state_shape, grid, **options)
        model.recipe = self
        return model

    def _perceptron(self, generator: torch.Generator) -> dict[str, Any]:
        return {
            "hidden": self.hidden,
            "depth": self.depth,
            "activation": self.activation,
            "generator": generator,
            "dtype": DTYPES[self.dtype],
        }

    def _network(self, grid: Grid | None, generator: torch.Generator) -> torch.nn.Module:
        options = self._perceptron(generator)
        if self.model == "srnn":
            return SeparableEnergy(self.state_shape, skip=self.skip, **options)
        if self.width is not None:
            options["width"] = self.width
        if self.model == "node":
            return VectorField(self.state_shape, grid, **options)
        return EnergyNetwork(self.state_shape, grid, skip=self.skip, **options)
