"""Rollouts in threads of one process do not meet: each gives, bit by bit, its serial result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

import ddg_explorer as ddg

CASES = [
    ("pendulum", {}, "discrete_gradient", 60),
    ("two_body", {}, "discrete_gradient", 40),
    ("kdv", {"n": 64}, "discrete_gradient", 40),
    ("cahn_hilliard_2d", {"n": 24, "dt": 4e-3}, "discrete_gradient", 4),
    ("pendulum", {}, "collocation6", 30),
    ("pendulum", {}, "implicit_midpoint", 40),
]


def run(case: tuple[str, dict, str, int]) -> Tensor:
    name, options, integrator, steps = case
    return ddg.simulate(ddg.SYSTEMS[name](**options), steps=steps, integrator=integrator).u


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[2]}")
def test_two_threads_equal_the_serial_run(case: tuple[str, dict, str, int]) -> None:
    serial = run(case)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, [case] * 4))
    for u in together:
        torch.testing.assert_close(u, serial, rtol=0, atol=0)


def test_different_systems_side_by_side() -> None:
    serial = [run(case) for case in CASES]
    with ThreadPoolExecutor(len(CASES)) as pool:
        together = list(pool.map(run, CASES))
    for u, v in zip(together, serial, strict=True):
        torch.testing.assert_close(u, v, rtol=0, atol=0)
