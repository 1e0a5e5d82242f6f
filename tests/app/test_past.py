"""Edits and time travel: what they change, what they keep, and how they are taken back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ddg_explorer.app.edits import Edit, apply
from ddg_explorer.app.history import History
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import Lane, Scene
from ddg_explorer.app.turns import GoTo, Turn, Undo, build
from ddg_explorer.rollout import Rollout

KDV = Scene("kdv", "two_solitons", n=128)
FIELD = Scene("cahn_hilliard_2d", "spinodal", n=32)
DISK = Edit("disk", ((0.5, 0.5),), value=1.0, radius=0.15)


def turn(simulation, scene, *commands, steps=0):
    return simulation.turn(Turn(scene, steps=steps, budget=60.0, commands=commands))


def test_a_painted_disk_changes_the_mass_by_what_was_painted_and_then_it_stays():
    simulation = Simulation(Lane())
    start = turn(simulation, FIELD, steps=2)
    u, system = simulation.frame.u, build(FIELD)
    painted = apply(DISK, u, system)
    outcome = turn(simulation, FIELD, DISK)
    added = float((painted - u).sum()) * system.grid.cell_volume
    assert outcome.sample.mass - start.sample.mass == pytest.approx(added, rel=1e-12)
    assert added > 0.05
    later = turn(simulation, FIELD, steps=5)
    assert later.sample.mass == pytest.approx(outcome.sample.mass, abs=1e-13)
    assert later.sample.energy < outcome.sample.energy


def test_a_disk_is_round_and_wraps_around():
    system = build(FIELD)
    u = torch.zeros(system.state_shape, dtype=torch.float64)
    middle = apply(DISK, u, system)[0]
    corner = apply(replace(DISK, points=((0.0, 0.0),)), u, system)[0]
    torch.testing.assert_close(middle.roll((-16, -16), (0, 1)), corner, rtol=0, atol=1e-12)
    torch.testing.assert_close(corner, corner.T, rtol=0, atol=1e-12)
    assert corner.max() > 0.99
    assert float(corner.sum()) * system.grid.cell_volume == pytest.approx(np.pi * 0.15**2, rel=0.05)


def test_an_added_soliton_travels_at_its_exact_speed():
    system = build(KDV)
    empty = torch.zeros(system.state_shape, dtype=torch.float64)
    height = 1.5  # 2k², so it runs at 4k² = 3
    u = apply(Edit("add", ((12.0, height),)), empty, system)
    moved = Rollout(system, u, 0.02).step(50).u
    x = system.coordinates()[0]
    k = (height / 2) ** 0.5
    exact = height / torch.cosh(k * (x - 12.0 - 4 * k**2 * 1.0)) ** 2
    assert float((moved[0] - exact).abs().max()) < 0.01


def test_a_soliton_of_the_wrong_sign_is_refused():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    before = simulation.frame.u
    outcome = turn(simulation, KDV, Edit("add", ((5.0, -1.0),)))
    assert "solitons point upwards" in outcome.error
    assert simulation.frame.u is before


def test_a_drawn_curve_is_the_profile_where_it_passes():
    system = build(KDV)
    u = torch.zeros(system.state_shape, dtype=torch.float64)
    out = apply(Edit("curve", ((10.0, 0.0), (20.0, 1.0))), u, system)[0]
    x = system.coordinates()[0]
    here = (x >= 10) & (x <= 20)
    torch.testing.assert_close(out[here], (x[here] - 10) / 10)
    assert float(out[~here].abs().max()) == 0


@pytest.mark.parametrize(
    ("scene", "edit"),
    [(KDV, DISK), (FIELD, Edit("add", ((0.1, 1.0),))), (Scene("pendulum"), DISK)],
)
def test_gestures_that_do_not_suit_are_one_line(scene, edit):
    simulation = Simulation(Lane())
    turn(simulation, scene)
    assert turn(simulation, scene, edit).error.startswith("edit: ")


@pytest.mark.parametrize("points", [(), ((float("nan"), 0.0),), ((1e9, 0.0),)])
def test_wild_gestures_are_refused(points):
    with pytest.raises(ValueError, match=r"^edit: "):
        Edit("curve", points)


def test_every_lane_takes_the_same_edit():
    scene = Scene("kdv")
    lanes = [Simulation(Lane()), Simulation(Lane("dgnet"))]
    edit = Edit("add", ((5.0, 1.0),))
    jumps = []
    for simulation in lanes:
        turn(simulation, scene)
        before = simulation.frame.u
        turn(simulation, scene, edit)
        jumps.append(simulation.frame.u - before)
    torch.testing.assert_close(*jumps, rtol=0, atol=0)


def test_undo_restores_state_and_clock_bit_by_bit():
    simulation = Simulation(Lane())
    turn(simulation, FIELD, steps=3)
    before = simulation.frame
    assert turn(simulation, FIELD, DISK, steps=2).undoable == 1
    outcome = turn(simulation, FIELD, Undo())
    torch.testing.assert_close(simulation.frame.u, before.u, rtol=0, atol=0)
    assert outcome.header.t == before.t
    assert outcome.undoable == 0
    assert not turn(simulation, FIELD, Undo()).error


def test_the_parts_of_a_stroke_are_taken_back_at_once():
    simulation = Simulation(Lane())
    turn(simulation, FIELD)
    before = simulation.frame.u
    turn(simulation, FIELD, DISK)
    outcome = turn(simulation, FIELD, replace(DISK, points=((0.6, 0.5),), joined=True))
    assert outcome.undoable == 1
    turn(simulation, FIELD, Undo())
    torch.testing.assert_close(simulation.frame.u, before, rtol=0, atol=0)


def test_going_back_and_on_is_exact_and_stepping_on_forgets_what_came_after():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    states = {}
    for _ in range(4):
        outcome = turn(simulation, KDV, steps=2)
        states[outcome.header.t] = simulation.frame.u
    early, late = list(states)[1], list(states)[3]
    assert turn(simulation, KDV, GoTo(early)).header.t == early
    torch.testing.assert_close(simulation.frame.u, states[early], rtol=0, atol=0)
    assert turn(simulation, KDV, GoTo(late)).header.t == late
    torch.testing.assert_close(simulation.frame.u, states[late], rtol=0, atol=0)
    turn(simulation, KDV, GoTo(early))
    outcome = turn(simulation, KDV, steps=1)
    assert outcome.span == (0.0, pytest.approx(early + 0.01))


def test_reset_forgets_history_and_edits():
    simulation = Simulation(Lane())
    turn(simulation, FIELD, DISK, steps=2)
    outcome = simulation.turn(Turn(FIELD, steps=0, reset=True))
    assert outcome.span == (0.0, 0.0)
    assert outcome.undoable == 0


class Still:
    """A frame with a state of so many bytes."""

    def __init__(self, t, count=8):
        self.t, self.u = t, torch.full((count,), t, dtype=torch.float64)


def test_history_is_bounded_and_keeps_the_whole_run_in_view():
    history = History(limit=64 * 20)
    for k in range(1000):
        history.add(Still(float(k)))
    assert len(history) <= 20
    assert history.times[0] == 0
    assert history.times[-1] > 900
    gaps = np.diff(history.times)
    assert gaps.max() <= 2 * gaps.min()
    assert history.nearest(500.0).t == pytest.approx(500, abs=gaps.max())
    assert history.states.shape == (len(history), 8)


def test_what_is_kept_has_the_run_s_times_and_states():
    simulation = Simulation(Lane())
    assert simulation.kept() is None
    turn(simulation, KDV)
    turn(simulation, KDV, steps=2)
    kept = simulation.kept()
    np.testing.assert_allclose(kept.times, [0.0, 0.01, 0.02])
    torch.testing.assert_close(kept.states[-1], simulation.frame.u, rtol=0, atol=0)
