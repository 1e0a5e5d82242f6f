"""A person's own trajectories as a `Dataset`, from `.npz`, tables, netCDF or Zarr.

    netCDF, Zarr     dimensions by name: time (or t); trajectory (or trial, batch); component for an
                     ODE, channel and x[, y[, z]] for a field. Coordinates time, x, y, z are read.
    .npz             array u (trajectory, time, component) or (trajectory, time, channel, x[, y]);
                     optional t (time,) or the number dt; axis_x, axis_y (points,), or x, y of as
                     many points as u has there, or length, the side lengths, which make it a field
                     as the argument `length` does.
    .csv .tsv .txt   one row per time; columns named in the same way, perhaps with a unit as t (s);
                     all others are the components of an ODE in this order, or with `length` the
                     points of one channel. Trajectories may be labelled with words.

The trajectory dimension may be left out where there is one only, and so may that of a single
channel; of an `.npz` the number of times then tells which it is, and a shape that reads two ways is
refused. Several variables of one shape, chosen together, are channels of one state; in a table all
trajectories have one length (`tables`). Files of `Trajectory.save` and `Dataset.save` are read as
they are. Periodic grids: the left end is a node, the right end is not, and a last node that repeats
the first is refused. Times must be even to `EVEN` of a step, values real and finite; dates and
durations (datetime64, timedelta64) are taken in seconds.

A file that notes its dt or how long its box is must agree to that much with its times, nodes, the
arguments, and the system it is read for. One that `Trajectory.save` or `Dataset.save` wrote must be
of that system: its parameters, G, and energy (`origin`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ddg_explorer.array_files import AXES, floating
from ddg_explorer.data import Dataset, context_of
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
from ddg_explorer.raw_data import Column, Raw, Variable, read_netcdf, read_npz, read_zarr
from ddg_explorer.refusal import Refusal
from ddg_explorer.sampling import EVEN, check_gaps, check_given_step, even_step
from ddg_explorer.systems import System
from ddg_explorer.systems.base import checked_dt
from ddg_explorer.tables import read_table

TABLES = (".csv", ".tsv", ".txt")
READERS = (".npz", *TABLES, ".nc", ".zarr")
SAME = 1e-9
"""Part of the largest value by which the ends of a closed grid may differ."""
Length = float | Sequence[float] | None


def read_dataset(
    path: str | Path,
    *,
    dt: float | None = None,
    length: Length = None,
    variable: Variable = None,
    time: Column = None,
    trajectory: Column = None,
    system: System | None = None,
) -> Dataset:
    """Read trajectories; see the module for the layouts.

    Where variables of the same dimensions as u were left out, the recipe has their names under
    `left_out`.

    Parameters
    ----------
    path
        A `.npz`, `.csv`, `.tsv`, `.txt`, `.nc` file or a `.zarr` folder.
    dt
        Δt between frames; None: from the file's dt or times, which must be even. Given, times need
        not be even, but no step may differ by more than half of it, and their mean by a tenth.
    length
        Side lengths of a field's periodic box; None: from the file, or an ODE. Given, the file's
        coordinates are not looked at.
    variable
        Name of the array, "u" by default, or names of arrays that become its channels; of a table
        the columns of the state, by name or number.
    time, trajectory
        Columns of a table by name or number, dimensions of netCDF and Zarr, and `time` an array of
        an `.npz`, where they are not called as above.
    system
        The system the data are of, where known: gives the grid and what `Model.misfit` compares.

    Raises
    ------
    ValueError
        One line that names the file and what is wrong with it; a `Refusal` where other arguments
        would help.
    """
    source, suffix = existing(path, READERS)
    try:
        raw = _read(source, suffix, dt, length, variable, time, trajectory, system)
        return _assemble(source, raw, dt, length, system)
    except Refusal as refusal:
        raise refusal.of(f"path={str(path)!r}: ") from None
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"path={str(path)!r}: {one_line(error)}") from None


def _read(
    path: Path,
    suffix: str,
    dt: float | None,
    length: Length,
    variable: Variable,
    time: Column,
    trajectory: Column,
    system: System | None,
) -> Raw:
    if suffix == ".nc":
        return read_netcdf(path, variable, time, trajectory)
    if suffix == ".zarr":
        return read_zarr(path, variable, time, trajectory)
    axes, state = None, None
    if system is not None:
        axes, state = 0 if system.grid is None else system.grid.ndim, system.state_shape
    elif length is not None:
        axes = 1 if isinstance(length, int | float) else len(length)
    if suffix == ".npz":
        return read_npz(path, variable, time, trajectory, axes, state)
    dt = None if dt is None else checked_dt(dt)
    table = read_table(path, variable, time, trajectory, dt)
    return Raw(table.states[:, :, None] if axes else table.states, table.t)


def _assemble(
    path: Path, raw: Raw, dt: float | None, length: Length, system: System | None
) -> Dataset:
    grid = _grid(raw, length, system)
    dt = _step(raw, dt, raw.u.shape[1])
    context = context_of(system) if system else noted_context(raw.attributes, grid)
    data = Dataset(torch.from_numpy(floating(raw.u, "u")), dt, grid, context)
    if raw.energy is None and "context" not in raw.attributes:
        _refuse_closed(data, raw.axes)
    if system is not None:
        line = _unfit(data, raw, system)
        if line:
            raise ValueError(line)
    if raw.energy is not None:
        return data.recorded(raw.attributes)
    made = mapping("recipe", raw.attributes)
    notes = {"file": path.name, "shape": list(raw.u.shape)}
    if raw.left_out:
        notes["left_out"] = raw.left_out
    return replace(data, recipe=made or notes)


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
    dt = None if dt is None else checked_dt(dt)
    if raw.t is not None and dt is None:
        check_gaps(raw.t, "time")
        dt = even_step(raw.t, "time", frames)
    elif raw.t is not None and dt is not None:
        for t in raw.t if raw.t.ndim == 2 else raw.t[None]:
            check_given_step(t, dt, "time", frames)
    dt = raw.dt if dt is None else dt
    if dt is None:
        raise Refusal("has no times", arguments=("dt",))
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
        raise Refusal("has no coordinates x, y, z", arguments=("length",))
    shape = shape or raw.u.shape[2:]
    return Grid.of(shape, length, len(shape))


def _noted_length(raw: Raw, shape: tuple[int, ...]) -> list[float] | None:
    """Side lengths as noted in the file and of its coordinates; None where it has neither."""
    of_nodes = None
    if shape and len(raw.axes) == len(shape):
        named = zip(raw.axes.items(), shape, strict=True)
        of_nodes = [n * even_step(points, name, n) for (name, points), n in named]
    if "length" not in raw.attributes:
        return of_nodes
    noted = decoded("length", raw.attributes)
    try:
        length = np.atleast_1d(np.asarray(noted, dtype=np.float64)).tolist()
    except (TypeError, ValueError):
        raise ValueError(f"attribute length={noted!r}: must be numbers") from None
    if of_nodes is not None:
        _check_length(length, "the grid of its coordinates", of_nodes)
    return length


def _check_length(length: Length, whose: str, known: Sequence[float] | None) -> None:
    if known is None:
        raise ValueError(f"length={length}: {whose} has no grid")
    own, given = np.asarray(known), np.asarray(length, dtype=np.float64)
    if given.shape not in ((), own.shape) or not np.all(np.abs(given - own) <= EVEN * own):
        values, expected = (", ".join(f"{x:.6g}" for x in np.atleast_1d(v)) for v in (given, own))
        raise ValueError(f"length={values}: {whose} has {expected}")


def _refuse_closed(data: Dataset, axes: Mapping[str, np.ndarray]) -> None:
    """ValueError where the last nodes of an axis repeat the first: a period has one of the two.

    A field that mirrors itself may do so as well, if its nodes lie half a step inside of the box.
    """
    u, ndim = data.u, 0 if data.grid is None else data.grid.ndim
    size = float(u.abs().max())
    for name, axis in zip(AXES, range(u.ndim - ndim, u.ndim), strict=False):

        def apart(left: int, right: int, axis: int = axis) -> float:
            return float((u.select(axis, left) - u.select(axis, right)).abs().max())

        if apart(0, -1) > SAME * size or apart(0, 1) <= SAME * size:
            continue
        points = axes.get(name)
        inside = points is None or abs(points[0] / (points[1] - points[0]) - 0.5) < EVEN
        if apart(1, -2) <= SAME * size and inside:
            continue
        raise ValueError(
            f"{name}: the last node repeats the first in all frames, a periodic grid has one of "
            "them: leave the last one out"
        )
