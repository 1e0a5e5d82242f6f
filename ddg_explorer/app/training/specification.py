"""A training job as plain data: which trajectories, which model, trained how.

It goes to the worker's process as JSON, so it holds names and numbers only. What cannot be is
refused by `checked`, before anything is queued.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ddg_explorer.budgets import Budget
from ddg_explorer.data import context_of
from ddg_explorer.dynamics import check_device
from ddg_explorer.grids import Grid
from ddg_explorer.models.recipe import DTYPES, ModelRecipe
from ddg_explorer.recipes import DATA_RECIPES, DataRecipe
from ddg_explorer.sources import recipe_for

SIZES = {"trajectories": (1, 2000), "frames": (1, 5000), "data_seed": (0, 2**32 - 1)}
STEPS = (1, 200_000)
WAYS = {"dt": "Δt", "length": "Length"}
"""What the form calls the arguments of `read_dataset` that it has."""
MEMORY = 2**30
"""Bytes that the trajectories of one job may take."""


@dataclass(frozen=True)
class DataSpec:
    """Where the trajectories come from: one of `recipe`, `system`, `file`.

    Attributes
    ----------
    recipe
        Key of `DATA_RECIPES`.
    system, preset, options, dt
        A system with its preset, keywords of its constructor and Δt.
    file, file_dt, file_length
        A file that `read_dataset` reads, and what it does not say itself.
    trajectories, frames
        How many, and steps of each; None: the recipe's. Not of a file.
    noise
        Added to every value, in units of the RMS.
    data_seed
        Of initial states and noise.
    """

    recipe: str | None = None
    system: str | None = None
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    dt: float | None = None
    file: str | None = None
    file_dt: float | None = None
    file_length: float | None = None
    trajectories: int | None = None
    frames: int | None = None
    noise: float = 0.0
    data_seed: int = 0

    def __post_init__(self) -> None:
        given = [n for n in ("recipe", "system", "file") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(f"data: needs one of recipe, system, file, not {len(given)}")
        for name, (low, high) in SIZES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"{name}={value}: must lie in [{low}, {high}]")
        if not 0 <= self.noise <= 1:
            raise ValueError(f"noise={self.noise:g}: must lie in [0, 1]")

    def resolved(self) -> DataRecipe | None:
        """The data recipe with these sizes; None for a file. ValueError for what cannot be."""
        if self.file is not None:
            return None
        if self.recipe is not None:
            if self.recipe not in DATA_RECIPES:
                known = ", ".join(DATA_RECIPES)
                raise ValueError(f"data={self.recipe!r}: use one of {known}")
            found = DATA_RECIPES[self.recipe]
        else:
            assert self.system is not None
            # another preset than none: a scene is data of its own, never the published ones
            preset = self.preset or _first_preset(self.system)
            found = recipe_for(self.system, preset, dt=self.dt, **self.options)
        sizes = {"trajectories": self.trajectories, "steps": self.frames}
        found = replace(found, **{k: v for k, v in sizes.items() if v is not None})
        held = found.trajectories * (found.steps + 1) * _numbers(found) * 8
        if held > MEMORY:
            raise ValueError(
                f"trajectories={found.trajectories}, frames={found.steps}: take "
                f"{held / 2**30:.1f} GiB, at most {MEMORY / 2**30:g} GiB are allowed"
            )
        return found


def _first_preset(system: str) -> str | None:
    from ddg_explorer.systems import SYSTEMS

    return next(iter(SYSTEMS[system].presets)) if system in SYSTEMS else None


def _numbers(recipe: DataRecipe) -> int:
    size = 1
    for n in recipe.make_system().state_shape:
        size *= n
    return size


@dataclass(frozen=True)
class Description:
    """What `ModelRecipe.fitting` asks of data, before there are any."""

    state_shape: tuple[int, ...]
    grid: Grid | None
    context: Mapping[str, Any]

    @classmethod
    def of(cls, recipe: DataRecipe) -> Description:
        system = recipe.make_system()
        return cls(tuple(system.state_shape), system.grid, context_of(system))


@dataclass(frozen=True)
class JobSpec:
    """One training job.

    Attributes
    ----------
    data
        What it learns from.
    model
        Key of `MODELS`.
    budget
        Network and training; see `ddg_explorer.budgets`.
    network
        Options of `ModelRecipe.fitting` instead of the budget's: activation, hidden, structure …
    seed
        Of weights, validation split and batches.
    name
        What a person reads.
    device
        Where the model is trained: "cpu", "cuda", …
    """

    data: DataSpec
    model: str
    budget: Budget
    network: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    name: str = ""
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        for part in ("network", "training", "otherwise"):
            own = getattr(self.budget, part)
            values["budget"][part] = None if own is None else dict(own)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> JobSpec:
        """The specification of a dict such as `to_dict` gives."""
        parts = {"data": DataSpec(**values["data"]), "budget": Budget(**values["budget"])}
        return cls(**{**values, **parts})

    def checked(self) -> JobSpec:
        """This specification; ValueError with one line where it cannot be trained.

        Of a file only that it is there: the worker reads it.
        """
        for options in (self.budget.training, self.budget.otherwise or {}):
            steps = options.get("steps")
            if steps is not None and not STEPS[0] <= steps <= STEPS[1]:
                raise ValueError(f"steps={steps}: must lie in [{STEPS[0]}, {STEPS[1]}]")
        self._check_device()
        recipe = self.data.resolved()
        if recipe is None:
            assert self.data.file is not None
            if not Path(self.data.file).is_file():
                raise ValueError(f"{Path(self.data.file).name}: no such file")
            return self
        options = {**self.budget.network, **self.network}
        ModelRecipe.fitting(self.model, Description.of(recipe), **options).build()
        return self

    def with_copy_in(self, folder: Path) -> JobSpec:
        """The same with the data file, where there is one, copied into a folder."""
        if self.data.file is None:
            return self
        path = shutil.copy(self.data.file, folder)
        return replace(self, data=replace(self.data, file=str(path)))

    def _check_device(self) -> None:
        if self.device == "cpu":
            return
        if self.budget.training.get("optimizer", "lm") == "lm":
            raise ValueError(
                f"device={self.device!r}: Levenberg–Marquardt trains on cpu; use adam or soap here"
            )
        network = {**self.budget.network, **self.network}
        check_device(self.device, DTYPES[network.get("dtype", "float64")])
