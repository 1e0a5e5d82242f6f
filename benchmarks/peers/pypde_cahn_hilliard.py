"""py-pde's Cahn–Hilliard, u_t = Δ(u³ − u − γ Δu), 5-point stencils, explicit Euler in numba.

Request: folder (u0.npy, shape (n, n) on the unit square), gamma, dt, steps, repeats. Saves u.npy,
the last state. What is timed is py-pde's compiled time loop, without compiling it.
Runs in the peers' environment.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pde
from clock import best_time


def main() -> None:
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"])
    u0, dt, steps = np.load(folder / "u0.npy"), request["dt"], request["steps"]
    grid = pde.CartesianGrid([(0, 1), (0, 1)], u0.shape, periodic=True)
    solver = pde.EulerSolver(pde.CahnHilliardPDE(request["gamma"]), backend="numba", adaptive=False)
    advance = solver.make_stepper(state=pde.ScalarField(grid, u0), dt=dt)
    advance(pde.ScalarField(grid, u0), 0.0, dt)

    def work() -> pde.ScalarField:
        state, before = pde.ScalarField(grid, u0), solver.info["steps"]
        advance(state, 0.0, steps * dt)
        if solver.info["steps"] - before != steps:
            raise RuntimeError(f"took {solver.info['steps'] - before} steps, asked for {steps}")
        return state

    seconds, disturbance, state = best_time(work, request["repeats"])
    np.save(folder / "u.npy", state.data)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "disturbance": disturbance,
                "versions": {name: version(name) for name in ("py-pde", "numba", "numpy")},
                "saved": ["u"],
            }
        )
    )


if __name__ == "__main__":
    main()
