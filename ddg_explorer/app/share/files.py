"""States and histories of the lanes as files, and states that come back.

A state is an `.npz` with the true lane's `u`; a history is a netCDF-4 file with one group a lane,
each with `u (time, …)`, energies and mass, as `Trajectory.to_xarray` lays them out.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.app.share.record import Record
from ddg_explorer.array_files import netcdf_content, read_state
from ddg_explorer.io import named
from ddg_explorer.models.base import Model
from ddg_explorer.models.files import load_model

STATE_BYTES = 256 << 20
"""Memory that the array of an uploaded state may take."""


def state_file(record: Record) -> bytes:
    """The newest state as an `.npz` that `read_state` reads."""
    buffer = io.BytesIO()
    about = json.dumps({**record.about, "t": float(record.kept.times[-1])})
    np.savez(
        buffer, allow_pickle=False, u=record.kept.states[-1].cpu().numpy(), about=np.array(about)
    )
    return buffer.getvalue()


def history_file(records: Sequence[Record]) -> bytes:
    """All lanes' histories as one netCDF-4 file."""
    groups = {record.name: record.trajectory().to_xarray() for record in records}
    return netcdf_content(groups).getvalue()


def opened_state(name: str, data: bytes, shape: tuple[int, ...]) -> Tensor:
    """The last state in an uploaded `.npz` or `.nc` file, of a history the true lane's; float64.

    Raises
    ------
    ValueError
        One line for a file that cannot be read, another shape, or values that are not finite.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"state{Path(name).suffix}"
        path.write_bytes(data)
        try:
            u = read_state(path, limit=STATE_BYTES).double()
        except ValueError as error:
            raise named(error, path, name) from None
    if u.ndim == len(shape) + 1 and u.shape[0] == 1:
        u = u[0]
    if tuple(u.shape) != shape:
        raise ValueError(f"{name}: holds a state of shape {tuple(u.shape)}, this scene has {shape}")
    if not bool(torch.isfinite(u).all()):
        raise ValueError(f"{name}: has values that are not finite")
    return u


def models_file(records: Sequence[Record]) -> bytes:
    """The lanes' models as a `.zip` of checkpoints; ValueError where no lane has one of its own."""
    buffer = io.BytesIO()
    found = {r.name: r.kept.dynamics for r in records if isinstance(r.kept.dynamics, Model)}
    kept = {name: model for name, model in found.items() if model.recipe is not None}
    if not kept:
        raise ValueError("models: no lane runs a model as it was trained")
    with TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w") as archive:
        for name, model in kept.items():
            path = model.save(Path(folder) / f"{name}.safetensors")
            archive.write(path, path.name)
    return buffer.getvalue()


def opened_model(name: str, data: bytes) -> Model:
    """The model of an uploaded checkpoint; nothing in it is executed.

    Raises
    ------
    ValueError
        One line for a file that is no checkpoint.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(data)
        try:
            return load_model(path)
        except ValueError as error:
            raise named(error, path, name) from None
