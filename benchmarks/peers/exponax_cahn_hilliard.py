"""exponax's Cahn–Hilliard, u_t = Δ(u³ − u − γ Δu) spectral, by its ETDRK4, in float64.

Request: folder (u0.npy, shape (n, n) on the unit square), gamma, time, ladder (step counts), bound,
reference_steps, repeats. Walks up the ladder until the error against its own fine solution is
≤ bound. Each count is run in the two ways exponax offers, stepping states (`repeat`) and staying in
Fourier space (`step_fourier` in a loop); both are jitted and warm. Saves reference.npy and u.npy.

Dealiasing is switched off by a fraction above 1, so that the discretisation in space is the plain
spectral one of the other side. Runs in the peers' environment.
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import exponax
import jax
import jax.numpy as jnp
import numpy as np
from clock import best_time


def stepper(n: int, gamma: float, dt: float) -> exponax.BaseStepper:
    return exponax.stepper.reaction.CahnHilliard(
        2, 1.0, n, dt, diffusivity=1.0, gamma=gamma, order=4, dealiasing_fraction=1 + 3 / n
    )


def in_fourier_space(step: exponax.BaseStepper, n: int, steps: int) -> Callable:
    def run(u: jax.Array) -> jax.Array:
        start = exponax.fft(u, num_spatial_dims=2)
        end = jax.lax.fori_loop(0, steps, lambda _, u_hat: step.step_fourier(u_hat), start)
        return exponax.ifft(end, num_spatial_dims=2, num_points=n)

    return jax.jit(run)


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"])
    u0 = jnp.asarray(np.load(folder / "u0.npy"))[None]
    n, gamma, until = u0.shape[-1], request["gamma"], request["time"]
    fine = request["reference_steps"]
    run_fine = in_fourier_space(stepper(n, gamma, until / fine), n, fine)
    reference = np.asarray(run_fine(u0)[0])
    runs = []
    for steps in request["ladder"]:
        step = stepper(n, gamma, until / steps)
        ways = {
            "repeat": jax.jit(exponax.repeat(step, steps)),
            "step_fourier": in_fourier_space(step, n, steps),
        }
        seconds, disturbance = {}, {}
        for name, run in ways.items():
            run(u0).block_until_ready()
            seconds[name], disturbance[name], state = best_time(
                lambda run=run: run(u0).block_until_ready(), request["repeats"]
            )
        u = np.asarray(state[0])
        error = float(np.linalg.norm(u - reference) / np.linalg.norm(reference))
        runs.append(
            {"steps": steps, "error": error, "seconds": seconds, "disturbance": disturbance}
        )
        if error <= request["bound"]:
            break
    np.save(folder / "reference.npy", reference)
    np.save(folder / "u.npy", u)
    names = ("exponax", "jax", "jaxlib")
    versions = {name: version(name) for name in names}
    print(json.dumps({"runs": runs, "versions": versions, "saved": ["reference", "u"]}))


if __name__ == "__main__":
    main()
