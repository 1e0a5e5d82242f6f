"""One training step of an ODE network, h = 200, batch 200, float32: fused, against the textbook."""

from __future__ import annotations

from benchmarks import learning
from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.textbook.networks import canonical
from benchmarks.textbook.training import dgnet_loss, hnnpp_loss, lean_dgnet_loss

PUBLISHED_MS = 15.4


def measure(options: Options) -> Row:
    row = Row(
        "ode_step",
        "training step of an ODE network, h = 200, batch 200, float32",
        {
            "data": "pendulum, published preset, 8 trajectories of 40 steps, dt = 0.1, seed 0",
            "network": "2 → 200 → 200 → 1, tanh, orthogonal, raw inputs, seed 0",
            "optimizer": "adam, batch 200",
            "textbook": "benchmarks/textbook, float32",
        },
    )
    data = learning.true_trajectories("pendulum", "published", 8, 40, 0.1)
    steps = {
        "ours": learning.our_step(data, "float32", options),
        "textbook DGNet": learning.plain_step(data, "float32", dgnet_loss, canonical, options),
        "lean textbook DGNet": learning.plain_step(
            data, "float32", lean_dgnet_loss, canonical, options
        ),
        "textbook HNN, Dormand–Prince": learning.plain_step(
            data, "float32", hnnpp_loss, canonical, options
        ),
    }
    clock = learning.Alternating(steps, options)
    clock.measure(options.repeats(2), {"ours": 20, **dict.fromkeys(list(steps)[1:], 10)})
    row.saw(clock.disturbance)
    ms = {name: 1e3 * seconds for name, seconds in clock.seconds.items()}
    for name, value in ms.items():
        row.add(f"{name}: ms per step", value, "ms")
    ratio = ms["textbook DGNet"] / ms["ours"]
    row.add("times faster than the textbook", ratio, "×", least=4.0, aim=10.0, better="higher")
    ratio = ms["lean textbook DGNet"] / ms["ours"]
    row.add("times faster than the lean textbook", ratio, "×", better="higher")
    row.notes.append(f"published code on another machine: {PUBLISHED_MS} ms")
    return row
