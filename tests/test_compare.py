"""Lanes beside the truth: what a step costs is told without the first, which warms up."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from layouts import DT, motion

from ddg_explorer import compare
from ddg_explorer.data import Dataset
from ddg_explorer.models import ModelRecipe


@pytest.mark.parametrize(("steps", "expected"), [(1, None), (2, 200.0), (5, 200.0)])
def test_the_first_step_is_not_timed(
    steps: int, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is read at the ends of steps only: every one after the first takes 0.2."""
    data = Dataset(torch.from_numpy(motion()), DT)
    clock = itertools.count(7.0, 0.2)
    monkeypatch.setattr(compare, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    model = ModelRecipe.fitting("node", data, hidden=2).build()
    lane = compare.Contest.of_data(data, 0, steps=steps).lane("", model)
    assert lane.found is not None
    assert len(lane.found.u) == steps + 1
    found = lane.figures["ms_per_step"]
    assert found is None if expected is None else found == pytest.approx(expected, rel=1e-9)
