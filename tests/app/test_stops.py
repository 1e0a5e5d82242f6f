"""What the page says of a run that has stopped: once, in its own numbers, and what to try."""

import math

import pytest

from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import Lane, Scene
from ddg_explorer.app.stops import told
from ddg_explorer.app.turns import Turn
from ddg_explorer.frames import Stop

SMALLER = "try a smaller Δt"


@pytest.mark.parametrize(
    ("stop", "line"),
    [
        (
            Stop(0.68, "the state diverges (max |u| = 1.3e+02)", dt=0.01, size=132.0),
            f"diverged at t = 0.68 (max |u| = 130): {SMALLER}",
        ),
        (
            Stop(1e-5, "the state diverges (max |u| = 2.5e+06)", dt=1e-6, size=2.5e6),
            f"diverged at t = 1e−5 (max |u| = 2.5e6): {SMALLER}",
        ),
        (
            Stop(0.9, "the state diverges (max |u| = 1.2e+07)", size=1.2e7),
            "diverged at t = 0.9 (max |u| = 1.2e7)",
        ),
        (
            Stop(0.0, "the state is not finite", dt=1.0, size=math.inf),
            f"diverged at t = 0: {SMALLER}",
        ),
        (Stop(0.0, "the state is not finite", size=math.nan), "diverged at t = 0"),
        (
            Stop(
                2.0,
                "Newton's method did not converge in 60 iterations (last update 1.0e-03, "
                "tolerance 1e-12)",
                dt=0.02,
            ),
            "stopped at t = 2: Newton's method did not converge in 60 iterations (last update "
            f"1.0e−3, tolerance 1e−12); {SMALLER}",
        ),
        (
            Stop(0.0, "the gradient of the energy is not finite at this state"),
            "stopped at t = 0: the gradient of the energy is not finite at this state",
        ),
        (None, ""),
    ],
)
def test_a_stop_is_told_once_with_what_to_try(stop: Stop | None, line: str) -> None:
    assert told(stop) == line


@pytest.mark.parametrize(
    ("scene", "start"),
    [
        (Scene("kdv", n=32, integrator="euler", dt=1.0), "diverged at t = "),
        (Scene("mass_spring", integrator="euler", dt=1e3), "diverged at t = "),
        (Scene("kdv", n=32, integrator="discrete_gradient", dt=500.0), "stopped at t = "),
    ],
)
def test_the_lines_of_lanes_that_stop_are_of_that_form(scene, start):
    """The core's own lines: neither its `dt` nor its powers of ten reach the page."""
    simulation = Simulation(Lane())
    stopped = simulation.turn(Turn(scene, steps=400, budget=None)).stopped
    assert stopped.startswith(start)
    assert stopped.endswith(SMALLER)
    assert stopped.count("diverge") == (start == "diverged at t = ")
    assert "dt" not in stopped
    assert not any(power in stopped for power in ("e+", "e-"))


@pytest.mark.parametrize("integrator", ["dopri5", "collocation4"])
def test_nothing_is_advised_before_a_singularity(integrator: str) -> None:
    """G that lets KdV blow up in finite time, at any Δt."""
    scene = Scene("kdv", n=32, structure="d_dx_viscous", integrator=integrator, dt=0.1)
    simulation = Simulation(Lane())
    stopped = simulation.turn(Turn(scene, steps=400, budget=None)).stopped
    assert stopped
    assert "Δt" not in stopped
    assert "dt" not in stopped
