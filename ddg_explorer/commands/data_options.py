"""Options that tell which data a model learns from, or is compared on."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from ddg_explorer.commands.options import add_preset_options, system_options
from ddg_explorer.data import Dataset
from ddg_explorer.own_data import READERS, read_dataset
from ddg_explorer.recipes import DATA_RECIPES, DataRecipe, make_dataset
from ddg_explorer.systems import SYSTEMS

BY_SYSTEM = {
    "kdv": "kdv",
    "cahn_hilliard": "ch",
    "cahn_hilliard_2d": "ch2d",
    "mass_spring": "spring",
    "pendulum": "pendulum",
    "two_body": "two-body",
}
"""The data recipe of a system that is given by its name only: the published one."""
TRAJECTORIES, STEPS, TESTS = 20, 200, 5
"""Size of a data set of any other system, preset or parameters, and of its test."""


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """--system with its preset and parameters, and Δt."""
    parser.add_argument("--system", metavar="S", help=", ".join(SYSTEMS))
    add_preset_options(parser)
    parser.add_argument("--dt", type=float, metavar="DT", help="time step of the data")


def data_recipe(args: argparse.Namespace, key: str | None = None) -> DataRecipe:
    """The published recipe of a system, or one made of its preset and parameters.

    `key` names a recipe outright; the system, where given too, must then be the same.
    """
    if key is not None:
        recipe = DATA_RECIPES[key]
        if args.system not in (None, recipe.system):
            raise ValueError(f"data={key!r}: is data of {recipe.system}, not {args.system}")
        return recipe if args.dt is None else replace(recipe, dt=args.dt)
    if args.system is None:
        raise ValueError("system=None: give --system, or --data")
    options = system_options(args)
    if options.keys() <= {"dt"} and args.preset is None and args.system in BY_SYSTEM:
        return data_recipe(args, BY_SYSTEM[args.system])
    dt = options.pop("dt", None)
    system = SYSTEMS[args.system](args.preset, dt=dt, **options)
    test = {"trajectories": TESTS}
    return DataRecipe(
        args.system, str(system.preset), system.dt, STEPS, TRAJECTORIES, options=options, test=test
    )


def training_data(args: argparse.Namespace) -> tuple[Dataset, DataRecipe | None]:
    """The data set of `--data` (a file or a recipe's name) or of the system; and its recipe."""
    if args.data is not None and args.data not in DATA_RECIPES:
        if Path(args.data).suffix not in READERS:
            names = ", ".join((*DATA_RECIPES, *(f"a {suffix} file" for suffix in READERS)))
            raise ValueError(f"data={args.data!r}: use one of {names}")
        return _own_data(args), None
    recipe = data_recipe(args, args.data)
    sizes: dict[str, Any] = {"trajectories": args.trajectories, "steps": args.frames}
    return make_dataset(recipe, seed=args.data_seed, **sizes), recipe


def _own_data(args: argparse.Namespace) -> Dataset:
    if args.system is None:
        return read_dataset(args.data, dt=args.dt, length=args.length)
    options = system_options(args)
    options.pop("dt", None)
    return read_dataset(args.data, dt=args.dt, system=SYSTEMS[args.system](args.preset, **options))
