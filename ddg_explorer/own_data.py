"""A person's own trajectories as a `Dataset`, from `.npz`, tables, netCDF or Zarr.

    netCDF, Zarr     dimensions by name: time (or t); trajectory (or trial, batch); component for an
                     ODE, channel and x[, y[, z]] for a field. Coordinates time, x, y, z are read.
    .npz             array u (trajectory, time, component) or (trajectory, time, channel, x[, y]);
                     optional t (time,) or the number dt; axis_x, axis_y (points,) or length, the
                     side lengths, which make it a field as the argument `length` does.
    .csv .tsv .txt   one row per time; columns named in the same way; all others are the components
                     of an ODE in this order, or with `length` the points of one channel.

The trajectory dimension may be left out where there is one only. Files of `Trajectory.save` and
`Dataset.save` are read as they are. Periodic grids: the left end is a node, the right end is not.
Times must be even to `EVEN` of a step, values real and finite; dates and durations (datetime64,
timedelta64) are taken in seconds. A file that notes its dt or how long its box is must agree to
that much with the arguments and the system it is read for. One that `Trajectory.save` or
`Dataset.save` wrote must be of that system: its parameters, G, and energy (`origin`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddg_explorer.array_files import Archive, floating, open_netcdf, open_npz
from ddg_explorer.data import Dataset, checked_step, context_of
from ddg_explorer.grids import Grid
from ddg_explorer.io import existing, one_line
from ddg_explorer.origin import (
    decoded,
    mapping,
    noted_context,
    other_run,
    other_system,
    run_notes,
)
from ddg_explorer.systems import System
from ddg_explorer.tables import EVEN, TIME, TRAJECTORY, even_step, read_table

if TYPE_CHECKING:
    import xarray as xr

TABLES = (".csv", ".tsv", ".txt")
READERS = (".npz", *TABLES, ".nc", ".zarr")
AXES = ("x", "y", "z")
Length = float | Sequence[float] | None
Variable = str | Sequence[str | int] | None


@dataclass
class Raw:
    """What a file holds: u, trajectory and time in front; times or Δt; node coordinates; notes.

    `energy` is H of the frames, (time, *batch), in the file of a run.
    """

    u: np.ndarray
    t: np.ndarray | None = None
    dt: float | None = None
    axes: dict[str, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    energy: np.ndarray | None = None


def read_dataset(
    path: str | Path,
    *,
    dt: float | None = None,
    length: Length = None,
    variable: Variable = None,
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
        Δt between frames; None: from the file's dt or times, which must be even. Given, the file's
        times are not looked at, but that those of a table rise.
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
            table = read_table(source, variable, time, trajectory, dt)
            raw = Raw(table.states, table.t)
            if length is not None or (system is not None and system.grid is not None):
                raw.u = raw.u[:, :, None]
        elif suffix == ".npz":
            raw = _read_npz(source, variable, length, system)
        elif suffix == ".zarr":
            raw = _read_zarr(source, variable)
        else:
            with open_netcdf(source) as dataset:
                raw = _of_xarray(dataset, variable)
        return _assemble(source, raw, dt, length, system)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"path={str(path)!r}: {one_line(error)}") from None


def _pick(names: Sequence[str], variable: Variable) -> str:
    wanted = "u" if variable is None else variable
    if not isinstance(wanted, str):
        raise ValueError(f"variable={variable!r}: must be one name for this kind of file")
    if wanted in names:
        return wanted
    raise ValueError(f"has no variable {wanted!r}, only {', '.join(sorted(names)) or 'none'}")


def _read_npz(path: Path, variable: Variable, length: Length, system: System | None) -> Raw:
    with open_npz(path) as file:
        u = file[_pick(list(file), variable)]
        t = next((file[name] for name in ("t", "time") if name in file), None)
        axes = {k: file[f"axis_{k}"] for k in AXES if f"axis_{k}" in file}
        attributes = mapping("attributes", file) if "attributes" in file else {}
        box, dt = _noted(file, "length", 3), _noted(file, "dt", 1)
        energy = file["energy"] if {"converged", "energy"} <= set(file) else None
    if box is not None:
        attributes["length"] = box
    count = len(axes) if box is None else box.size
    if system is not None:
        count = 0 if system.grid is None else system.grid.ndim
    elif length is not None:
        count = 1 if isinstance(length, int | float) else len(length)
    if energy is not None:
        u = _batch_first(u, u.ndim - 2 - count)
    elif u.ndim == 2 + count:
        u = u[None]
    if u.ndim != 3 + count:
        wanted = "component), and of a field length" if count == 0 else "channel, *grid)"
        raise ValueError(
            f"array has shape {u.shape}: needs (trajectory, time, {wanted}; one trajectory needs "
            "no dimension"
        )
    return Raw(u, t, None if dt is None else dt.item(), axes, attributes, energy)


def _noted(file: Archive, name: str, most: int) -> np.ndarray | None:
    """At most so many positive numbers under that name, None where there are none."""
    if name not in file:
        return None
    array = file[name]
    if array.dtype.kind not in "fiu" or not (1 <= array.size <= most and np.all(array > 0)):
        raise ValueError(
            f"array {name}={array}: must be a positive number{', one an axis' * (most > 1)}"
        )
    return array


def _batch_first(u: np.ndarray, batch: int) -> np.ndarray:
    """(time, *batch, *state) → (trajectory, time, *state)."""
    return np.moveaxis(u.reshape(u.shape[0], -1, *u.shape[1 + batch :]), 1, 0)


def _read_zarr(path: Path, variable: Variable) -> Raw:
    import xarray as xr

    try:
        import zarr  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise ValueError("reading .zarr needs the package zarr: pip install zarr") from None
    # the metadata of each array, as not every store has a copy of all in one place
    with xr.open_zarr(path, consolidated=False) as dataset:
        return _of_xarray(dataset, variable)


def _of_xarray(dataset: xr.Dataset, variable: Variable) -> Raw:
    array = dataset[_pick([str(name) for name in dataset.data_vars], variable)]
    dims = [str(name) for name in array.dims]
    batch = [name for name in dims if name in TRAJECTORY or name.startswith("batch")]
    state = [name for name in ("component", "channel", *AXES) if name in dims]
    times = [name for name in dims if name in TIME]
    if len(times) != 1 or set(dims) - {*times, *batch, *state}:
        raise ValueError(
            f"variable {array.name!r} has dimensions ({', '.join(dims)}): needs time, and "
            "knows trajectory, component, channel, x, y, z"
        )
    ordered = array.transpose(*times, *batch, *state)
    u = _batch_first(np.asarray(ordered.values), len(batch))
    if not {"component", "channel"} & set(dims):
        u = np.expand_dims(u, 2)
    known = [name for name in state if name in AXES and name in dataset.coords]
    axes = {name: np.asarray(dataset[name].values) for name in known}
    t = next((np.asarray(dataset[name].values) for name in times if name in dataset.coords), None)
    energy = None
    if {"converged", "energy"} <= set(dataset.data_vars):
        energy = np.asarray(dataset["energy"].transpose(*times, *batch).values)
    return Raw(u, t, None, axes, dict(dataset.attrs), energy)


def _assemble(
    path: Path, raw: Raw, dt: float | None, length: Length, system: System | None
) -> Dataset:
    grid = _grid(raw, length, system)
    dt = _step(raw, dt, raw.u.shape[1])
    context = context_of(system) if system else noted_context(raw.attributes, grid)
    data = Dataset(torch.from_numpy(floating(raw.u, "u")), dt, grid, context)
    if system is not None:
        line = _unfit(data, raw, system)
        if line:
            raise ValueError(line)
    if raw.energy is not None:
        return data.recorded(raw.attributes)
    made = mapping("recipe", raw.attributes)
    return replace(data, recipe=made or {"file": path.name, "shape": list(raw.u.shape)})


def _unfit(data: Dataset, raw: Raw, system: System) -> str:
    """One line where the data are not of `system`, as far as shape and notes tell, else ""."""
    if data.state_shape != system.state_shape:
        return f"states have shape {data.state_shape}: {system.name} has {system.state_shape}"
    if raw.energy is None:
        noted = "context" in raw.attributes
        return other_system(system, noted_context(raw.attributes, data.grid)) if noted else ""
    energy, count = floating(raw.energy, "energy"), data.trajectories
    if energy.size != count * data.frames:
        return f"array energy has shape {energy.shape}: needs a number a frame and trajectory"
    first = torch.from_numpy(energy.reshape(data.frames, count)[:1])
    t = np.arange(2) * data.dt if raw.t is None else floating(raw.t[:2], "time")
    notes, u = run_notes(raw.attributes), data.u[:, :2].transpose(0, 1)
    return other_system(system, notes) or other_run(system, notes, u, t, first)


def _step(raw: Raw, dt: float | None, frames: int) -> float:
    """Δt as given, noted or of the times; a given one or times must agree with a noted one."""
    dt = None if dt is None else checked_step(dt)
    if dt is None and raw.t is not None:
        dt = even_step(raw.t, "time", frames)
    dt = raw.dt if dt is None else dt
    if dt is None:
        raise ValueError("has no times: give dt")
    if raw.dt is not None and abs(dt - raw.dt) > EVEN * raw.dt:
        raise ValueError(f"dt={dt:g}: the file has dt={raw.dt:g}")
    return dt


def _grid(raw: Raw, length: Length, system: System | None) -> Grid | None:
    """The system's, if what caller and file say agrees with it; without a system what they say."""
    shape = raw.u.shape[3:]
    if length is None:
        length = _noted_length(raw, shape)
    elif "length" in raw.attributes:
        _check_length(length, "the file", _noted_length(raw, shape))
    if system is not None:
        if length is not None:
            _check_length(length, system.name, system.grid and system.grid.length)
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
        noted = decoded("length", raw.attributes)
        try:
            return np.atleast_1d(np.asarray(noted, dtype=np.float64)).tolist()
        except (TypeError, ValueError):
            raise ValueError(f"attribute length={noted!r}: must be numbers") from None
    if not shape or len(raw.axes) != len(shape):
        return None
    named = zip(raw.axes.items(), shape, strict=True)
    return [n * even_step(points, name, n) for (name, points), n in named]


def _check_length(length: Length, whose: str, known: Sequence[float] | None) -> None:
    if known is None:
        raise ValueError(f"length={length}: {whose} has no grid")
    own, given = np.asarray(known), np.asarray(length, dtype=np.float64)
    if given.shape not in ((), own.shape) or not np.all(np.abs(given - own) <= EVEN * own):
        values, expected = (", ".join(f"{x:.6g}" for x in np.atleast_1d(v)) for v in (given, own))
        raise ValueError(f"length={values}: {whose} has {expected}")
