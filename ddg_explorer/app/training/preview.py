"""A small picture of what a model in training predicts, beside the truth it has not seen.

    error(t) = RMS(û(t) − u(t)) / RMS(u over the whole trajectory)

The truth is one trajectory from a held-out initial state, without noise; of a person's own file it
is a trajectory held out from training, or the first one where there is no other. What leaves the
worker is plain data of a few kilobytes: curves as lists, fields as bytes in base 64.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.compare import Contest
from ddg_explorer.data import Dataset
from ddg_explorer.fitting import Fit
from ddg_explorer.models.base import Model
from ddg_explorer.recipes import DataRecipe
from ddg_explorer.rollout import Rollout

STEPS = 300
"""Steps of the truth at most."""
SECONDS, LAST_SECONDS = 1.0, 4.0
"""CPU time a rollout may take, and that of the finished model; it then shows how far it came."""
POINTS = 128
CELLS = 64
"""Points of a profile, and cells of a field along an axis, at most."""


@dataclass(frozen=True)
class Preview:
    """A true trajectory to compare with.

    Attributes
    ----------
    truth
        `(frames, *state_shape)`.
    dt
        Δt between frames.
    spacing
        Δx of a field, () for an ODE.
    source
        Where it comes from, for the caption.
    """

    truth: Tensor
    dt: float
    spacing: tuple[float, ...]
    source: str

    @classmethod
    def of(cls, recipe: DataRecipe | None, fit: Fit) -> Preview:
        """From a held-out initial state of the recipe, or from the trajectories of a file."""
        if recipe is not None:
            steps = min(recipe.for_test().steps, STEPS)
            data = Contest.of(recipe, steps=steps, learned=[fit.data.recipe["seed"]]).truth
            source = "held-out initial state"
        else:
            held_out = fit.validation is not None
            data = fit.validation if fit.validation is not None else fit.training
            source = "held-out trajectory" if held_out else "trajectory trained on"
        return cls(_first(data), data.dt, data.grid.spacing if data.grid else (), source)

    def of_model(self, model: Model, seconds: float = SECONDS) -> dict[str, Any]:
        """The model's rollout from the first state, as far as `seconds` go, beside the truth."""
        states, reason = self._rollout(model, seconds)
        last = len(states) - 1
        truth = self.truth[: last + 1].double()
        scale = float(self.truth.double().square().mean().sqrt()) or 1.0
        error = (states - truth).flatten(1).square().mean(1).sqrt() / scale
        rows = _spread(len(error), POINTS)
        return {
            "source": self.source,
            "t": last * self.dt,
            "t_end": (len(self.truth) - 1) * self.dt,
            "reason": reason,
            "times": [round(float(i) * self.dt, 9) for i in rows],
            "errors": [float(f"{float(error[i]):.4g}") for i in rows],
            **self._picture(truth, states),
        }

    def _rollout(self, model: Model, seconds: float) -> tuple[Tensor, str]:
        """The states reached, float64 `(frames, *state_shape)`, and why they end early."""
        begin, steps = time.process_time(), len(self.truth) - 1
        start = self.truth[0].to(next(model.parameters()))
        rollout = Rollout(model, start, self.dt, model.integrators[0])
        states = [rollout.u]
        while len(states) <= steps and time.process_time() - begin < seconds:
            frame = rollout.step()
            if rollout.stopped:
                return torch.stack(states).double().cpu(), frame.reason
            states.append(frame.u)
        return torch.stack(states).double().cpu(), ""

    def _picture(self, truth: Tensor, states: Tensor) -> dict[str, Any]:
        if not self.spacing:
            rows = _spread(len(truth), 2 * POINTS)
            a, b = (_plane(x[rows]) for x in (truth, states))
            return {"kind": "phase", "truth": a, "model": b}
        if len(self.spacing) == 1:
            points = _spread(truth.shape[-1], POINTS)
            x = [round(float(i) * self.spacing[0], 9) for i in points]
            a, b = (_rounded(u[-1, 0, points]) for u in (truth, states))
            return {"kind": "profile", "x": x, "truth": a, "model": b}
        return {"kind": "field", **_field(truth[-1, 0], states[-1, 0])}


def _first(data: Dataset) -> Tensor:
    return data.u[0, : STEPS + 1]


def _spread(count: int, most: int) -> list[int]:
    """At most `most` of the indices below `count`, evenly spread, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]


def _plane(states: Tensor) -> list[list[float]]:
    """The two coordinates that are drawn: of a body in the plane its place, else q₁ and p₁."""
    d = states.shape[1]
    second = 1 if d > 4 else d // 2
    return [_rounded(states[:, 0]), _rounded(states[:, min(second, d - 1)])]


def _field(truth: Tensor, state: Tensor) -> dict[str, Any]:
    rows, columns = (_spread(n, CELLS) for n in truth.shape)
    pictures = [u[rows][:, columns].T for u in (truth, state)]
    half = float(pictures[0].abs().max()) or 1.0
    difference = pictures[1] - pictures[0]
    span = float(difference.abs().max())
    return {
        "shape": list(pictures[0].shape),
        "half": half,
        "span": span,
        "truth": _bytes(pictures[0], half),
        "model": _bytes(pictures[1], half),
        "difference": _bytes(difference, half),
    }


def _bytes(picture: Tensor, half: float) -> str:
    """Values of [−half, half] as 0 … 255, in base 64; others take the nearer end."""
    levels = ((picture / half + 1) * 127.5).clamp(0, 255).round().to(torch.uint8)
    return base64.b64encode(levels.numpy().tobytes()).decode()
