"""Options that tell which data a model learns from, or is compared on."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ddg_explorer.commands.options import (
    OF_SYSTEM,
    add_preset_options,
    naming,
    refuse_given,
    system_options,
)
from ddg_explorer.data import Dataset
from ddg_explorer.own_data import READERS, read_dataset
from ddg_explorer.recipes import DATA_RECIPES, DataRecipe, make_dataset
from ddg_explorer.refusal import Refusal, offering
from ddg_explorer.sources import recipe_for
from ddg_explorer.systems import SYSTEMS, System

OF_FILE = ("variable", "time", "trajectory")
"""Options that tell what is what in a file."""


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """--system with its preset and parameters, Δt, and what is what in a file."""
    parser.add_argument("--system", metavar="S", help=", ".join(SYSTEMS))
    add_preset_options(parser)
    parser.add_argument("--dt", type=float, metavar="DT", help="time step of the data")
    add = parser.add_argument
    what = "columns of the state in a table, or arrays that are its channels (all others; u)"
    add("--variable", metavar="A,B,…", help=what)
    what = "column or dimension of the times of a file, by name or column number (time, t)"
    add("--time", metavar="C", help=what)
    what = "column or dimension of its trajectories (trajectory, trial, batch)"
    add("--trajectory", metavar="C", help=what)


def data_recipe(args: argparse.Namespace, key: str | None = None) -> DataRecipe:
    """The published recipe of a system, or one made of its preset and parameters.

    `key` names a recipe outright; the system, where given too, must then be the same, and nothing
    but Δt may differ.
    """
    refuse_given(args, OF_FILE, "needs a file as --data")
    if key is not None:
        refuse_given(args, OF_SYSTEM, f"data={key!r} has its own, name a --system instead")
        recipe = DATA_RECIPES[key]
        if args.system not in (None, recipe.system):
            raise ValueError(f"data={key!r}: is data of {recipe.system}, not {args.system}")
        return recipe if args.dt is None else replace(recipe, dt=args.dt)
    if args.system is None:
        raise ValueError("system=None: give --system, or --data")
    return recipe_for(args.system, args.preset, **system_options(args))


def training_data(args: argparse.Namespace) -> tuple[Dataset, DataRecipe | None]:
    """The data set of `--data` (a file or a recipe's name) or of the system; and its recipe."""
    if names_file(args.data):
        if args.data_seed and not args.noise:
            raise ValueError(f"data_seed={args.data_seed!r}: the file has its own initial states")
        refuse_given(args, ("trajectories", "frames"), "the file has its own")
        return own_data(args)[0], None
    recipe = data_recipe(args, args.data)
    sizes: dict[str, Any] = {"trajectories": args.trajectories, "steps": args.frames}
    return make_dataset(recipe, seed=args.data_seed, **sizes), recipe


def names_file(data: str | None) -> bool:
    """Whether `--data` is a file and not the name of a recipe; ValueError for neither."""
    if data is None or data in DATA_RECIPES:
        return False
    if Path(data).suffix.lower() not in READERS:
        names = ", ".join((*DATA_RECIPES, *(f"a {suffix} file" for suffix in READERS)))
        raise ValueError(f"data={data!r}: use one of {names}")
    return True


def own_data(args: argparse.Namespace) -> tuple[Dataset, System | None]:
    """The trajectories in the file `--data`, and the system they are of where it is given."""
    if args.system is None:
        others = [name for name in OF_SYSTEM if name != "length"]
        refuse_given(args, others, "needs a --system")
        return _read(args, length=args.length), None
    options = system_options(args)
    options.pop("dt", None)
    system = SYSTEMS[args.system](args.preset, **options)
    return _read(args, system=system), system


def _read(args: argparse.Namespace, **known: Any) -> Dataset:
    """The file `--data`; a line on stderr where that leaves variables out."""
    wanted = None if args.variable is None else args.variable.split(",")
    with naming(path="data"):
        try:
            data = read_dataset(
                args.data,
                dt=args.dt,
                variable=wanted,
                time=args.time,
                trajectory=args.trajectory,
                **known,
            )
        except Refusal as refusal:
            options = {name: f"--{name}" for name in ("dt", "length", *OF_FILE)}
            raise offering(refusal, options) from None
    left_out = data.recipe.get("left_out")
    if left_out and data.recipe.get("file") == Path(args.data).name:
        sys.stderr.write(
            f"ddg-explorer {args.command}: of {args.data} u is read alone, without "
            f"{', '.join(left_out)}; --variable {','.join(['u', *left_out])} takes all of them\n"
        )
    return data
