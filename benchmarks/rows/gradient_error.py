"""Error of the gradient that training follows, for Cahn–Hilliard at trained weights.

Against the same gradient in 60 digits, of the same rounded weights and states: what is measured is
arithmetic, not data. The textbook's quotients cancel where both ends of a step are close.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from benchmarks import exact_gradient, learning
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
    steps = 50 if options.quick else STEPS
    row = Row(
        "gradient_error",
        "error of the loss's gradient at trained weights, Cahn–Hilliard, against 60 digits",
        {
            "data": "cahn_hilliard, published preset, 20 trajectories of 100 steps, dt = 1e-4",
            "network": f"3 → {HIDDEN} → {HIDDEN} → 1, tanh, raw inputs, seed 0",
            "training": f"{steps} steps of Adam, 1e-3, batch 200, float64",
            "pairs": PAIRS,
            "error": "Euclidean norm of the difference over that of the gradient, all weights",
        },
    )
    data = learning.true_trajectories("cahn_hilliard", "published", 20, 100, 1e-4)
    model = learning.dgnet(data, "float64", HIDDEN)
    events = list(train(model, data, optimizer="adam", steps=steps, report_every=steps))
    row.add("relative loss of the trained network", events[-1].loss)
    u, v = data.pairs()
    rows = torch.linspace(0, len(u) - 1, PAIRS).long()
    for dtype, bound in BOUNDS.items():
        name = str(dtype).removeprefix("torch.")
        ours, plain = _errors(model, v[rows].to(dtype), u[rows].to(dtype), data.dt, dtype)
        row.add(f"ours, {name}", ours, least=bound)
        row.add(f"textbook, {name}", plain)
    row.notes.append("published code: 1.6e-3 … 9e-2 in float64, more than 1 in float32")
    return row


def _errors(
    model: EnergyModel, v: Tensor, u: Tensor, dt: float, dtype: torch.dtype
) -> tuple[float, float]:
    """Ours and the textbook's, both in `dtype` at the weights rounded to it."""
    rounded = copy.deepcopy(model).to(dtype)
    assert rounded.grid is not None
    ((part, _),) = perceptrons(rounded)
    layers = part.dense
    h = rounded.grid.spacing[0]
    weights = exact_gradient.of_model(layers)
    reference = exact_gradient.gradient(weights, exact_gradient.laplacian(h), v, u, dt)
    FusedLoss(rounded, dt).backward(v, u)
    ours = _gradients(layers)
    plain = learning.plain_energy(rounded)
    dgnet_loss(plain, second_difference(h), v, u, dt).backward()
    other = _gradients(list(plain.get_submodule("layers").children()))
    return (
        exact_gradient.relative_error(ours, reference),
        exact_gradient.relative_error(other, reference),
    )


def _gradients(layers: list) -> list[Tensor]:
    """Of W₁, b₁, W₂, b₂ and the last row; the last bias has none."""
    one, two, three = layers
    parameters = (one.weight, one.bias, two.weight, two.bias, three.weight)
    return [p.grad.reshape(len(p), -1).squeeze(-1) if p.ndim > 2 else p.grad for p in parameters]
