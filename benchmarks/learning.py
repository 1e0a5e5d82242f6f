"""What the rows on training share: small data sets, the two sides of a training step, a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import Options
from benchmarks.peers.clock import best_time
from benchmarks.textbook import networks, training
from ddg_explorer.data import Dataset, context_of
from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.training import train
from ddg_explorer.training.first_order import FirstOrder
from ddg_explorer.training.native import compiler
from ddg_explorer.training.scaling import perceptrons

BATCH, HIDDEN = 200, 200


def true_trajectories(
    name: str, preset: str, count: int, steps: int, dt: float, **options: Any
) -> Dataset:
    """Trajectories of a system by its own discrete-gradient scheme."""
    system = SYSTEMS[name](preset, **options)
    rollout = Rollout(system, system.initial(0, count), dt, "discrete_gradient")
    frames = [rollout.frame.u]
    for _ in range(steps):
        frame = rollout.step()
        if frame.reason:
            raise RuntimeError(frame.reason)
        frames.append(frame.u)
    return Dataset(torch.stack(frames, 1), dt, system.grid, context=context_of(system))


def plain_energy(model: EnergyModel) -> nn.Module:
    """The textbook network with the weights of a model, its scaling folded into the outer layers.

    The energy is per cell volume; a quadratic part is left to `plain_quadratic`.
    """
    ((part, _),) = perceptrons(model)
    first, *middle, last = part.dense
    weight = first.weight @ part.whiten.mT
    layers = [(weight, first.bias - weight @ part.mean)]
    layers += [(layer.weight, layer.bias) for layer in middle]
    layers.append((part.scale * last.weight, part.scale * last.bias))
    dtype, hidden = part.whiten.dtype, len(weight)
    if model.grid is None:
        plain: nn.Module = networks.StateEnergy(model.state_shape[0], hidden, dtype)
    else:
        plain = networks.FieldEnergy(hidden, dtype)
    networks.load(plain, layers)
    return plain


def plain_quadratic(model: EnergyModel) -> networks.QuadraticEnergy | None:
    """The textbook form of a field model's quadratic part."""
    ((part, _),) = perceptrons(model)
    if part.quadratic is None:
        return None
    plain = networks.QuadraticEnergy(part.whiten.dtype)
    with torch.no_grad():
        plain.features.weight.copy_(part.whiten.mT[:, None])
        assert plain.features.bias is not None
        plain.features.bias.copy_(-part.mean @ part.whiten)
        plain.form.weight.copy_(part.quadratic.mT[..., None])
    return plain


def dgnet(data: Dataset, dtype: str, hidden: int = HIDDEN) -> EnergyModel:
    """A freshly initialised DGNet on raw inputs."""
    model = ModelRecipe.fitting("dgnet", data, hidden=hidden, dtype=dtype).build()
    assert isinstance(model, EnergyModel)
    return model


def wide(data: Dataset, steps: int) -> tuple[EnergyModel, float]:
    """The published network after `steps` of the published recipe, and its last relative loss.

    Trained in float32 with seed 0, which takes half the time; its weights as float64.
    """
    model = dgnet(data, "float32")
    events = list(train(model, data, optimizer="adam", steps=steps, report_every=steps))
    return model.to(torch.float64), events[-1].loss


def our_step(data: Dataset, dtype: str, options: Options) -> Callable[[], float]:
    """Adam on a batch of the published size, compiled where there is a compiler."""
    model = dgnet(data, dtype)
    model.to(options.device)
    compiled = options.on_cpu and compiler() is not None
    run = FirstOrder(
        model, data, torch.Generator().manual_seed(0), steps=1, batch=BATCH, compiled=compiled
    )
    return lambda: run.advance(0)


def plain_step(
    data: Dataset,
    dtype: str,
    loss: Callable[..., Tensor],
    operator: Callable[[Tensor], Tensor],
    options: Options,
) -> Callable[[], float]:
    """The same step, from the textbook, on as many pairs."""
    model = dgnet(data, dtype)
    model.to(options.device)
    u, v = (x[:BATCH].to(options.device, model.dtype) for x in data.pairs())
    step = training.Step(loss, plain_energy(model).to(options.device), operator, data.dt)
    return lambda: step(v, u)


class Alternating:
    """Times of several steps, measured in turn, so that a disturbed minute disturbs all alike."""

    def __init__(self, steps: dict[str, Callable[[], float]], options: Options) -> None:
        self.steps, self.options = steps, options
        self.seconds = dict.fromkeys(steps, float("inf"))
        self.disturbance = 1.0
        for step in steps.values():
            step()

    def measure(self, rounds: int, calls: dict[str, int]) -> None:
        """`rounds` times every step, `calls` of it a time; the best second per call is kept."""
        for _ in range(rounds):
            for name, step in self.steps.items():
                seconds, busy, _ = best_time(step, calls[name], check=self.options.on_cpu)
                if seconds < self.seconds[name]:
                    self.seconds[name] = seconds
                self.disturbance = max(self.disturbance, busy)
