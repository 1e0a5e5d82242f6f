"""Files: written under another name and renamed when complete, so none is ever half written.

Trajectories are netCDF-4 (`.nc`, through xarray and h5netcdf) or NumPy archives (`.npz`), with
dimensions `time, *batch, channel, *grid` (`component` for an ODE).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import xarray as xr

TRAJECTORY_SUFFIXES = (".nc", ".npz")


def checked_path(path: str | Path, suffixes: Sequence[str]) -> Path:
    """`path`, if it ends in one of `suffixes` and its folder exists; else ValueError."""
    path = Path(path)
    if path.suffix not in suffixes:
        raise ValueError(f"path={str(path)!r}: must end in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise ValueError(f"path={str(path)!r}: the folder {str(path.parent)!r} does not exist")
    return path


def temporary_beside(path: Path) -> Path:
    """A new empty hidden file in the folder of `path`, so that a rename to it is atomic."""
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(8)}{path.suffix}")
    temporary.touch(exist_ok=False)
    return temporary


def publish(temporary: Path, path: Path) -> None:
    """Rename a complete file to its final name, once its bytes are on the disk."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary file that becomes `path` on success and vanishes on any exception.

    >>> with atomic("result.json") as file:
    ...     file.write_text("{}")
    """
    target = Path(path)
    temporary = temporary_beside(target)
    try:
        yield temporary
        publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_netcdf(dataset: xr.Dataset, path: Path) -> None:
    """Write `dataset` to `path` with a time dimension that `append_netcdf` can extend."""
    dataset.to_netcdf(path, engine="h5netcdf", unlimited_dims=("time",))


def append_netcdf(dataset: xr.Dataset, path: Path) -> None:
    """Append every variable of `dataset` that has a time dimension to the file's own."""
    import h5netcdf

    with h5netcdf.File(path, "a") as file:
        start = file.dimensions["time"].size
        stop = start + dataset.sizes["time"]
        file.resize_dimension("time", stop)
        for name, variable in dataset.variables.items():
            if "time" in variable.dims:
                file.variables[name][start:stop] = variable.values


def amend_netcdf(path: Path, variable: str, values: np.ndarray, **attributes: str) -> None:
    """Overwrite one variable without a time dimension, and set attributes of the file."""
    import h5netcdf

    with h5netcdf.File(path, "a") as file:
        file.variables[variable][...] = values
        file.attrs.update(attributes)


def read_state(path: str | Path, frame: int = -1) -> Tensor:
    """One state of a saved trajectory, (*batch, *state_shape), in the dtype it was saved in.

    Parameters
    ----------
    path
        A `.nc` or `.npz` file with a variable `u`, time first. An `.npz` without `t` holds a single
        state.
    frame
        Which frame; the last one by default. Only this frame is read from a `.nc` file.

    Raises
    ------
    ValueError
        For a file that does not exist, is not such a file, or has no such frame.
    """
    path = checked_path(path, TRAJECTORY_SUFFIXES)
    if not path.is_file():
        raise ValueError(f"path={str(path)!r}: no such file")
    try:
        state = _read_npz(path, frame) if path.suffix == ".npz" else _read_netcdf(path, frame)
    except IndexError:
        raise ValueError(f"frame={frame}: {str(path)!r} has fewer frames") from None
    except KeyError:
        raise ValueError(f"path={str(path)!r}: has no variable 'u'") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"path={str(path)!r}: cannot be read ({error})") from None
    return torch.from_numpy(np.array(state))


def _read_npz(path: Path, frame: int) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return file["u"][frame] if "t" in file else file["u"]


def _read_netcdf(path: Path, frame: int) -> np.ndarray:
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        return dataset["u"].isel(time=frame).values
