"""One implicit step of learned 1-D energies against MINPACK's fsolve on the same equation.

    v − u − Δt G ∇̄H_θ(v, u)/Δx = 0,    M = 50 points, residual 1e-12

The shipped small networks, and ones that the published recipe trained to its end.
fsolve gets the equation in three forms: the textbook's, with quotient slopes, operation by
operation; with our exact slopes and the automatic discrete gradient; and with our closed form,
which is many times cheaper to evaluate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import learning
from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.textbook.discrete_autograd import discrete_gradient
from benchmarks.timing import cost_of
from ddg_explorer.discrete import discrete_grad
from ddg_explorer.models import EnergyModel
from ddg_explorer.models.files import load_model
from ddg_explorer.recipes import make_test
from ddg_explorer.rollout import Rollout
from ddg_explorer.weights.table import FOLDER

RESIDUAL, XTOL = 1e-12, 1e-12
KEYS = ("kdv", "ch")
MODELS = Path(__file__).parent.parent / "models"
BATCH, SOLVES = 100, 3
SEGMENTS = {"single": (10, 10), "batched": (5, 4)}
"""Steps of a segment, and segments."""
BOUNDS = {"single": (80.0, 500.0), "batched": (200.0, 500.0)}

Gradient = Callable[[Tensor, Tensor], Tensor]


class Equation:
    """The equation of a step as scipy takes it, flat arrays of numpy."""

    def __init__(self, model: EnergyModel, gradient: Gradient, dt: float) -> None:
        self.model, self.gradient, self.dt = model, gradient, dt

    def residual(self, x: np.ndarray, start: np.ndarray) -> np.ndarray:
        """v − u − Δt G ∇̄H(v, u)/Δx of x = v and start = u."""
        return x - start - self.dt * self._flow(x, start)

    def guess(self, start: np.ndarray) -> np.ndarray:
        """A step of the explicit midpoint rule: from v = u quotients give no Jacobian."""
        half = start + self.dt / 2 * self._flow(start, start)
        return start + self.dt * self._flow(half, half)

    @torch.no_grad()
    def _flow(self, x: np.ndarray, start: np.ndarray) -> np.ndarray:
        v, u = (torch.from_numpy(a).view(1, *self.model.state_shape) for a in (x, start))
        return self.model.structure.apply(self.gradient(v, u)).flatten().numpy()


def measure(options: Options) -> Row:
    row = Row(
        "learned_step_1d",
        "one implicit step of learned 1-D energies, 50 points, against fsolve",
        {
            "models": "shipped DGNets kdv and ch",
            "h = 200": "10,000 steps of the published recipe, seed 0; weights kept in float32: "
            "ddg-explorer reproduce kdv ch --budget published --models dgnet",
            "tol": RESIDUAL,
            "batch": BATCH,
            "fsolve_xtol": XTOL,
        },
    )
    for key in KEYS:
        for path in (FOLDER / f"{key}.dgnet.tanh.safetensors", MODELS / f"{key}200.safetensors"):
            model = load_model(path)
            if not isinstance(model, EnergyModel):
                raise RuntimeError(f"{path.name}: not an energy model")
            _measure_model(row, key, model.double().requires_grad_(False), options)
    row.notes.append("times are processor time of one thread on both sides, the smallest")
    row.notes.append("the batch's time is per trajectory; fsolve takes one at a time")
    return row


def _measure_model(row: Row, key: str, model: EnergyModel, options: Options) -> None:
    plain, quadratic = learning.plain_energy(model), learning.plain_quadratic(model)
    name = f"{key}, h = {plain.get_submodule('layers.1').out_channels}"
    data = make_test(key)
    u = data.u[:, 0].repeat(-(-BATCH // data.u.shape[0]), 1, 1)[:BATCH]
    ours, residuals = {}, []
    for kind, start in (("single", u[:1]), ("batched", u)):
        length, segments = SEGMENTS[kind]
        rollout = Rollout(model, start, data.dt, tol=RESIDUAL)
        rollout.step(length)
        repeats = options.repeats(segments)
        cost = cost_of(lambda run=rollout, n=length: run.step(n), length, repeats)
        row.saw(cost.wall / cost.median)
        if rollout.stopped:
            raise RuntimeError(rollout.stopped)
        ours[kind] = cost.least / len(start)
        residuals.append(float(rollout.frame.residual.max()))
        row.add(f"{name}, {kind}: a step of a trajectory", 1e3 * ours[kind], "ms")
    row.add(f"{name}: largest residual", max(residuals), least=RESIDUAL)

    @torch.enable_grad()
    def textbook(v: Tensor, u: Tensor) -> Tensor:
        g = discrete_gradient(plain, v, u)
        return (g if quadratic is None else g + quadratic.discrete_gradient(v, u)).detach()

    forms: dict[str, Gradient] = {
        "textbook": textbook,
        "exact slopes, automatic": lambda v, u: (
            discrete_grad(model.energy)(v, u) / model.cell_volume
        ),
        "exact slopes, closed form": model.discrete_gradient,
    }
    equations = {form: Equation(model, gradient, data.dt) for form, gradient in forms.items()}
    exact = equations["exact slopes, closed form"]
    for form, equation in equations.items():
        bounds = BOUNDS if form == "textbook" else {}
        _compare(row, f"{name}, {form}", equation, exact, u[0], ours, bounds)


def _compare(
    row: Row,
    name: str,
    equation: Equation,
    exact: Equation,
    u: Tensor,
    ours: dict[str, float],
    bounds: dict[str, tuple[float, float]],
) -> None:
    """Time fsolve for a few steps from u; `exact` judges its solutions as well."""
    from scipy.optimize import fsolve

    state, evaluations, times = u.flatten().numpy(), 0, []
    residual, true_residual, reason = 0.0, 0.0, ""
    for _ in range(SOLVES):
        before, start = state, time.process_time()
        state, info, code, message = fsolve(
            equation.residual, equation.guess(before), args=(before,), xtol=XTOL, full_output=True
        )
        times.append(time.process_time() - start)
        evaluations += info["nfev"]
        residual = max(residual, float(np.abs(info["fvec"]).max()))
        true_residual = max(true_residual, float(np.abs(exact.residual(state, before)).max()))
        reason = reason if code == 1 else " ".join(message.split())
    row.add(f"{name}: fsolve, a step", 1e3 * min(times), "ms")
    row.add(f"{name}: fsolve, evaluations a step", evaluations / SOLVES)
    row.add(f"{name}: fsolve, largest residual", residual)
    row.add(f"{name}: the same in exact slopes", true_residual)
    if reason and residual > RESIDUAL:
        row.notes.append(f"{name}: fsolve stops at residual {residual:.1e}: {reason}")
    for kind, own in ours.items():
        limits: dict[str, Any] = dict(zip(("least", "aim"), bounds.get(kind, ()), strict=False))
        ratio = min(times) / own
        row.add(f"{name}: times faster, {kind}", ratio, "×", better="higher", **limits)
