"""Arrays without a dimension, several variables, closed grids, and notes of others' making."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from layouts import DT, motion, same, wave

from ddg_explorer.array_files import AXES
from ddg_explorer.own_data import read_dataset
from ddg_explorer.refusal import Refusal, offering
from ddg_explorer.systems import SYSTEMS

X, Y = 0.25 * np.arange(8), 0.5 * np.arange(6)


def nodes(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {f"axis_{name}": 0.25 * np.arange(n) for name, n in zip(AXES, shape, strict=False)}


@pytest.mark.parametrize("shape", [(), (8,), (8, 6)])
@pytest.mark.parametrize("named", [True, False])
def test_the_times_tell_which_dimension_is_missing(
    shape: tuple[int, ...], named: bool, tmp_path: Path
) -> None:
    """One channel of three trajectories, or three of one, or one of one."""
    path, t = tmp_path / "a.npz", DT * np.arange(5)
    u = np.random.default_rng(0).normal(size=(3, 5, 1, *shape))
    axes = nodes(shape) if named else {k.removeprefix("axis_"): v for k, v in nodes(shape).items()}
    channels = np.swapaxes(u, 0, 2)
    for array, whole in ((u[:, :, 0], u), (channels[0], channels), (u[0, :, 0], u[:1])):
        np.savez(path, u=array, t=t, **axes)
        data = read_dataset(path)
        assert same(data, whole)
        assert (() if data.grid is None else data.grid.shape) == shape


@pytest.mark.parametrize("known", [{"dt": DT}, {"t": DT * np.arange(5)}])
def test_a_shape_that_reads_two_ways_is_refused(known: dict, tmp_path: Path) -> None:
    """It was one trajectory of as many frames as there are trajectories."""
    path = tmp_path / "a.npz"
    for axes, told in (({}, "component"), ({"length": 2.0}, "channel, x")):
        u = np.ones((5, 5, 8) if axes else (5, 5))
        np.savez(path, u=u, **known, **axes)
        kind = told.partition(",")[0]
        line = f"which is 5 times of 5 {kind}s or 5 trajectories of 5 times: .*write it as .*{told}"
        with pytest.raises(ValueError, match=line) as error:
            read_dataset(path)
        assert ("add the times as t" in str(error.value)) == ("t" not in known)


def test_a_system_tells_which_dimension_is_missing(tmp_path: Path) -> None:
    path, pendulum, kdv = tmp_path / "a.npz", SYSTEMS["pendulum"](), SYSTEMS["kdv"](n=8)
    np.savez(path, u=motion()[0], dt=DT)
    assert same(read_dataset(path, system=pendulum), motion()[:1])
    np.savez(path, u=wave()[:, :, 0], dt=DT)
    assert same(read_dataset(path, system=kdv), wave())
    np.savez(path, u=wave()[0], dt=DT)
    assert same(read_dataset(path, system=kdv), wave()[:1])


def test_times_in_front_are_refused(tmp_path: Path) -> None:
    """They would be read as trajectories wherever there are as many of both."""
    np.savez(tmp_path / "a.npz", u=motion().transpose(1, 0, 2), t=DT * np.arange(6))
    with pytest.raises(ValueError, match=r"shape \(6, 3, 2\), with the 6 times in front"):
        read_dataset(tmp_path / "a.npz")


@pytest.mark.parametrize("x", [np.ones(7), np.ones((8, 1)), np.array(["a"])])
def test_an_array_x_that_fits_no_dimension_is_no_axis(x: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", u=motion(size=8), x=x, t=DT * np.arange(6))
    assert read_dataset(tmp_path / "a.npz").grid is None


def test_nodes_that_contradict_the_noted_length_are_refused(tmp_path: Path) -> None:
    path, u = tmp_path / "a.npz", wave(shape=(8, 6))
    np.savez(path, u=u, dt=DT, length=[2.0, 3.0], axis_x=X, axis_y=Y)
    assert same(read_dataset(path), u)
    np.savez(path, u=u, dt=DT, length=[2.0, 3.0], axis_x=X, axis_y=2 * Y)
    with pytest.raises(ValueError, match="length=2, 3: the grid of its coordinates has 2, 6"):
        read_dataset(path)


def save(path: Path, variables: dict, coordinates: dict, **attributes: object) -> Path:
    """As netCDF, or as an archive of the variables and times alone."""
    import xarray as xr

    if path.suffix == ".npz":
        arrays = {name: u for name, (_, u) in variables.items()}
        np.savez(path, t=coordinates["time"], **arrays, **nodes((8,) if "x" in coordinates else ()))
        return path
    named = {k: (k, v) for k, v in coordinates.items()}
    xr.Dataset(variables, named, attributes).to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
def test_variables_become_channels(suffix: str, tmp_path: Path) -> None:
    """Of a field, and components of an ODE; what is not asked for is told."""
    u, v = wave(), 2 + wave()
    dims, t = ("trajectory", "time", "x"), DT * np.arange(5)
    pair = {"u": (dims, u[:, :, 0]), "v": (dims, v[:, :, 0]), "w": (dims[:2], u[:, :, 0, 0])}
    path = save(tmp_path / f"a{suffix}", pair, {"time": t, "x": X})
    both = read_dataset(path, variable=["u", "v"])
    assert same(both, np.concatenate([u, v], axis=2))
    assert both.grid == read_dataset(path).grid
    assert "left_out" not in both.recipe
    assert "left_out" not in read_dataset(path, variable="u").recipe
    assert read_dataset(path).recipe["left_out"] == ["v"]
    with pytest.raises(ValueError, match=r"variables u .* and w .*: must have the same|array has"):
        read_dataset(path, variable=["u", "w"])
    q = motion()
    parts = {name: (dims[:2], q[..., k]) for k, name in enumerate("qp")}
    path = save(tmp_path / f"b{suffix}", parts, {"time": DT * np.arange(6)})
    assert same(read_dataset(path, variable=["q", "p"]), q)


def test_dimensions_may_be_named_by_the_caller(tmp_path: Path) -> None:
    u = wave()
    path = save(tmp_path / "a.nc", {"u": (("sample", "when", "x"), u[:, :, 0])}, {"x": X})
    named = {"time": "when", "trajectory": "sample"}
    assert same(read_dataset(path, dt=DT, **named), u)
    with pytest.raises(ValueError, match=r"time='t': variable 'u' has dimensions \(sample, when"):
        read_dataset(path, dt=DT, time="t")
    np.savez(tmp_path / "a.npz", u=motion(), clock=DT * np.arange(6), t=np.arange(6.0))
    assert same(read_dataset(tmp_path / "a.npz", time="clock"), motion())


@pytest.mark.parametrize("axis", [3, 4])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_grid_that_has_both_ends_is_refused(axis: int, mirrored: bool, tmp_path: Path) -> None:
    """Its length would be one step too long; also of fields that mirror themselves."""
    path, n = tmp_path / "a.npz", 8
    u = np.random.default_rng(0).normal(size=(2, 5, 1, n, n))
    if mirrored:
        u = u + np.roll(np.flip(u, axis), 1, axis)
    closed = np.concatenate([u, u.take([0], axis)], axis)
    axes = nodes(closed.shape[3:])
    np.savez(path, u=closed, dt=DT, **axes)
    with pytest.raises(ValueError, match=f"{AXES[axis - 3]}: the last node repeats the first"):
        read_dataset(path)
    np.savez(path, u=u, dt=DT, **nodes((n, n)))
    assert same(read_dataset(path), u)


def test_a_field_that_mirrors_itself_between_nodes_is_taken(tmp_path: Path) -> None:
    """Its ends are alike as well, and neither is one too many; nor are they where it is even."""
    half = wave(shape=(4,))
    u, path = np.concatenate([half, half[..., ::-1]], axis=-1), tmp_path / "a.npz"
    np.savez(path, u=u, dt=DT, axis_x=0.125 + X)
    assert same(read_dataset(path), u)
    np.savez(path, u=np.ones_like(u), dt=DT, axis_x=X)
    assert same(read_dataset(path), np.ones_like(u))
    np.savez(path, u=u, dt=DT, axis_x=X)
    with pytest.raises(ValueError, match="x: the last node repeats the first"):
        read_dataset(path)


@pytest.mark.parametrize(
    "attributes",
    [
        {"length": "6.28 m"},
        {"system": "kdv", "parameters": "nu = 0.2", "structure": "{unknown"},
        {"recipe": "see the paper", "context": "a wave tank", "history": "[2026] made"},
        {"parameters": [1.0, 2.0], "recipe": 3.0, "length": "[1, a]"},
    ],
)
def test_attributes_of_others_are_left_alone(attributes: dict, tmp_path: Path) -> None:
    """Names that are ours, with contents that are not: the coordinates suffice."""
    u, t = wave(), DT * np.arange(5)
    variables = {"u": (("trajectory", "time", "channel", "x"), u)}
    data = read_dataset(save(tmp_path / "a.nc", variables, {"time": t, "x": X}, **attributes))
    assert same(data, u)
    assert data.grid is not None
    assert data.grid.length == (2.0,)
    assert data.recipe == {"file": "a.nc", "shape": list(u.shape)}


@pytest.mark.parametrize(
    "dims",
    [
        ("trajectory", "time", "channel", "x"),
        ("time", "trajectory", "channel", "x"),
        ("x", "channel", "trajectory", "time"),
    ],
)
def test_a_large_file_is_in_memory_twice_at_most(dims: tuple[str, ...], tmp_path: Path) -> None:
    """Once as it was read, once in the order of the data, whatever the order in the file."""
    sizes = {"trajectory": 20, "time": 75, "channel": 2, "x": 512}
    u = np.random.default_rng(0).normal(size=[sizes[name] for name in dims])
    t, x = DT * np.arange(75), 0.25 * np.arange(512)
    path = save(tmp_path / "a.nc", {"u": (dims, u)}, {"time": t, "x": x})
    whole = np.transpose(u, [dims.index(name) for name in sizes])
    read_dataset(path)  # what is imported counts once
    tracemalloc.start()
    try:
        data = read_dataset(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert same(data, whole)
    assert peak < 2.2 * u.nbytes


def test_a_refusal_offers_what_its_reader_can_give(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", v=motion(), t=DT * np.arange(6))
    with pytest.raises(Refusal) as caught:
        read_dataset(tmp_path / "a.npz")
    line = "a.npz': has no variable 'u', only t, v: rename one u"
    assert str(caught.value).endswith(f"{line}, or give variable")
    told = [str(offering(caught.value, names)) for names in ({}, {"variable": "--variable"})]
    assert [text.partition("a.npz")[2] for text in told] == [
        line.removeprefix("a.npz"),
        f"{line}, or give --variable".removeprefix("a.npz"),
    ]
    plain = ValueError("of another kind")
    assert offering(plain, {}) is plain
