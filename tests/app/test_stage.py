"""What a lane's scene asks of its rollout: the schemes that suit, the start, costly steps."""

from dataclasses import replace

import pytest
import torch

from ddg_explorer.app.entrants import Shelf, entrant
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import Lane, Scene, Start
from ddg_explorer.app.turns import Turn, build, suitable

KDV = Scene("kdv", "two_solitons", n=64)
STEEPER = replace(KDV, parameters={"alpha": -3.0})


def turn(simulation, scene, **options):
    return simulation.turn(Turn(scene, **{"steps": 2, "budget": None, **options}))


@pytest.mark.parametrize("system", ["pendulum", "kdv"])
def test_a_neural_ode_is_offered_no_scheme_that_needs_a_structure(system):
    scene = Scene(system)
    offered = suitable(entrant(Lane("node"), scene, build(scene), Shelf()))
    assert not {"discrete_gradient", "implicit_midpoint", "collocation4"} & set(offered)
    assert {"midpoint", "rk4", "dopri5", "euler"} <= set(offered)


@pytest.mark.parametrize("scheme", ["discrete_gradient", "implicit_midpoint"])
def test_a_link_to_such_a_scheme_is_refused_in_one_line(scheme):
    outcome = turn(Simulation(Lane("node", scheme)), Scene("pendulum"))
    assert outcome.header is None
    assert outcome.stopped.startswith("a neural ODE has neither an energy nor a G")
    assert "\n" not in outcome.stopped


def test_reset_begins_where_the_link_of_the_scene_does():
    simulation, linked = Simulation(Lane()), Simulation(Lane())
    turn(simulation, KDV)
    turn(simulation, STEEPER)
    reset = turn(simulation, STEEPER, steps=0, reset=True, exact=True)
    fresh = turn(linked, STEEPER, steps=0)
    assert torch.equal(simulation.frame.u, linked.frame.u)
    assert reset.sample.energy == fresh.sample.energy
    assert reset.setup.picture.limits == fresh.setup.picture.limits
    assert reset.header.t == reset.header.drift == 0
    assert reset.header.extra == 1, "the exact solution holds from this start"


def test_reset_after_other_dynamics_keeps_a_start_of_ones_own():
    start = Start(torch.linspace(0, 1, 64, dtype=torch.float64)[None], "drawn")
    simulation = Simulation(Lane())
    turn(simulation, replace(KDV, start=start))
    scene = replace(STEEPER, start=start)
    turn(simulation, scene)
    reset = turn(simulation, scene, steps=0, reset=True)
    assert torch.equal(simulation.frame.u, start.state)
    assert reset.setup is None


def test_reset_says_where_the_parameters_have_no_start():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    u0 = simulation.past.history.nearest(0).frame.u
    linear = replace(KDV, parameters={"alpha": 0.0})
    turn(simulation, linear)
    reset = turn(simulation, linear, steps=0, reset=True)
    assert reset.error.startswith("back at the state that the run began with: ")
    assert "\n" not in reset.error
    assert reset.header.t == 0
    assert torch.equal(simulation.frame.u, u0)


def test_collocation_of_a_learned_field_in_two_dimensions_is_one_solve_a_step():
    simulation = Simulation(Lane("dgnet", "collocation2"))
    scene = Scene("cahn_hilliard_2d")
    energies = []
    for _ in range(3):
        outcome = turn(simulation, scene, steps=1)
        energies.append(float(simulation.frame.own_energy))
        assert not outcome.stopped
        assert outcome.header.iterations < 10
    assert energies == sorted(energies, reverse=True)
    failing = turn(Simulation(Lane("hnnpp", "collocation2")), replace(scene, dt=0.02), steps=1)
    assert "collocation did not converge" in failing.stopped
