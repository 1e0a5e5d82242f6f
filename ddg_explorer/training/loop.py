"""`train()`: a generator of progress events, cancelled by closing it and resumed exactly.

The loss is the mean square of the one-step residual (v − u)/Δt − Φ(v, u, Δt) divided by that of
(v − u)/Δt over the training data: 1 is a model that predicts no change, nondimensional. Weighted,
both are taken of every component first and the quotients averaged: 1 is the same, and the loss that
of data in any other units. With noise="states" it is the mean square distance to the observations
in units of their noise: 1 is a model that explains the data. With noise="weak" both are averaged
with ψ first (`weak`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.files import not_finite
from ddg_explorer.models.gauge import normalise
from ddg_explorer.training.cadence import Cadence
from ddg_explorer.training.checks import check_data, check_settings, checked_arguments
from ddg_explorer.training.defaults import all_settings
from ddg_explorer.training.first_order import BATCH
from ddg_explorer.training.optimiser import Optimiser, optimiser, unit_of
from ddg_explorer.training.prepare import Scale, prepare, relative_loss
from ddg_explorer.training.shooting import RIDGE
from ddg_explorer.training.smoothing import inner, smooth
from ddg_explorer.training.snapshots import Snapshot, check_writable, read_snapshot


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
    elapsed, rate, eta
        Seconds since this call started, steps per second since its first event was taken, and
        seconds until it ends at that rate. At the first event, whose step may have been compiled
        first, there is no rate, and no `eta` unless the run is at its end: None.
    done
        True for the last event; `reason` then tells why a run ended early, "" otherwise.
    """

    step: int
    steps: int
    loss: float
    validation_loss: float | None
    elapsed: float
    rate: float | None
    eta: float | None
    done: bool = False
    reason: str = ""


def train(
    model: Model,
    data: Dataset,
    *,
    optimizer: str | None = None,
    steps: int | None = None,
    rows: tuple[int, int] | None = None,
    batch: int | None = BATCH,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    schedule: str = "constant",
    unroll: int = 1,
    compile: bool | None = None,
    scale: bool | None = None,
    noise: str | None = None,
    ridge: float = RIDGE,
    weights: str | None = None,
    validation: Dataset | None = None,
    seed: int = 0,
    report_every: int | None = None,
    checkpoint: str | Path | None = None,
) -> Iterator[Progress]:
    """Train `model` on the one-step pairs of `data`, in place.

    Deterministic by `seed` on a CPU with a number of threads. Closing the generator cancels; with a
    `checkpoint`, calling `train` again with the same arguments goes on from the last event and ends
    with the same weights bit by bit. An earlier card is dropped, a learned G normalised at the end,
    see `models.gauge`.

    Parameters
    ----------
    model
        Made by `ModelRecipe.build`.
    data, validation
        Training trajectories, and held-out ones, on the model's grid.
    optimizer
        "lm" (Levenberg–Marquardt, for networks of up to about a thousand weights), "adam", "soap"
        (stronger on wide networks, see `optimizers`), or None: lm where the network is that small
        and the scheme has a finite reach, else adam.
    steps
        Iterations of lm (500; 40 with noise="states"), steps of the others (10,000).
    rows
        Residuals an iteration of lm, at the start and from two thirds on; they grow geometrically.
        None: 1500 to 20,000, in 2-D 1000 to 1300.
    batch, lr, weight_decay, schedule
        Of Adam and SOAP.
    unroll
        Adam and SOAP: steps in a row whose errors are trained on, through the implicit equation
        (`unrolled`); 1 is the one-step residual.
    compile
        Adam and SOAP on a tanh DGNet, on the CPU: its loss in C++, compiled here, which takes half
        to two thirds of the time off a step and changes it by rounding. None: as the run in
        `checkpoint`; a new one where it saves more time than compiling takes, and a C++ compiler
        works. A run may go on otherwise than it began.
    scale
        Whiten inputs and scale the output by the data before the first step; None: with lm, and
        where components are weighted.
    noise
        What is done about noise in the observed states. "none"; "smooth": smooth the trajectories
        first (`smoothing`); "weak": smooth them and train on the weak form of a field's residual,
        lm only (`weak`); "states": fit whole trajectories of an ODE, lm only (`shooting`). None:
        with lm, where the data's recipe says that they are noisy, "states" for an ODE and "smooth"
        for a field; "none" otherwise.
    ridge
        Of "states": weight of the prior |θ|² on the network's weights.
    weights
        What the components of an ODE, or channels of a field, count by. "components": residuals
        are divided by the RMS of (v − u)/Δt of their own component over the training data, so that
        no unit counts; "none": by that of all, the absolute loss. None: "components" where two of
        them are 4 times apart (`prepare.default_weights`), and "none" elsewhere, bit by bit. With
        noise="states", which counts in units of the noise, that of its first iterations.
    report_every
        Steps between events; None: about 100 events a run, one after the first step, and one a
        second where steps are long, see `cadence`.
    checkpoint
        A `.safetensors` file that holds the run after every event, read where it exists.

    Raises
    ------
    ValueError
        For bad settings, data of another domain or that never change, a checkpoint of another run
        or one that cannot be written; the model is then as it was.
    """
    check_data(model, data, validation)
    arguments = checked_arguments(
        {
            "optimizer": optimizer,
            "steps": steps,
            "rows": rows,
            "batch": batch,
            "lr": lr,
            "weight_decay": weight_decay,
            "schedule": schedule,
            "unroll": unroll,
            "compile": compile,
            "scale": scale,
            "noise": noise,
            "ridge": ridge,
            "weights": weights,
            "seed": seed,
            "report_every": report_every,
            "checkpoint": checkpoint,
        }
    )
    check_writable(checkpoint)
    settings = all_settings(model, data, arguments)
    check_settings(model, data, settings)
    snapshot = read_snapshot(checkpoint)
    if snapshot is not None and checkpoint is not None:
        snapshot.check(checkpoint, settings)
    generator = torch.Generator().manual_seed(settings["seed"])
    treatment = settings["noise"]
    smoothed = treatment in ("smooth", "weak")
    seen = inner(smooth(data)) if smoothed else data
    if smoothed and validation is not None:
        validation = inner(smooth(validation))
    unit = unit_of(seen, settings)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        if settings["scale"]:
            whitened = smooth(data) if treatment == "states" else seen
            small, of_start = settings["optimizer"] == "lm", unit
            if whitened is not seen:
                of_start = unit_of(whitened, settings)
            prepare(model, whitened, generator, small=small, unit=of_start)
        run = optimiser(model, seen, generator, settings, unit)
    except ValueError:
        model.load_state_dict(before)
        raise
    model.card = {}
    cadence = Cadence(settings["steps"], arguments["report_every"])
    yield from _loop(
        model, unit, validation, run, generator, settings, cadence, checkpoint, snapshot
    )


def _loop(
    model: Model,
    unit: Scale,
    validation: Dataset | None,
    run: Optimiser,
    generator: torch.Generator,
    settings: dict[str, Any],
    cadence: Cadence,
    checkpoint: str | Path | None,
    snapshot: Snapshot | None,
) -> Iterator[Progress]:
    steps, first = settings["steps"], 0
    weak = settings["noise"] == "weak"
    relative = settings["optimizer"] == "lm" or isinstance(unit, torch.Tensor)
    divisor = 1.0 if relative else float(unit)

    def held_out() -> float | None:
        return None if validation is None else relative_loss(model, validation, unit, weak=weak)

    if snapshot is not None:
        first = _resume(snapshot, model, run, generator)
        if first == steps:
            yield Progress(steps, steps, snapshot.loss, held_out(), 0.0, None, 0.0, done=True)
    begin = time.perf_counter()
    pace: tuple[int, float] | None = None
    for step in range(first, steps):
        loss = run.advance(step) / divisor
        taken = step + 1
        if taken == steps and isinstance(model, EnergyModel):
            fix_freedom(model)
        trouble = "" if math.isfinite(loss) else f"the loss is {loss}"
        if not trouble and not cadence.due(taken):
            continue
        report = time.perf_counter()
        weights = model.state_dict()
        trouble = trouble or not_finite(weights)
        if checkpoint is not None and not trouble:
            state = generator.get_state()
            Snapshot(taken, loss, settings, weights, run.state(), state).write(checkpoint)
        validation_loss = held_out()
        cadence.reported(report)
        now = time.perf_counter()
        rate = None if pace is None else (taken - pace[0]) / max(now - pace[1], 1e-9)
        left = None if rate is None else (steps - taken) / rate
        yield Progress(
            taken,
            steps,
            loss,
            validation_loss,
            now - begin,
            rate,
            0.0 if taken == steps else left,
            done=bool(trouble) or taken == steps,
            reason=f"diverged at step {taken}: {trouble}; {run.remedy}" if trouble else "",
        )
        if trouble:
            return
        if pace is None:
            pace = taken, time.perf_counter()


def fix_freedom(model: EnergyModel) -> None:
    """Normalise a learned G that is the same in every state (`models.gauge`)."""
    if model.structure.module is not None and not model.structure.state_dependent:
        normalise(model)


def _resume(snapshot: Snapshot, model: Model, run: Optimiser, generator: torch.Generator) -> int:
    model.load_state_dict(snapshot.weights)
    run.restore(snapshot.optimiser)
    generator.set_state(snapshot.generator)
    return snapshot.step
