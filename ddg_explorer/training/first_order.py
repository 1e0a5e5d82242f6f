"""First-order training: Adam on batches of one-step pairs.

    L = mean ‖(v − u)/Δt − Φ(v, u, Δt)‖²

The published recipe of Matsubara, Ishikawa and Yaguchi (2020) is `batch=200`, `lr=1e-3`, 10,000
steps, no decay, raw inputs. Closed-form slopes make its gradients right to rounding in float32 too.

Source: D. P. Kingma and J. Ba, ICLR 2015, arXiv:1412.6980.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model

SCHEDULES = ("constant", "cosine")


class Adam:
    """Adam on one model and data set; `advance(step)` is one step.

    Parameters
    ----------
    model
        Its weights are changed in place; batches take its dtype and device.
    data
        Training trajectories.
    generator
        Draws the batches.
    steps
        Length of the schedule.
    batch
        Pairs a step; None takes all pairs in every step.
    lr, weight_decay, schedule
        Step size, its decay term, and "constant" or "cosine" (to zero at the last step).
    """

    def __init__(
        self,
        model: Model,
        data: Dataset,
        generator: torch.Generator,
        *,
        steps: int,
        batch: int | None = 200,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: str = "constant",
    ) -> None:
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule={schedule!r}: use one of {', '.join(SCHEDULES)}")
        if not lr > 0:
            raise ValueError(f"lr={lr}: must be positive")
        if batch is not None and batch < 1:
            raise ValueError(f"batch={batch}: must be at least 1")
        self.model, self.dt, self.generator = model, data.dt, generator
        self.steps, self.batch, self.lr, self.schedule = steps, batch, lr, schedule
        weight = next(model.parameters())
        u, v = data.pairs()
        self.u, self.v = (x.to(weight.device, weight.dtype) for x in (u, v))
        self.optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)

    def advance(self, step: int) -> float:
        """Take step number `step`, counted from 0: the loss before it."""
        if self.schedule == "cosine":
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr * (1 + math.cos(math.pi * step / self.steps)) / 2
        v, u = self._draw()
        self.optimizer.zero_grad()
        loss = self.model.residual(v, u, self.dt).square().mean()
        loss.backward()
        value = float(loss.detach())
        if math.isfinite(value):
            self.optimizer.step()
        return value

    def _draw(self) -> tuple[Tensor, Tensor]:
        if self.batch is None:
            return self.v, self.u
        rows = torch.randint(len(self.u), (self.batch,), generator=self.generator)
        rows = rows.to(self.u.device)
        return self.v[rows], self.u[rows]

    def state(self) -> dict[str, Tensor]:
        """Everything beside weights and generator that an exact resumption needs."""
        out: dict[str, Tensor] = {}
        for index, values in self.optimizer.state_dict()["state"].items():
            out |= {f"{index}.{name}": value for name, value in values.items()}
        return out

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        nested: dict[int, dict[str, Any]] = {}
        for name, value in state.items():
            index, key = name.split(".", 1)
            nested.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": nested, "param_groups": groups})
