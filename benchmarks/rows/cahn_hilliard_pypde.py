"""Cahn–Hilliard on 256², five-point stencils, against py-pde's explicit Euler at its limit.

Two comparisons from one state, a labyrinth that is just forming (the fastest dynamics there are):
the discrete gradient at a Δt that serves the eye, far less accurate but with the law exact; and the
cheapest scheme of ours that is as accurate as py-pde over the same stretch of time.
"""

from __future__ import annotations

from torch import Tensor

from benchmarks import peers
from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.states import GAMMA, SEED, spinodal_start
from benchmarks.sweep import Target, adaptive, equal_steps, fine_solution, report
from benchmarks.timing import relative_error, timed_run
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.base import System

N = 256
START, STRETCH = 0.005, 2e-3
LAWFUL = ("collocation4", "collocation6", "collocation8")
RTOLS = tuple(10 ** (-2 - k / 4) for k in range(21))
LONG, LARGE_DT, LARGE_TOL = 0.02, 1e-3, 1e-8
SAFETY = 0.98
"""Fraction of Euler's stability limit 2/ρ that py-pde runs at."""


def euler_limit(n: int, gamma: float) -> float:
    """2/ρ of the five-point scheme, ρ = λ(γλ + 2), λ = 8n², the stiffest mode where u = ±1."""
    eigenvalue = 8.0 * n * n
    return 2 / (eigenvalue * (gamma * eigenvalue + 2))


def measure(options: Options) -> Row:
    n = 64 if options.quick else N
    system = SYSTEMS["cahn_hilliard_2d"](
        "published", n=n, gamma=GAMMA, operator="finite_difference", device=options.device
    )
    peer_steps = round(STRETCH / (SAFETY * euler_limit(n, GAMMA)))
    row = Row(
        "cahn_hilliard_pypde",
        f"Cahn–Hilliard {n}², finite differences, s per unit time, against py-pde's explicit Euler",
        {
            "gamma": GAMMA,
            "n": n,
            "start": f"smooth noise, seed {SEED}, at t = {START}",
            "stretch": STRETCH,
            "peer_dt": STRETCH / peer_steps,
            "peer_steps": peer_steps,
            "discrete_gradient": {"dt": LARGE_DT, "until": LONG, "tol": LARGE_TOL},
            "reference": "collocation8 in equal steps, tol 1e-13",
        },
    )
    begin = spinodal_start(n).to(options.device)
    u0 = Rollout(system, begin, 1e-4).step(round(START / 1e-4)).u
    reference = fine_solution(system, u0, STRETCH, 64, options)
    peer_seconds, bound = _peer(row, u0, reference, peer_steps, options)
    _large_steps(row, system, u0, peer_seconds, options)
    target = Target(system, u0, STRETCH, reference, bound)
    tol = 3 * bound
    candidates = [
        *(equal_steps(key, key, 2, 64, tol=tol, adaptive=False) for key in LAWFUL),
        *(adaptive(f"{key}, adaptive", key, RTOLS, tol=tol) for key in LAWFUL),
    ]
    trials = [t for c in candidates if (t := target.first_within(c, options))]
    report(row, trials, f"after {STRETCH}: ")
    if trials and peer_seconds is not None:
        best = min(trial.run.seconds for trial in trials)
        ratio = peer_seconds / best
        row.add(f"after {STRETCH}: times faster at py-pde's own error", ratio, "×", better="higher")
    return row


def _peer(
    row: Row, u0: Tensor, reference: Tensor, steps: int, options: Options
) -> tuple[float | None, float]:
    """py-pde's seconds for the stretch and its error, (None, 1e-6) where it cannot be run."""
    if not options.on_cpu:
        row.notes.append("py-pde runs on the CPU only and is left out; ours at error 1e-6")
        return None, 1e-6
    request = {
        "gamma": GAMMA,
        "dt": STRETCH / steps,
        "steps": steps,
        "repeats": options.repeats(2),
    }
    try:
        peer = peers.call("pypde_cahn_hilliard", request, options, u0=u0[0])
    except peers.PeerUnavailable as error:
        row.unavailable = f"py-pde: {error}"
        return None, 1e-6
    row.recipe["peer"] = peer["versions"]
    row.saw(peer["disturbance"])
    error = relative_error(peer["u"], reference[0])
    row.add("py-pde: s per unit time", peer["seconds"] / STRETCH, "s")
    row.add(f"py-pde: error after {STRETCH}", error)
    return peer["seconds"], error


def _large_steps(
    row: Row, system: System, u0: Tensor, peer_seconds: float | None, options: Options
) -> None:
    """The discrete gradient at a large Δt over a longer time; py-pde's cost is extrapolated to it.

    A step of explicit Euler costs the same whatever the state.
    """
    scheme = INTEGRATORS["discrete_gradient"](tol=LARGE_TOL)
    reference = fine_solution(system, u0, LONG, 50 if options.quick else 200, options)
    steps = round(LONG / LARGE_DT)
    run = timed_run(system, u0, LARGE_DT, steps, scheme, options, repeats=options.repeats(3))
    rollout, rises, last = Rollout(system, u0, LARGE_DT, scheme), 0, system.energy(u0)
    for frame in rollout.frames(steps):
        rises, last = rises + int(frame.energy > last), frame.energy
    row.saw(run.disturbance)
    label = f"discrete gradient, Δt {LARGE_DT:g}"
    row.add(f"{label}: s per unit time", run.per_unit_time, "s")
    row.add(f"{label}: error after {LONG}", relative_error(run.u, reference))
    row.add(f"{label}: energy rises", rises, least=0, aim=0)
    if peer_seconds is not None:
        ratio = peer_seconds / STRETCH / run.per_unit_time
        bounds = {} if options.quick else {"least": 400.0, "aim": 1000.0}
        row.add(f"{label}: times faster than py-pde", ratio, "×", better="higher", **bounds)
        row.notes.append(f"py-pde is timed over {STRETCH} and taken to cost as much ever after")
