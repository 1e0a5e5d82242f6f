"""Δt is checked alike wherever it is given: what is a number, what is refused, in which words."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oscillator import Exact, Oscillator

from ddg_explorer.data import Dataset
from ddg_explorer.own_data import read_dataset
from ddg_explorer.rollout import Rollout
from ddg_explorer.structure import Symplectic
from ddg_explorer.systems import SYSTEMS, System

U0 = torch.tensor([1.0, 0.5], dtype=torch.float64)


def changed(dt: Any) -> float:
    """Δt of a rollout that began with another one."""
    rollout = Rollout(Oscillator(), U0, 0.1, Exact())
    rollout.set_dt(dt)
    return rollout.dt


def energy(u: torch.Tensor) -> torch.Tensor:
    return u.square().sum(-1)


TAKERS: dict[str, Callable[[Any], float]] = {
    "rollout": lambda dt: Rollout(Oscillator(), U0, dt, Exact()).dt,
    "set_dt": changed,
    "system": lambda dt: System(energy, Symplectic(), state_shape=(2,), dt=dt).dt,
    "preset": lambda dt: SYSTEMS["pendulum"](dt=dt).dt,
    "data": lambda dt: Dataset(torch.zeros(1, 2, 2), dt).dt,
}


@pytest.mark.parametrize("taker", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize(
    "dt",
    [
        *(1, 0.5, Fraction(1, 2), np.float32(0.5), np.float64(0.5), np.int64(2)),
        *(np.array(0.5), torch.tensor(0.5), torch.tensor(2)),
    ],
    ids=repr,
)
def test_a_time_step_is_any_positive_number(taker: Callable[[Any], float], dt: Any) -> None:
    found = taker(dt)
    assert type(found) is float
    assert found == float(dt)


@pytest.mark.parametrize("taker", TAKERS.values(), ids=TAKERS)
@pytest.mark.parametrize(
    ("dt", "shown"),
    [
        (0, "0"),
        (-0.5, "-0.5"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (np.float64(-1), "-1.0"),
        (10**400, f"{10**400}"),
        (Fraction(1, 10**400), f"1/{10**400}"),
        (torch.tensor(-1.0), "-1.0"),
        (True, "True"),
        (np.True_, f"a {type(np.True_).__name__}"),
        (torch.tensor(True), "a Tensor"),
        ("0.1", "'0.1'"),
        (0.1j, "a complex"),
        (Decimal("0.1"), "a Decimal"),
        ([0.1], "[0.1]"),
        (np.array([0.1]), "a ndarray"),
        (torch.tensor([0.1]), "a Tensor"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_none_is_refused_in_the_same_words(
    taker: Callable[[Any], float], dt: Any, shown: str
) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 the whole line is compared
        taker(dt)
    assert str(refusal.value) == f"dt={shown}: must be finite and positive"


@pytest.mark.parametrize("taker", [TAKERS["rollout"], TAKERS["data"]], ids=["rollout", "data"])
def test_no_time_step_is_as_bad(taker: Callable[[Any], float]) -> None:
    """Where a preset has a Δt of its own, None asks for it."""
    with pytest.raises(ValueError, match=r"^dt=None: must be finite and positive$"):
        taker(None)


def test_a_file_s_time_step_is_checked_in_the_same_words(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("q,p\n1,0\n0.9,-0.1\n0.8,-0.2\n")
    assert read_dataset(table, dt=torch.tensor(0.5)).dt == 0.5
    with pytest.raises(ValueError, match=r": dt=True: must be finite and positive$"):
        read_dataset(table, dt=True)
