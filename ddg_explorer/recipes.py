"""Data sets by recipe: which system, from which states, for how long, with what noise.

A recipe and a seed determine every number. Data sets are cached by a hash of both in the user's
cache folder (netCDF, written atomically), so that a second call only reads.

The published recipes are those of Matsubara, Ishikawa and Yaguchi (2020, arXiv:1905.08604) and, for
the ODEs, of Greydanus, Dzamba and Yosinski (2019, arXiv:1906.01563). Training and test sets differ
in their seeds (`compare.held_out_seed`), which never draw the same state twice.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.data import Dataset, context_of
from ddg_explorer.data_cache import DataCache
from ddg_explorer.io import described
from ddg_explorer.models.operators import make_operator, specification
from ddg_explorer.recording import Recording
from ddg_explorer.rollout import Rollout, checked_count
from ddg_explorer.structure import Structure
from ddg_explorer.systems import SYSTEMS, PresetSystem, System
from ddg_explorer.systems.base import checked_dt
from ddg_explorer.trajectory import Trajectory

CACHE_VERSION = 1
"""Raised when the same recipe no longer gives the same numbers."""
TRAIN_SEED, TEST_SEED = 0, 1


@dataclass(frozen=True)
class DataRecipe:
    """How a data set is made.

    Attributes
    ----------
    system, preset, options
        The true system: key of `SYSTEMS`, its preset and keywords: numbers, texts and lists of
        them, which are kept as JSON has them. `structure` may be a key of its menu, a specification
        (`models.operators`), or an operator that has one.
    dt, steps
        Δt between frames (nondimensional), and frames after the first, ≥ 1.
    trajectories
        Number of initial states, ≥ 1, drawn by the seed.
    integrator
        Scheme of the true trajectory, one step per Δt (adaptive ones take as many as they need).
    noise
        Standard deviation of the Gaussian noise added to every observed value (nondimensional).
    test
        What differs in the rollouts of the test, which have no noise unless it is named here.

    Raises
    ------
    ValueError
        One line for an unknown system, numbers out of range, or options that are no plain values.
    """

    system: str
    preset: str
    dt: float
    steps: int
    trajectories: int
    integrator: str = "discrete_gradient"
    noise: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)
    test: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.system, str) or self.system not in SYSTEMS:
            raise ValueError(f"system={described(self.system)}: use one of {', '.join(SYSTEMS)}")
        real = isinstance(self.noise, Real) and not isinstance(self.noise, bool)
        if not (real and 0 <= self.noise < math.inf):
            raise ValueError(f"noise={described(self.noise)}: must be finite and not negative")
        values = {
            "dt": checked_dt(self.dt),
            "noise": float(self.noise),
            "steps": checked_count("steps", self.steps, 1),
            "trajectories": checked_count("trajectories", self.trajectories, 1),
            "options": self._plain_options(),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _plain_options(self) -> dict[str, Any]:
        """The options as JSON gives them back: G by its specification, lists and numbers."""

        def plain(value: Any) -> Any:
            if isinstance(value, Tensor | np.ndarray | np.generic):
                return value.tolist()
            if isinstance(value, Structure):
                others = {name: x for name, x in self.options.items() if x is not value}
                found = specification(value, system_of(self.system, self.preset, **others).grid)
                if found is not None:
                    return found
            allowed = "numbers, texts, lists of them, and a G that has a specification"
            raise ValueError(f"options: {described(value)} is none of {allowed}")

        return json.loads(json.dumps(dict(self.options), default=plain))

    def make_system(self) -> PresetSystem:
        """The true system."""
        return system_of(self.system, self.preset, **self.options)

    def for_test(self) -> DataRecipe:
        """The recipe of the rollouts that a model is tested on."""
        return replace(self, **{"noise": 0.0, **self.test}, test={})

    def to_dict(self) -> dict[str, Any]:
        """Plain values; without `test`, which does not enter the numbers."""
        values = asdict(self)
        del values["test"]
        return values

    def digest(self, seed: int) -> str:
        """SHA-256 of recipe, seed and cache version, first 16 hexadecimal digits."""
        content = json.dumps([CACHE_VERSION, self.to_dict(), seed], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def system_of(name: str, preset: str | None, **options: Any) -> PresetSystem:
    """The system of these keywords, whose G may be given as a specification."""
    structure = options.get("structure")
    if not isinstance(structure, Mapping):
        return SYSTEMS[name](preset, **options)
    plain = SYSTEMS[name](preset, **{**options, "structure": None})
    made = make_operator(structure, plain.state_shape, plain.grid, torch.Generator())
    return plain.with_(structure=made)


KDV = DataRecipe("kdv", "published", dt=1e-3, steps=500, trajectories=90, test={"trajectories": 10})
SPRING = DataRecipe(
    "mass_spring",
    "published",
    dt=20 / 99,
    steps=99,
    trajectories=25,
    integrator="collocation8",
    noise=0.1,
    test={"preset": "published_test", "trajectories": 15, "noise": 0.0},
)
PENDULUM = replace(SPRING, system="pendulum")

DATA_RECIPES: dict[str, DataRecipe] = {
    "kdv": KDV,
    "kdv_textbook": replace(KDV, options={"alpha": 6.0, "beta": -1.0}),
    "ch": replace(KDV, system="cahn_hilliard", dt=1e-4),
    "ch2d": DataRecipe(
        "cahn_hilliard_2d",
        "published",
        dt=2e-4,
        steps=80,
        trajectories=16,
        test={"trajectories": 5, "steps": 200},
    ),
    "spring": SPRING,
    "pendulum": PENDULUM,
    "pendulum_damped": replace(PENDULUM, noise=0.01, options={"friction": 0.2}),
    "two-body": DataRecipe(
        "two_body",
        "published",
        dt=25 / 499,
        steps=499,
        trajectories=800,
        integrator="collocation8",
        test={"trajectories": 15},
    ),
}
"""Name → recipe. `pendulum_damped` stands in for the measured pendulum, whose data are not free."""


def make_dataset(
    recipe: str | DataRecipe,
    *,
    seed: int = TRAIN_SEED,
    trajectories: int | None = None,
    steps: int | None = None,
    cache: bool | str | Path = True,
) -> Dataset:
    """The training data of a recipe.

    Parameters
    ----------
    recipe
        Key of `DATA_RECIPES`, or a recipe.
    seed
        Of initial states and noise. Trajectory i of a seed is the same in a set of any size.
    trajectories, steps
        Instead of the recipe's numbers.
    cache
        Whether to keep it in the user's cache folder, or the folder to keep it in. The user's may
        be one that cannot be written to; a warning is logged then.

    Raises
    ------
    ValueError
        For an unknown name, numbers out of range, a true trajectory that does not converge, or a
        named cache folder that cannot be written to, before any step.
    """
    sizes: dict[str, Any] = {"trajectories": trajectories, "steps": steps}
    for made in advance_dataset(recipe, seed=seed, cache=cache, **sizes):
        if isinstance(made, Dataset):
            return made
    raise AssertionError("making a data set ends with it")


def advance_dataset(
    recipe: str | DataRecipe,
    *,
    seed: int = TRAIN_SEED,
    trajectories: int | None = None,
    steps: int | None = None,
    cache: bool | str | Path = True,
) -> Iterator[float | Dataset]:
    """As `make_dataset`: yields the fraction that is done after every step, and the data last."""
    sizes = {"trajectories": trajectories, "steps": steps}
    given = {name: size for name, size in sizes.items() if size is not None}
    recipe = replace(resolve_recipe(recipe), **given)
    kept, name = DataCache(cache), f"{recipe.system}-{recipe.digest(seed)}.nc"
    data = kept.read(name)
    if data is None:
        kept.prepare()
        run = yield from _trajectories(recipe, seed)
        data = _observed(recipe, seed, run)
        kept.keep(data, name)
    yield data


def make_test(
    recipe: str | DataRecipe,
    *,
    seed: int = TEST_SEED,
    trajectories: int | None = None,
    steps: int | None = None,
    cache: bool | str | Path = True,
) -> Dataset:
    """The true rollouts that a model of this recipe is tested on; see `make_dataset`."""
    sizes: dict[str, Any] = {"trajectories": trajectories, "steps": steps}
    return make_dataset(resolve_recipe(recipe).for_test(), seed=seed, cache=cache, **sizes)


def resolve_recipe(recipe: str | DataRecipe) -> DataRecipe:
    """The recipe of that name, or the given one; ValueError for an unknown name or a system."""
    if isinstance(recipe, DataRecipe):
        return recipe
    if isinstance(recipe, System):
        raise ValueError(
            f"recipe={recipe.name!r}: is a system, no recipe; data of a system of your own are "
            "Dataset.of(simulate(system, system.initial(0, batch=20), steps=100), system)"
        )
    if not isinstance(recipe, str) or recipe not in DATA_RECIPES:
        raise ValueError(f"recipe={described(recipe)}: use one of {', '.join(DATA_RECIPES)}")
    return DATA_RECIPES[recipe]


def published_energy(recipe: str | DataRecipe, u: Tensor) -> Tensor:
    """The energy that the published tables compare, one number per state.

    H, except for the pendulum, whose published "energy" is q² + p².
    """
    system = resolve_recipe(recipe).make_system()
    return u.square().sum(-1) if system.name == "pendulum" else system.energy(u)


def _trajectories(recipe: DataRecipe, seed: int) -> Generator[float, None, Trajectory]:
    system = recipe.make_system()
    start = system.initial(seed, recipe.trajectories)
    recording = Recording(Rollout(system, start, recipe.dt, recipe.integrator), recipe.steps)
    with recording:
        for frame in recording:
            yield frame.step / recipe.steps
        return recording.finish()


def _observed(recipe: DataRecipe, seed: int, run: Trajectory) -> Dataset:
    if run.reason:
        raise ValueError(f"system={recipe.system!r}: the true trajectory failed: {run.reason}")
    system = recipe.make_system()
    states = run.u.transpose(0, 1).contiguous()
    if recipe.noise:
        # far from all seeds of initial states
        generator = torch.Generator().manual_seed(2**63 - 1 - seed)
        shape = tuple(states.shape[1:])
        rows = [torch.randn(shape, generator=generator, dtype=states.dtype) for _ in states]
        states = states + recipe.noise * torch.stack(rows)
    made = {**recipe.to_dict(), "seed": seed}
    return Dataset(states, recipe.dt, system.grid, context=context_of(system), recipe=made)
