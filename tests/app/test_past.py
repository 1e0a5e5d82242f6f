"""Edits and time travel: what they change, what they keep, and how they are taken back."""

import gc
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from ddg_explorer.app.edits import Edit, apply
from ddg_explorer.app.history import History, Moment
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import Lane, Scene
from ddg_explorer.app.turns import GoTo, Mark, Recall, Turn, Undo, build
from ddg_explorer.frames import Frame, Stop
from ddg_explorer.rollout import Rollout

KDV = Scene("kdv", "two_solitons", n=128)
FIELD = Scene("cahn_hilliard_2d", "spinodal", n=32)
BOUND = torch.tensor(1.0)
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


@pytest.mark.parametrize(
    "asked",
    [
        Turn(KDV, steps=0, commands=(Mark(),)),
        Turn(KDV, steps=0, limits="auto"),
        Turn(KDV, steps=0, limits=(-1.0, 9.0)),
        Turn(KDV, steps=0, show="difference"),
        Turn(replace(KDV, dt=0.003), steps=0),
        Turn(replace(KDV, parameters={"alpha": 3.0}), steps=0),
        Turn(KDV, steps=0, commands=(Edit("add", ((5.0, -1.0),)),)),
        Turn(KDV, steps=0, commands=(Undo(),)),
    ],
)
def test_what_came_after_a_time_gone_back_to_stays_until_it_is_stepped_on(asked):
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    for _ in range(4):
        end = turn(simulation, KDV, steps=1)
    assert not end.visiting
    assert turn(simulation, KDV, GoTo(0.01)).visiting
    there = simulation.turn(asked)
    assert there.visiting
    assert there.header.t == pytest.approx(0.01)
    assert there.span[1] == end.header.t
    on = turn(simulation, asked.scene, steps=1)
    assert not on.visiting
    assert on.span[1] == on.header.t < end.header.t


def test_an_edit_of_an_earlier_time_a_way_back_and_a_reset_are_no_visits():
    mark, edit = Mark(), Edit("add", ((5.0, 1.0),))
    for command in (edit, Recall(mark.moments, edited=False), Undo()):
        simulation = Simulation(Lane())
        turn(simulation, KDV, mark)
        turn(simulation, KDV, steps=2)
        turn(simulation, KDV, edit)
        turn(simulation, KDV, steps=2)
        assert turn(simulation, KDV, GoTo(0.02)).visiting
        mark.moments[simulation.past.key] = next(iter(mark.moments.values()))
        assert not turn(simulation, KDV, command).visiting
    turn(simulation, KDV, GoTo(0.0))
    assert not simulation.turn(Turn(KDV, steps=0, reset=True)).visiting


def test_drift_is_that_of_the_time_gone_back_to():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    before = turn(simulation, KDV, steps=2)
    edited = turn(simulation, KDV, Edit("add", ((5.0, 1.0),)), steps=2)
    back = turn(simulation, KDV, GoTo(before.header.t)).sample
    assert before.sample.drift < 1e-12
    on = turn(simulation, KDV, GoTo(edited.header.t)).sample
    assert (on.drift, on.mass_drift) == (edited.sample.drift, edited.sample.mass_drift)
    turn(simulation, KDV, GoTo(0.0))
    played = turn(simulation, KDV, steps=2).sample
    for sample in (back, played):
        assert sample.drift < 1e-12
        assert sample.mass_drift < 1e-12
        assert sample.energy_scale == before.sample.energy_scale


@pytest.mark.parametrize("command", [GoTo(0.0), Undo()])
def test_drift_of_a_time_before_other_dynamics_is_taken_anew(command):
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    turn(simulation, KDV, Edit("add", ((5.0, 1.0),)), steps=2)
    changed = replace(KDV, parameters={"alpha": 3.0})
    turn(simulation, changed, steps=2)
    back = turn(simulation, changed, command).sample
    assert back.t == 0
    assert back.drift == 0
    assert back.energy == float(build(changed).energy(simulation.frame.u))
    assert turn(simulation, changed, steps=2).sample.drift < 1e-12


@pytest.mark.parametrize("lane", [Lane(), Lane("dgnet")])
def test_growth_is_measured_from_what_the_restored_state_began_with(lane):
    simulation, scene, mark = Simulation(lane), Scene("kdv"), Mark()
    high = Edit("curve", ((0.0, 99.0), (5.0, 99.0)))

    def bound():
        return float(simulation.rollout.snapshot().bound)

    turn(simulation, scene)
    before = bound()
    turn(simulation, scene, mark, steps=1)
    t = turn(simulation, scene, high).header.t
    after = bound()
    assert after > 10 * before
    for command, expected in [
        (GoTo(0.0), before),
        (GoTo(t), after),
        (Undo(), before),
        (high, after),
        (Recall(mark.moments, edited=False), before),
    ]:
        turn(simulation, scene, command)
        assert bound() == expected, command


def test_an_edit_of_an_earlier_time_ends_those_that_came_after():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    start = simulation.frame.u
    turn(simulation, KDV, steps=2)
    turn(simulation, KDV, Edit("add", ((5.0, 1.0),)))
    turn(simulation, KDV, GoTo(0.0))
    assert turn(simulation, KDV, Edit("add", ((9.0, 1.0),))).undoable == 1
    for _ in range(2):
        outcome = turn(simulation, KDV, Undo())
        assert (outcome.header.t, outcome.undoable) == (0.0, 0)
        torch.testing.assert_close(simulation.frame.u, start, rtol=0, atol=0)


def test_playing_on_from_an_earlier_time_ends_the_edits_that_came_after():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    turn(simulation, KDV, steps=2)
    turn(simulation, KDV, Edit("add", ((5.0, 1.0),)))
    turn(simulation, KDV, GoTo(0.0))
    played = turn(simulation, KDV, steps=1).header.t
    outcome = turn(simulation, KDV, Undo())
    assert (outcome.header.t, outcome.undoable) == (played, 0)


def test_reset_forgets_history_and_edits():
    simulation = Simulation(Lane())
    turn(simulation, FIELD, DISK, steps=2)
    outcome = simulation.turn(Turn(FIELD, steps=0, reset=True))
    assert outcome.span == (0.0, 0.0)
    assert outcome.undoable == 0


def still(t):
    """A moment of a frame of 64 bytes."""
    return moment_of(torch.full((8,), t, dtype=torch.float64), t)


def moment_of(u, t):
    energy, zero = u.square().sum(), torch.zeros((), dtype=u.dtype)
    frame = Frame(
        t=t,
        step=int(t),
        u=u,
        energy=energy,
        own_energy=energy,
        mass=u.sum(-1, keepdim=True),
        residual=zero,
        iterations=torch.tensor(3),
        converged=torch.tensor(True),
        stop=Stop(t, "a reason"),
    )
    references: Any = ("references", t)
    return Moment(frame, references, int(t), BOUND)


def same(moment, other):
    """Bit by bit, and of one dtype."""
    for field in fields(Frame):
        one, two = getattr(moment.frame, field.name), getattr(other.frame, field.name)
        if isinstance(two, torch.Tensor):
            torch.testing.assert_close(one, two, rtol=0, atol=0)
        else:
            assert one == two
    return moment[1:] == other[1:]


def test_history_is_bounded_and_keeps_the_whole_run_in_view():
    history = History(limit=64 * 20)
    for k in range(1000):
        history.add(still(float(k)))
    assert len(history) <= 20
    assert history.times[0] == 0
    assert history.times[-1] > 900
    gaps = np.diff(history.times)
    assert gaps.max() <= 2 * gaps.min()
    assert history.nearest(500.0).frame.t == pytest.approx(500, abs=gaps.max())
    assert history.states.shape == (len(history), 8)


def test_an_edited_state_is_kept_however_coarse_the_history_is():
    history = History(limit=64 * 4)
    for k in range(23):
        history.add(still(float(k)))
    assert history.times[-1] < 22
    history.put(still(22.0))
    assert history.times[-1] == 22
    edited = moment_of(torch.arange(8.0, dtype=torch.float64), 22.0)
    history.put(edited)
    assert list(history.times).count(22.0) == 1
    assert same(history.nearest(22.0), edited)
    for k in range(40):
        kept = still(23.0 + k)
        history.put(kept)
        assert same(history.nearest(99.0), kept)
        assert len(history) <= 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_kept_comes_back_bit_by_bit_and_in_its_own_memory(dtype):
    """Every measure in its dtype; the history that goes on does not change what it gave back."""
    history, generator = History(limit=8 * 64), torch.Generator().manual_seed(2)
    moments = {
        float(k): moment_of(torch.randn(8, generator=generator, dtype=dtype), float(k))
        for k in range(100)
    }
    for moment in moments.values():
        history.add(moment)
    assert 4 < len(history) <= 16
    found = {t: history.nearest(t) for t in history.times}
    states = history.states
    for k in range(100, 300):
        history.add(still(float(k)))
    for (t, kept), u in zip(found.items(), states, strict=True):
        assert same(kept, moments[t])
        assert torch.equal(u, kept.frame.u)


def test_a_long_history_is_a_few_arrays():
    """Memory: tensors of their own for every kept frame would tear the heap."""

    def tensors() -> int:
        return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())

    history = History()
    history.add(still(0.0))
    before = tensors()
    for k in range(1, 500):
        history.add(still(float(k)))
    assert len(history) == 500
    assert tensors() <= before


def test_the_slider_reaches_an_edit_of_a_long_run():
    simulation = Simulation(Lane())
    simulation.past.history = History(limit=6 * 8 * 128)
    turn(simulation, KDV)
    for _ in range(20):
        turn(simulation, KDV, steps=1)
    outcome = turn(simulation, KDV, Edit("add", ((5.0, 1.0),)))
    assert outcome.span[1] == outcome.header.t
    edited = simulation.frame.u
    turn(simulation, KDV, GoTo(0.0))
    turn(simulation, KDV, GoTo(9.0))
    torch.testing.assert_close(simulation.frame.u, edited, rtol=0, atol=0)
    before = turn(simulation, KDV, Undo())
    assert before.span[1] == before.header.t == outcome.header.t


def test_a_model_goes_on_from_what_is_painted():
    simulation = Simulation(Lane("dgnet"))
    scene = Scene("kdv")
    turn(simulation, scene)
    assert float(simulation.frame.u.abs().max()) < 10
    assert not turn(simulation, scene, Edit("curve", ((2.0, 200.0), (4.0, 210.0)))).error
    outcome = turn(simulation, scene, steps=1)
    assert not outcome.stopped
    assert outcome.header.t > 0


def test_what_is_kept_has_the_run_s_times_and_states():
    simulation = Simulation(Lane())
    assert simulation.kept() is None
    turn(simulation, KDV)
    turn(simulation, KDV, steps=2)
    kept = simulation.kept()
    np.testing.assert_allclose(kept.times, [0.0, 0.01, 0.02])
    torch.testing.assert_close(kept.states[-1], simulation.frame.u, rtol=0, atol=0)
