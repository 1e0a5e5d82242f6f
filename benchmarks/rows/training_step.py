"""One training step of a 1-D PDE network: fused and compiled, against the textbook's.

Network 3 → 200 → 200 → 1 (tanh), batch of 200 pairs of 50 points, Adam.
"""

from __future__ import annotations

import torch

from benchmarks import learning
from benchmarks.machine import Options, synchronise
from benchmarks.peers.clock import best_time
from benchmarks.report import Row
from benchmarks.textbook.networks import central_difference
from benchmarks.textbook.training import dgnet_loss, hnnpp_loss, lean_dgnet_loss

PUBLISHED_MS = {"DGNet": 709.0, "HNN++, Dormand–Prince": 1130.0}
PUBLISHED_PRODUCTS_MS = 47.0
"""Time of the published code on KdV in float64, and of nine products on that machine, two cores."""
SITES = 10_000


def measure(options: Options) -> Row:
    row = Row(
        "training_step",
        "training step of a 1-D PDE network, h = 200, batch 200 × 50 points",
        {
            "data": "kdv, published preset, 8 trajectories of 40 steps, dt = 1e-3, seed 0",
            "network": "3 → 200 → 200 → 1, tanh, orthogonal, raw inputs, seed 0",
            "optimizer": "adam, batch 200",
            "textbook": "benchmarks/textbook, float64",
        },
    )
    data = learning.true_trajectories("kdv", "published", 8, 40, 1e-3)
    assert data.grid is not None
    operator = central_difference(data.grid.spacing[0])
    steps = {
        "ours, float64": learning.our_step(data, "float64", options),
        "ours, float32": learning.our_step(data, "float32", options),
        "textbook DGNet": learning.plain_step(data, "float64", dgnet_loss, operator, options),
        "lean textbook DGNet": learning.plain_step(
            data, "float64", lean_dgnet_loss, operator, options
        ),
        "textbook HNN++, Dormand–Prince": learning.plain_step(
            data, "float64", hnnpp_loss, operator, options
        ),
    }
    calls = {name: 3 if name.startswith("ours") else 1 for name in steps}
    clock = learning.Alternating(steps, options)
    clock.measure(options.repeats(4), calls)
    row.saw(clock.disturbance)
    ms = {name: 1e3 * seconds for name, seconds in clock.seconds.items()}
    for name, value in ms.items():
        row.add(f"{name}: ms per step", value, "ms")
    bounds = {"float64": (7.0, 12.0), "float32": (13.0, 25.0)}
    for dtype, (least, aim) in bounds.items():
        ratio = ms["textbook DGNet"] / ms[f"ours, {dtype}"]
        label = f"ours, {dtype}: times faster than the textbook's float64"
        row.add(label, ratio, "×", least=least, aim=aim, better="higher")
        ratio = ms["lean textbook DGNet"] / ms[f"ours, {dtype}"]
        row.add(f"ours, {dtype}: times faster than the lean one", ratio, "×", better="higher")
    ratio = ms["textbook HNN++, Dormand–Prince"] / ms["ours, float64"]
    label = "ours, float64: times faster than HNN++ with Dormand–Prince"
    row.add(label, ratio, "×", least=10.0, aim=25.0, better="higher")
    _products(row, ms, options)
    return row


def _products(row: Row, ms: dict[str, float], options: Options) -> None:
    """The limit: nine products of 10000 × 200 × 200, and all times in units of it."""
    limits = {dtype: _nine_products(dtype, options) for dtype in (torch.float64, torch.float32)}
    for dtype, limit in limits.items():
        name = str(dtype).removeprefix("torch.")
        row.add(f"nine products of 10000 × 200 × 200, {name}", limit, "ms")
        most = ms["textbook DGNet"] / limit
        row.add(f"{name}: these products alone, times faster than the textbook", most, "×")
    limit = limits[torch.float64]
    for name, value in ms.items():
        row.add(f"{name}: in units of those in float64", value / limit)
    for name, value in PUBLISHED_MS.items():
        unit = value / PUBLISHED_PRODUCTS_MS
        row.notes.append(
            f"published code on another machine: {name} {value:.0f} ms, {unit:.0f} in these units"
        )


def _nine_products(dtype: torch.dtype, options: Options) -> float:
    """Milliseconds."""
    left = torch.randn(SITES, 200, dtype=dtype, device=options.device)
    right = torch.randn(200, 200, dtype=dtype, device=options.device)

    def product() -> None:
        torch.mm(left, right)
        synchronise(options.device)

    seconds, _, _ = best_time(product, options.repeats(20), check=options.on_cpu)
    return 9e3 * seconds
