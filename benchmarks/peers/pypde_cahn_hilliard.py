"""py-pde's Cahn–Hilliard, u_t = Δ(u³ − u − γ Δu), 5-point stencils, explicit Euler in numba.

Request: folder (u0.npy, shape (n, n) on the unit square), gamma, dt, steps, repeats. Saves u.npy,
the last state. Compilation is not counted: the time is py-pde's own for the time loop.
Runs in the peers' environment.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pde


def main() -> None:
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"])
    u0 = np.load(folder / "u0.npy")
    grid = pde.CartesianGrid([[0, 1], [0, 1]], u0.shape, periodic=True)
    equation = pde.CahnHilliardPDE(request["gamma"])
    seconds = []
    for _ in range(request["repeats"]):
        solver = pde.EulerSolver(equation, backend="numba", adaptive=False)
        until = request["steps"] * request["dt"]
        controller = pde.Controller(solver, t_range=until, tracker=None)
        state = controller.run(pde.ScalarField(grid, u0), request["dt"])
        if solver.info["steps"] != request["steps"]:
            raise RuntimeError(f"took {solver.info['steps']} steps, asked for {request['steps']}")
        seconds.append(controller.diagnostics["controller"]["profiler"]["solver"])
    np.save(folder / "u.npy", state.data)
    print(
        json.dumps(
            {
                "seconds": min(seconds),
                "versions": {name: version(name) for name in ("py-pde", "numba", "numpy")},
                "saved": ["u"],
            }
        )
    )


if __name__ == "__main__":
    main()
