"""DGNet of Cahn–Hilliard 64² with the true G, trained in a minute and rolled out elsewhere.

Rollouts are those of the discrete gradient, beside the true energy's own: from fresh states, from
a mean of 0.3 that no training state has, and on 128² points of the same Δx. The network sees 3×3
values; with the local prior (`models.local_energy`) it sees one, and learns the rest as one number.
"""

from __future__ import annotations

from typing import Any

from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.trainings import rollout_errors, trained, true_rollouts
from ddg_explorer.budgets import ours
from ddg_explorer.recipes import make_dataset
from ddg_explorer.systems import CahnHilliard2D

SEEDS = (0, 1)
PRIOR: tuple[dict[str, Any], dict[str, Any]] = (
    {"hidden": 8, "skip": True, "prior": "local"},
    {"steps": 120, "rows": (500, 1000)},
)
TEST_SEED = 2024
STEPS, STEPS_128, DT, MEAN, TOL = 200, 100, 2e-4, 0.3, 1e-9


def measure(options: Options) -> Row:
    budget = ours("cahn_hilliard_2d", "dgnet")
    network, training = dict(budget.network), dict(budget.training)
    row = Row(
        "field_2d",
        "DGNet of Cahn–Hilliard 64², G fixed: errors of rollouts",
        {
            "network": network,
            "training": training,
            "seeds": SEEDS,
            "with the local prior": PRIOR,
            "data": "ch2d, seed 0",
            "test_seed": TEST_SEED,
            "dt": DT,
            "tol": TOL,
        },
    )
    if options.quick:
        training["steps"] = 20
    data = make_dataset("ch2d")
    tests = _tests(options)
    for seed in SEEDS[:1] if options.quick else SEEDS:
        run = trained("dgnet", data, network, training, seed)
        row.add(f"seed {seed}: training", run.cpu_s, "s CPU", least=60.0)
        row.add(f"seed {seed}: training, wall", run.wall_s, "s")
        row.add(f"seed {seed}: loss", run.loss)
        for name, (system, truth) in tests.items():
            if "128" in name and seed != SEEDS[0]:
                continue
            assert truth.grid is not None
            found = rollout_errors(run.model.on_grid(truth.grid), truth, system, TOL)
            label = f"seed {seed}: state MSE, {name}"
            row.add(label, found["state_mse"], least=1e-7, aim=1e-9)
            row.add(f"seed {seed}: energy MSE, {name}", found["energy_mse"])
    run = trained("dgnet", data, PRIOR[0], PRIOR[1], 0)
    row.add("local prior: training", run.cpu_s, "s CPU", least=60.0)
    system, truth = tests[f"fresh state, {STEPS} steps"]
    row.add(
        "local prior: state MSE, fresh state",
        rollout_errors(run.model, truth, system, TOL)["state_mse"],
    )
    return row


def _tests(options: Options) -> dict[str, Any]:
    """Name → true system and its rollouts."""
    steps, steps_128 = (5, 3) if options.quick else (STEPS, STEPS_128)
    small = CahnHilliard2D("published")
    large = CahnHilliard2D("published", n=128, length=2.0)
    fresh = small.initial(TEST_SEED, 1)
    tests = {
        f"fresh state, {STEPS} steps": (small, fresh, steps),
        f"mean {MEAN}, {STEPS} steps": (small, small.initial(TEST_SEED + 1, 1) + MEAN, steps),
        f"128², {STEPS_128} steps": (large, large.initial(TEST_SEED + 2, 1), steps_128),
    }
    return {
        name: (system, true_rollouts(system, u0, DT, count))
        for name, (system, u0, count) in tests.items()
    }
