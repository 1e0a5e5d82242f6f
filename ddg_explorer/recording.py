"""A rollout that is being recorded, in memory or into a netCDF file as it goes.

With F = 1 + ⌈steps / save_every⌉ frames of B trajectories with C channels, a recording holds

    F · (state bytes + 8 B (4 + C))     in memory, or
    F · 8 B (4 + C) + 2 · BUFFER_BYTES  with the states streamed to a file,

known beforehand; above `MEMORY_LIMIT` it is refused with a ValueError that says what to change.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from ddg_explorer.array_files import amend_netcdf, append_netcdf, write_netcdf
from ddg_explorer.frames import Frame
from ddg_explorer.io import checked_path, publish, temporary_beside, versions
from ddg_explorer.rollout import Rollout, checked_count
from ddg_explorer.trajectory import CHUNK_BYTES, Trajectory, state_axes

MEMORY_LIMIT = 4 * 2**30
"""Bytes (4 GiB) a recording may hold in memory unless the caller says otherwise."""
BUFFER_BYTES = 16 * 2**20
"""Bytes of frames collected before they are appended to a file; at least one frame."""


class Recording:
    """A rollout that is being recorded; iterating over it advances it frame by frame.

    A loop that was left can be taken up again: it goes on to frame `steps`. A context manager: what
    was streamed to a file is discarded unless `finish` was reached.

    >>> with Recording(rollout, steps=1000, path="run.nc") as recording:
    ...     for frame in recording:
    ...         show_progress(frame.step)
    ...     trajectory = recording.finish()

    Parameters
    ----------
    rollout
        A rollout; its present frame becomes frame 0.
    steps, save_every, path, memory_limit
        As for `simulate`.
    seed
        Of the initial state, for the recipe.
    """

    def __init__(
        self,
        rollout: Rollout,
        steps: int,
        *,
        save_every: int = 1,
        path: str | Path | None = None,
        seed: int | None = None,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        self.rollout, self.steps = rollout, checked_count("steps", steps, 0)
        self.save_every = checked_count("save_every", save_every, 1)
        self.path = None if path is None else checked_path(path, (".nc",))
        self._recipe = recipe(rollout, self.steps, self.save_every, seed)
        self._note = note_of(rollout)
        self._axes = state_axes(rollout.dynamics)
        self._scale = (rollout.truth or rollout.dynamics).energy_scale
        self._temporary: Path | None = None
        self._finished: Trajectory | None = None
        self._ended = ""
        self._count = self._flushed = self._taken = 0
        self._allocate(memory_limit)
        self._add(rollout.frame)

    def __iter__(self) -> Iterator[Frame]:
        """Advance, record and yield what is left, frame after frame; ends at the last one or at a
        failure.

        ValueError where the recording has ended: it was finished, or a rollout that had stopped
        was made to go on.
        """
        if self._ended and not self.rollout.stopped:
            raise ValueError(f"recording: {self._ended}; begin another one")
        recorded = self.rollout.steps
        for frame in self.rollout.frames(self.steps - self._taken, self.save_every):
            if frame.step > recorded:
                self._add(frame)
                self._taken += frame.step - recorded
                recorded = frame.step
            self._ended = frame.reason
            yield frame

    def finish(self, interrupted: str = "") -> Trajectory:
        """The trajectory recorded so far; completes the file where one is written.

        `interrupted` is recorded as the reason where the caller ended a sound run early. The
        recording ends with it: a second call gives the same trajectory.
        """
        if self._finished is None:
            self._finished = self._completed(self.rollout.stopped or interrupted)
            self._ended = "is finished"
        return self._finished

    def _completed(self, reason: str) -> Trajectory:
        if self.path is None:
            return self._part(0, self._count, self._states[: self._count], reason)
        self._flush()
        if self._temporary is not None:
            converged = self.rollout.frame.converged.cpu().numpy()
            amend_netcdf(self._temporary, "converged", converged, reason=reason)
            publish(self._temporary, self.path)
        return self._part(0, self._count, self.path, reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)

    def _allocate(self, memory_limit: int) -> None:
        frame = self.rollout.frame
        count = 1 + math.ceil(self.steps / self.save_every)
        held = count
        if self.path is not None:
            held = max(1, min(count, BUFFER_BYTES // max(1, frame.u.nbytes)))
        numbers = _numbers(frame)
        need = count * sum(value.nbytes for value in numbers.values())
        # A buffer is copied once on its way into the file.
        need += held * frame.u.nbytes * (1 if self.path is None else 2)
        if need > memory_limit:
            raise ValueError(
                f"steps={self.steps}: {count} frames need {need / 2**30:.3g} GiB of memory, the "
                f"limit is {memory_limit / 2**30:.3g} GiB; save fewer frames (save_every)"
                f"{'' if self.path else ' or stream them to a .nc file (path)'}"
            )
        self._columns = {
            name: torch.empty((count, *value.shape), dtype=value.dtype)
            for name, value in numbers.items()
        }
        self._states = torch.empty((held, *frame.u.shape), dtype=frame.u.dtype)

    def _add(self, frame: Frame) -> None:
        for name, value in _numbers(frame).items():
            self._columns[name][self._count].copy_(value)
        self._states[self._count - self._flushed].copy_(frame.u)
        self._count += 1
        if self.path is not None and self._count - self._flushed == self._states.shape[0]:
            self._flush()

    def _flush(self) -> None:
        """Move the buffered frames to the temporary file."""
        held = self._count - self._flushed
        if self.path is None or not held:
            return
        part = self._part(self._flushed, self._count, self._states[:held], "").to_xarray()
        try:
            if self._temporary is None:
                self._temporary = temporary_beside(self.path)
                write_netcdf(part, self._temporary)
            else:
                self._check_space(part.nbytes)
                append_netcdf(part, self._temporary)
        except OSError as error:
            error.filename = str(self.path)
            raise
        self._flushed = self._count

    def _check_space(self, size: int) -> None:
        """OSError where the disk lacks the room: HDF5 ends the process where it fills up."""
        assert self.path is not None
        if shutil.disk_usage(self.path.parent).free < size + CHUNK_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _part(self, start: int, stop: int, states: Tensor | Path, reason: str) -> Trajectory:
        columns: dict[str, Any] = {k: value[start:stop] for k, value in self._columns.items()}
        return Trajectory(
            mass=columns.pop("mass", None),
            converged=self.rollout.frame.converged.cpu(),
            reason=reason,
            note=self._note,
            states=states,
            axes=self._axes,
            energy_scale=self._scale,
            recipe=self._recipe,
            **columns,
        )


def _numbers(frame: Frame) -> dict[str, Tensor]:
    """What a frame adds to the trajectory besides its state."""
    numbers = {
        "t": torch.tensor(frame.t, dtype=torch.float64),
        "energy": frame.energy,
        "own_energy": frame.own_energy,
        "mass": frame.mass,
        "residual": frame.residual,
        "iterations": frame.iterations,
    }
    return {name: value for name, value in numbers.items() if value is not None}


def note_of(rollout: Rollout) -> str:
    """One line where a model runs at another Δt or with another scheme than it learned, else ""."""
    if not rollout.dynamics.is_learned:
        return ""
    from ddg_explorer.models.own_step import step_note

    return step_note(rollout.dynamics, rollout.dt, rollout.integrator.name)


def recipe(rollout: Rollout, steps: int, save_every: int, seed: int | None) -> dict[str, Any]:
    """What it takes to repeat a run, in plain types: system, scheme, numbers, versions, date."""
    system, u = rollout.truth or rollout.dynamics, rollout.u
    grid, integrator = rollout.dynamics.grid, rollout.integrator
    # all other schemes evaluate a formula and have nothing to tolerate
    solves = integrator.implicit or integrator.adaptive
    # a model that learns its G has a module of this name
    operator = getattr(system, "operator", None)
    return {
        "system": getattr(system, "name", type(system).__name__),
        "model": getattr(rollout.dynamics, "key", None),
        "preset": getattr(system, "preset", None),
        "parameters": {**getattr(system, "values", {}), **getattr(system, "chosen", {})},
        "structure": getattr(system, "structure_key", None),
        "operator": operator if isinstance(operator, str) else None,
        "n": None if grid is None else list(grid.shape),
        "length": None if grid is None else list(grid.length),
        "integrator": integrator.name,
        "tol": integrator.tolerance(u.dtype) if solves else None,
        "dt": rollout.dt,
        "steps": steps,
        "save_every": save_every,
        "seed": seed,
        "dtype": str(u.dtype).removeprefix("torch."),
        "device": u.device.type,
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
