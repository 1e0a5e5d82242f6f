"""Lanes beside each other: held to one clock, compared with the truth, honest where they fail."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from ddg_explorer.app import standings, texts
from ddg_explorer.app.entrants import Misfit, Shelf, entrant
from ddg_explorer.app.groups import Entry, Group, take_turn
from ddg_explorer.app.race import Race
from ddg_explorer.app.scales import Scales
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import AppState, Lane, Scene
from ddg_explorer.app.store import Store
from ddg_explorer.app.turns import LIVE_TOL, LIVE_TRUE_TOL, GoTo, Mark, Turn, build
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.models import ModelRecipe
from ddg_explorer.recipes import make_dataset
from ddg_explorer.rollout import Rollout

KDV = Scene("kdv")
PENDULUM = Scene("pendulum")


def race(scene, models, **options):
    """The true lane and others after one turn in lock step, with their outcomes."""
    scales, shelf = Scales(), options.pop("shelf", None)
    lanes = [Lane(), *(m if isinstance(m, Lane) else Lane(m) for m in models)]
    simulations = [Simulation(lane, shelf, scales) for lane in lanes]
    turn = Turn(scene, **{"steps": 3, "budget": None, **options})
    return simulations, take_turn(simulations, turn)


def test_lanes_of_one_turn_have_one_clock():
    _, outcomes = race(KDV, ["dgnet"], steps=4)
    assert [o.header.t for o in outcomes] == [pytest.approx(4e-3)] * 2


def test_a_trained_dgnet_keeps_its_own_energy_and_stays_near_the_truth():
    _, (_, dgnet) = race(KDV, ["dgnet"], steps=5)
    assert dgnet.sample.own_drift < 1e-13
    assert 0 < dgnet.sample.error < 1e-3
    assert 0 < dgnet.sample.drift < 1e-4


def test_distance_is_the_rms_relative_to_the_start():
    simulations, (truth, dgnet) = race(KDV, ["dgnet"], steps=5)
    u, v = (s.frame.u for s in simulations)
    u0 = build(KDV).initial(KDV.chosen_seed)
    assert dgnet.sample.error == pytest.approx(float((v - u).norm() / u0.norm()))
    assert np.isnan(truth.sample.error)


def test_the_difference_is_what_is_sent():
    simulations, (_, dgnet) = race(KDV, ["dgnet"], steps=5, show="difference")
    u, v = (s.frame.u for s in simulations)
    sent = np.frombuffer(dgnet.payload, "<f4", offset=8)
    np.testing.assert_allclose(sent, (v - u)[0].numpy(), rtol=1e-5, atol=1e-12)
    assert dgnet.header.low == -dgnet.header.high
    assert dgnet.header.high >= np.abs(sent).max()


def test_the_truth_is_drawn_behind_a_model():
    simulations, (_, dgnet) = race(KDV, ["dgnet"])
    curves = np.frombuffer(dgnet.payload, "<f4", offset=8).reshape(2, -1)
    assert dgnet.header.extra == 2
    np.testing.assert_allclose(curves[1], simulations[0].frame.u[0].numpy(), rtol=1e-6)


def test_limits_are_those_of_the_truth():
    scene = Scene("kdv", dt=0.05)
    _, outcomes = race(scene, [Lane("dgnet", "euler")], steps=3)
    assert outcomes[0].header.high == outcomes[1].header.high < 20


def test_a_lane_that_diverges_freezes_and_says_when():
    scene = Scene("kdv", dt=0.05)
    simulations, outcomes = race(scene, [Lane("dgnet", "euler")], steps=40)
    truth, broken = outcomes
    assert not truth.stopped
    assert truth.header.t == pytest.approx(2.0)
    assert re.fullmatch(
        r"diverged at t = [\d.]+ \(max \|u\| = \d+\): try a smaller Δt", broken.stopped
    )
    assert np.isfinite(np.frombuffer(broken.payload, "<f4", offset=8)).all()
    assert not simulations[1].running


@pytest.mark.parametrize(
    ("scene", "model", "reason"),
    [
        (Scene("kdv", "two_solitons"), "dgnet", "trained with Δx = 0.2"),
        (Scene("kdv", n=64), "dgnet", "trained with Δx = 0.2"),
        (Scene("kdv", parameters={"alpha": 6.0}), "dgnet", "trained with alpha = -6"),
        (Scene("kdv", structure="d_dx_viscous"), "node", "trained with viscosity = 0"),
        (Scene("wave"), "node", "no Neural ODE has been trained for this system"),
        (Scene("kdv"), "srnn", "SRNN needs states (q, p)"),
    ],
)
def test_a_model_that_does_not_fit_says_why(scene, model, reason):
    _, (_, outcome) = race(scene, [model])
    assert outcome.header is None
    assert reason in outcome.setup.misfit
    assert "\n" not in outcome.setup.misfit


@pytest.mark.parametrize(
    ("scene", "lane", "note", "reason"),
    [
        (Scene("mass_spring"), Lane("dgnet"), "", ""),
        (
            Scene("mass_spring", dt=0.02),
            Lane("dgnet"),
            "belongs to Δt = 0.202",
            "Learned at Δt = 0.20202, stepped at 0.02",
        ),
        (
            Scene("mass_spring", dt=0.2024),
            Lane("dgnet"),
            "belongs to Δt = 0.20202",
            "Learned at Δt = 0.20202, stepped at 0.2024",
        ),
        (
            Scene("mass_spring"),
            Lane("dgnet", integrator="rk4"),
            "belongs to DG",
            "Learned with discrete gradient, stepped with rk4",
        ),
        (
            Scene("mass_spring", dt=0.02),
            Lane("hnn", integrator="rk4"),
            "belongs to RK2, Δt = 0.202",
            "Learned with midpoint at Δt = 0.20202, stepped with rk4 at 0.02",
        ),
        (Scene("kdv", dt=1e-2), Lane("dgnet"), "", ""),
        (Scene("mass_spring", dt=0.02), Lane(), "", ""),
    ],
)
def test_a_lane_tells_where_its_model_belongs_to_another_step(scene, lane, note, reason):
    """Data of the discrete gradient itself, as for KdV, leave a DGNet nothing to take up."""
    simulation = Simulation(lane)
    setup = simulation.turn(Turn(scene, steps=1, budget=60.0)).setup
    assert setup.note == note
    assert setup.reason.partition(": ")[0] == reason
    assert setup.reason.endswith(".") == bool(note)
    other = simulation.turn(Turn(replace(scene, dt=0.1), steps=1, budget=60.0)).setup.note
    assert bool(other) == (scene.system == "mass_spring" and lane.model != "truth")


def shown(lanes, scene, turns):
    """A race whose outcomes of these turns have been shown."""
    store = Store(AppState(scene, lanes=tuple(lanes)))
    race = Race(store, Shelf(), None, lambda _: None)
    pairs = race.set_lanes(store.state.lanes)
    for turn in turns:
        outcomes = take_turn([simulation for simulation, _ in pairs], turn)
        for (_, canvas), outcome in zip(pairs, outcomes, strict=True):
            race.push(canvas, outcome, flush=turn.steps < 2)
    return race


def test_lanes_of_one_model_are_told_apart_in_words():
    lanes = [Lane(), Lane("dgnet"), Lane("dgnet", "rk4"), Lane("node"), Lane("dgnet", "rk4")]
    race = shown(lanes, PENDULUM, [Turn(PENDULUM, steps=1, budget=None)])
    titles = re.findall("</i>(.*?)</td>", race.table.object)
    wanted = ["True system", "DGNet · DG", "DGNet · RK4", "Neural ODE", "DGNet · RK4 (2)"]
    assert titles == wanted
    assert [name for name, _, _ in race.limits()] == ["DGNet · RK4", "DGNet · RK4 (2)"]
    assert [canvas.title for canvas in race.canvases] == wanted
    headings = [canvas.heading for canvas in race.canvases]
    assert headings == ["True system", "DGNet", "DGNet", "Neural ODE", "DGNet (2)"]
    colours = [canvas.colour for canvas in race.canvases]
    assert len(set(colours)) == len(lanes)
    assert [colour for _, colour, _ in race.limits()] == [colours[2], colours[4]]


def test_a_lane_is_called_after_the_scheme_that_runs_in_it():
    lanes = [Lane(), Lane("dgnet"), Lane("dgnet", "rk4")]
    race = shown(lanes, PENDULUM, [Turn(PENDULUM, steps=1, budget=None)])
    race.set_integrators([Lane(), Lane("dgnet", "rk4"), Lane("dgnet", "rk4")])
    outcomes = take_turn(race.simulations, Turn(PENDULUM, steps=1))
    for canvas, outcome in zip(race.canvases, outcomes, strict=True):
        race.push(canvas, outcome, flush=True)
    assert [canvas.title for canvas in race.canvases[1:]] == ["DGNet · RK4", "DGNet · RK4 (2)"]


def test_lanes_that_nobody_runs_in_are_counted():
    names = standings.names(["DGNet", "DGNet", "DGNet (2)"], ["", "", ""])
    assert [name.whole for name in names] == ["DGNet", "DGNet (2)", "DGNet (2) (2)"]


def test_the_curves_stay_whole_while_one_looks_at_the_past():
    scene = replace(KDV, n=50)
    steps = [Turn(scene, steps=1, budget=None)] * 4
    looks = [
        Turn(scene, steps=0, commands=(GoTo(1e-3),)),
        Turn(scene, steps=0, commands=(Mark(),)),
        Turn(scene, steps=0, limits="auto"),
        Turn(scene, steps=0, show="difference"),
        Turn(replace(scene, dt=2e-3), steps=0),
    ]
    race = shown([Lane(), Lane("dgnet")], scene, [*steps, *looks])
    for trace in race.plots.traces:
        assert trace.rows[:, 0].tolist() == pytest.approx([1e-3, 2e-3, 3e-3, 4e-3])
    race = shown([Lane()], scene, [*steps, *looks, Turn(scene, steps=1, budget=None)])
    assert race.plots.traces[0].rows[:, 0].tolist() == pytest.approx([1e-3, 2e-3])


def test_a_lane_that_did_not_fit_runs_again_when_it_does():
    simulation = Simulation(Lane("dgnet"))
    assert simulation.turn(Turn(Scene("kdv", n=64))).header is None
    again = simulation.turn(Turn(KDV, steps=1, budget=60.0))
    assert again.header.t == pytest.approx(1e-3)
    assert not again.setup.misfit


def test_a_learned_energy_runs_under_another_structure_operator():
    scene = Scene("pendulum", structure="damped_symplectic", parameters={"friction": 0.3})
    simulation = Simulation(Lane("dgnet"))
    own = []
    for _ in range(30):
        simulation.turn(Turn(scene, steps=1, budget=60.0))
        own.append(float(simulation.frame.own_energy))
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(own))
    assert own[-1] < 0.5 * own[0]
    truth = Rollout(build(scene), build(scene).initial(1), build(scene).dt).step(30)
    assert float((simulation.frame.u - truth.u).norm()) < 0.1 * float(truth.u.norm() + 1)


def test_a_model_follows_the_number_format():
    simulation = Simulation(Lane("dgnet"))
    simulation.turn(Turn(Scene("pendulum", dtype="float32"), steps=2, budget=60.0))
    assert simulation.frame.u.dtype == torch.float32


def test_a_model_of_the_session_runs_by_its_name():
    data = make_dataset("kdv", trajectories=1, steps=2, cache=False)
    model = ModelRecipe.fitting("dgnet", data, hidden=4).build()
    shelf = Shelf()
    names = [shelf.put("mine", model), shelf.put("mine", model)]
    assert names == ["mine", "mine (2)"]
    assert entrant(Lane("dgnet", source="mine"), KDV, build(KDV), shelf) is model
    with pytest.raises(Misfit, match="'other' is not in this session"):
        entrant(Lane("dgnet", source="other"), KDV, build(KDV), shelf)


def test_learned_fields_in_two_dimensions_are_solved_to_the_live_tolerance():
    data = make_dataset("ch2d", trajectories=1, steps=1, cache=False)
    model = ModelRecipe.fitting("dgnet", data, hidden=4, skip=True).build()
    shelf = Shelf()
    shelf.put("mine", model)
    simulation = Simulation(Lane("dgnet", source="mine"), shelf)
    simulation.advance(Turn(Scene("cahn_hilliard_2d"), steps=0))
    assert simulation.rollout.integrator.tol == LIVE_TOL
    simulation.advance(Turn(Scene("cahn_hilliard_2d", tol=1e-9), steps=0))
    assert simulation.rollout.integrator.tol == 1e-9


def test_a_true_field_in_two_dimensions_keeps_its_law_at_the_live_tolerance():
    simulation = Simulation(Lane("truth"), Shelf())
    scene = Scene("cahn_hilliard_2d")
    turn, samples = Turn(scene, steps=1, budget=None), []
    for _ in range(60):
        simulation.advance(turn)
        samples.append(simulation.encode(turn).sample)
    assert simulation.rollout.integrator.tol == LIVE_TRUE_TOL
    energies = [sample.energy for sample in samples]
    assert energies == sorted(energies, reverse=True)
    assert energies[-1] < energies[0]
    assert max(abs(sample.mass_drift) for sample in samples) < 1e-14
    assert max(sample.residual for sample in samples) < 100 * LIVE_TRUE_TOL


class Priced:
    """A simulation that costs so many seconds a step."""

    running = True

    def __init__(self, cost):
        self.cost = cost


def test_lock_step_takes_what_the_slowest_lane_can_afford():
    group = Group([Entry(Priced(c), None) for c in (0.001, 0.002, 0.01)])
    assert group.affordable(100) == 2
    assert group.affordable(1) == 1
    assert Group([Entry(Priced(9.0), None), Entry(Priced(0.1), None)]).affordable(50) == 1
    assert Group([Entry(Priced(0.0), None), Entry(Priced(0.1), None)]).affordable(50) == 1


def test_the_default_page_is_a_race():
    assert [lane.model for lane in AppState().lanes] == ["truth", "dgnet", "hnnpp", "node"]


def test_the_table_tells_own_drifts_as_the_lanes_do():
    _, (truth, node, absent) = race(KDV, ["node", "srnn"], steps=5)
    cells = re.findall("<td[^>]*>(.*?)</td>", standings.row("Truth", "#000", truth))
    assert cells[1] == cells[2] != "–"
    assert "<td>no H</td>" in standings.row("Neural ODE", "#000", node)
    assert "does not run" in standings.row("SRNN", "#000", absent)


def test_every_integrator_has_a_short_name_and_its_order_once():
    short = [texts.short_scheme(key) for key in INTEGRATORS]
    assert len(set(short)) == len(short)
    assert max(map(len, short)) <= len("Implicit midpoint")
    assert all(texts.integrator_label(key).count("order") == 1 for key in INTEGRATORS)
