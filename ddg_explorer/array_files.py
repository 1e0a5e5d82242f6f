"""Arrays in files: netCDF-4 (`.nc`, through xarray and h5netcdf) and NumPy archives (`.npz`).

Trajectories have dimensions `time, *batch, channel, *grid` (`component` for an ODE). What is read
is taken to come from anybody: a damaged or oversized file is a ValueError of one line, and nothing
is unpickled.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.io import existing, one_line

if TYPE_CHECKING:
    import xarray as xr

TRAJECTORY_SUFFIXES = (".nc", ".npz")
ARRAY_BYTES = 4 << 30
"""Bytes that one array of a file may take in memory unless the caller says otherwise."""
NO_NETCDF = "is no netCDF-4 file, or damaged"
UNREADABLE = "array {!r} is damaged, or holds no plain numbers"
TIME = ("time", "t")
TRAJECTORY = ("trajectory", "trial", "batch")
AXES = ("x", "y", "z")
"""What the dimensions of a file, and the columns of a table, are called."""
TRUE_LANE = "truth"
"""Group of a history that the page has saved, one group a lane, whose states are the true ones."""


def netcdf_content(groups: Mapping[str, xr.Dataset], unlimited: tuple[str, ...] = ()) -> io.BytesIO:
    """A netCDF-4 file of datasets by group, "" for the file itself.

    Made in memory: HDF5 ends the process where a disk fills up under it.
    """
    import h5netcdf
    from xarray.backends import H5NetCDFStore

    content = io.BytesIO()
    with h5netcdf.File(content, "w") as file:
        for name, dataset in groups.items():
            store = H5NetCDFStore(file.create_group(name) if name else file)
            dataset.dump_to_store(store, unlimited_dims=unlimited)
    return content


def write_netcdf(dataset: xr.Dataset, path: Path) -> None:
    """Write `dataset` to `path` with a time dimension that `append_netcdf` can extend."""
    path.write_bytes(netcdf_content({"": dataset}, unlimited=("time",)).getbuffer())


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


class Archive(Mapping[str, np.ndarray]):
    """Arrays of an open `.npz` by name, each read when it is asked for; see `open_npz`."""

    def __init__(self, file: zipfile.ZipFile, limit: int) -> None:
        self._file, self._limit = file, limit
        self._members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __getitem__(self, name: str) -> np.ndarray:
        member = self._members[name]
        check_size(f"array {name!r}", member.file_size, self._limit)
        with _refusing(UNREADABLE.format(name)):
            return _array(self._file.read(member))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array, which is not read for it."""
        with _refusing(UNREADABLE.format(name)), self._file.open(self._members[name]) as stream:
            return _header(stream)[0]

    def nodes(self, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Node coordinates of the last dimensions of an array of this shape, by axis.

        They are called axis_x, or x where they have as many points as the array has there.
        """
        found = {name: self[f"axis_{name}"] for name in AXES if f"axis_{name}" in self}
        if found:
            return found
        count = next((k for k, name in enumerate(AXES) if name not in self), len(AXES))
        sizes = [self.shape(name) for name in AXES[:count]]
        fit = 0 < count < len(shape) and sizes == [(n,) for n in shape[-count:]]
        return {name: self[name] for name in AXES[:count]} if fit else {}


@contextmanager
def open_npz(path: Path, limit: int = ARRAY_BYTES) -> Iterator[Archive]:
    """The arrays of a NumPy archive of any origin.

    Those of more than `limit` bytes are refused by what the archive says of them, before they are
    decompressed.

    Raises
    ------
    ValueError
        One line for a file that is no archive, and when an array is read that is damaged, too large
        or holds Python objects.
    """
    try:
        file = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        raise ValueError("is no NumPy archive, or damaged") from None
    with file:
        yield Archive(file, limit)


def _array(data: bytes) -> np.ndarray:
    """The array of a `.npy` file, read-only."""
    stream = io.BytesIO(data)
    shape, columns_first, dtype = _header(stream)
    if dtype.hasobject:
        raise ValueError("Python objects")
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if columns_first else "C")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether its columns come first, and dtype of a `.npy` file."""
    version = np.lib.format.read_magic(stream)
    header = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
    return getattr(np.lib.format, header)(stream)


@contextmanager
def open_netcdf(path: Path, group: str | None = None) -> Iterator[xr.Dataset]:
    """A netCDF-4 file, or one group of it, as a dataset that reads what is asked for.

    A file that is none is a ValueError of one line.
    """
    import xarray as xr

    with _refusing(NO_NETCDF):
        dataset = xr.open_dataset(path, engine="h5netcdf", group=group)
    with dataset:
        yield dataset


@contextmanager
def _refusing(line: str) -> Iterator[None]:
    """ValueError with this line for whatever goes wrong in a library that takes a file apart.

    zipfile, its decompressors, NumPy, HDF5, h5netcdf and xarray each have errors of their own.
    """
    try:
        yield
    except Exception:
        raise ValueError(line) from None


def check_size(name: str, size: int, limit: int) -> None:
    """ValueError for more than `limit` bytes."""
    if size > limit:
        raise ValueError(f"{name} takes {size >> 20} MiB, at most {limit >> 20} are read")


def real_numbers(array: np.ndarray, name: str) -> np.ndarray:
    """A copy in native byte order; ValueError for what is not real numbers of up to 64 bits, or
    has masked ones."""
    if np.ma.is_masked(array):
        raise ValueError(f"{name}: has masked values: fill them or leave them out")
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise ValueError(f"{name}: must be real numbers of up to 64 bits, not {array.dtype}")
    return np.array(array, dtype=array.dtype.newbyteorder("="))


def floating(array: np.ndarray, name: str) -> np.ndarray:
    """A copy in float32, where the array is, else in float64; ValueError as `real_numbers`."""
    numbers = real_numbers(array, name)
    return numbers if numbers.dtype == np.float32 else numbers.astype(np.float64, copy=False)


def read_state(path: str | Path, frame: int = -1, limit: int = ARRAY_BYTES) -> Tensor:
    """One state of a saved trajectory, or one of each trajectory of saved data.

    It has shape (*batch, *state_shape), a field with its channel, and the dtype it was saved in.

    Parameters
    ----------
    path
        A `.nc` or `.npz` file with a variable `u` over time. In an `.npz` time comes first in a
        run, and in data where `t` or the layout of `read_dataset` says so; one without times and
        `dt` holds a single state. Of a history that the page has saved, the true system's lane.
    frame
        Which frame; the last one by default. Only this frame is read from a `.nc` file.
    limit
        Bytes of the array that has to be read for it.

    Raises
    ------
    ValueError
        For a file that does not exist, is not such a file, has no such frame, or does not tell
        which dimension is time.
    """
    path, suffix = existing(path, TRAJECTORY_SUFFIXES)
    read = _npz_frame if suffix == ".npz" else _netcdf_frame
    try:
        return torch.from_numpy(real_numbers(read(path, frame, limit), "u"))
    except IndexError:
        raise ValueError(f"path={str(path)!r}: has no frame={frame}") from None
    except KeyError:
        raise ValueError(f"path={str(path)!r}: has no variable 'u' over time") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"path={str(path)!r}: cannot be read ({one_line(error)})") from None


def _npz_frame(path: Path, frame: int, limit: int) -> np.ndarray:
    with open_npz(path, limit) as file:
        u = file["u"]
        if "converged" in file:
            return u[frame]
        t = next((file[name] for name in TIME if name in file), None)
        if (t is None and "dt" not in file) or (t is not None and t.ndim == 0):
            return u
        axes = len(file.nodes(u.shape)) or (file["length"].size if "length" in file else 0)
        time = _time_axis(u.shape, None if t is None else t.size, axes, "attributes" in file)
    state = np.take(u, frame, time)
    return np.expand_dims(state, -axes - 1) if axes and state.ndim == axes + time else state


def _time_axis(shape: tuple[int, ...], frames: int | None, axes: int, saved: bool) -> int:
    """0, or 1 behind trajectories, as they stand in data that the package has `saved`."""
    if frames is None:
        places = {1 + axes: [0], 3 + axes: [1]}.get(len(shape), [0, 1])
    else:
        places = [k for k, n in enumerate(shape[:2]) if n == frames]
        if not places:
            raise ValueError(f"time has {frames} points, u has shape {shape}")
    if len(places) == 1 or frames == 1:
        return places[0]
    if saved:
        return 1
    raise ValueError(f"time may be either of the first two of {shape}: save u of one time, alone")


def _netcdf_frame(path: Path, frame: int, limit: int) -> np.ndarray:
    with open_netcdf(path, _group_of_states(path)) as dataset:
        array = dataset["u"]
        time = [name for name in array.dims if name in TIME]
        if not time:
            raise KeyError("time")
        state = array.isel({time[0]: frame})
        check_size("u", state.nbytes, limit)
        dims = [str(name) for name in state.dims]
        axes = [name for name in AXES if name in dims]
        inner = [name for name in ("component", "channel") if name in dims]
        batch = [name for name in dims if name not in (*inner, *axes)]
        values = state.load().transpose(*batch, *inner, *axes).values
        whole = inner or not all(is_trajectory(name) for name in batch)
        return values if whole else np.expand_dims(values, -len(axes) - 1)


def is_trajectory(name: str) -> bool:
    """Whether a dimension of that name counts trajectories: as usual, or as runs are saved."""
    return name in TRAJECTORY or name.startswith("batch")


def _group_of_states(path: Path) -> str | None:
    """The group that holds `u`, the true lane's before others; None where the file itself does."""
    import h5netcdf

    with _refusing(NO_NETCDF), h5netcdf.File(path) as file:
        groups = [name for name, group in file.groups.items() if "u" in group.variables]
        if "u" in file.variables or not groups:
            return None
    return TRUE_LANE if TRUE_LANE in groups else groups[0]
