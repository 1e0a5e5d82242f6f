"""Options that commands share: a system with its parameters, a dtype and a device."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ddg_explorer.dynamics import check_device
from ddg_explorer.models.recipe import DTYPES
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.base import System

OF_SYSTEM = ("preset", "n", "length", "operator", "structure", "set")
"""Options that describe a system."""
MOST_POINTS = 2**24
"""Points of a grid: 4096² are 134 MB per field in float64."""


def add_system_options(parser: argparse.ArgumentParser) -> None:
    """--system and everything that its constructor takes."""
    add = parser.add_argument
    add("--system", metavar="S", help=", ".join(SYSTEMS))
    add_preset_options(parser)
    add("--structure", metavar="G", help="structure operator, a key that the system offers")


def add_preset_options(parser: argparse.ArgumentParser) -> None:
    """The preset and what may differ from it, G apart."""
    add = parser.add_argument
    add("--preset", metavar="P", help="good values to start from (the system's first)")
    add("--n", type=_numbers(int), metavar="N", help="points per axis: 64 or 64,128")
    add("--length", type=_numbers(float), metavar="L", help="side lengths: 40 or 1,2")
    add("--operator", metavar="O", help="finite_difference or spectral")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter, repeatable")


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """--device, --dtype and --seed."""
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps, … (cpu)")
    parser.add_argument("--dtype", choices=DTYPES, help="float64 where the device has it")
    parser.add_argument("--seed", type=int, default=0, help="of the initial state (0)")


def refuse_given(args: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """ValueError for the first of these options that was given."""
    for name in names:
        value = getattr(args, name, None)
        if value not in (None, []):
            raise ValueError(f"{name}={value!r}: {why}")


def at_least(args: argparse.Namespace, least: int, *names: str) -> None:
    """ValueError for the first of these options that was given a smaller number."""
    for name in names:
        value = getattr(args, name)
        if value is not None and value < least:
            raise ValueError(f"{name}={value}: must be at least {least}")


@contextmanager
def naming(**options: str) -> Iterator[None]:
    """Let an error about an inner parameter name the option that was typed: inner=option."""
    try:
        yield
    except ValueError as error:
        inner, _, rest = str(error).partition("=")
        if inner not in options:
            raise
        raise ValueError(f"{options[inner]}={rest}") from None


def build_system(args: argparse.Namespace) -> System:
    """The system that the options describe; ValueError with one line for bad ones."""
    options = system_options(args)
    dtype = choose_dtype(args.device, args.dtype)
    return SYSTEMS[args.system](args.preset, **options, dtype=dtype, device=args.device)


def system_options(args: argparse.Namespace) -> dict[str, Any]:
    """Keywords of the system's constructor that were given; ValueError for an unknown system."""
    if args.system is None:
        raise ValueError(f"system=None: give --system, one of {', '.join(SYSTEMS)}")
    if args.system not in SYSTEMS:
        raise ValueError(f"system={args.system!r}: use one of {', '.join(SYSTEMS)}")
    family = SYSTEMS[args.system]
    _check_points(args.n, family.ndim)
    names = ("n", "length", "operator", "structure", "dt")
    given = {name: getattr(args, name, None) for name in names}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for setting in args.set:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"set={setting!r}: write NAME=VALUE")
        known = [*family.parameters, *family.choices]
        if name not in known:
            raise ValueError(f"set={setting!r}: {args.system} has {', '.join(known) or 'none'}")
        options[name] = value if name in family.choices else _real(name, value)
    return options


def choose_dtype(device: str, name: str | None) -> torch.dtype:
    """The dtype asked for, or float64; float32, with one line on stderr, on a device without it."""
    if name is not None:
        return DTYPES[name]
    check_device(device, torch.float32)
    try:
        check_device(device, torch.float64)
    except ValueError:
        sys.stderr.write(f"device {device} has no float64: using float32 (--dtype float32)\n")
        return torch.float32
    return torch.float64


def _check_points(n: int | tuple[int, ...] | None, ndim: int) -> None:
    shape = n if isinstance(n, tuple) else (n or 1,) * ndim
    if math.prod(shape) > MOST_POINTS:
        raise ValueError(f"n={n}: must make at most {MOST_POINTS} points")


def _real(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{name}={value!r}: must be a number") from None


def _numbers(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """An argparse type: one number, or a tuple of numbers separated by commas."""

    def parse(text: str) -> Any:
        try:
            values: Sequence[Any] = [kind(part) for part in text.split(",")]
        except ValueError:
            what = "whole numbers" if kind is int else "numbers"
            raise argparse.ArgumentTypeError(f"{text!r}: needs {what}") from None
        return values[0] if len(values) == 1 else tuple(values)

    return parse
