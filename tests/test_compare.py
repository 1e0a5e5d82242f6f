"""Lanes beside the truth, and which trajectories of a person's data no model has learned."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from layouts import DT, motion

from ddg_explorer import compare, evaluation
from ddg_explorer.budgets import budget
from ddg_explorer.compare import learned_from, unseen
from ddg_explorer.data import Dataset
from ddg_explorer.fitting import Fit
from ddg_explorer.models import ModelRecipe
from ddg_explorer.own_data import read_dataset
from ddg_explorer.structure import Symplectic
from ddg_explorer.systems import System


@pytest.mark.parametrize(("steps", "expected"), [(1, None), (2, 200.0), (5, 200.0)])
def test_the_first_step_is_not_timed(
    steps: int, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is read at the ends of steps only: every one after the first takes 0.2."""
    data = Dataset(torch.from_numpy(motion()), DT)
    clock = itertools.count(7.0, 0.2)
    monkeypatch.setattr(evaluation, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    model = ModelRecipe.fitting("node", data, hidden=2).build()
    lane = compare.Contest.of_data(data, 0, steps=steps).lane("", model)
    assert lane.found is not None
    assert len(lane.found.u) == steps + 1
    found = lane.figures["ms_per_step"]
    assert found is None if expected is None else found == pytest.approx(expected, rel=1e-9)


def test_data_contest_and_lane_show_in_a_line() -> None:
    data = Dataset(torch.from_numpy(motion()), DT)
    contest = compare.Contest.of_data(data, 0, steps=2)
    shape = tuple(data.u.shape)
    assert repr(data) == f"Dataset(None, u={shape}, dt={DT:g})"
    truth = f"Dataset(None, u={(1, 3, *shape[2:])}, dt={DT:g})"
    assert repr(contest) == f"Contest(truth={truth}, system=None)"
    lane = contest.lane("", ModelRecipe.fitting("node", data, hidden=2).build())
    assert repr(lane).startswith("Lane('node', integrator='")
    assert repr(compare.Lane("hnn", misfit="no")) == "Lane('hnn', misfit='no')"


def test_a_file_of_lanes_keeps_their_notes(tmp_path: Path) -> None:
    """Those of `Lane.note`, "" for the truth and for a lane at its own Δt."""
    data = Dataset(torch.from_numpy(motion()), DT)
    contest = compare.Contest.of_data(data, 0, steps=2)
    lanes = []
    for factor in (1, 2):
        model = ModelRecipe.fitting("node", data, hidden=2).build()
        model.card = {"data": {"dt": factor * DT}}
        lanes.append(contest.lane("", model))
    assert [lane.row()["note"] for lane in lanes] == [lane.note for lane in lanes]
    assert lanes[1].note.startswith(f"learned at Δt = {2 * DT:.6g}, stepped at {DT:.6g}: ")
    contest.to_xarray(lanes).to_netcdf(tmp_path / "lanes.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "lanes.nc") as read:
        assert read["note"].dims == ("lane",)
        assert read["note"].values.tolist() == ["", "", lanes[1].note]


def test_models_of_one_kind_have_names_of_their_own(tmp_path: Path) -> None:
    """In a file of lanes as well, which is read by them."""
    lanes = [compare.Lane(*lane) for lane in (("dgnet", "a/one.safetensors"), ("node", "n"))]
    assert compare.labels(lanes) == ["dgnet", "node"]
    lanes += [compare.Lane("dgnet", "a/two.safetensors")]
    assert compare.labels(lanes) == ["dgnet one", "node", "dgnet two"]
    lanes += [compare.Lane("dgnet", "b/one.safetensors")]
    assert compare.labels(lanes) == ["dgnet one 1", "node", "dgnet two", "dgnet one 4"]
    data = Dataset(torch.from_numpy(motion()), DT)
    contest = compare.Contest.of_data(data, 0, steps=2)
    model = ModelRecipe.fitting("node", data, hidden=2).build()
    ran = [contest.lane(f"{name}.safetensors", model) for name in ("x", "y")]
    unfit = compare.Lane("node", "z.safetensors", "no")
    names = contest.to_xarray([unfit, *ran])["lane"].values.tolist()
    assert names == ["truth", "node x", "node y"]


def test_a_lane_under_another_structure_than_the_systems_is_not_run() -> None:
    """H learned under −I is no model of the oscillator, of whichever name the two go."""
    u = torch.tensor([[[1.0, 0.0], [0.9, 0.1]]], dtype=torch.float64)
    context = {"system": "custom", "structure": {"kind": "minus_identity"}}
    data = Dataset(u, DT, context=context)
    model = ModelRecipe.fitting("dgnet", data, hidden=2).build()
    system = System(lambda u: u.square().sum(-1), Symplectic(), initial=[1.0, 0.0])
    lane = compare.Contest.of_data(data, 0, system=system).lane("", model)
    assert lane.misfit == "trained under G = minus_identity, this system has Symplectic"
    same = replace(data, context={"system": "custom", "structure": {"kind": "symplectic"}})
    model = ModelRecipe.fitting("dgnet", same, hidden=2).build()
    assert compare.Contest.of_data(same, 0, system=system).lane("", model).misfit == ""


def card_of(data: Dataset, seed: int = 0) -> dict[str, Any]:
    return Fit("node", data, budget("quick", "", "node"), seed=seed).card("test")


def read(folder: Path, u: np.ndarray, dt: float = DT) -> Dataset:
    np.savez(folder / "a.npz", u=u)
    return read_dataset(folder / "a.npz", dt=dt)


def test_a_trajectory_learned_with_noise_or_another_rounding_is_not_held_out(
    tmp_path: Path,
) -> None:
    u = motion(12)
    data = read(tmp_path, u)
    expected = data.order(0)[:1].tolist()
    float32 = read(tmp_path, u.astype(np.float32))
    slower = read(tmp_path, u, dt=1.002 * DT)
    noisy = [d.with_noise(0.01, seed) for d, seed in ((data, 0), (data, 1), (float32, 0))]
    several = [data, float32, slower, *noisy]
    for learned, compared in itertools.product(several, several):
        assert unseen(compared, [card_of(learned)]) == expected
    programmed = Dataset(torch.from_numpy(u), DT)
    assert unseen(programmed, [card_of(programmed.with_noise(0.01, 0))]) == expected
    other = data.order(1)[:1].tolist()
    assert other != expected
    assert unseen(data, [card_of(data), card_of(noisy[0], seed=1)]) == []


def test_nothing_is_known_of_data_that_a_card_does_not_name(tmp_path: Path) -> None:
    data = read(tmp_path, motion(12))
    shorter, fewer = read(tmp_path, motion(12, 5)), read(tmp_path, motion(11))
    unnamed = replace(data, u=data.u + 1, recipe={})
    renamed = replace(data, u=data.u + 1, recipe={**data.recipe, "file": "b.npz"})
    for other in (shorter, fewer, unnamed, renamed, unnamed.with_noise(0.1, 0)):
        card = card_of(other)
        assert not learned_from(data, card)
        assert unseen(data, [card]) == list(range(12))
    for card in ({}, {"data": {}}):
        assert not learned_from(unnamed, card)
