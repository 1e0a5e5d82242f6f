"""What a file of trajectories holds, before it is known to make data: from `.npz`, netCDF and Zarr.

Several variables of the same trajectories, times and points are channels of one state (components
of an ODE). Where dimensions have no names and one is missing, the number of times tells which; a
shape that reads two ways is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ddg_explorer.array_files import (
    AXES,
    TIME,
    Archive,
    is_trajectory,
    open_netcdf,
    open_npz,
)
from ddg_explorer.origin import foreign_notes, mapping
from ddg_explorer.refusal import Refusal

if TYPE_CHECKING:
    import xarray as xr

Variable = str | Sequence[str | int] | None
Column = str | int | None


@dataclass
class Raw:
    """What a file holds: u, trajectory and time in front; times or Δt; node coordinates; notes.

    `energy` is H of the frames, (time, *batch), in the file of a run. `left_out` are variables of
    the same shape beside u, where none was asked for.
    """

    u: np.ndarray
    t: np.ndarray | None = None
    dt: float | None = None
    axes: dict[str, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    energy: np.ndarray | None = None
    left_out: list[str] = field(default_factory=list)


def read_npz(
    path: Path,
    variable: Variable,
    time: Column,
    trajectory: Column,
    axes: int | None,
    state: tuple[int, ...] | None,
) -> Raw:
    """A NumPy archive: of a field of so many `axes`, of states of that shape, where these are known
    beforehand."""
    if trajectory is not None:
        raise ValueError(f"trajectory={trajectory!r}: an .npz has (trajectory, time, ...) in order")
    with open_npz(path) as file:
        names = _chosen(list(file), variable)
        t = _times(file, time)
        shape = file.shape(names[0])
        nodes = file.nodes(shape)
        attributes = mapping("attributes", file) if "attributes" in file else {}
        box, dt = _noted(file, "length", 3), _noted(file, "dt", 1)
        energy = file["energy"] if {"converged", "energy"} <= set(file) else None
        if box is not None:
            attributes["length"] = box
        if axes is None:
            axes = len(nodes) if box is None else box.size
        frames = None if t is None or t.ndim != 1 else len(t)
        parts = {}
        for name in names:
            u = file[name]
            if energy is not None:
                parts[name] = _batch_first(u, u.ndim - 2 - axes)
            else:
                parts[name] = _whole(u, axes, frames, state if len(names) == 1 else None)
        known = {*names, *nodes, *(f"axis_{name}" for name in nodes), *TIME, "dt", "length"}
        others = [name for name in file if name not in known] if energy is None else []
        beside = [name for name in others if variable is None and file.shape(name) == shape]
    step = None if dt is None else dt.item()
    return Raw(_joined(parts), t, step, nodes, attributes, energy, beside)


def read_netcdf(path: Path, variable: Variable, time: Column, trajectory: Column) -> Raw:
    """A netCDF-4 file."""
    with open_netcdf(path) as dataset:
        return _of_xarray(dataset, variable, time, trajectory)


def read_zarr(path: Path, variable: Variable, time: Column, trajectory: Column) -> Raw:
    """A Zarr folder."""
    import xarray as xr

    try:
        import zarr  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise ValueError("reading .zarr needs the package zarr: pip install zarr") from None
    # the metadata of each array, as not every store has a copy of all in one place
    with xr.open_zarr(path, consolidated=False) as dataset:
        return _of_xarray(dataset, variable, time, trajectory)


def _chosen(names: Sequence[str], variable: Variable) -> list[str]:
    """The variables that make the state, "u" where none is asked for."""
    wanted: Sequence[str | int] = ["u"] if variable is None else variable
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    if not wanted:
        raise ValueError("variable=[]: must name at least one")
    for name in wanted:
        if name not in names:
            fault = f"has no variable {name!r}, only {', '.join(sorted(names)) or 'none'}"
            if variable is not None:
                raise ValueError(fault)
            raise Refusal(fault, "rename one u", ("variable",))
    return [str(name) for name in wanted]


def _times(file: Archive, time: Column) -> np.ndarray | None:
    if time is None:
        return next((file[name] for name in TIME[::-1] if name in file), None)
    if time not in list(file):
        raise ValueError(f"time={time!r}: must be the name of an array, {', '.join(sorted(file))}")
    return file[str(time)]


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


def _whole(
    u: np.ndarray, axes: int, frames: int | None, state: tuple[int, ...] | None
) -> np.ndarray:
    """(trajectory, time, channel, *grid) of an array in which the first or third may be missing."""
    inner = "component" if axes == 0 else ", ".join(["channel", *AXES[:axes]])
    if u.ndim == 1 + axes:
        return u[None, :, None]
    if u.ndim == 2 + axes:
        return _with_missing(u, frames, state, inner)
    if u.ndim != 3 + axes:
        hint = ", and of a field length or axis_x" if axes == 0 else ""
        raise Refusal(
            f"array has shape {u.shape}: needs (trajectory, time, {inner}){hint}; one trajectory "
            "or channel needs no dimension",
            arguments=("length",),
        )
    if frames is not None and u.shape[0] == frames != u.shape[1]:
        raise ValueError(
            f"array has shape {u.shape}, with the {frames} times in front: needs (trajectory, "
            f"time, {inner})"
        )
    return u


def _with_missing(
    u: np.ndarray, frames: int | None, state: tuple[int, ...] | None, inner: str
) -> np.ndarray:
    """One trajectory of many channels or many of one channel, as times and known states tell."""
    one = u.shape[0] > 1 and frames in (None, u.shape[0]) and state in (None, u.shape[1:])
    many = u.shape[1] > 1 and frames in (None, u.shape[1]) and state in (None, (1, *u.shape[2:]))
    if one and many:
        first, second, *_ = u.shape
        kind = inner.partition(",")[0]
        tell = "" if frames is not None else "add the times as t, or "
        raise ValueError(
            f"array has shape {u.shape}, which is {first} times of {second} {kind}s or {first} "
            f"trajectories of {second} times: {tell}write it as (trajectory, time, {inner})"
        )
    if frames not in (None, *u.shape[:2]):
        raise ValueError(f"time: has {frames} points, the states have shape {u.shape}")
    return np.expand_dims(u, 2) if many else u[None]


def _joined(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """The channels of all variables in one array."""
    first, *others = parts.items()
    for name, u in others:
        if np.delete(u.shape, 2).tolist() != np.delete(first[1].shape, 2).tolist():
            raise ValueError(
                f"variables {first[0]} {first[1].shape} and {name} {u.shape}: must have the same "
                "trajectories, times and points to be channels of one state"
            )
    return np.concatenate(list(parts.values()), axis=2) if others else first[1]


def _of_xarray(dataset: xr.Dataset, variable: Variable, time: Column, trajectory: Column) -> Raw:
    known = [str(name) for name in dataset.data_vars]
    names = _chosen(known, variable)
    parts, times, batch = {}, "", []
    for name in names:
        parts[name], times, batch = _ordered(dataset[name], time, trajectory)
    array = dataset[names[0]]
    axes = {k: np.asarray(dataset[k].values) for k in AXES if k in array.dims and k in array.coords}
    t = np.asarray(dataset[times].values) if times in dataset.coords else None
    if {"converged", "energy"} <= set(known):
        energy = dataset["energy"].load().transpose(times, *batch).values
        return Raw(_joined(parts), t, None, axes, dict(dataset.attrs), energy)
    beside = [
        name
        for name in known
        if variable is None and name not in names and dataset[name].dims == array.dims
    ]
    notes = foreign_notes(dataset.attrs)
    return Raw(_joined(parts), t, None, axes, notes, left_out=beside)


def _ordered(
    array: xr.DataArray, time: Column, trajectory: Column
) -> tuple[np.ndarray, str, list[str]]:
    """(trajectory, time, channel, *grid), and the names of the dimensions of time and batch."""
    dims = [str(name) for name in array.dims]
    told = f"variable {array.name!r} has dimensions ({', '.join(dims)})"
    for argument, name in (("time", time), ("trajectory", trajectory)):
        if name is not None and name not in dims:
            raise ValueError(f"{argument}={name!r}: {told}")
    times = [str(time)] if time is not None else [name for name in dims if name in TIME]
    batch = [n for n in dims if n not in times and (n == trajectory or is_trajectory(n))]
    state = [name for name in ("component", "channel", *AXES) if name in dims]
    unknown = set(dims) - {*times, *batch, *state}
    if len(times) != 1 or unknown:
        helpful = {"time": not times, "trajectory": not batch and len(unknown) + len(times) == 2}
        raise Refusal(
            f"{told}, needs time, and knows trajectory, component, channel, x, y, z",
            "rename the others",
            [argument for argument, helps in helpful.items() if helps],
        )
    u = _batch_first(array.load().transpose(*times, *batch, *state).values, len(batch))
    return (u if {"component", "channel"} & set(dims) else np.expand_dims(u, 2)), times[0], batch
