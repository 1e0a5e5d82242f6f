"""Cahn–Hilliard on 256² against py-pde's explicit Euler at its stability limit.

Both integrate the same five-point discretisation over the same stretch of time, from a labyrinth
that is just forming (the fastest dynamics there are), and are held to the same reference.
"""

from __future__ import annotations

from benchmarks import peers
from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.states import GAMMA, SEED, spinodal_start
from benchmarks.sweep import Target, Trial, equal_steps, report
from benchmarks.timing import relative_error, timed_run
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS

N = 256
START, STRETCH = 0.005, 2e-3
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
            "reference": "collocation8, 64 steps, tol 1e-12",
        },
    )
    begin = spinodal_start(n).to(options.device)
    u0 = Rollout(system, begin, 1e-4).step(round(START / 1e-4)).u
    reference = timed_run(system, u0, STRETCH / 64, 64, "collocation8", options, repeats=1).u
    peer_seconds, bound = None, 1e-6
    if options.on_cpu:
        request = {
            "gamma": GAMMA,
            "dt": STRETCH / peer_steps,
            "steps": peer_steps,
            "repeats": options.repeats(2),
        }
        try:
            peer = peers.call("pypde_cahn_hilliard", request, options, u0=u0[0])
        except peers.PeerUnavailable as error:
            row.unavailable = f"py-pde: {error}"
        else:
            row.recipe["peer"] = peer["versions"]
            peer_seconds, bound = peer["seconds"], relative_error(peer["u"], reference[0])
            row.add("py-pde: s per unit time", peer_seconds / STRETCH, "s")
            row.add(f"py-pde: error in time after {STRETCH}", bound)
    else:
        row.unavailable = "py-pde runs on the CPU only; ours at error 1e-6"
    target = Target(system, u0, STRETCH, reference, bound)
    candidates = [
        equal_steps("collocation4", "collocation4", 2, 64, tol=bound / 100),
        equal_steps("collocation6", "collocation6", 2, 64, tol=bound / 100),
    ]
    trials = [t for c in candidates if (t := target.first_within(c, options))]
    report(row, trials)
    _large_steps(row, target, options, peer_seconds)
    if trials and peer_seconds is not None:
        best: Trial = min(trials, key=lambda trial: trial.run.seconds)
        ratio = peer_seconds / best.run.seconds
        row.add(
            "times faster at py-pde's own error",
            ratio,
            "×",
            better="higher",
            least=400.0,
            aim=1000.0,
        )
    return row


def _large_steps(row: Row, target: Target, options: Options, peer_seconds: float | None) -> None:
    """The discrete gradient at a large Δt: less accurate, the law as exact."""
    from ddg_explorer.integrators import INTEGRATORS

    run = target.integrate(INTEGRATORS["discrete_gradient"](tol=1e-8), 2, options, 3)
    row.add(f"discrete gradient, Δt {run.dt:g}: s per unit time", run.per_unit_time, "s")
    row.add(f"discrete gradient, Δt {run.dt:g}: error", relative_error(run.u, target.reference))
    if peer_seconds is not None:
        row.add("discrete gradient: times faster, not as accurate", peer_seconds / run.seconds, "×")
