"""`train()`: a generator of progress events, cancelled by closing it and resumed exactly.

The loss is the mean square of the one-step residual (v − u)/Δt − Φ(v, u, Δt) divided by that of
(v − u)/Δt over the training data: 1 is a model that predicts no change, nondimensional.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.gauge import normalise
from ddg_explorer.training.first_order import Adam
from ddg_explorer.training.levenberg_marquardt import LevenbergMarquardt
from ddg_explorer.training.scaling import (
    fit_inputs,
    fit_output,
    fit_quadratic,
    initialise_small,
    perceptrons,
)
from ddg_explorer.training.snapshots import Snapshot, read_snapshot

OPTIMISERS = ("lm", "adam")
DEFAULT_STEPS = {"lm": 500, "adam": 10_000}
SCALING_SITES = 150_000
"""Sites on which scales are fitted, and losses of held-out data taken: a sample is enough."""


@dataclass(frozen=True)
class Progress:
    """Where a training run stands.

    Attributes
    ----------
    step, steps
        Steps taken, of how many.
    loss, validation_loss
        Relative mean square of the residual on the last batch, and on the held-out trajectories
        (None without any).
    elapsed, eta
        Seconds since this call started, and until it ends at the present rate.
    done
        True for the last event; `reason` then tells why a run ended early, "" otherwise.
    """

    step: int
    steps: int
    loss: float
    validation_loss: float | None
    elapsed: float
    eta: float
    done: bool = False
    reason: str = ""


def train(
    model: Model,
    data: Dataset,
    *,
    optimizer: str | None = None,
    steps: int | None = None,
    rows: tuple[int, int] | None = None,
    batch: int | None = 200,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    schedule: str = "constant",
    scale: bool | None = None,
    validation: Dataset | None = None,
    seed: int = 0,
    report_every: int | None = None,
    checkpoint: str | Path | None = None,
) -> Iterator[Progress]:
    """Train `model` on the one-step pairs of `data`, in place.

    Deterministic by `seed` on a CPU. Closing the generator cancels; with a `checkpoint`, calling
    `train` again with the same arguments goes on from the last event and ends with the same weights
    bit by bit. A learned G is normalised after the last step, see `models.gauge`.

    Parameters
    ----------
    model
        Made by `ModelRecipe.build`.
    data, validation
        Training trajectories, and held-out ones.
    optimizer
        "lm" (Levenberg–Marquardt, for networks of up to about a thousand weights), "adam", or None:
        lm where the network is that small and the scheme has a finite reach.
    steps
        Iterations of lm (500), steps of Adam (10,000).
    rows
        Residuals an iteration of lm, at the start and from two thirds on; they grow geometrically.
        None: 1500 to 20,000, in 2-D to 5000.
    batch, lr, weight_decay, schedule
        Of Adam.
    scale
        Whiten inputs and scale the output by the data before the first step; None: with lm only.
    report_every
        Steps between events; None: about 100 events a run.
    checkpoint
        A `.safetensors` file that holds the run after every event, read where it exists.

    Raises
    ------
    ValueError
        For bad settings, or a checkpoint of another run.
    """
    chosen = optimizer or default_optimizer(model)
    if chosen not in OPTIMISERS:
        raise ValueError(f"optimizer={optimizer!r}: use one of {', '.join(OPTIMISERS)}")
    if data.state_shape != model.state_shape:
        raise ValueError(
            f"data have states {data.state_shape}: the model's are {model.state_shape}"
        )
    total = DEFAULT_STEPS[chosen] if steps is None else steps
    if total < 1:
        raise ValueError(f"steps={steps}: must be at least 1")
    settings = {
        "recipe": None if model.recipe is None else asdict(model.recipe),
        "data": data.digest(),
        "optimizer": chosen,
        "steps": total,
        "rows": None if rows is None else list(rows),
        "batch": batch,
        "lr": lr,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "scale": scale,
        "seed": seed,
    }
    generator = torch.Generator().manual_seed(seed)
    if scale if scale is not None else chosen == "lm":
        prepare(model, data, generator, small=chosen == "lm")
    run: Any
    if chosen == "lm":
        run = LevenbergMarquardt(model, data, generator, steps=total, rows=rows)
    else:
        options = {"batch": batch, "lr": lr, "weight_decay": weight_decay, "schedule": schedule}
        run = Adam(model, data, generator, steps=total, **options)
    yield from _loop(model, data, validation, run, generator, settings, report_every, checkpoint)


def default_optimizer(model: Model) -> str:
    """ "lm" for a small float64 network with a finite reach, else "adam"."""
    small = sum(p.numel() for p in model.parameters()) <= 1500
    double = all(p.dtype == torch.float64 for p in model.parameters())
    spectral = model.recipe is not None and (model.recipe.structure or {}).get("operator")
    local = model.scheme != "dopri5" and spectral != "spectral"
    return "lm" if small and double and local else "adam"


@torch.no_grad()
def prepare(model: Model, data: Dataset, generator: torch.Generator, *, small: bool) -> None:
    """Fit the scales of the network to the data; `small` also draws the weights anew for lm."""
    weight = next(model.parameters())
    u, v = data.pairs()
    count = _pairs(data, SCALING_SITES)
    rows = torch.randperm(len(u), generator=generator)[:count]
    u, v = (x[rows].to(weight.device, weight.dtype) for x in (u, v))
    fit_inputs(model, torch.cat([u, v]))
    if small:
        initialise_small(model, generator)
    # a third of the sites is enough for the few coefficients of the output
    u, v = u[: max(1, count // 3)], v[: max(1, count // 3)]
    fit_output(model, v, u, data.dt)
    if isinstance(model, EnergyModel) and perceptrons(model)[0][0].quadratic is not None:
        fit_quadratic(model, v, u, data.dt)


def _pairs(data: Dataset, sites: int) -> int:
    """Pairs that have about so many sites; at least two, for an ODE a third as many."""
    return max(2, sites // (50 if data.grid is None else data.grid.size))


def _loop(
    model: Model,
    data: Dataset,
    validation: Dataset | None,
    run: LevenbergMarquardt | Adam,
    generator: torch.Generator,
    settings: dict[str, Any],
    report_every: int | None,
    checkpoint: str | Path | None,
) -> Iterator[Progress]:
    steps, first = settings["steps"], 0
    every = report_every or max(1, steps // 100)
    unit = mean_change(data)
    if checkpoint is not None and Path(checkpoint).is_file():
        snapshot = read_snapshot(checkpoint, settings)
        first = _resume(snapshot, model, run, generator)
        if first == steps:
            held_out = None if validation is None else relative_loss(model, validation, unit)
            yield Progress(steps, steps, snapshot.loss, held_out, 0.0, 0.0, done=True)
    begin = time.perf_counter()
    for step in range(first, steps):
        loss = run.advance(step) / (1.0 if settings["optimizer"] == "lm" else unit)
        taken = step + 1
        if taken == steps and isinstance(model, EnergyModel):
            fix_freedom(model)
        failed = not math.isfinite(loss)
        if not failed and taken % every and taken < steps:
            continue
        if checkpoint is not None and not failed:
            weights = model.state_dict()
            state = generator.get_state()
            Snapshot(taken, loss, settings, weights, run.state(), state).write(checkpoint)
        elapsed = time.perf_counter() - begin
        yield Progress(
            taken,
            steps,
            loss,
            None if validation is None else relative_loss(model, validation, unit),
            elapsed,
            elapsed / (taken - first) * (steps - taken),
            done=failed or taken == steps,
            reason=f"diverged at step {taken}: the loss is {loss}; reduce lr" if failed else "",
        )
        if failed:
            return


def fix_freedom(model: EnergyModel) -> None:
    """Normalise a learned G that is the same in every state (`models.gauge`)."""
    if model.structure.module is not None and not model.structure.state_dependent:
        normalise(model)


def _resume(
    snapshot: Snapshot, model: Model, run: LevenbergMarquardt | Adam, generator: torch.Generator
) -> int:
    model.load_state_dict(snapshot.weights)
    run.restore(snapshot.optimiser)
    generator.set_state(snapshot.generator)
    return snapshot.step


def mean_change(data: Dataset) -> float:
    """Mean square of (v − u)/Δt over the data: the unit of the loss."""
    u, v = data.pairs()
    return float(((v - u) / data.dt).square().mean())


@torch.no_grad()
def relative_loss(model: Model, data: Dataset, unit: float) -> float:
    """The loss on some of the pairs, evenly spread over the data."""
    weight = next(model.parameters())
    u, v = data.pairs()
    every = max(1, len(u) // _pairs(data, SCALING_SITES))

    def prepared(x: Tensor) -> Tensor:
        return x[::every].to(weight.device, weight.dtype)

    return float(model.residual(prepared(v), prepared(u), data.dt).square().mean()) / unit
