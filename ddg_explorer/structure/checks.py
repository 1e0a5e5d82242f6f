"""What the makers of structure operators accept as a number and as a grid."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.io import described


def check_number(value: object, name: str) -> float:
    """`value` as a float: a finite real number, NumPy's and a tensor without axes too, a bool not.

    Raises
    ------
    ValueError
        One line with that name; so too for a tensor with a gradient, which a float would not have.
    """
    if isinstance(value, Tensor) and value.requires_grad:
        raise ValueError(
            f"{name}: has a gradient, must be a fixed number; what can be learned is a "
            "MatrixStructure, a KernelStructure or a Friction"
        )
    number = value.item() if isinstance(value, Tensor | np.ndarray) and not value.ndim else value
    if not isinstance(number, Real) or isinstance(number, bool):
        raise ValueError(f"{name}={described(number)}: must be a real number")
    try:
        found = float(number)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"{name}={number}: must be finite")
    return found


def check_strength(value: object, name: str = "strength") -> float:
    """`value` as a finite float ≥ 0; else ValueError."""
    number = check_number(value, name)
    if number < 0:
        raise ValueError(f"{name}={number:g}: must be ≥ 0")
    return number


def check_grid(grid: object) -> Grid:
    """`grid` if it is one, else ValueError."""
    if not isinstance(grid, Grid):
        raise ValueError(f"grid={described(grid)}: must be a periodic Grid")
    return grid


def check_optional_grid(grid: object) -> Grid | None:
    """`grid` if it is one or None, as an ODE has it; else ValueError."""
    return None if grid is None else check_grid(grid)
