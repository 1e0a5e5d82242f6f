"""One KdV step on 256 points against phlearn's implicit midpoint: same equation, Δt and error."""

from __future__ import annotations

import torch

from benchmarks import peers
from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.timing import relative_error, timed_run
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS

DT, UNTIL, LENGTH, N = 0.01, 2.0, 40.0, 256
FINE = 20
"""RK4 substeps per Δt of the common reference: Δt/20 is an eighth of its stability limit."""


def measure(options: Options) -> Row:
    steps = 20 if options.quick else round(UNTIL / DT)
    repeats = options.repeats(5)
    row = Row(
        "kdv_phlearn",
        f"KdV step, {N} points, against phlearn's implicit midpoint at the same Δt = {DT}",
        {
            "preset": "two_solitons",
            "operator": "finite_difference",
            "n": N,
            "length": LENGTH,
            "dt": DT,
            "steps": steps,
            "tol": 1e-12,
            "repeats": repeats,
            "reference": f"RK4, Δt/{FINE}",
        },
    )
    options_system = {"n": N, "length": LENGTH, "operator": "finite_difference"}
    system = SYSTEMS["kdv"]("two_solitons", device=options.device, **options_system)
    u0 = system.initial()
    reference = Rollout(system, u0, DT / FINE, "rk4").step(FINE * steps).u
    ours = {
        name: timed_run(system, u0, DT, steps, name, options, repeats=repeats)
        for name in ("discrete_gradient", "implicit_midpoint")
    }
    for name, run in ours.items():
        row.saw(run.disturbance)
        row.add(f"{name}: ms per step", 1e3 * run.per_step, "ms")
        row.add(f"{name}: error at t = {steps * DT:g}", relative_error(run.u, reference))
        row.add(f"{name}: iterations of the hardest step", run.iterations)
        row.add(f"{name}: largest residual", run.residual)
    if not options.on_cpu:
        row.notes.append("phlearn runs on the CPU only and is left out")
        return row
    try:
        request = {"length": LENGTH, "dt": DT, "steps": steps, "repeats": repeats}
        peer = peers.call("phlearn_kdv", request, options, u0=u0[0])
    except peers.PeerUnavailable as error:
        row.unavailable = f"phlearn: {error}"
        return row
    row.recipe["peer"] = peer["versions"]
    row.saw(peer["disturbance"])
    row.add("phlearn: ms per step", 1e3 * peer["seconds"] / steps, "ms")
    row.add(f"phlearn: error at t = {steps * DT:g}", relative_error(peer["u"], reference[0]))
    row.add("phlearn: energy drift", peer["drift"])
    for name, run in ours.items():
        again = timed_run(system, u0, DT, steps, name, options, repeats=repeats)
        ratio = peer["seconds"] / min(run.seconds, again.seconds)
        bounds = {"least": 40.0, "aim": 100.0} if name == "discrete_gradient" else {}
        row.add(f"{name}: times faster than phlearn", ratio, "×", better="higher", **bounds)
    difference = relative_error(ours["implicit_midpoint"].u, torch.as_tensor(peer["u"])[None])
    row.add("our implicit midpoint and phlearn's differ by", difference)
    return row
