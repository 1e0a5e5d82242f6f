"""A model as plain data: everything that is needed to build it again, except its weights.

The same recipe and seed give the same initial weights, bit by bit on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Protocol

import torch

from ddg_explorer.grids import Grid
from ddg_explorer.io import described
from ddg_explorer.models.base import Model
from ddg_explorer.models.local_energy import LocalEnergy
from ddg_explorer.models.networks import EnergyNetwork, SeparableEnergy, VectorField
from ddg_explorer.models.operator_kinds import IN_UNITS
from ddg_explorer.models.operators import make_operator, operators_of, specification
from ddg_explorer.models.registry import MODELS
from ddg_explorer.models.units import Series, units_of
from ddg_explorer.structure import Structure
from ddg_explorer.systems.probing import check_structure, probe_states

DTYPES = {"float32": torch.float32, "float64": torch.float64}
WITHOUT_STRUCTURE = ("node", "symplectic_form")
"""Models that take no structure operator from outside."""
PRIORS = ("local",)
"""What the energy of a field may be known to be made of, see `local_energy`."""
NUMBERS = {"hidden": (1, 10_000), "depth": (1, 20), "seed": (0, 2**63 - 1)}
"""Integer options and their bounds, ends included."""


class Described(Protocol):
    """What a recipe takes from a data set."""

    @property
    def state_shape(self) -> tuple[int, ...]: ...
    @property
    def grid(self) -> Grid | None: ...
    @property
    def context(self) -> Mapping[str, Any]: ...


def check_dataset(name: str, value: Any) -> None:
    """ValueError for what is no data set, such as a trajectory, a tensor or a model."""
    if isinstance(value, Model) or not hasattr(value, "context"):
        raise ValueError(
            f"{name}={described(value)}: must be a Dataset, Dataset.of(run, system) makes one of a "
            "run"
        )


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
        for a vector field); skip adds a quadratic form to an energy.
    prior
        "local": the energy of a field is ∫ e(u) + ½κ|∇u|² dx (`local_energy`), with e the network;
        None: the network sees the whole stencil.
    scheme
        Training scheme; None for the model's first.
    seed, dtype
        Of the initial weights.
    context
        Name and parameters of the system it learns, see `Model.misfit`.

    Raises
    ------
    ValueError
        For an unknown model or dtype, a number out of range, or, in `build`, a structure operator
        that does not suit the model or its states.
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
    prior: str | None = None
    scheme: str | None = None
    seed: int = 0
    dtype: str = "float64"
    context: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model={self.model!r}: use one of {', '.join(MODELS)}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype={self.dtype!r}: use one of {', '.join(DTYPES)}")
        for name, (low, high) in NUMBERS.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"{name}={value!r}: must be an integer in [{low}, {high}]")
        if not isinstance(self.structure, Mapping | None):
            line = "must be a specification, as {'kind': 'symplectic'}; `fitting` takes names too"
            raise ValueError(f"structure={described(self.structure)}: {line}")
        if self.skip and self.model == "node":
            raise ValueError("skip=True: a neural ODE has no energy to add a quadratic form to")
        self._check_prior()

    def _check_prior(self) -> None:
        if self.prior is None:
            return
        if self.prior not in PRIORS:
            raise ValueError(f"prior={self.prior!r}: use None or one of {', '.join(PRIORS)}")
        if self.model == "node" or self.grid is None:
            raise ValueError(f"prior={self.prior!r}: needs the energy of a field")
        if self.width is not None:
            raise ValueError(f"width={self.width}: an energy with prior={self.prior!r} has none")

    @classmethod
    def fitting(
        cls,
        model: str,
        data: Described,
        *,
        structure: str | Structure | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> ModelRecipe:
        """The recipe of a model of `data`.

        Parameters
        ----------
        structure
            G by its kind ("learned_friction"), with options as a specification, or a fixed operator
            of the data's grid and state; None: the data's own. A learned one of components far
            apart is kept in their units (`models.units`), unless it has an option `units`.
        **options
            Other attributes of the recipe.

        Raises
        ------
        ValueError
            For what is no data set, or an operator that has no specification or does not act on the
            data's states.
        """
        check_dataset("data", data)
        given = None if structure is None else _specified(structure, data)
        if model in WITHOUT_STRUCTURE:
            if given is not None:
                raise ValueError(f"structure={given}: the model {model!r} takes none")
        else:
            given = data.context.get("structure") if given is None else given
            if given is None and model in ("hnn", "srnn"):
                given = {"kind": "symplectic"}
            given = _in_units(given, data)
        grid = None if data.grid is None else data.grid.to_dict()
        context = dict(data.context)
        return cls(model, tuple(data.state_shape), grid, given, context=context, **options)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelRecipe:
        """The recipe of a dict such as `to_dict` gives; ValueError for unknown or missing keys."""
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"model recipe: unknown keys {', '.join(unknown)}")
        missing = sorted({"model", "state_shape"} - set(values))
        if missing:
            raise ValueError(f"model recipe: {', '.join(missing)} is missing")
        return cls(**{**values, "state_shape": tuple(values["state_shape"])})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they go into a checkpoint."""
        return {**asdict(self), "state_shape": list(self.state_shape)}

    def on_grid(self, grid: Grid) -> ModelRecipe:
        """The same model on another grid."""
        shape = (self.state_shape[0], *grid.shape)
        return replace(self, grid=grid.to_dict(), state_shape=shape)

    def build(self) -> Model:
        """A freshly initialised model."""
        generator = torch.Generator().manual_seed(self.seed)
        grid = None if self.grid is None else Grid.from_dict(self.grid)
        if grid is not None and self.state_shape[1:] != grid.shape:
            raise ValueError(f"state_shape={self.state_shape}: a field has (C, *{grid.shape})")
        options: dict[str, Any] = {"scheme": self.scheme, "context": self.context}
        structure = None
        if self.structure is not None:
            dtype = DTYPES[self.dtype]
            structure = make_operator(self.structure, self.state_shape, grid, generator, dtype)
        elif self.model not in WITHOUT_STRUCTURE:
            names = ", ".join(operators_of(field=grid is not None))
            raise ValueError(f"structure=None: the model {self.model!r} needs one of {names}")
        network = self._network(grid, generator)
        if self.model == "symplectic_form":
            options["one_form"] = VectorField(self.state_shape, None, **self._perceptron(generator))
        make: Any = MODELS[self.model]
        model = make(network, structure, self.state_shape, grid, **options)
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
        if self.prior is not None:
            assert grid is not None
            return LocalEnergy(self.state_shape, grid, skip=self.skip, **options)
        return EnergyNetwork(self.state_shape, grid, skip=self.skip, **options)


def _in_units(given: Mapping[str, Any] | None, data: Described) -> Mapping[str, Any] | None:
    """The specification with the units of the data, where its G is learned and takes them."""
    if given is None or given.get("kind") not in IN_UNITS or "units" in given:
        return given
    units = units_of(data) if isinstance(data, Series) else None
    return given if units is None else {**given, "units": units}


def _specified(structure: str | Structure | Mapping[str, Any], data: Described) -> dict[str, Any]:
    """The specification of a G that the caller gives for these data, see `ModelRecipe.fitting`."""
    found = specification(structure, data.grid)
    if found is None:
        kinds = ", ".join(operators_of(field=data.grid is not None))
        place = "an ODE" if data.grid is None else f"{data.grid}"
        raise ValueError(
            f"structure={described(structure)}: is no fixed operator with a kind, made for "
            f"{place}; use one of {kinds}, or {{'kind': …}} with its options"
        )
    if isinstance(structure, Structure):
        check_structure(
            structure, probe_states(data.state_shape, torch.float64, torch.device("cpu"))
        )
    return found
