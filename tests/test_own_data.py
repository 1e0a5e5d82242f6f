"""A person's own data: every layout gives the same Dataset, every fault one clear line."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import DT, motion, same, wave

from ddg_explorer import simulate
from ddg_explorer.models import ModelRecipe
from ddg_explorer.own_data import read_dataset
from ddg_explorer.systems import SYSTEMS


def test_npz_of_an_ode(tmp_path: Path) -> None:
    path, u = tmp_path / "motion.npz", motion()
    np.savez(path, u=u, t=DT * np.arange(6))
    assert same(read_dataset(path), u)
    np.savez(path, u=u)
    assert same(read_dataset(path, dt=DT), u)
    np.savez(path, u=u[0], t=3 + DT * np.arange(6))
    assert same(read_dataset(path), u[:1])
    np.savez(path, angles=u, other=np.zeros(3), time=DT * np.arange(6))
    assert same(read_dataset(path, variable="angles"), u)


def test_npz_that_notes_its_dt(tmp_path: Path) -> None:
    path, u = tmp_path / "motion.npz", motion()
    np.savez(path, u=u, dt=DT)
    assert same(read_dataset(path), u)
    assert same(read_dataset(path, dt=DT), u)
    np.savez(path, u=u, dt=[DT], t=DT * np.arange(6))
    assert same(read_dataset(path), u)


@pytest.mark.parametrize("shape", [(8,), (4, 6)])
def test_npz_that_notes_its_length(shape: tuple[int, ...], tmp_path: Path) -> None:
    path, u = tmp_path / "field.npz", wave(shape=shape)
    length = (2.0, 3.0)[: len(shape)]
    np.savez(path, u=u, dt=DT, length=length[0] if len(shape) == 1 else length)
    for data in (read_dataset(path), read_dataset(path, length=length)):
        assert same(data, u)
        assert data.grid is not None
        assert (data.grid.shape, data.grid.length) == (shape, length)
    with pytest.raises(ValueError, match=r"length=4.*: the file has 2"):
        read_dataset(path, length=tuple(2 * x for x in length))


@pytest.mark.parametrize("shape", [(8,), (4, 6)])
def test_npz_of_a_field(shape: tuple[int, ...], tmp_path: Path) -> None:
    """`length` or node coordinates make it a field."""
    path, u = tmp_path / "field.npz", wave(shape=shape)
    length = (2.0, 3.0)[: len(shape)]
    np.savez(path, u=u, t=DT * np.arange(5))
    data = read_dataset(path, length=length)
    assert same(data, u)
    assert data.grid is not None
    assert (data.grid.shape, data.grid.length) == (shape, length)
    axes = {
        f"axis_{name}": 0.1 + x / n * np.arange(n)
        for name, n, x in zip("xy", shape, length, strict=False)
    }
    np.savez(path, u=u[0], t=DT * np.arange(5), **axes)
    again = read_dataset(path)
    assert same(again, u[:1])
    assert again.grid is not None
    np.testing.assert_allclose(again.grid.length, length, rtol=1e-12)


def dataset_of(u: np.ndarray, dims: tuple[str, ...], **coordinates: np.ndarray):
    import xarray as xr

    return xr.Dataset({"u": (dims, u)}, {k: (k, v) for k, v in coordinates.items()})


def test_netcdf_in_any_order(tmp_path: Path) -> None:
    """Dimensions are known by name, wherever they stand; channel and trajectory may be missing."""
    u, t, x = wave(), DT * np.arange(5), 0.25 * np.arange(8)
    path = tmp_path / "field.nc"
    full = dataset_of(u, ("trajectory", "time", "channel", "x"), time=t, x=x)
    for order in (("trajectory", "time", "channel", "x"), ("x", "channel", "time", "trajectory")):
        full.transpose(*order).to_netcdf(path, engine="h5netcdf")
        data = read_dataset(path)
        assert same(data, u)
        assert data.grid is not None
        assert data.grid.length == (2.0,)
    bare = dataset_of(u[0, :, 0].T, ("x", "time"), time=t, x=x)
    bare.to_netcdf(path, engine="h5netcdf")
    assert same(read_dataset(path), u[:1])
    plane = wave(shape=(4, 6))
    dataset_of(plane[:, :, 0], ("batch", "time", "x", "y"), time=t).to_netcdf(
        path, engine="h5netcdf"
    )
    data = read_dataset(path, length=(1.0, 2.0))
    assert same(data, plane)
    motions = motion()
    dataset_of(motions, ("trajectory", "time", "component")).to_netcdf(path, engine="h5netcdf")
    assert same(read_dataset(path, dt=DT), motions)


def test_netcdf_dimensions_may_be_called_as_columns_of_a_table(tmp_path: Path) -> None:
    path, u = tmp_path / "motion.nc", motion()
    data = dataset_of(u, ("trial", "t", "component"), t=DT * np.arange(6))
    data.to_netcdf(path, engine="h5netcdf")
    assert same(read_dataset(path), u)
    both = dataset_of(u[:, :, :, None], ("t", "time", "component", "x"))
    both.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ValueError, match=r"dimensions \(t, time, component, x\), needs time"):
        read_dataset(path, dt=DT)


@pytest.mark.parametrize("start", [None, "2024-02-28T23:59:59.9"])
@pytest.mark.parametrize("unit", ["ns", "us"])
def test_dates_and_durations_are_seconds(start: str | None, unit: str, tmp_path: Path) -> None:
    path, u = tmp_path / "motion.nc", motion()
    t = (50_000 * np.arange(6)).astype("timedelta64[us]").astype(f"timedelta64[{unit}]")
    if start is not None:
        t = np.datetime64(start, unit) + t
    dataset_of(u, ("trajectory", "time", "component"), time=t).to_netcdf(path, engine="h5netcdf")
    assert same(read_dataset(path), u)
    np.savez(path.with_suffix(".npz"), u=u, t=t)
    assert same(read_dataset(path.with_suffix(".npz")), u)


def test_a_date_that_is_none_is_refused(tmp_path: Path) -> None:
    t = np.array([0, 1, 2, 3, "NaT", 5], dtype="timedelta64[s]")
    np.savez(tmp_path / "a.npz", u=motion(), t=t)
    with pytest.raises(ValueError, match="time: must be finite and increasing"):
        read_dataset(tmp_path / "a.npz")


def test_zarr_without_a_summary_of_its_metadata_is_read_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    pytest.importorskip("zarr")
    u, t = motion(), DT * np.arange(6)
    data = dataset_of(u, ("trajectory", "time", "component"), time=t)
    for summary in (False, True):
        path = tmp_path / f"{summary}.zarr"
        data.to_zarr(path, consolidated=summary)
        recwarn.clear()
        assert same(read_dataset(path), u)
        assert not recwarn.list


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
@pytest.mark.parametrize("name", ["pendulum", "kdv", "cahn_hilliard_2d", "wave"])
@pytest.mark.parametrize("batch", [None, 2])
def test_recorded_simulations_are_data(
    suffix: str, name: str, batch: int | None, tmp_path: Path
) -> None:
    """`Trajectory.save` files: frames, Δt between frames, grid, and the system they are of."""
    n = {"kdv": 16, "cahn_hilliard_2d": 12, "wave": 16}.get(name)
    system = SYSTEMS[name]() if n is None else SYSTEMS[name](n=n)
    run = simulate(system, system.initial(0, batch), steps=6, save_every=2)
    data = read_dataset(run.save(tmp_path / f"run{suffix}"))
    expected = run.u[None] if batch is None else run.u.transpose(0, 1)
    assert torch.equal(data.u, expected)
    assert data.dt == pytest.approx(2 * system.dt, rel=1e-12)
    assert (data.grid and data.grid.shape) == (system.grid and system.grid.shape)
    assert data.context["system"] == name
    assert ModelRecipe.fitting("node", data, hidden=2).build().misfit(system) == ""


def test_system_tells_grid_and_context(tmp_path: Path) -> None:
    system = SYSTEMS["kdv"]("published")
    path = tmp_path / "run.npz"
    run = simulate(system, system.initial(0, 2), steps=3)
    np.savez(path, u=run.u.transpose(0, 1).numpy(), t=run.t.numpy())
    data = read_dataset(path, system=system)
    assert data.grid == system.grid
    assert data.context["structure"] == {"kind": "d_dx", "operator": "finite_difference"}
    with pytest.raises(ValueError, match="40"):
        read_dataset(path, system=SYSTEMS["kdv"]("published", n=40))
    with pytest.raises(ValueError, match="needs"):
        read_dataset(path, system=SYSTEMS["pendulum"]())


KDV = SYSTEMS["kdv"]("published")


@pytest.mark.parametrize("suffix", [".npz", ".nc"])
def test_the_file_s_box_must_be_the_system_s(suffix: str, tmp_path: Path) -> None:
    """Training on another Δx than that of the data would go unnoticed."""
    assert KDV.grid is not None
    (n,), (length,) = KDV.grid.shape, KDV.grid.length
    u, t = wave(1, shape=(n,)), DT * np.arange(5)

    def write(spacing: float) -> Path:
        path, x = tmp_path / f"data{suffix}", spacing * np.arange(n)
        if suffix == ".npz":
            np.savez(path, u=u, t=t, axis_x=x)
        else:
            dims = ("trajectory", "time", "channel", "x")
            dataset_of(u, dims, time=t, x=x).to_netcdf(path, engine="h5netcdf")
        return path

    path = write(length / n)
    assert read_dataset(path, system=KDV).grid == KDV.grid
    assert read_dataset(path, system=KDV, length=length).grid == KDV.grid
    with pytest.raises(ValueError, match=f"length=3: kdv has {length:g}"):
        read_dataset(path, system=KDV, length=3.0)
    path = write(7.0)
    with pytest.raises(ValueError, match=f"length={7 * n}: kdv has {length:g}"):
        read_dataset(path, system=KDV)
    assert read_dataset(path, system=KDV, length=length).grid == KDV.grid


def test_length_with_a_system_without_a_grid(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, u=motion(), t=DT * np.arange(6))
    with pytest.raises(ValueError, match=r"length=1\.0: pendulum has no grid"):
        read_dataset(path, system=SYSTEMS["pendulum"](), length=1.0)


@pytest.mark.parametrize(("part", "even"), [(0.5, True), (2.0, False)])
def test_times_and_nodes_are_even_to_a_thousandth_of_a_step(
    part: float, even: bool, tmp_path: Path
) -> None:
    """One point is off by half, and by twice the tolerance."""
    path, t, x = tmp_path / "a.npz", np.arange(5.0), np.arange(8.0)
    for points in (t, x):
        off = points.copy()
        off[-1] += part * 1e-3
        np.savez(path, u=wave(), t=off if points is t else t, axis_x=off if points is x else x)
        if even:
            assert read_dataset(path).dt == pytest.approx(1, rel=1e-3)
        else:
            with pytest.raises(ValueError, match="steps are uneven"):
                read_dataset(path)


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        ("[1, 2]", "attribute 'attributes': must be a JSON object"),
        ("{", "attribute attributes='{': is no JSON"),
        ('{"context": 3}', "attribute 'context': must be a JSON object"),
        ('{"recipe": "[]"}', "attribute 'recipe': must be a JSON object"),
        ('{"system": "kdv", "parameters": "7"}', "attribute 'parameters': must be a JSON object"),
        ('{"length": {"x": 1}}', "attribute length=.*: must be numbers"),
    ],
)
def test_junk_in_attributes_is_one_line(attributes: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, u=motion(), t=DT * np.arange(6), attributes=np.array(attributes))
    with pytest.raises(ValueError, match=line) as error:
        read_dataset(path)
    assert "data.npz" in str(error.value)


def test_integers_and_single_precision(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, u=np.arange(12).reshape(2, 3, 2))
    assert read_dataset(path, dt=1).u.dtype == torch.float64
    np.savez(path, u=motion().astype(np.float32))
    assert read_dataset(path, dt=1).u.dtype == torch.float32


def spoil(change: Callable[[np.ndarray], object]) -> np.ndarray:
    u = motion()
    change(u)
    return u


T = DT * np.arange(6)
UNEVEN = T + np.array([0, 0, 0, 0.01, 0, 0])
NAN = spoil(lambda u: u.__setitem__((1, 2, 0), np.nan))


@pytest.mark.parametrize(
    ("arrays", "options", "line"),
    [
        ({"u": motion(), "t": UNEVEN}, {}, "time: steps are uneven, 0.06 after point 2"),
        ({"u": motion(), "t": T[::-1]}, {}, "time: must be finite and increasing"),
        ({"u": motion(), "t": T[None]}, {}, "time: must be one column of numbers"),
        ({"u": motion(), "t": T[:4]}, {}, "time: has 4 points, the states have 6"),
        ({"u": motion()}, {}, "has no times: give dt"),
        ({"u": motion()}, {"dt": -1.0}, "dt=-1.0"),
        ({"u": motion(), "dt": DT}, {"dt": 0.1}, "dt=0.1: the file has dt=0.05"),
        ({"u": motion(), "dt": 0.1, "t": T}, {}, "dt=0.05: the file has dt=0.1"),
        ({"u": motion(), "dt": -1.0}, {}, "array dt=-1.0: must be a positive number"),
        ({"u": motion(), "dt": 1 + T}, {}, "array dt=.*: must be a positive number"),
        ({"u": motion(), "dt": "a"}, {}, "array dt=a: must be a positive number"),
        (
            {"u": wave(), "dt": DT, "length": "a"},
            {},
            "array length=a: must be a positive number, one an axis",
        ),
        (
            {"u": wave(), "dt": DT},
            {},
            r"needs \(trajectory, time, component\).* and of a field length",
        ),
        ({"u": NAN, "t": T}, {}, "not finite .* in trajectory 1, frame 2"),
        ({"u": motion().astype(complex), "t": T}, {}, "u: must be real numbers .* complex128"),
        ({"u": motion() > 0, "t": T}, {}, "u: must be real numbers .* bool"),
        ({"u": np.array(["a"] * 6), "t": T}, {}, "u: must be real numbers .* <U1"),
        ({"u": np.zeros(5), "t": T}, {}, "time: has 6 points, the states have 5"),
        ({"u": motion(), "t": T}, {"length": 1.0}, "every axis needs"),
        ({"u": wave(), "t": T[:5]}, {"length": (1.0, 1.0)}, "every axis needs"),
        ({"u": wave(), "t": T[:5]}, {"length": -1.0}, "length=.*positive"),
        ({"v": motion()}, {}, "has no variable 'u', only v"),
        ({"u": motion()}, {"variable": ["u", "b"]}, "has no variable 'b', only u$"),
        ({"u": motion()}, {"variable": [0]}, "has no variable 0, only u$"),
        ({"u": motion()}, {"variable": []}, r"variable=\[\]: must name at least one"),
        ({"u": motion()}, {"trajectory": "u"}, "trajectory='u': an .npz has .* in order"),
        ({"u": motion()}, {"time": "clock"}, "time='clock': must be the name of an array, u$"),
        ({"u": motion()[:, :1], "t": T[:1]}, {}, "at least two points"),
    ],
)
def test_faults_of_arrays(arrays: dict, options: dict, line: str, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=line) as error:
        read_dataset(path, **options)
    assert "\n" not in str(error.value)
    assert "data.npz" in str(error.value)


def test_faults_of_netcdf(tmp_path: Path) -> None:
    path, t = tmp_path / "data.nc", DT * np.arange(5)
    faults = {
        "needs time, and knows trajectory": (("run", "when", "channel", "x"), {}),
        "has no coordinates x, y, z: give length": (("trajectory", "time", "channel", "x"), {}),
        "x: steps are uneven": (
            ("trajectory", "time", "channel", "x"),
            {"x": np.arange(8.0) ** 2},
        ),
    }
    for line, (dims, coordinates) in faults.items():
        times = {"time": t} if "time" in dims else {}
        dataset_of(wave(), dims, **times, **coordinates).to_netcdf(path, engine="h5netcdf")
        with pytest.raises(ValueError, match=line) as error:
            read_dataset(path)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="has no variable 'v', only u"):
        read_dataset(path, variable="v")


def test_files_that_are_not_data(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        read_dataset(tmp_path / "none.nc")
    with pytest.raises(ValueError, match="must end in"):
        read_dataset(tmp_path / "data.mat")
    for suffix in (".npz", ".nc"):
        path = tmp_path / f"junk{suffix}"
        path.write_bytes(b"junk" * 300)
        with pytest.raises(ValueError, match="junk") as error:
            read_dataset(path)
        assert "\n" not in str(error.value)


def test_zarr_without_the_package_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.zarr").mkdir()
    real = builtins.__import__

    def without_zarr(name: str, *args: object, **kwargs: object):
        if name == "zarr":
            raise ModuleNotFoundError("No module named 'zarr'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_zarr)
    with pytest.raises(ValueError, match="needs the package zarr: pip install zarr"):
        read_dataset(tmp_path / "data.zarr")
