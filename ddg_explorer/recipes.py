"""Data sets by recipe: which system, from which states, for how long, with what noise.

A recipe and a seed determine every number. Data sets are cached by a hash of both in the user's
cache folder (netCDF, written atomically), so that a second call only reads.

The published recipes are those of Matsubara, Ishikawa and Yaguchi (2020, arXiv:1905.08604) and, for
the ODEs, of Greydanus, Dzamba and Yosinski (2019, arXiv:1906.01563).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.grids import Grid
from ddg_explorer.io import atomic
from ddg_explorer.simulation import simulate
from ddg_explorer.systems import SYSTEMS, PresetSystem

CACHE_VERSION = 1
"""Raised when the same recipe no longer gives the same numbers."""


@dataclass(frozen=True)
class DataRecipe:
    """How a data set is made.

    Attributes
    ----------
    system, preset, options
        The true system: key of `SYSTEMS`, its preset and keywords.
    dt, steps
        Δt between frames and frames after the first (nondimensional).
    trajectories
        Number of initial states, drawn by the seed.
    integrator, substeps
        Scheme of the true trajectory and its steps per Δt.
    noise
        Standard deviation of the Gaussian noise added to every observed value.
    structure
        G as `models.operators` names it.
    """

    system: str
    preset: str
    dt: float
    steps: int
    trajectories: int
    integrator: str = "discrete_gradient"
    substeps: int = 1
    noise: float = 0.0
    structure: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def make_system(self) -> PresetSystem:
        """The true system."""
        return SYSTEMS[self.system](self.preset, **self.options)

    def digest(self, seed: int) -> str:
        """SHA-256 of recipe, seed and cache version, first 16 hexadecimal digits."""
        content = json.dumps([CACHE_VERSION, asdict(self), seed], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


DATA_RECIPES: dict[str, DataRecipe] = {
    "kdv": DataRecipe(
        "kdv", "published", dt=1e-3, steps=500, trajectories=90, structure={"kind": "d_dx"}
    ),
    "ch": DataRecipe(
        "cahn_hilliard",
        "published",
        dt=1e-4,
        steps=500,
        trajectories=90,
        structure={"kind": "laplacian"},
    ),
    "ch2d": DataRecipe(
        "cahn_hilliard_2d",
        "published",
        dt=2e-4,
        steps=80,
        trajectories=16,
        structure={"kind": "laplacian"},
    ),
    "spring": DataRecipe(
        "mass_spring",
        "published",
        dt=20 / 99,
        steps=99,
        trajectories=25,
        integrator="collocation8",
        noise=0.1,
        structure={"kind": "symplectic"},
    ),
    "pendulum": DataRecipe(
        "pendulum",
        "published",
        dt=20 / 99,
        steps=99,
        trajectories=25,
        integrator="collocation8",
        noise=0.1,
        structure={"kind": "symplectic"},
    ),
    "two-body": DataRecipe(
        "two_body",
        "published",
        dt=25 / 499,
        steps=499,
        trajectories=800,
        integrator="collocation8",
        structure={"kind": "symplectic"},
    ),
}
"""Name → recipe of the training data; `seed` chooses the draw, held-out sets use other seeds."""


def make_dataset(
    recipe: str | DataRecipe,
    *,
    seed: int = 0,
    trajectories: int | None = None,
    cache: Path | None = None,
) -> Dataset:
    """The data set of a recipe.

    Parameters
    ----------
    recipe
        Key of `DATA_RECIPES`, or a recipe.
    seed
        Of initial states and noise.
    trajectories
        Instead of the recipe's number.
    cache
        Folder to keep it in; None: the user's cache folder.

    Raises
    ------
    ValueError
        For an unknown name, or a true trajectory that does not converge.
    """
    if isinstance(recipe, str):
        if recipe not in DATA_RECIPES:
            raise ValueError(f"data={recipe!r}: use one of {', '.join(DATA_RECIPES)}")
        recipe = DATA_RECIPES[recipe]
    if trajectories is not None:
        recipe = replace(recipe, trajectories=trajectories)
    system = recipe.make_system()
    folder = _cache_folder() if cache is None else cache
    path = folder / f"{recipe.system}-{recipe.digest(seed)}.nc"
    if path.is_file():
        states = _read(path)
    else:
        states = _observe(recipe, system, seed)
        folder.mkdir(parents=True, exist_ok=True)
        _write(states, recipe, seed, path)
    return Dataset(
        states,
        recipe.dt,
        system.grid,
        context=context_of(system, recipe.structure),
        recipe={**asdict(recipe), "seed": seed},
    )


def context_of(system: PresetSystem, structure: Mapping[str, Any]) -> dict[str, Any]:
    """What a model must know of the system it learns: name, parameters, grid and G."""
    return {
        "system": system.name,
        "parameters": dict(system.values),
        "grid": grid_values(system.grid),
        "structure": dict(structure),
    }


def grid_values(grid: Grid | None) -> dict[str, list[Any]] | None:
    """A grid as plain values, None for an ODE."""
    return None if grid is None else {"shape": list(grid.shape), "length": list(grid.length)}


def _observe(recipe: DataRecipe, system: PresetSystem, seed: int) -> Tensor:
    run = simulate(
        system,
        system.initial(seed, recipe.trajectories),
        dt=recipe.dt / recipe.substeps,
        steps=recipe.steps * recipe.substeps,
        integrator=recipe.integrator,
        save_every=recipe.substeps,
    )
    if run.reason:
        raise ValueError(f"data={recipe.system!r}: the true trajectory failed: {run.reason}")
    states = run.u.transpose(0, 1).contiguous()
    if recipe.noise:
        # the second stream of this seed: the first one drew the initial states
        generator = torch.Generator().manual_seed(seed + 2**32)
        noise = torch.randn(states.shape, generator=generator, dtype=states.dtype)
        states = states + recipe.noise * noise
    return states


def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("ddg_explorer") / "data"


def _write(states: Tensor, recipe: DataRecipe, seed: int, path: Path) -> None:
    import xarray as xr

    names = ("trajectory", "time", *(f"axis_{k}" for k in range(states.ndim - 2)))
    dataset = xr.Dataset({"u": (names, states.numpy())})
    dataset.attrs["recipe"] = json.dumps({**asdict(recipe), "seed": seed})
    with atomic(path) as file:
        dataset.to_netcdf(file, engine="h5netcdf")


def _read(path: Path) -> Tensor:
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return torch.from_numpy(dataset["u"].values)
