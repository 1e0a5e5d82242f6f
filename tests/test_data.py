"""Datasets: pairs, splits, noise, checks, and files that come back."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ddg_explorer.data import Dataset, context_of
from ddg_explorer.grids import Grid
from ddg_explorer.models import ModelRecipe
from ddg_explorer.origin import specification_of
from ddg_explorer.own_data import read_dataset
from ddg_explorer.structure import MatrixStructure, MinusIdentity, Symplectic
from ddg_explorer.systems import SYSTEMS, System


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def line(trajectories: int = 6, frames: int = 5) -> Dataset:
    context = {"system": "kdv", "parameters": {"alpha": -6.0}}
    return Dataset(numbers(trajectories, frames, 1, 8), 0.1, Grid((8,), (2.0,)), context, {"a": 1})


def test_pairs_are_neighbouring_frames() -> None:
    data = line()
    u, v = data.pairs()
    assert u.shape == v.shape == (6 * 4, 1, 8)
    assert torch.equal(u.reshape(6, 4, 1, 8), data.u[:, :4])
    assert torch.equal(v.reshape(6, 4, 1, 8), data.u[:, 1:])
    assert (data.state_shape, data.trajectories, data.frames) == ((1, 8), 6, 5)


def test_split_is_a_partition_drawn_by_the_seed() -> None:
    data = line(20)
    kept, held = data.split(5, seed=1)
    assert (kept.trajectories, held.trajectories) == (15, 5)
    both = torch.cat([kept.u, held.u])[:, 0, 0, 0].sort().values
    assert torch.equal(both, data.u[:, 0, 0, 0].sort().values)
    again, other = data.split(5, seed=1)[1], data.split(5, seed=2)[1]
    assert torch.equal(again.u, held.u)
    assert not torch.equal(other.u, held.u)
    assert held.grid == data.grid
    assert held.context == data.context
    for count in (0, 20, -1, 1.5, "1", None):
        refused = rf"^held_out={re.escape(repr(count))}: must be an integer in \[1, 19\]$"
        with pytest.raises(ValueError, match=refused):
            data.split(count, seed=0)
    assert data.split(np.int64(5), seed=1)[1].digest() == held.digest()


def test_a_grid_is_one() -> None:
    for given, shown in (((8,), r"\(8,\)"), ([8], r"\[8\]"), ("x", "'x'")):
        with pytest.raises(
            ValueError, match=rf"^grid={shown}: must be a Grid, or None for an ODE$"
        ):
            Dataset(torch.zeros(2, 3, 1, 8), 0.1, given)


def test_noise_is_relative_to_the_rms_of_each_channel() -> None:
    u = numbers(40, 30, 2) * torch.tensor([1.0, 100.0], dtype=torch.float64)
    data = Dataset(u, 0.1)
    noisy = data.with_noise(0.05, seed=3)
    spread = (noisy.u - u).std((0, 1)) / u.square().mean((0, 1)).sqrt()
    assert (spread - 0.05).abs().max() < 0.003
    assert torch.equal(noisy.u, data.with_noise(0.05, seed=3).u)
    assert not torch.equal(noisy.u, data.with_noise(0.05, seed=4).u)
    assert torch.equal(data.with_noise(0.0, seed=3).u, u)
    assert noisy.recipe["relative_noise"] == 0.05
    for level in (0.05, 0.1):
        assert noisy.with_noise(level, seed=4).recipe["noiseless_digest"] == data.digest()
    with pytest.raises(ValueError, match="level=-1"):
        data.with_noise(-1, seed=0)


def test_digest_tells_data_apart() -> None:
    data = line()
    assert data.digest() == line().digest()
    flipped = data.u.clone()
    flipped[0, 0, 0, 0] = math.nextafter(float(flipped[0, 0, 0, 0]), 1e9)
    others = [replace(data, u=flipped), replace(data, dt=0.2), replace(data, u=data.u.float())]
    assert len({data.digest(), *(other.digest() for other in others)}) == 4


@pytest.mark.parametrize(
    ("u", "dt", "grid", "message"),
    [
        (numbers(3, 4), 0.1, None, "trajectories, frames, d"),
        (numbers(3, 4, 1, 8), 0.1, None, "trajectories, frames, d"),
        (numbers(3, 4, 8), 0.1, Grid((8,), (1.0,)), r"trajectories, frames, C, \*grid"),
        (numbers(3, 4, 1, 9), 0.1, Grid((8,), (1.0,)), r"the grid has \(8,\) points"),
        (numbers(3, 1, 2), 0.1, None, "2 frames or more"),
        (numbers(0, 3, 2), 0.1, None, "2 frames or more"),
        (numbers(3, 4, 2).long(), 0.1, None, "dtype torch.int64"),
        (numbers(3, 4, 2), 0.0, None, "dt=0.0"),
        (numbers(3, 4, 2), math.inf, None, "dt=inf"),
        (numbers(3, 4, 2), None, None, "^dt=None: must be finite and positive"),
        (numbers(3, 4, 2), "0.1", None, "^dt='0.1': must be finite and positive"),
        (numbers(3, 4, 2), True, None, "^dt=True: must be finite and positive"),
        (numbers(3, 4, 2), [0.1], None, r"^dt=\[0.1\]: must be finite and positive"),
    ],
)
def test_bad_data_are_refused(u: torch.Tensor, dt: Any, grid: Grid | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Dataset(u, dt, grid)
    assert "\n" not in str(error.value)


def test_a_step_may_be_any_real_number() -> None:
    u = numbers(3, 4, 2)
    for dt in (1, np.float32(0.5), np.int64(2), torch.tensor(0.5), np.array(0.5)):
        data = Dataset(u, dt)
        assert type(data.dt) is float
        assert data.dt == float(dt)


@pytest.mark.parametrize(
    ("notes", "line"),
    [
        ({"recipe": {"rig": torch.ones(1)}}, r"^recipe: must be plain data \(.*Tensor"),
        ({"recipe": {("a", 1): 2}}, r"^recipe: must be plain data \(keys must be str"),
        ({"recipe": None}, "^recipe: must be plain data"),
        ({"context": {"system": 3}}, "^context.system=3: must be a text"),
        ({"context": {"parameters": {"g": "9"}}}, "^context.parameters.g='9': must be a finite"),
        ({"context": {"parameters": {"g": 10**400}}}, "^context.parameters.g=1000.*finite number"),
        ({"context": {"structure": "symplectic"}}, "^context.structure='symplectic': must be an"),
    ],
)
def test_notes_that_a_checkpoint_cannot_keep_are_refused(notes: dict, line: str) -> None:
    """Here, before anything is trained on the data."""
    with pytest.raises(ValueError, match=line) as error:
        Dataset(numbers(3, 4, 2), 0.1, **notes)
    assert "\n" not in str(error.value)


def test_masked_values_are_refused() -> None:
    """Else a model would learn what stands below the mask."""
    u = numbers(3, 4, 2).numpy()
    masked = np.ma.masked_array(u, mask=np.zeros_like(u, dtype=bool))
    assert Dataset(masked, 0.1).digest() == Dataset(u, 0.1).digest()
    masked[1, 2, 0] = np.ma.masked
    with pytest.raises(ValueError, match=r"^u: has masked values: fill them or leave them out$"):
        Dataset(masked, 0.1)


def test_masked_coefficients_are_refused() -> None:
    """Also row by row: else G would have what stands below the mask."""
    whole = np.ma.masked_array([[0.0, 1.0], [-1.0, 0.0]])
    taken = MatrixStructure(whole).apply(torch.eye(2, dtype=torch.float64))
    assert torch.equal(taken, torch.from_numpy(whole.data).T)
    masked = np.ma.masked_array(whole, mask=[[0, 1], [0, 0]])
    for entries in (masked, list(masked)):
        with pytest.raises(ValueError, match=r"^matrix: has masked values: fill them or leave"):
            MatrixStructure(entries)


def test_integers_and_half_precision_become_double(tmp_path: Path) -> None:
    """As from a file."""
    u = np.arange(24).reshape(3, 4, 2)
    for dtype in ("i2", "u8", "f2"):
        np.savez(tmp_path / "data.npz", u=u.astype(dtype))
        for data in (Dataset(u.astype(dtype), 0.1), read_dataset(tmp_path / "data.npz", dt=0.1)):
            assert data.u.dtype == torch.float64
            assert torch.equal(data.u, torch.from_numpy(u).double())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_located(value: float) -> None:
    u = numbers(3, 4, 2)
    u[1, 2, 0] = value
    with pytest.raises(ValueError, match="trajectory 1, frame 2"):
        Dataset(u, 0.1)


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
@pytest.mark.parametrize("kind", ["ode", "line", "plane", "float32"])
def test_saved_data_come_back(suffix: str, kind: str, tmp_path: Path) -> None:
    """States, Δt to the last bit, grid, context and recipe."""
    data = {
        "ode": Dataset(numbers(3, 5, 2), 0.05 / 3, None, {"system": "pendulum"}, {"seed": 1}),
        "line": line(),
        "plane": Dataset(numbers(2, 3, 1, 4, 6), 1e-4, Grid((4, 6), (1.0, 0.7))),
        "float32": replace(line(), u=line().u.float()),
    }[kind]
    again = read_dataset(data.save(tmp_path / f"data{suffix}"))
    assert again.u.dtype == data.u.dtype
    assert again.digest() == data.digest()
    assert again.dt == data.dt
    assert again.grid == data.grid
    assert again.context == data.context
    if data.recipe:
        assert again.recipe == data.recipe


def test_file_of_data_names_its_dimensions(tmp_path: Path) -> None:
    import xarray as xr

    path = line().save(tmp_path / "data.nc")
    with xr.open_dataset(path, engine="h5netcdf") as file:
        assert file["u"].dims == ("trajectory", "time", "channel", "x")
        assert file["x"].values[1] == 0.25
        assert file["time"].values[1] == 0.1


def test_context_gives_a_model_its_structure() -> None:
    """A model of any system's data gets that system's G, and fits the system."""
    count = 0
    for name, make in SYSTEMS.items():
        for preset in make.presets:
            system = make(preset)
            context = context_of(system)
            data = Dataset(system.initial(0, 2)[:, None].repeat_interleave(2, 1), 0.1, system.grid)
            data = replace(data, context=context)
            model = ModelRecipe.fitting("dgnet", data, hidden=2).build()
            assert model.misfit(system) == "", (name, preset)
            g = numbers(*system.state_shape)
            difference = model.structure.apply(g) - system.structure.apply(g)
            assert difference.abs().max() <= 1e-12 * g.abs().max() * 1e5, (name, preset)
            count += 1
    assert count > 20


def test_unnamed_structures_are_left_to_the_caller() -> None:
    system = SYSTEMS["kdv"](viscosity=0.1)
    assert specification_of(system) is None
    assert "structure" not in context_of(system)
    growing = Symplectic(size=2) - 0.1 * MinusIdentity()
    own = System(lambda u: u.square().sum(-1), growing)
    assert context_of(own) == {"system": "custom", "parameters": {}}
    data = Dataset(numbers(2, 3, 2), 0.1, context=context_of(own))
    with pytest.raises(ValueError, match="structure=None"):
        ModelRecipe.fitting("dgnet", data).build()
    recipe = ModelRecipe.fitting("hnn", data)
    assert recipe.structure == {"kind": "symplectic"}
    with pytest.raises(ValueError, match="takes none"):
        ModelRecipe.fitting("node", data, structure={"kind": "symplectic"})
