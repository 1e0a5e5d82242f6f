"""Error of the gradient that training follows, for Cahn–Hilliard at trained weights.

Against the same gradient to more digits, of the same rounded weights and states: what is measured
is arithmetic, not data. The textbook's quotients cancel where both ends of a step are close. A
small network is compared in 60 digits on two pairs; the published one, on a whole batch, in
extended precision, whose own error is measured on the small one.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from benchmarks import learning
from benchmarks.exact_gradient import (
    EXTENDED,
    SIXTY,
    Numbers,
    gradient,
    has_extended,
    laplacian,
    of_model,
    relative_error,
)
from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.textbook.networks import second_difference
from benchmarks.textbook.training import dgnet_loss
from ddg_explorer.models.base import EnergyModel
from ddg_explorer.training import train
from ddg_explorer.training.fused import FusedLoss
from ddg_explorer.training.scaling import perceptrons

HIDDEN, STEPS, PAIRS = 32, 300, 2
BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-4}


def measure(options: Options) -> Row:
    steps, batch = (20, 20) if options.quick else (STEPS, learning.BATCH)
    row = Row(
        "gradient_error",
        "error of the loss's gradient at trained weights, Cahn–Hilliard, against more digits",
        {
            "data": "cahn_hilliard, published preset, 20 trajectories of 100 steps, dt = 1e-4",
            "network": "3 → h → h → 1, tanh, raw inputs, seed 0",
            "training": f"{steps} steps of Adam, 1e-3, batch 200; h = 200 in float32",
            "pairs": {f"h = {HIDDEN}": PAIRS, f"h = {learning.HIDDEN}": batch},
            "reference": {f"h = {HIDDEN}": "60 digits", f"h = {learning.HIDDEN}": "long double"},
            "error": "Euclidean norm of the difference over that of the gradient, all weights",
        },
    )
    data = learning.true_trajectories("cahn_hilliard", "published", 20, 100, 1e-4)
    small = learning.dgnet(data, "float64", HIDDEN)
    events = list(train(small, data, optimizer="adam", steps=steps, report_every=steps))
    u, v = data.pairs()
    few = torch.linspace(0, len(u) - 1, PAIRS).long()
    _measure_model(row, small, events[-1].loss, (v[few], u[few]), data.dt, SIXTY)
    row.notes.append("published code: 1.6e-3 … 9e-2 in float64, more than 1 in float32")
    if not has_extended():
        row.unavailable = f"h = {learning.HIDDEN}: no long double of 64 bits on this platform"
        return row
    own = relative_error(
        _reference(small, v[few], u[few], data.dt, EXTENDED),
        _reference(small, v[few], u[few], data.dt, SIXTY),
        SIXTY,
    )
    row.add(f"h = {HIDDEN}: the reference in extended precision", own)
    large, loss = learning.wide(data, steps)
    many = torch.linspace(0, len(u) - 1, batch).long()
    _measure_model(row, large, loss, (v[many], u[many]), data.dt, EXTENDED)
    return row


def _measure_model(
    row: Row,
    model: EnergyModel,
    loss: float,
    ends: tuple[Tensor, Tensor],
    dt: float,
    numbers: Numbers,
) -> None:
    """Ours and the textbook's, in both precisions, at weights and states rounded to each."""
    name = f"h = {_layers(model)[0].out_features}"
    row.add(f"{name}: relative loss of the trained network", loss)
    for dtype, bound in BOUNDS.items():
        rounded = copy.deepcopy(model).to(dtype)
        v, u = (x.to(dtype) for x in ends)
        reference = _reference(rounded, v, u, dt, numbers)
        FusedLoss(rounded, dt).backward(v, u)
        ours = relative_error(_gradients(_layers(rounded)), reference, numbers)
        plain = learning.plain_energy(rounded)
        dgnet_loss(plain, second_difference(_spacing(model)), v, u, dt).backward()
        other = _gradients(list(plain.get_submodule("layers").children()))
        kind = str(dtype).removeprefix("torch.")
        row.add(f"{name}: ours, {kind}", ours, least=bound)
        row.add(f"{name}: textbook, {kind}", relative_error(other, reference, numbers))


def _reference(model: EnergyModel, v: Tensor, u: Tensor, dt: float, numbers: Numbers) -> list:
    return gradient(of_model(_layers(model)), laplacian(_spacing(model)), v, u, dt, numbers)


def _spacing(model: EnergyModel) -> float:
    assert model.grid is not None
    return model.grid.spacing[0]


def _layers(model: EnergyModel) -> list[torch.nn.Linear]:
    ((part, _),) = perceptrons(model)
    return part.dense


def _gradients(layers: list) -> list[Tensor]:
    """Of W₁, b₁, W₂, b₂ and the last row; the last bias has none."""
    one, two, three = layers
    return [p.grad for p in (one.weight, one.bias, two.weight, two.bias, three.weight)]
