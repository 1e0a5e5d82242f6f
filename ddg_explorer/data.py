"""Training data: trajectories at a fixed Δt, and the one-step pairs taken from them.

    pairs (uₙ, uₙ₊₁),   (v − u)/Δt is what a model learns

States are `(trajectories, frames, *state_shape)`, nondimensional. A data set knows the grid and the
system it came from, so that a model trained on it knows where it applies.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.array_files import TRAJECTORY_SUFFIXES, floating, write_netcdf
from ddg_explorer.grids import Grid
from ddg_explorer.io import atomic, checked_path, described
from ddg_explorer.models.files import check_context, plain_copy
from ddg_explorer.origin import other_run, other_system, run_notes, specification_of
from ddg_explorer.sampling import even_step
from ddg_explorer.systems import System
from ddg_explorer.systems.base import checked_dt
from ddg_explorer.trajectory import Trajectory, state_axes

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class Dataset:
    """Trajectories u(tₙ), tₙ = nΔt.

    Attributes
    ----------
    u
        `(trajectories, frames, *state_shape)`, float64 or float32, at least 2 frames; an array of
        NumPy is copied, integers and half precision to float64.
    dt
        Δt (nondimensional).
    grid
        The periodic grid of a field, None for an ODE.
    context
        `{"system": name, "operator": …, "parameters": {…}, "structure": {…}}`, what is known of
        the system: `Model.misfit` compares it, a model takes its G from it.
    recipe
        How the data were made or where they were read, for a model's card: free notes, plain data
        that JSON can hold. `integrator` and `dt`, its Δt, tell what the data obey (`step_note`).

    Raises
    ------
    ValueError
        One line for a wrong shape or dtype, values that are masked or not finite, a Δt that is no
        number or ≤ 0, or notes that a checkpoint could not keep.
    """

    u: Tensor
    dt: float
    grid: Grid | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.u, np.ndarray):
            object.__setattr__(self, "u", torch.from_numpy(floating(self.u, "u")))
        if not isinstance(self.u, Tensor):
            raise ValueError(f"u={described(self.u)}: must be a tensor or an array of NumPy")
        object.__setattr__(self, "dt", checked_dt(self.dt))
        check_context(self.context)
        plain_copy("recipe", self.recipe)
        if not isinstance(self.grid, Grid | None):
            raise ValueError(f"grid={described(self.grid)}: must be a Grid, or None for an ODE")
        shape = tuple(self.u.shape)
        axes = 0 if self.grid is None else self.grid.ndim
        if self.u.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"u has dtype {self.u.dtype}: needs float64 or float32")
        if len(shape) != 3 + axes:
            kind = "(trajectories, frames, C, *grid)" if axes else "(trajectories, frames, d)"
            raise ValueError(f"u has shape {shape}: needs {kind}")
        if self.grid is not None and shape[3:] != self.grid.shape:
            raise ValueError(f"u has shape {shape}: the grid has {self.grid.shape} points")
        if shape[0] < 1 or shape[1] < 2 or shape[2] < 1:
            raise ValueError(f"u has shape {shape}: needs 1 trajectory of 2 frames or more")
        finite = torch.isfinite(self.u).flatten(2).all(-1)
        if not bool(finite.all()):
            row, frame = torch.nonzero(~finite)[0].tolist()
            raise ValueError(f"u: not finite (NaN or infinity) in trajectory {row}, frame {frame}")

    @classmethod
    def of(cls, run: Trajectory, system: System) -> Dataset:
        """The data of a run: Δt of its frames; grid, name, parameters and G of its system.

        One trajectory for each initial state of the run, `system.initial(0, batch=20)` gives many.

        Raises
        ------
        ValueError
            For a run of another system (`origin.other_system`, `other_run`) or of a model, one that
            ended early, a single frame, or frames that are not even in time, as the last one where
            `save_every` does not divide the steps.
        """
        _check_kinds(run, system)
        u, t, notes = run.u, run.t.numpy(), run_notes(run.recipe)
        line = other_system(system, notes) or _unfit(run, system)
        line = line or other_run(system, notes, u, t, run.energy)
        if line:
            raise ValueError(f"run: {line}")
        dt = even_step(t, "run.t", len(run))
        batch = u.ndim - 1 - len(run.axes)
        u = u.flatten(1, batch).transpose(0, 1).contiguous() if batch else u[None]
        return cls(u, dt, system.grid, context_of(system)).recorded(run.recipe)

    def recorded(self, recipe: Mapping[str, Any]) -> Dataset:
        """These data with the recipe of the run that they are, and a digest of their states.

        The initial states may have been given: then only the numbers tell runs apart.
        """
        digest = replace(self, dt=1.0).digest()
        return replace(self, recipe={**run_notes(recipe), "digest": digest})

    def __repr__(self) -> str:
        known = self.context.get("system")
        return f"{type(self).__name__}({known!r}, u={tuple(self.u.shape)}, dt={self.dt:g})"

    @property
    def state_shape(self) -> tuple[int, ...]:
        """(d,) or (C, *grid)."""
        return tuple(self.u.shape[2:])

    @property
    def trajectories(self) -> int:
        """Number of trajectories."""
        return self.u.shape[0]

    @property
    def frames(self) -> int:
        """States per trajectory."""
        return self.u.shape[1]

    def select(self, rows: Tensor | slice) -> Dataset:
        """The data set of some of the trajectories."""
        return replace(self, u=self.u[rows])

    def split(self, held_out: int, seed: int) -> tuple[Dataset, Dataset]:
        """All but `held_out` trajectories, and those: drawn without replacement by `seed`."""
        if not (isinstance(held_out, Integral) and 0 < held_out < self.trajectories):
            allowed = f"must be an integer in [1, {self.trajectories - 1}]"
            raise ValueError(f"held_out={held_out!r}: {allowed}")
        order = self.order(seed)
        return self.select(order[held_out:]), self.select(order[:held_out])

    def order(self, seed: int) -> Tensor:
        """The trajectories' numbers as `split` draws them, those it holds out first."""
        return torch.randperm(self.trajectories, generator=torch.Generator().manual_seed(seed))

    def pairs(self) -> tuple[Tensor, Tensor]:
        """All one-step pairs (u, v), each `(trajectories · (frames − 1), *state_shape)`."""
        return self.u[:, :-1].flatten(0, 1), self.u[:, 1:].flatten(0, 1)

    def with_noise(self, level: float, seed: int) -> Dataset:
        """Add N(0, (level · RMS)²) to every value; RMS of each channel over the whole set.

        The recipe notes level, seed, and the digest before the first noise.
        """
        if not (math.isfinite(level) and level >= 0):
            raise ValueError(f"level={level}: must be finite and not negative")
        axes = [0, 1, *range(3, self.u.ndim)]
        rms = self.u.square().mean(axes, keepdim=True).sqrt()
        noise = torch.randn(
            self.u.shape, generator=torch.Generator().manual_seed(seed), dtype=self.u.dtype
        )
        recipe = {
            "noiseless_digest": self.digest(),
            **self.recipe,
            "relative_noise": level,
            "relative_noise_seed": seed,
        }
        return replace(self, u=self.u + level * rms * noise.to(self.u.device), recipe=recipe)

    def digest(self) -> str:
        """SHA-256 of states, shape and Δt, first 16 hexadecimal digits."""
        content = hashlib.sha256(self.u.detach().cpu().contiguous().numpy().tobytes())
        content.update(repr((self.dt, tuple(self.u.shape), str(self.u.dtype))).encode())
        return content.hexdigest()[:16]

    def to_xarray(self) -> xr.Dataset:
        """As a dataset with dimensions trajectory, time, channel, x, y (component for an ODE)."""
        import xarray as xr

        arrays = self._arrays()
        names = ("component",) if self.grid is None else ("channel", *arrays["axes"])
        coordinates = {"time": arrays["t"], **arrays["axes"]}
        variables = {"u": (("trajectory", "time", *names), arrays["u"], {"units": "1"})}
        return xr.Dataset(variables, coordinates, self._attributes())

    def save(self, path: str | Path) -> Path:
        """Write a `.nc` or `.npz` file, atomically, that `read_dataset` reads; return its path.

        Raises
        ------
        ValueError
            For any other suffix, or a folder that does not exist.
        """
        target = checked_path(path, TRAJECTORY_SUFFIXES)
        with atomic(target) as temporary:
            if target.suffix == ".nc":
                # checksums: a damaged file is refused instead of trained on
                whole = self.to_xarray()
                chunks = {"chunksizes": (1, *self.u.shape[1:]), "fletcher32": True}
                whole["u"].encoding.update(chunks)
                write_netcdf(whole, temporary)
                return target
            arrays = self._arrays()
            axes = {f"axis_{name}": points for name, points in arrays["axes"].items()}
            attributes = np.array(json.dumps(self._attributes()))
            with temporary.open("wb") as file:
                np.savez(file, u=arrays["u"], t=arrays["t"], attributes=attributes, **axes)
        return target

    def _arrays(self) -> dict[str, Any]:
        axes = {}
        if self.grid is not None:
            points = zip("xyz", self.grid.shape, self.grid.spacing, strict=False)
            axes = {name: np.arange(n) * h for name, n, h in points}
        t = np.arange(self.frames) * self.dt
        return {"u": self.u.detach().cpu().numpy(), "t": t, "axes": axes}

    def _attributes(self) -> dict[str, str]:
        """Context, recipe and side lengths as JSON."""
        values: dict[str, Any] = {"context": dict(self.context), "recipe": dict(self.recipe)}
        if self.grid is not None:
            values["length"] = list(self.grid.length)
        return {name: json.dumps(value) for name, value in values.items()}


def _check_kinds(run: Any, system: Any) -> None:
    for name, value, kind in (("run", run, Trajectory), ("system", system, System)):
        if not isinstance(value, kind):
            raise ValueError(f"{name}={described(value)}: must be a {kind.__name__}")


def _unfit(run: Trajectory, system: System) -> str:
    """One line where the frames of a run make no data on the grid of `system`, else ""."""
    own, axes = state_axes(system), run.axes
    if list(own) != list(axes) or any(not np.array_equal(own[x], axes[x]) for x in own):
        return f"its states or grid are not those of {system.name}"
    if run.reason:
        return f"ended early, {run.reason}"
    return "" if len(run) > 1 else "has a single frame, data need 2 or more"


def context_of(system: System) -> dict[str, Any]:
    """What a model must know of the system it learns: name, operator, parameters, G."""
    context = {"system": system.name, "parameters": dict(system.values)}
    if system.operator is not None:
        context["operator"] = system.operator
    structure = specification_of(system)
    if structure is not None:
        context["structure"] = structure
    return context
