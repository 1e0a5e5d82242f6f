"""Training runs of the learning rows: a model from a recipe, its time, its rollouts.

CPU seconds are those of this process in `train` alone; rollouts are not counted.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.evaluation import errors, forecast
from ddg_explorer.models import Model, ModelRecipe
from ddg_explorer.simulation import simulate
from ddg_explorer.systems import System
from ddg_explorer.training import train


@dataclass(frozen=True)
class Trained:
    """A trained model, its last relative loss, CPU and wall seconds."""

    model: Model
    loss: float
    cpu_s: float
    wall_s: float


def trained(
    model: str, data: Dataset, network: dict[str, Any], training: dict[str, Any], seed: int
) -> Trained:
    """Train a model of `data`.

    Raises
    ------
    RuntimeError
        If training diverges.
    """
    built = ModelRecipe.fitting(model, data, seed=seed, **network).build()
    cpu, wall = time.process_time(), time.perf_counter()
    last = list(train(built, data, seed=seed, **training))[-1]
    if last.reason:
        raise RuntimeError(last.reason)
    found = Trained(built, last.loss, time.process_time() - cpu, time.perf_counter() - wall)
    sys.stderr.write(
        f"    {model} {network} seed {seed}: loss {found.loss:.2e}, CPU {found.cpu_s:.0f} s, "
        f"wall {found.wall_s:.0f} s\n"
    )
    return found


def rollout_errors(
    model: Model, truth: Dataset, system: System, tol: float
) -> dict[str, float | int]:
    """Energy and state MSE of rollouts from the first states of `truth`."""
    found = forecast(model, truth.u[:, 0], truth.dt, truth.frames - 1, tol=tol)
    return errors(found, truth.u, system.energy)


def true_rollouts(system: System, u0: Tensor, dt: float, steps: int) -> Dataset:
    """True trajectories by the scheme that made the training data.

    Raises
    ------
    RuntimeError
        If one fails.
    """
    run = simulate(system, u0, dt=dt, steps=steps)
    if run.reason:
        raise RuntimeError(run.reason)
    return Dataset(run.u.transpose(0, 1).contiguous(), dt, system.grid)
