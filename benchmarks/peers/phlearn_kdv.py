"""phlearn's KdV, u_t + 6uu_x + u_xxx = 0, by its implicit midpoint (dense Newton, tol 1e-12).

Request: folder (u0.npy, shape (n,)), length, dt, steps, repeats. Saves u.npy, the last state.
Runs in the peers' environment.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from clock import best_time
from phlearn.phsystems.pde import KdVSystem


def main() -> None:
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"])
    u0 = np.load(folder / "u0.npy")
    x = np.arange(u0.size) * (request["length"] / u0.size)
    system = KdVSystem(x=x, eta=6.0, gamma=1.0, nu=0.0)
    times = np.arange(request["steps"] + 1) * request["dt"]
    system.sample_trajectory_midpoint(times[:3], x0=u0)
    seconds, disturbance, states = best_time(
        lambda: system.sample_trajectory_midpoint(times, x0=u0)[0], request["repeats"]
    )
    np.save(folder / "u.npy", states[-1])
    drift = abs(system.H(states) - system.H(states[0])).max() / abs(system.H(states[0]))
    print(
        json.dumps(
            {
                "seconds": seconds,
                "disturbance": disturbance,
                "drift": float(drift),
                "versions": {name: version(name) for name in ("phlearn", "numpy", "scipy")},
                "saved": ["u"],
            }
        )
    )


if __name__ == "__main__":
    main()
