"""Learning fields from noisy observations: DGNet, HNN++ and NODE, same optimiser, same time.

Every value of the training trajectories carries Gaussian noise of 1 % or 5 % of the RMS. All models
get Levenberg–Marquardt on as many residuals an iteration, the same treatment of the noise
(smoothing and the weak form) and the same CPU time; those with an energy get the local prior, and
DGNet is trained without it too. Rollouts start from clean states that no model has seen. The
baselines are rolled out with the midpoint scheme that they were trained with and with
Dormand–Prince, and the better one counts. Diverged rollouts count up to there, and are counted;
where all of them diverge there is no error to tell.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.trainings import Trained
from ddg_explorer.data import Dataset
from ddg_explorer.evaluation import errors, forecast
from ddg_explorer.models import ModelRecipe
from ddg_explorer.models.local_energy import LocalEnergy
from ddg_explorer.recipes import DATA_RECIPES, make_dataset, make_test
from ddg_explorer.training import train

LEVELS = (0.01, 0.05)
SECONDS = 20.0
ROWS, NOISE, TOL = (1500, 1500), "weak", 1e-7
NOISE_SEED = 7
TESTS = {"kdv": (10, 500), "ch": (10, 500), "ch2d": (1, 200)}
"""Data recipe → trajectories and steps of the test rollouts."""
LOCAL = {"prior": "local", "hidden": 8, "skip": True}
LANES: dict[str, tuple[str, dict[str, Any]]] = {
    "DGNet, local prior": ("dgnet", LOCAL),
    "DGNet": ("dgnet", {"hidden": 16, "skip": True}),
    "HNN++, local prior": ("hnnpp", LOCAL),
    "NODE": ("node", {"hidden": 16}),
}


@dataclass(frozen=True)
class Score:
    """State MSE, and how many rollouts diverged, of the better integrator."""

    mse: float
    diverged: int
    integrator: str


def measure(options: Options) -> Row:
    seconds = 2.0 if options.quick else SECONDS
    row = Row(
        "noise",
        f"fields from noisy data, {seconds:g} s of CPU time a model: state MSE of rollouts",
        {
            "lanes": LANES,
            "levels": LEVELS,
            "noise_seed": NOISE_SEED,
            "treatment": NOISE,
            "rows": ROWS,
            "seconds": seconds,
            "tests": TESTS,
            "seed": 0,
        },
    )
    for name in ("kdv",) if options.quick else TESTS:
        for level in LEVELS[:1] if options.quick else LEVELS:
            _compare(row, name, level, seconds, options)
    row.notes.append("prior: H = ∫ e(u) + ½κ|∇u|² dx, e a network, κ one number")
    return row


def _compare(row: Row, name: str, level: float, seconds: float, options: Options) -> None:
    noisy = make_dataset(name).with_noise(level, NOISE_SEED)
    trajectories, steps = TESTS[name]
    truth = make_test(name, trajectories=trajectories)
    truth = Dataset(truth.u[:, : (5 if options.quick else steps) + 1], truth.dt, truth.grid)
    scores = {}
    for lane, (model, network) in LANES.items():
        run = _timed(model, noisy, network, seconds)
        scores[lane] = _score(run, truth, name)
        least = 1e-5 if (name, lane) == ("ch2d", "DGNet, local prior") else None
        label = f"{name}, {level:.0%}, {lane}"
        lost = scores[lane].diverged == trajectories
        row.add(f"{label}: state MSE", math.inf if lost else scores[lane].mse, least=least)
        row.add(f"{label}: diverged of {trajectories}", scores[lane].diverged)
        row.add(f"{label}: training", run.cpu_s, "s CPU")
        if "prior" in network:
            network_of_model = run.model.get_submodule("network")
            assert isinstance(network_of_model, LocalEnergy)
            row.notes.append(f"{label}: κ = {float(network_of_model.kappa.detach()):.6g}")
        if model != "dgnet":
            row.notes.append(f"{label}: rolled out with {scores[lane].integrator}")
    order = sorted(scores, key=lambda lane: (scores[lane].diverged, scores[lane].mse))
    row.notes.append(f"{name}, {level:.0%}: {' < '.join(order)}")


def _timed(model: str, data: Dataset, network: dict[str, Any], seconds: float) -> Trained:
    """Train until the CPU time is spent; with constant batches no schedule depends on the end."""
    built = ModelRecipe.fitting(model, data, seed=0, **network).build()
    cpu, wall = time.process_time(), time.perf_counter()
    loss = float("nan")
    for progress in train(
        built, data, steps=100_000, rows=ROWS, noise=NOISE, optimizer="lm", report_every=1
    ):
        loss = progress.loss
        if time.process_time() - cpu > seconds or progress.done:
            break
    found = Trained(built, loss, time.process_time() - cpu, time.perf_counter() - wall)
    sys.stderr.write(f"    {model} {network}: {progress.step} steps, loss {found.loss:.2e}\n")
    return found


def _score(run: Trained, truth: Dataset, name: str) -> Score:
    energy = DATA_RECIPES[name].make_system().energy
    model = run.model
    schemes = ("discrete_gradient",) if model.scheme == "dg" else ("midpoint", "dopri5")
    found = []
    for scheme in schemes:
        rolled = forecast(model, truth.u[:, 0], truth.dt, truth.frames - 1, scheme, tol=TOL)
        values = errors(rolled, truth.u, energy)
        found.append(Score(float(values["state_mse"]), int(values["diverged"]), scheme))
    return min(found, key=lambda score: (score.diverged, score.mse))
