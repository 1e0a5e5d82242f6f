"""One implicit step of the shipped 1-D energies against MINPACK's fsolve on the same equation.

    v − u − Δt G ∇̄H_θ(v, u)/Δx = 0,    M = 50 points, residual 1e-12

fsolve gets the equation in two forms: with the automatic discrete gradient, as published code has
it, and with our closed form, which is many times cheaper to evaluate.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.timing import cost_of
from ddg_explorer.discrete import discrete_grad
from ddg_explorer.models import EnergyModel
from ddg_explorer.models.files import load_model
from ddg_explorer.recipes import make_test
from ddg_explorer.rollout import Rollout
from ddg_explorer.weights.table import FOLDER

RESIDUAL = 1e-12
BATCH, SEGMENT, SEGMENTS, SOLVES = 100, 10, 10, 3
SINGLE = {"least": 80.0, "aim": 500.0, "better": "higher"}
BATCHED = {"least": 200.0, "aim": 500.0, "better": "higher"}


def measure(options: Options) -> Row:
    row = Row(
        "learned_step_1d",
        "one implicit step of the shipped 1-D DGNets, 50 points, against fsolve",
        {"models": ["kdv", "ch"], "tol": RESIDUAL, "batch": BATCH, "fsolve_xtol": 1e-13},
    )
    for key in ("kdv", "ch"):
        _measure_model(row, key, options)
    row.notes.append("times are processor time of one thread on both sides, the smallest of ours")
    row.notes.append("the batch's time is per trajectory; fsolve takes one at a time")
    return row


def _measure_model(row: Row, key: str, options: Options) -> None:
    model = load_model(FOLDER / f"{key}.dgnet.tanh.safetensors")
    if not isinstance(model, EnergyModel):
        raise RuntimeError(f"{key}: not an energy model")
    model = model.requires_grad_(False)
    data = make_test(key)
    segments = 2 if options.quick else SEGMENTS
    u = data.u[:, 0].repeat(-(-BATCH // data.u.shape[0]), 1, 1)[:BATCH]
    ours, residuals = {}, []
    for name, start in (("single", u[:1]), ("batched", u)):
        rollout = Rollout(model, start, data.dt, tol=RESIDUAL)
        rollout.step(SEGMENT)
        cost = cost_of(lambda rollout=rollout: rollout.step(SEGMENT), SEGMENT, segments)
        row.saw(cost.wall / cost.median)
        if rollout.stopped:
            raise RuntimeError(rollout.stopped)
        ours[name] = cost.least / len(start)
        residuals.append(float(rollout.frame.residual.max()))
        row.add(f"{key}, {name}: a step of a trajectory", 1e3 * ours[name], "ms")
    row.add(f"{key}: largest residual", max(residuals), least=RESIDUAL)
    forms = {
        "automatic": lambda v, u: discrete_grad(model.energy)(v, u) / model.cell_volume,
        "closed form": model.discrete_gradient,
    }
    for form, gradient in forms.items():
        _compare(row, f"{key}, {form}", _equation(model, gradient, data.dt), u[0], ours)


def _compare(
    row: Row,
    name: str,
    equation: Callable[[np.ndarray, np.ndarray], np.ndarray],
    u: Tensor,
    ours: dict[str, float],
) -> None:
    """Time fsolve for a few steps from u."""
    from scipy.optimize import fsolve

    state, evaluations, residual, times = u.flatten().numpy(), 0, 0.0, []
    for _ in range(SOLVES):
        start = time.process_time()
        state, info, _, _ = fsolve(equation, state, args=(state,), xtol=1e-13, full_output=True)
        times.append(time.process_time() - start)
        evaluations += info["nfev"]
        residual = max(residual, float(np.abs(info["fvec"]).max()))
    bounds = (SINGLE, BATCHED) if name.endswith("automatic") else ({"better": "higher"},) * 2
    row.add(f"{name}: fsolve, a step", 1e3 * min(times), "ms")
    row.add(f"{name}: fsolve, evaluations a step", evaluations / SOLVES)
    row.add(f"{name}: fsolve, largest residual", residual)
    for (kind, own), bound in zip(ours.items(), bounds, strict=True):
        row.add(f"{name}: times faster, {kind}", min(times) / own, "×", **bound)


def _equation(
    model: EnergyModel, gradient: Callable[[Tensor, Tensor], Tensor], dt: float
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    shape = model.state_shape

    @torch.no_grad()
    def residual(x: np.ndarray, start: np.ndarray) -> np.ndarray:
        v, u = (torch.from_numpy(a).view(1, *shape) for a in (x, start))
        return (v - u - dt * model.structure.apply(gradient(v, u))).flatten().numpy()

    return residual
