"""Files: atomic, complete or absent, and equal to what was saved when read back."""

import errno
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5netcdf
import numpy as np
import pytest
import torch
import xarray as xr

from ddg_explorer.array_files import open_npz, read_state
from ddg_explorer.data import Dataset
from ddg_explorer.grids import Grid
from ddg_explorer.io import atomic, checked_path
from ddg_explorer.own_data import read_dataset
from ddg_explorer.trajectory import LONG_NAMES, Trajectory, load_trajectory

GRID = Grid((4, 6), (1.0, 3.0))


def make_trajectory(
    dtype: torch.dtype = torch.float64, batch: tuple[int, ...] = (3,)
) -> Trajectory:
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    x, y = (np.arange(n) * h for n, h in zip(GRID.shape, GRID.spacing, strict=True))
    return Trajectory(
        t=torch.arange(5, dtype=torch.float64) * 0.1,
        energy=draw(5, *batch),
        own_energy=draw(5, *batch),
        mass=draw(5, *batch, 2),
        residual=draw(5, *batch),
        iterations=torch.randint(9, (5, *batch), generator=generator),
        converged=torch.ones(batch, dtype=torch.bool),
        reason="stopped at t = 0.4: a reason",
        states=draw(5, *batch, 2, 4, 6),
        axes={"channel": np.arange(2), "x": x, "y": y},
        energy_scale=2.5,
        recipe={"system": "test", "dt": 0.1, "n": [4, 6], "parameters": {"gamma": 1e-3}, "seed": 7},
    )


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_round_trip_is_exact(
    tmp_path: Path, suffix: str, dtype: torch.dtype, batch: tuple[int, ...]
) -> None:
    saved = make_trajectory(dtype, batch)
    path = saved.save(tmp_path / f"run{suffix}")
    read = load_trajectory(path)
    for name in LONG_NAMES:
        one, other = getattr(saved, name), getattr(read, name)
        assert one.dtype == other.dtype
        assert torch.equal(one, other), name
    assert read.reason == saved.reason
    assert read.energy_scale == saved.energy_scale
    assert read.recipe == saved.recipe
    assert list(read.axes) == list(saved.axes)
    assert all(np.array_equal(read.axes[k], saved.axes[k]) for k in saved.axes)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_dataset_has_dimensions_coordinates_and_units() -> None:
    dataset = make_trajectory().to_xarray()
    assert dataset["u"].dims == ("time", "batch", "channel", "x", "y")
    assert dataset["energy"].dims == ("time", "batch")
    assert dataset["mass"].dims == ("time", "batch", "channel")
    np.testing.assert_allclose(dataset["y"], np.arange(6) * 0.5)
    assert all(dataset[name].attrs["units"] == "1" for name in ("u", "energy", "time", "x"))
    assert dataset.attrs["system"] == "test"
    ode = make_trajectory()
    ode = Trajectory(**{**vars(ode), "mass": None, "axes": {"component": np.arange(2)}})
    flat = Trajectory(**{**vars(ode), "states": ode.u[..., 0, 0]}).to_xarray()
    assert flat["u"].dims == ("time", "batch", "component")
    assert "mass" not in flat


def test_time_of_a_netcdf_file_can_grow(tmp_path: Path) -> None:
    path = make_trajectory().save(tmp_path / "run.nc")
    with h5netcdf.File(path) as file:
        assert file.dimensions["time"].isunlimited()
        assert not file.dimensions["x"].isunlimited()
    with xr.open_dataset(path) as dataset:
        assert dataset.sizes["time"] == 5


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
def test_one_state_is_read_by_frame(tmp_path: Path, suffix: str) -> None:
    saved = make_trajectory()
    path = saved.save(tmp_path / f"run{suffix}")
    assert torch.equal(read_state(path), saved.u[-1])
    assert torch.equal(read_state(path, frame=0), saved.u[0])
    with pytest.raises(ValueError, match="frame=5"):
        read_state(path, frame=5)


def test_archive_without_times_is_a_single_state(tmp_path: Path) -> None:
    np.savez(tmp_path / "state.npz", u=np.arange(3.0))
    assert read_state(tmp_path / "state.npz").tolist() == [0.0, 1.0, 2.0]


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", w=np.arange(3.0))
    (tmp_path / "broken.nc").write_bytes(b"not a file of this kind")
    (tmp_path / "broken.npz").write_bytes(b"not a file of this kind")
    np.savez(tmp_path / "pickle.npz", u=np.array([{}], dtype=object), t=np.zeros(1))
    for name in ("other.npz", "broken.nc", "broken.npz", "pickle.npz", "missing.nc", "state.mat"):
        with pytest.raises(ValueError, match=name):
            read_state(tmp_path / name)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return stream.getvalue()


def flipped(data: bytes) -> bytes:
    """With one byte of the first member's content changed: its CRC no longer fits."""
    at = data.index(b"NUMPY") + 200
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def saved(suffix: str, tmp_path: Path) -> bytes:
    return make_trajectory().save(tmp_path / f"whole{suffix}").read_bytes()


TOO_LARGE = npy(np.zeros(2)).replace(b"(2,)", b"(9,)")
DAMAGED: dict[str, Callable[[Path], bytes]] = {
    "empty.npz": lambda _: b"",
    "empty.nc": lambda _: b"",
    "truncated.npz": lambda path: saved(".npz", path)[:900],
    "truncated.nc": lambda path: saved(".nc", path)[:900],
    "crc.npz": lambda path: flipped(saved(".npz", path)),
    "one.npz": lambda _: npy(np.zeros((4, 3, 2))),
    "strings.npz": lambda _: archive(u=npy(np.array([[["a"]] * 3] * 2)), t=npy(np.arange(2.0))),
    "complex.npz": lambda _: archive(u=npy(np.ones((2, 3, 2)) * 1j), t=npy(np.arange(3.0))),
    "objects.npz": lambda _: archive(u=npy(np.array([{}], dtype=object)), t=npy(np.arange(1.0))),
    "lying.npz": lambda _: archive(u=TOO_LARGE, t=npy(np.arange(2.0))),
    "junk.npz": lambda _: archive(u=b"\x93NUMPY\x01\x00\x08\x00{'a' : (", t=b""),
    "notes.npz": lambda _: archive(
        **{name: npy(np.zeros((3, 3, 2))) for name in LONG_NAMES},
        attributes=npy(np.array("[1, 2]")),
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("read", [read_state, load_trajectory, read_dataset])
def test_damaged_files_are_one_line(name: str, read: Callable, tmp_path: Path) -> None:
    """With the file's name, and without advice to unpickle what comes from anywhere."""
    path = tmp_path / name
    path.write_bytes(DAMAGED[name](tmp_path))
    if name == "notes.npz" and read is read_state:
        assert read(path).shape == (3, 2)
        return
    with pytest.raises(ValueError, match=name) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert "pickle" not in str(caught.value)


def test_states_are_real_numbers_in_native_order(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    for u in (np.ones(2) * 1j, np.array(["1", "2"]), np.array([True])):
        np.savez(path, u=u)
        with pytest.raises(ValueError, match="u: must be real numbers"):
            read_state(path)
    np.savez(path, u=np.array([1.0, 2.0], dtype=">f8"))
    assert read_state(path).tolist() == [1.0, 2.0]


def test_an_array_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "zeros.npz"
    path.write_bytes(archive(u=npy(np.zeros((3, 1 << 20))), t=npy(np.arange(3.0))))
    assert path.stat().st_size < 1 << 18
    with pytest.raises(ValueError, match="array 'u' takes 24 MiB, at most 16 are read"):
        read_state(path, limit=16 << 20)
    with open_npz(path, limit=1 << 20) as file:
        assert list(file) == ["u", "t"]
        assert file["t"].tolist() == [0, 1, 2]
    make_trajectory().save(tmp_path / "run.nc")
    with pytest.raises(ValueError, match="u takes 0 MiB"):
        read_state(tmp_path / "run.nc", limit=64)


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
def test_suffixes_may_be_in_capitals(suffix: str, tmp_path: Path) -> None:
    run = make_trajectory()
    path = run.save(tmp_path / f"run{suffix}").rename(tmp_path / f"RUN{suffix.upper()}")
    assert torch.equal(read_state(path), run.u[-1])
    assert torch.equal(load_trajectory(path).u, run.u)
    assert read_dataset(path).trajectories == 3


@pytest.mark.parametrize("bad", ["run.csv", "run", "run.NC", "nowhere/run.nc"])
def test_bad_names_are_refused_before_any_work(tmp_path: Path, bad: str) -> None:
    with pytest.raises(ValueError, match=r"run|nowhere"):
        make_trajectory().save(tmp_path / bad)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text("old")

    def write_half() -> None:
        with atomic(target) as file:
            file.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    with atomic(target) as file:
        assert file.parent == tmp_path
        file.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


NO_ROOM = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from test_io import make_trajectory
from ddg_explorer.data import Dataset
whole = make_trajectory(batch=(200,))
data = Dataset(whole.u.transpose(0, 1).flatten(2), 0.1)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
for name in sys.argv[2:]:
    try:
        (data if "data" in name else whole).save(name)
    except OSError as error:
        print(error.filename)
"""


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    """A limit on the size of files stops a write as a full disk does."""
    pytest.importorskip("resource")
    paths = [str(tmp_path / name) for name in ("run.nc", "run.npz", "data.nc")]
    command = [sys.executable, "-c", NO_ROOM, str(Path(__file__).parent), *paths]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == paths
    assert list(tmp_path.iterdir()) == []


def test_checked_path_accepts_what_it_should(tmp_path: Path) -> None:
    assert checked_path(tmp_path / "a.nc", (".nc",)) == tmp_path / "a.nc"


def test_a_path_that_cannot_be_written_is_refused_beforehand(tmp_path, monkeypatch) -> None:
    (tmp_path / "a.nc").mkdir()
    with pytest.raises(ValueError, match=r"a\.nc': is a folder"):
        checked_path(tmp_path / "a.nc", (".nc",))

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "hidden")

    monkeypatch.setattr(Path, "touch", denied)
    with pytest.raises(ValueError, match=r"b\.nc': cannot be written \(Permission denied\)"):
        checked_path(tmp_path / "b.nc", (".nc",))
    with pytest.raises(PermissionError, match="denied"), atomic(tmp_path / "b.nc"):
        pass


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
@pytest.mark.parametrize("frames", [3, 7])
def test_of_saved_data_the_last_state_of_every_trajectory_is_read(
    suffix: str, frames: int, tmp_path: Path
) -> None:
    """Also of as many trajectories as frames; times are not taken for a batch."""
    u = torch.arange(3.0 * frames * 2, dtype=torch.float64).reshape(3, frames, 2)
    path = Dataset(u, 0.1).save(tmp_path / f"data{suffix}")
    assert torch.equal(read_state(path), u[:, -1])
    assert torch.equal(read_state(path, frame=1), u[:, 1])


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
@pytest.mark.parametrize("name", ["time", "t"])
def test_a_field_without_a_channel_gets_one(suffix: str, name: str, tmp_path: Path) -> None:
    """As `read_dataset` reads it: of many trajectories, of one, and in any order of dimensions."""
    u, t, x = np.random.default_rng(0).normal(size=(3, 5, 8)), np.arange(5.0), np.arange(8.0)
    path = tmp_path / f"data{suffix}"
    for array, dims in ((u, ("trial", name, "x")), (u[0], (name, "x"))):
        if suffix == ".npz":
            np.savez(path, u=array, axis_x=x, **{name: t})
        else:
            data = xr.Dataset({"u": (dims, array)}, {name: t, "x": x})
            data.transpose(*dims[::-1]).to_netcdf(path, engine="h5netcdf")
        last = torch.from_numpy(array[..., -1, :])
        assert torch.equal(read_state(path), last.unsqueeze(-2))
        whole = read_dataset(path).u
        assert torch.equal(read_state(path), whole[:, -1] if array.ndim == 3 else whole[0, -1])


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"u": (3, 5, 2), "dt": 0.1}, np.s_[:, -1]),
        ({"u": (5, 2), "t": np.arange(5.0)}, np.s_[-1]),
        ({"u": (5, 3, 2), "t": np.arange(5.0)}, np.s_[-1]),
        ({"u": (3, 2), "t": 4.0}, np.s_[:]),
        ({"u": (3, 5, 8), "t": np.arange(5.0), "length": 2.0}, np.s_[:, -1, None]),
        ({"u": (3, 5, 1, 8), "dt": 0.1, "length": 2.0}, np.s_[:, -1]),
        ({"u": (5, 5, 2), "t": np.arange(5.0)}, "time may be either of the first two of"),
        ({"u": (5, 2), "dt": 0.1}, r"time may be either of the first two of \(5, 2\)"),
        ({"u": (3, 5, 2), "t": np.arange(4.0)}, r"time has 4 points, u has shape \(3, 5, 2\)"),
    ],
)
def test_where_time_stands_in_an_archive(arrays: dict, found: object, tmp_path: Path) -> None:
    u = np.random.default_rng(0).normal(size=arrays["u"])
    np.savez(tmp_path / "a.npz", **{**arrays, "u": u})
    if isinstance(found, str):
        with pytest.raises(ValueError, match=found):
            read_state(tmp_path / "a.npz")
    else:
        assert torch.equal(read_state(tmp_path / "a.npz"), torch.from_numpy(u[found]))
