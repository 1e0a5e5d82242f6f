"""What the page says of a run that has stopped: once, in its own numbers, and what to try."""

import pytest

from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import Lane, Scene
from ddg_explorer.app.stops import told
from ddg_explorer.app.turns import Turn

SMALLER = "try a smaller Δt"


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (
            "stopped at t = 0.68: the state diverges (max |u| = 1.3e+02); reduce dt (now 0.01)",
            f"diverged at t = 0.68 (max |u| = 130): {SMALLER}",
        ),
        (
            "stopped at t = 1e-05: the state diverges (max |u| = 2.5e+06); reduce dt (now 1e-06)",
            f"diverged at t = 1e−5 (max |u| = 2.5e6): {SMALLER}",
        ),
        (
            "stopped at t = 0: the state is not finite; reduce dt (now 1)",
            f"diverged at t = 0: {SMALLER}",
        ),
        (
            "stopped at t = 2: Newton's method did not converge in 60 iterations (last update "
            "1.0e-03, tolerance 1e-12); reduce dt (now 0.02)",
            "stopped at t = 2: Newton's method did not converge in 60 iterations (last update "
            f"1.0e−3, tolerance 1e−12); {SMALLER}",
        ),
        (
            "stopped at t = 0: the gradient of the energy is not finite at this state: no dt helps",
            "stopped at t = 0: the gradient of the energy is not finite at this state: no Δt helps",
        ),
        ("stopped by an internal error", "stopped by an internal error"),
        ("", ""),
    ],
)
def test_a_reason_is_told_once_with_what_to_try(reason, line):
    assert told(reason) == line


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
