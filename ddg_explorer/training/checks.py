"""What a training run refuses before it touches the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.grids import Grid
from ddg_explorer.io import described
from ddg_explorer.models.base import Model, spacing_misfit
from ddg_explorer.models.recipe import check_dataset
from ddg_explorer.models.units import sizes
from ddg_explorer.training.defaults import LARGEST, NOISE, OPTIMISERS, compiles
from ddg_explorer.training.first_order import SCHEDULES
from ddg_explorer.training.native import compile_problem
from ddg_explorer.training.prepare import WEIGHTS, mean_change

NAMED = {"optimizer": OPTIMISERS, "noise": NOISE, "schedule": SCHEDULES, "weights": WEIGHTS}
WHOLE = ("steps", "batch", "unroll", "seed", "report_every")
REAL = ("lr", "weight_decay", "ridge")


def checked_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `train` by name, numbers of other libraries as plain ones.

    Raises
    ------
    ValueError
        For what is not of its kind, out of range, or not known.
    """
    found = dict(given)
    for name, allowed in NAMED.items():
        value = given[name]
        if not (value is None and name != "schedule") and value not in allowed:
            raise ValueError(f"{name}={described(value)}: use one of {', '.join(allowed)}")
    for name in ("compile", "scale"):
        if not isinstance(given[name], bool | None):
            raise ValueError(f"{name}={described(given[name])}: must be True, False or None")
    for name in WHOLE:
        if given[name] is not None or name in ("unroll", "seed"):
            found[name] = _plain(name, given[name], Integral, int)
    for name in REAL:
        found[name] = _plain(name, given[name], Real, float)
    found["rows"] = _rows(given["rows"])
    _check_ranges(found)
    path = given["checkpoint"]
    if not isinstance(path, str | Path | None):
        raise ValueError(f"checkpoint={described(path)}: must be a path")
    return found


def _plain(name: str, value: Any, kind: type, plain: Callable[[Any], Any]) -> Any:
    """An int or a float of Python; True and False are neither."""
    if isinstance(value, bool) or not isinstance(value, kind):
        what = "an int" if kind is Integral else "a number"
        raise ValueError(f"{name}={described(value)}: must be {what}")
    return plain(value)


def _rows(rows: Any) -> list[int] | None:
    if rows is None:
        return None
    pair = isinstance(rows, list | tuple) and len(rows) == 2
    whole = pair and all(isinstance(n, Integral) and not isinstance(n, bool) for n in rows)
    if not whole or not 1 <= rows[0] <= rows[1]:
        raise ValueError(f"rows={described(rows)}: needs two ints, 1 ≤ first ≤ last")
    return [int(n) for n in rows]


def _check_ranges(numbers: Mapping[str, Any]) -> None:
    for name in ("steps", "batch", "report_every"):
        if numbers[name] is not None and numbers[name] < 1:
            raise ValueError(f"{name}={numbers[name]}: must be at least 1")
    if not 0 <= numbers["seed"] < 2**63:
        raise ValueError(f"seed={numbers['seed']}: must be from 0 to 2⁶³ − 1")
    if not 0 < numbers["lr"] < math.inf:
        raise ValueError(f"lr={numbers['lr']}: must be positive and finite")
    for name in ("weight_decay", "ridge"):
        if not 0 <= numbers[name] < math.inf:
            raise ValueError(f"{name}={numbers[name]}: must be 0 or more, and finite")


def check_data(model: Model, data: Dataset, validation: Dataset | None) -> None:
    """ValueError for what is no data set, for data of other states or on another domain, for values
    that are not finite, or data that never change."""
    given = {"data": data} if validation is None else {"data": data, "validation": validation}
    for name, found in given.items():
        check_dataset(name, found)
        if found.state_shape != model.state_shape:
            own = model.state_shape
            raise ValueError(f"{name} have states {found.state_shape}: the model's are {own}")
        if (found.grid is None) != (model.grid is None):
            what = ("a grid", "no grid") if model.grid is None else ("no grid", "a grid")
            raise ValueError(f"{name}: have {what[0]}, the model has {what[1]}")
        if found.grid is not None and model.grid is not None:
            _check_domain(name, found.grid, model.grid)
        if not bool(found.u.isfinite().all()):
            raise ValueError(f"{name}: not finite (NaN or infinity) somewhere")
    if not mean_change(data):
        raise ValueError("data: no state ever changes, so there is nothing to learn")


def _check_domain(name: str, found: Grid, own: Grid) -> None:
    """Shapes agree where states do; a learned H is wrong by powers of the spacing elsewhere."""
    if spacing_misfit(own, found):
        here, wanted = (", ".join(f"{x:.6g}" for x in grid.length) for grid in (found, own))
        raise ValueError(f"{name}: the grid has length {here}, the model's has length {wanted}")


def check_settings(model: Model, data: Dataset, settings: Mapping[str, Any]) -> None:
    """ValueError for settings of `train` that do not suit the model or the data, or each other."""
    second_order = settings["optimizer"] == "lm"
    if second_order:
        _check_second_order(model)
    moving = int((sizes(data) > 0).sum())
    if settings["weights"] is not None and moving < 2:
        what = "components" if data.grid is None else "channels"
        raise ValueError(
            f"weights={settings['weights']!r}: needs two {what} that change, the data have {moving}"
        )
    if settings["noise"] in ("weak", "states") and not second_order:
        raise ValueError(f"noise={settings['noise']!r}: needs optimizer='lm'")
    if settings["unroll"] != 1 and second_order:
        raise ValueError(f"unroll={settings['unroll']}: needs optimizer='adam' or 'soap'")
    if settings["compile"]:
        if not compiles(model, settings["optimizer"], settings["unroll"]):
            raise ValueError(
                "compile=True: needs a dgnet of depth 2 with tanh on the CPU, unroll=1, "
                "and adam or soap"
            )
        if problem := compile_problem():
            raise ValueError(f"compile=True: {problem}")


def _check_second_order(model: Model) -> None:
    """ValueError for a model that Levenberg–Marquardt cannot train."""
    if model.recipe is None:
        raise ValueError(
            "optimizer='lm': needs a model made by ModelRecipe.build; use adam or soap"
        )
    if any(p.dtype != torch.float64 for p in model.parameters()):
        raise ValueError("optimizer='lm': needs a model in float64")
    weights = sum(p.numel() for p in model.parameters())
    if weights > LARGEST:
        raise ValueError(
            f"optimizer='lm': solves dense equations of all {weights} weights, at most {LARGEST}; "
            "use adam or soap, or fewer hidden units"
        )
