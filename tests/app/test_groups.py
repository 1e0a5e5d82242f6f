"""Lanes that keep step: who joins later, who comes from apart, and whose error is whose."""

from dataclasses import replace

import pytest
import torch

from ddg_explorer.app.edits import Edit
from ddg_explorer.app.groups import APART, BROKEN, take_turn
from ddg_explorer.app.numerals import number
from ddg_explorer.app.scales import Scales
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.stage import MODEL_GROWTH
from ddg_explorer.app.state import Lane, Scene
from ddg_explorer.app.turns import GoTo, Mark, Recall, Turn
from ddg_explorer.rollout import Rollout

PENDULUM = Scene("pendulum")
DAMPED = replace(PENDULUM, structure="damped_symplectic")
KDV = Scene("kdv", "two_solitons", n=32)


def lanes(*others):
    scales = Scales()
    return [Simulation(lane, None, scales) for lane in (Lane(), *others)]


def play(simulations, scene, steps=4, **options):
    return take_turn(simulations, Turn(scene, steps=steps, budget=None, **options))


def times(outcomes):
    return [None if o.header is None else o.header.t for o in outcomes]


def test_a_lane_that_fits_again_goes_on_from_the_truth_and_keeps_step():
    simulations = lanes(Lane("hnn"), Lane("dgnet"))
    play(simulations, PENDULUM)
    away = play(simulations, DAMPED)
    assert away[1].header is None
    before = simulations[2].frame.u
    back = play(simulations, PENDULUM, steps=0)
    truth, hnn, dgnet = simulations
    assert times(back) == [pytest.approx(away[0].header.t)] * 3
    assert torch.equal(hnn.frame.u, truth.frame.u)
    assert torch.equal(dgnet.frame.u, before)
    assert back[1].sample.error == back[1].sample.own_drift == 0
    assert f"from the truth at t = {number(back[0].header.t, 4)}" in back[0].note
    assert "\n" not in back[0].note
    assert not back[0].error
    on = play(simulations, PENDULUM)
    assert not on[0].note, "said once"
    assert times(on) == [pytest.approx(on[0].header.t)] * 3
    model = Rollout(hnn.rollout.dynamics, before, hnn.rollout.dt, hnn.rollout.integrator)
    model.replace(truth.past.history.nearest(0).frame.u)
    assert torch.allclose(hnn.frame.u, model.step(4).u, rtol=0, atol=1e-10)


def stopped(simulations, scene):
    """Play until the second lane has stopped before the others: its time."""
    for _ in range(200):
        last = play(simulations, scene)
        if last[1].stopped:
            play(simulations, scene)
            return last[1].header.t
    raise AssertionError("never stopped")


COARSE = replace(PENDULUM, dt=1.2)
EXPLICIT = Lane("hnn", integrator="euler")


@pytest.mark.parametrize(
    "change",
    [replace(PENDULUM, dt=0.01), replace(COARSE, integrator="implicit_midpoint")],
    ids=["dt", "scheme of the truth"],
)
def test_a_lane_that_had_stopped_and_runs_again_keeps_step(change):
    simulations = lanes(EXPLICIT, Lane("dgnet"))
    end = stopped(simulations, COARSE)
    for _ in range(3):
        outcomes = play(simulations, change)
        running = [o.header.t for o in outcomes if not o.stopped]
        assert running == [pytest.approx(running[0])] * len(running)
    if change.dt != COARSE.dt:
        assert len(running) == 3
        assert outcomes[1].header.t > end
        assert outcomes[1].sample.error < 1


def test_the_time_slider_leaves_a_stopped_lane_stopped_past_its_end():
    simulations = lanes(EXPLICIT, Lane("dgnet"))
    end = stopped(simulations, COARSE)
    for t in (simulations[0].frame.t, end / 2, simulations[0].frame.t - COARSE.dt):
        seen = play(simulations, COARSE, steps=0, commands=(GoTo(t),))
        assert bool(seen[1].stopped) == (t >= end)
    assert seen[1].header.t == end
    on = play(simulations, COARSE)
    assert on[1].header.t == end
    assert not on[0].note
    assert on[0].header.t == pytest.approx(on[2].header.t)


def test_all_lanes_can_go_back_to_where_one_has_joined_and_no_farther():
    simulations = lanes(Lane("hnn"))
    play(simulations, PENDULUM)
    play(simulations, DAMPED)
    joined = play(simulations, PENDULUM, steps=4)[0].header.t
    play(simulations, PENDULUM)
    back = play(simulations, PENDULUM, steps=0, commands=(GoTo(0.0),))
    assert times(back) == [joined] * 2
    assert [o.span[0] for o in back] == [joined] * 2


def test_growth_of_a_lane_that_has_joined_is_measured_from_there():
    """It may be a state that someone has drawn, beyond the bound of the lane's own start."""
    simulations = lanes(Lane("node"))
    scene = Scene("kdv")
    play(simulations, scene, steps=0)
    viscous = replace(scene, structure="d_dx_viscous", parameters={"viscosity": 0.1})
    assert play(simulations, viscous, steps=0)[1].header is None
    play(simulations, viscous, steps=0, commands=(Edit("curve", ((0.0, 199.0), (5.0, 199.0))),))
    play(simulations, scene, steps=0)
    truth, model = (simulation.rollout for simulation in simulations)
    assert torch.equal(model.u, truth.u)
    assert float(model.snapshot().bound) == pytest.approx(MODEL_GROWTH * float(truth.u.abs().max()))


def test_a_lane_that_has_joined_begins_at_the_start_after_reset():
    simulations = lanes(Lane("hnn"))
    play(simulations, DAMPED)
    play(simulations, PENDULUM)
    start = play(simulations, PENDULUM, steps=0, reset=True)
    assert times(start) == [0, 0]
    assert torch.equal(simulations[1].frame.u, simulations[0].frame.u)


def test_a_lane_that_fits_a_recalled_scene_goes_back_to_its_own_moment():
    simulations = lanes(Lane("hnn"))
    mark = Mark()
    play(simulations, PENDULUM)
    marked = play(simulations, PENDULUM, steps=0, commands=(mark,))
    own = simulations[1].frame.u
    play(simulations, DAMPED)
    back = play(simulations, PENDULUM, steps=0, commands=(Recall(mark.moments, edited=False),))
    assert times(back) == times(marked)
    assert not back[0].note
    assert torch.equal(simulations[1].frame.u, own)
    assert not torch.equal(own, simulations[0].frame.u)


def test_a_scene_that_the_truth_refuses_is_left_by_all():
    simulations = lanes(Lane("hnn"))
    leapfrog = replace(PENDULUM, integrator="leapfrog")
    play(simulations, leapfrog)
    refused = play(simulations, replace(DAMPED, integrator="leapfrog"))
    assert refused[0].refused is not None
    assert times(refused) == [pytest.approx(refused[0].header.t)] * 2
    assert refused[1].header.epoch == play(simulations, leapfrog)[1].header.epoch


class Faulty(Simulation):
    """Fails in the named method while `faulty`."""

    faulty = "_advance"

    def _advance(self, turn, leader):
        super()._advance(turn, leader)
        self._check("_advance")

    def _encode(self, turn, reference):
        self._check("_encode")
        return super()._encode(turn, reference)

    def _check(self, name):
        if self.faulty == name:
            raise RuntimeError("deliberate")


@pytest.mark.parametrize("where", ["_advance", "_encode"])
def test_an_unforeseen_error_stops_its_own_lane_until_something_else_is_wanted(where, caplog):
    simulations = [*lanes(), Faulty(Lane()), Simulation(Lane())]
    simulations[1].faulty = where
    first = play(simulations, KDV)
    assert [o.stopped for o in first] == ["", BROKEN, ""]
    assert first[1].setup is not None, "the picture of the new scene"
    assert len(caplog.records) == 1
    assert "deliberate" in caplog.text
    assert "deliberate" not in BROKEN
    again = play(simulations, KDV)
    assert [o.stopped for o in again] == ["", BROKEN, ""]
    assert len(caplog.records) == 1, "not tried again"
    assert not simulations[1].running
    assert again[0].span[0] == 0
    assert not again[0].note
    assert again[0].header.steps == again[2].header.steps == 8
    simulations[1].faulty = ""
    reset = play(simulations, KDV, reset=True)
    assert [o.stopped for o in reset] == ["", "", ""]
    assert times(reset) == [reset[0].header.t] * 3


def test_after_an_unforeseen_error_another_time_step_is_tried():
    simulations = [*lanes(), Faulty(Lane())]
    play(simulations, KDV)
    simulations[1].faulty = ""
    assert not play(simulations, replace(KDV, dt=0.002))[1].stopped


def test_the_truth_s_error_leaves_the_others_running():
    simulations = [Faulty(Lane()), *lanes()]
    outcomes = play(simulations, KDV)
    assert outcomes[0].stopped == BROKEN
    assert outcomes[1].header.steps == 4


@pytest.mark.parametrize(("late", "line"), [(0, ""), (2, APART)])
def test_lanes_that_come_together_go_on_only_from_one_time(late, line):
    simulations = lanes(Lane())
    for index, simulation in enumerate(simulations):
        simulation.turn(Turn(KDV, steps=3 + late * index, budget=None, grouping=1))
    outcomes = play(simulations, KDV, steps=0, grouping=2, gather=True)
    assert [o.header.steps for o in outcomes] == ([0, 0] if late else [3, 3])
    assert outcomes[0].note == line
    assert not outcomes[0].error


def test_lanes_with_other_kept_times_do_not_come_together():
    simulations = lanes(Lane())
    for simulation, parts in zip(simulations, ((2, 2), (1, 3)), strict=True):
        for steps in parts:
            simulation.turn(Turn(KDV, steps=steps, budget=None, grouping=1))
    outcomes = play(simulations, KDV, steps=0, grouping=2, gather=True)
    assert outcomes[0].note == APART


def test_an_edit_made_as_a_lane_joins_is_made_once():
    simulations = lanes(Lane("node"))
    scene = Scene("kdv")
    play(simulations, scene)
    play(simulations, replace(scene, structure="d_dx_viscous", parameters={"viscosity": 0.1}))
    edit = Edit("curve", ((2.0, 1.0), (4.0, 1.0)))
    outcomes = play(simulations, scene, steps=1, commands=(edit,))
    truth, model = (simulation.frame.u for simulation in simulations)
    assert outcomes[1].header is not None
    assert torch.equal(truth, model)
