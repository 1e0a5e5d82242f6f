"""First-order training: Adam or SOAP on batches of one-step pairs.

    L = mean |(v − u)/Δt − Φ(v, u, Δt)|²      or that of several steps in a row (`unrolled`)

each component over the RMS σᵢ of its own (v − u)/Δt where they are weighted.

The published recipe of Matsubara, Ishikawa and Yaguchi (2020) is `batch=200`, `lr=1e-3`, 10,000
steps, no decay, raw inputs. Closed-form slopes make its gradients right to rounding in float32 too.
Loss and gradient of a DGNet of depth 2 come from one fused pass (`fused`), those of other models
from automatic differentiation.

Sources: D. P. Kingma and J. Ba, ICLR 2015, arXiv:1412.6980; N. Vyas et al., ICLR 2025,
arXiv:2409.11321 (SOAP).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model
from ddg_explorer.solve import NoSolutionError
from ddg_explorer.training.fused import FusedLoss, fuses
from ddg_explorer.training.optimizers import FIRST_ORDER, pack, unpack
from ddg_explorer.training.unrolled import unrolled_loss, windows

BATCH = 200
"""Pairs a step where it is not told."""
SCHEDULES = ("constant", "cosine")


class FirstOrder:
    """A first-order optimiser on one model and data set; `advance(step)` is one step.

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
    unroll
        Steps in a row whose errors are taken; 1: the one-step residual.
    compiled
        Compile the fused loss (`fused`).
    optimizer
        Key of `FIRST_ORDER`.
    scale
        σ by component or channel, `(C, 1, …)`; None: not weighted.
    """

    def __init__(
        self,
        model: Model,
        data: Dataset,
        generator: torch.Generator,
        *,
        steps: int,
        batch: int | None = BATCH,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        schedule: str = "constant",
        unroll: int = 1,
        compiled: bool = False,
        optimizer: str = "adam",
        scale: Tensor | None = None,
    ) -> None:
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule={schedule!r}: use one of {', '.join(SCHEDULES)}")
        self.remedy = "reduce lr" if unroll == 1 else "reduce lr, or train on unroll=1 first"
        self.model, self.dt, self.generator = model, data.dt, generator
        self.steps, self.batch, self.lr, self.schedule = steps, batch, lr, schedule
        weight = next(model.parameters())
        # pairs are windows of two frames
        self.frames = windows(data, unroll).to(weight.device, weight.dtype)
        self.scale = None if scale is None else scale.to(weight.device, weight.dtype)
        self.fused = None
        if unroll == 1 and fuses(model):
            self.fused = FusedLoss(model, data.dt, compiled=compiled, scale=self.scale)
        self.optimizer = FIRST_ORDER[optimizer](model.parameters(), lr, weight_decay)

    def advance(self, step: int) -> float:
        """Take step number `step`, counted from 0: the loss before it, NaN where an implicit step
        that is trained through has no solution."""
        if self.schedule == "cosine":
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr * (1 + math.cos(math.pi * step / self.steps)) / 2
        frames = self._draw()
        self.optimizer.zero_grad()
        try:
            value = float(self._loss_and_gradient(frames))
        except NoSolutionError:
            return math.nan
        if math.isfinite(value):
            self.optimizer.step()
        return value

    def _loss_and_gradient(self, frames: Tensor) -> Tensor:
        if self.fused is not None:
            return self.fused.backward(frames[:, 1], frames[:, 0])
        if frames.shape[1] == 2:
            r = self.model.residual(frames[:, 1], frames[:, 0], self.dt)
            loss = (r if self.scale is None else r / self.scale).square().mean()
        else:
            loss = unrolled_loss(self.model, frames, self.dt, self.scale)
        loss.backward()
        return loss.detach()

    def _draw(self) -> Tensor:
        if self.batch is None:
            return self.frames
        rows = torch.randint(len(self.frames), (self.batch,), generator=self.generator)
        return self.frames[rows.to(self.frames.device)]

    def state(self) -> dict[str, Tensor]:
        """Everything beside weights and generator that an exact resumption needs."""
        return pack(self.optimizer)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        unpack(self.optimizer, state)
