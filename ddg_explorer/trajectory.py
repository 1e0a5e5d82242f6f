"""A recorded simulation: states, energies and the solver's honesty, with the recipe that made it.

Shapes: `t (T,)`, `u (T, *batch, *state_shape)`, `energy (T, *batch)`, `mass (T, *batch, C)`; all
nondimensional, all on the CPU. Frame 0 and the last one reached are always in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.array_files import TRAJECTORY_SUFFIXES, open_netcdf, open_npz, write_netcdf
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.io import atomic, checked_path, existing, one_line

if TYPE_CHECKING:
    import xarray as xr

LONG_NAMES = {
    "t": "time",
    "u": "state",
    "energy": "energy of the true system",
    "own_energy": "energy of the dynamics that was run",
    "mass": "integral of the state over the grid",
    "residual": "largest residual of any step since the previous frame",
    "iterations": "most iterations of any step since the previous frame",
    "converged": "trajectory whose every step converged",
}
CHUNK_BYTES = 1 << 20
"""Size that the file's chunks along time aim at."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Frames of a simulation.

    Attributes
    ----------
    t
        Times, (T,), float64.
    energy, own_energy
        H of the true system, and of the dynamics that was run, (T, *batch); NaN where unknown: a
        model alone knows its own only, a learned vector field none.
    mass
        ∫u per channel, (T, *batch, C); None for an ODE.
    residual, iterations
        The largest of any step since the previous frame, (T, *batch).
    converged
        False for the trajectories whose next step failed; that ended the run for all, (*batch,).
    reason
        Why the run ended early, with its time; empty for a complete one.
    states
        `u` itself, or the netCDF file that holds it.
    axes
        Coordinates of the state's dimensions by name, in order.
    energy_scale
        H-scale below which the drift is not taken relative to |H₀|.
    recipe
        System, parameters, integrator with its tolerance where it has one, Δt, seed, versions and
        date.
    note
        Where a model ran at another Δt or with another scheme than it learned, one line
        (`models.own_step`); else "".
    """

    t: Tensor
    energy: Tensor
    own_energy: Tensor
    mass: Tensor | None
    residual: Tensor
    iterations: Tensor
    converged: Tensor
    reason: str
    states: Tensor | Path
    axes: Mapping[str, np.ndarray]
    energy_scale: float = 0.0
    recipe: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def u(self) -> Tensor:
        """States, (T, *batch, *state_shape); read from the file at each call if streamed to one."""
        if isinstance(self.states, Tensor):
            return self.states
        with open_netcdf(self.states) as dataset:
            return torch.from_numpy(dataset["u"].values)

    def __repr__(self) -> str:
        run = self.recipe.get("model") or self.recipe.get("system")
        shape = (*self.residual.shape, *(len(points) for points in self.axes.values()))
        span = f"{float(self.t[0]):g} … {float(self.t[-1]):g}"
        lines = {"reason": self.reason, "note": self.note}
        told = "".join(f", {name}={line!r}" for name, line in lines.items() if line)
        return f"{type(self).__name__}({run!r}, u={shape}, t={span}{told})"

    def __len__(self) -> int:
        return self.t.shape[0]

    def to_xarray(self) -> xr.Dataset:
        """All of it as a dataset with dimensions time, *batch, channel, *grid and the recipe."""
        import xarray as xr

        u = self.u
        batch = _batch_names(u.ndim - 1 - len(self.axes))
        dims = {name: ("time", *batch) for name in ("energy", "own_energy", "residual")}
        dims |= {"iterations": ("time", *batch), "converged": batch}
        dims |= {"u": ("time", *batch, *self.axes), "mass": ("time", *batch, "channel")}
        values = {name: u if name == "u" else getattr(self, name) for name in dims}
        variables = {
            name: (dims[name], value.numpy(), {"units": "1", "long_name": LONG_NAMES[name]})
            for name, value in values.items()
            if value is not None
        }
        coordinates: dict[str, Any] = {
            "time": ("time", self.t.numpy(), {"units": "1", "long_name": LONG_NAMES["t"]})
        }
        for name, points in self.axes.items():
            coordinates[name] = (name, points, {"units": "1"})
        dataset = xr.Dataset(variables, coordinates, self._attributes())
        frames = max(1, min(len(self), CHUNK_BYTES // max(1, u[0].nbytes)))
        dataset["u"].encoding["chunksizes"] = (frames, *u.shape[1:])
        return dataset

    def save(self, path: str | Path) -> Path:
        """Write a `.nc` (netCDF-4) or `.npz` file, atomically, and return its path.

        Raises
        ------
        ValueError
            For any other suffix, or a folder that does not exist.
        """
        path = checked_path(path, TRAJECTORY_SUFFIXES)
        with atomic(path) as temporary:
            if path.suffix == ".nc":
                write_netcdf(self.to_xarray(), temporary)
            else:
                self._save_npz(temporary)
        return path

    def _save_npz(self, path: Path) -> None:
        arrays = {name: getattr(self, name) for name in LONG_NAMES}
        arrays = {name: value.numpy() for name, value in arrays.items() if value is not None}
        arrays |= {f"axis_{name}": points for name, points in self.axes.items()}
        arrays["attributes"] = np.array(json.dumps(self._attributes()))
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    def _attributes(self) -> dict[str, str | float | int]:
        """The recipe in the plain types that netCDF knows: mappings as JSON, no nulls."""
        attributes = {"reason": self.reason, "energy_scale": self.energy_scale, **self.recipe}
        attributes["note"] = self.note or None
        return {
            key: value if isinstance(value, str | int | float) else json.dumps(value)
            for key, value in attributes.items()
            if value is not None
        }


def load_trajectory(path: str | Path) -> Trajectory:
    """Read a trajectory that `Trajectory.save` or a streamed `simulate` wrote; all into memory.

    Raises
    ------
    ValueError
        One line for a file that is missing, damaged, or no trajectory.
    """
    source, suffix = existing(path, TRAJECTORY_SUFFIXES)
    try:
        arrays, axes, attributes = (_read_npz if suffix == ".npz" else _read_netcdf)(source)
        return _assembled(arrays, axes, attributes)
    except KeyError as error:
        raise ValueError(
            f"path={str(path)!r}: is no trajectory, {one_line(error)} is missing"
        ) from None
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"path={str(path)!r}: cannot be read ({one_line(error)})") from None


Contents = tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, Any]]
"""Arrays by name of `LONG_NAMES`, coordinates of the state's dimensions, attributes."""


def _read_npz(path: Path) -> Contents:
    with open_npz(path) as file:
        arrays = {name: file[name] for name in LONG_NAMES if name in file}
        prefix = "axis_"
        axes = {k.removeprefix(prefix): file[k] for k in file if k.startswith(prefix)}
        return arrays, axes, json.loads(str(file["attributes"]))


def _read_netcdf(path: Path) -> Contents:
    with open_netcdf(path) as dataset:
        found = {name: "time" if name == "t" else name for name in LONG_NAMES}
        arrays = {k: dataset[v].values for k, v in found.items() if v in dataset.variables}
        state = dataset["u"].dims[1 + dataset["converged"].ndim :]
        axes = {str(name): dataset[name].values for name in state}
        return arrays, axes, dict(dataset.attrs)


def _assembled(
    arrays: Mapping[str, np.ndarray], axes: Mapping[str, np.ndarray], attributes: dict[str, Any]
) -> Trajectory:
    missing = sorted(set(LONG_NAMES) - {"mass"} - set(arrays))
    if missing:
        raise KeyError(missing[0])
    if not isinstance(attributes, dict):
        raise ValueError("its attributes are no mapping")
    tensors: dict[str, Any] = {name: torch.from_numpy(np.array(a)) for name, a in arrays.items()}
    return Trajectory(
        states=tensors.pop("u"),
        mass=tensors.pop("mass", None),
        reason=str(attributes.pop("reason")),
        note=str(attributes.pop("note", "")),
        energy_scale=float(attributes.pop("energy_scale")),
        axes=axes,
        recipe={key: _decoded(value) for key, value in attributes.items()},
        **tensors,
    )


def state_axes(dynamics: Dynamics) -> dict[str, np.ndarray]:
    """Names and coordinates of the state's dimensions: component, or channel, x[, y[, z]]."""
    first = np.arange(dynamics.state_shape[0])
    if dynamics.grid is None:
        return {"component": first}
    grid = dynamics.grid
    points = [np.arange(n) * h for n, h in zip(grid.shape, grid.spacing, strict=True)]
    return {"channel": first, **dict(zip("xyz", points, strict=False))}


def _batch_names(ndim: int) -> tuple[str, ...]:
    return ("batch",) if ndim == 1 else tuple(f"batch_{i}" for i in range(ndim))


def _decoded(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value.item() if isinstance(value, np.generic) else value
