"""A person's own trajectories as a `Dataset`, from `.npz`, tables, netCDF or Zarr.

    netCDF, Zarr     dimensions by name: time; trajectory (or batch); component for an ODE, channel
                     and x[, y[, z]] for a field. Coordinates time and x, y, z are read.
    .npz             array u (trajectory, time, component) or (trajectory, time, channel, x[, y]);
                     optional t (time,) and axis_x, axis_y (points,), which make it a field as
                     `length` does.
    .csv .tsv .txt   one row per time; columns time (or t) and trajectory (or trial), all others the
                     components of an ODE in this order, or with `length` the points of one channel.

The trajectory dimension may be left out where there is one only. Files of `Trajectory.save` and
`Dataset.save` are read as they are. Periodic grids: the left end is a node, the right end is not.
Times must be even to `EVEN` of a step, values real and finite. A file that says how long its box is
must agree to that much with the system it is read for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddg_explorer.data import Dataset, context_of
from ddg_explorer.grids import Grid
from ddg_explorer.io import existing, one_line, open_netcdf, open_npz, real_numbers
from ddg_explorer.systems import System
from ddg_explorer.tables import EVEN, read_table

if TYPE_CHECKING:
    import xarray as xr

TABLES = (".csv", ".tsv", ".txt")
READERS = (".npz", *TABLES, ".nc", ".zarr")
AXES = ("x", "y", "z")


@dataclass
class Raw:
    """What a file holds: u with trajectory and time in front, times, node coordinates, notes."""

    u: np.ndarray
    t: np.ndarray | None = None
    axes: dict[str, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


def read_dataset(
    path: str | Path,
    *,
    dt: float | None = None,
    length: float | Sequence[float] | None = None,
    variable: str | Sequence[str | int] | None = None,
    time: str | int | None = None,
    trajectory: str | int | None = None,
    system: System | None = None,
) -> Dataset:
    """Read trajectories; see the module for the layouts.

    Parameters
    ----------
    path
        A `.npz`, `.csv`, `.tsv`, `.txt`, `.nc` file or a `.zarr` folder.
    dt
        Δt between frames; None: from the file's times, which must be even. Given, the file's times
        are not looked at.
    length
        Side lengths of a field's periodic box; None: from the file, or an ODE. Given, the file's
        coordinates are not looked at.
    variable
        Name of the array, "u" by default; of a table the columns of the state, by name or number.
    time, trajectory
        Columns of a table by name or number, where they are not called as above.
    system
        The system the data are of, where known: gives the grid and what `Model.misfit` compares.

    Raises
    ------
    ValueError
        One line that names the file and what is wrong with it.
    """
    source, suffix = existing(path, READERS)
    try:
        if suffix in TABLES:
            table = read_table(source, variable, time, trajectory)
            raw = Raw(table.states, table.t)
            if length is not None or (system is not None and system.grid is not None):
                raw.u = raw.u[:, :, None]
        elif suffix == ".npz":
            raw = _read_npz(source, _one_name(variable), length, system)
        elif suffix == ".zarr":
            raw = _read_zarr(source, _one_name(variable))
        else:
            with open_netcdf(source) as dataset:
                raw = _of_xarray(dataset, _one_name(variable))
        return _assemble(source, raw, dt, length, system)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"path={str(path)!r}: {one_line(error)}") from None


def _one_name(variable: str | Sequence[str | int] | None) -> str | None:
    if variable is None or isinstance(variable, str):
        return variable
    raise ValueError(f"variable={variable!r}: must be one name for this kind of file")


def _pick(names: Sequence[str], variable: str | None) -> str:
    wanted = "u" if variable is None else variable
    if wanted in names:
        return wanted
    raise ValueError(f"has no variable {wanted!r}, only {', '.join(sorted(names)) or 'none'}")


def _read_npz(
    path: Path, variable: str | None, length: float | Sequence[float] | None, system: System | None
) -> Raw:
    with open_npz(path) as file:
        u = file[_pick(list(file), variable)]
        t = next((file[name] for name in ("t", "time") if name in file), None)
        axes = {k: file[f"axis_{k}"] for k in AXES if f"axis_{k}" in file}
        attributes = _mapping("attributes", file) if "attributes" in file else {}
        recorded = "converged" in file
    count = len(axes)
    if system is not None:
        count = 0 if system.grid is None else system.grid.ndim
    elif length is not None:
        count = 1 if isinstance(length, int | float) else len(length)
    if recorded:
        u = _batch_first(u, u.ndim - 2 - count)
    elif u.ndim == 2 + count:
        u = u[None]
    if u.ndim != 3 + count:
        wanted = "trajectory, time, component" if count == 0 else "trajectory, time, channel, *grid"
        raise ValueError(f"array has shape {u.shape}: needs ({wanted}), the first may be left out")
    return Raw(u, t, axes, attributes)


def _batch_first(u: np.ndarray, batch: int) -> np.ndarray:
    """(time, *batch, *state) → (trajectory, time, *state)."""
    return np.moveaxis(u.reshape(u.shape[0], -1, *u.shape[1 + batch :]), 1, 0)


def _read_zarr(path: Path, variable: str | None) -> Raw:
    import xarray as xr

    try:
        import zarr  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise ValueError("reading .zarr needs the package zarr: pip install zarr") from None
    with xr.open_zarr(path) as dataset:
        return _of_xarray(dataset, variable)


def _of_xarray(dataset: xr.Dataset, variable: str | None) -> Raw:
    array = dataset[_pick([str(name) for name in dataset.data_vars], variable)]
    dims = [str(name) for name in array.dims]
    batch = [name for name in dims if name == "trajectory" or name.startswith("batch")]
    state = [name for name in ("component", "channel", *AXES) if name in dims]
    unknown = sorted(set(dims) - {"time", *batch, *state})
    if unknown or "time" not in dims:
        raise ValueError(
            f"variable {array.name!r} has dimensions ({', '.join(dims)}): needs time, and "
            "knows trajectory, component, channel, x, y, z"
        )
    ordered = array.transpose("time", *batch, *state)
    u = _batch_first(np.asarray(ordered.values), len(batch))
    if not {"component", "channel"} & set(dims):
        u = np.expand_dims(u, 2)
    known = [name for name in state if name in AXES and name in dataset.coords]
    axes = {name: np.asarray(dataset[name].values) for name in known}
    t = np.asarray(dataset["time"].values) if "time" in dataset.coords else None
    return Raw(u, t, axes, dict(dataset.attrs))


def _assemble(
    path: Path,
    raw: Raw,
    dt: float | None,
    length: float | Sequence[float] | None,
    system: System | None,
) -> Dataset:
    u = real_numbers(raw.u, "u")
    grid = _grid(raw, length, system)
    if dt is None:
        if raw.t is None:
            raise ValueError("has no times: give dt")
        dt = even_step(raw.t, "time", u.shape[1])
    states = torch.from_numpy(u.astype(np.float32 if u.dtype == np.float32 else np.float64))
    recipe = _mapping("recipe", raw.attributes) or {"file": path.name}
    data = Dataset(states, float(dt), grid, _context(raw.attributes, system), recipe)
    if system is not None and data.state_shape != system.state_shape:
        raise ValueError(
            f"states have shape {data.state_shape}: {system.name} has {system.state_shape}"
        )
    return data


def even_step(points: np.ndarray, name: str, count: int) -> float:
    """The step of `count` evenly spaced increasing points; ValueError where they are not."""
    points = np.asarray(points)
    if points.ndim != 1 or points.dtype.kind not in "fiu":
        raise ValueError(f"{name}: must be one column of numbers, not {points.dtype}{points.shape}")
    if len(points) != count:
        raise ValueError(f"{name}: has {len(points)} points, the states have {count}")
    steps = np.diff(points.astype(np.float64))
    if len(steps) < 1:
        raise ValueError(f"{name}: needs at least two points")
    mean = steps.mean()
    if not (np.isfinite(steps).all() and mean > 0):
        raise ValueError(f"{name}: must be finite and increasing")
    worst = int(np.abs(steps - mean).argmax())
    if abs(steps[worst] - mean) > EVEN * mean:
        raise ValueError(
            f"{name}: steps are uneven, {steps[worst]:.6g} after point {worst}, mean {mean:.6g}"
        )
    # nΔt gives Δt back to the last bit as its first step, a mean of differences does not
    return float(steps[0] if abs(steps[0] - mean) < 1e-12 * mean else mean)


def _grid(raw: Raw, length: float | Sequence[float] | None, system: System | None) -> Grid | None:
    """The system's, if what caller and file say agrees with it; without a system what they say."""
    shape = raw.u.shape[3:]
    if length is None:
        length = _noted_length(raw, shape)
    if system is not None:
        if length is not None:
            _check_length(length, system)
        return system.grid
    if length is None and not shape:
        return None
    if length is None:
        raise ValueError("has no coordinates x, y, z: give length")
    shape = shape or raw.u.shape[2:]
    return Grid.of(shape, length, len(shape))


def _noted_length(raw: Raw, shape: tuple[int, ...]) -> list[float] | None:
    """Side lengths as noted in the file, else from its coordinates; None where it has neither."""
    if "length" in raw.attributes:
        noted = _decoded("length", raw.attributes)
        try:
            return np.atleast_1d(np.asarray(noted, dtype=np.float64)).tolist()
        except (TypeError, ValueError):
            raise ValueError(f"attribute length={noted!r}: must be numbers") from None
    if not shape or len(raw.axes) != len(shape):
        return None
    named = zip(raw.axes.items(), shape, strict=True)
    return [n * even_step(points, name, n) for (name, points), n in named]


def _check_length(length: float | Sequence[float], system: System) -> None:
    if system.grid is None:
        raise ValueError(f"length={length}: {system.name} has no grid")
    own = np.asarray(system.grid.length)
    given = np.asarray(length, dtype=np.float64)
    fits = given.shape in ((), own.shape) and np.all(np.abs(given - own) <= EVEN * own)
    if not fits:
        values = ", ".join(f"{x:.6g}" for x in np.atleast_1d(given))
        expected = ", ".join(f"{x:.6g}" for x in own)
        raise ValueError(f"length={values}: {system.name} has {expected}")


def _context(attributes: Mapping[str, Any], system: System | None) -> dict[str, Any]:
    """What is known of the system: given by the caller, else noted in the file."""
    if system is not None:
        return context_of(system)
    if "context" in attributes:
        return _mapping("context", attributes)
    if "system" not in attributes or "model" in attributes:
        return {}
    parameters = _mapping("parameters", attributes)
    known = {
        "system": str(attributes["system"]),
        "operator": attributes.get("operator"),
        "parameters": {k: v for k, v in parameters.items() if not isinstance(v, str)},
    }
    return {key: value for key, value in known.items() if value is not None}


def _mapping(name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object among the attributes, empty where there is none of that name."""
    value = _decoded(name, attributes) if name in attributes else {}
    if not isinstance(value, dict):
        raise ValueError(f"attribute {name!r}: must be a JSON object")
    return value


def _decoded(name: str, attributes: Mapping[str, Any]) -> Any:
    value = attributes[name]
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        value = str(value)
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        raise ValueError(f"attribute {name}={value!r}: is no JSON") from None
