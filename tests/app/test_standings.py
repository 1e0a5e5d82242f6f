"""The table of a race: what it calls an energy that moves, and what it shows of a solve."""

import re
from dataclasses import replace

import pytest

from ddg_explorer.app import standings
from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.groups import take_turn
from ddg_explorer.app.race import Race
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import AppState, Lane, Scene
from ddg_explorer.app.store import Store
from ddg_explorer.app.turns import Turn


@pytest.mark.parametrize(
    ("scene", "head"),
    [
        (Scene("kdv", n=16, length=3.2), "Drift of"),
        (Scene("cahn_hilliard", n=16, length=0.32), "Change of"),
        (Scene("pendulum", structure="growing"), "Change of"),
    ],
)
def test_an_energy_that_is_meant_to_change_does_not_drift(scene, head):
    store = Store(AppState(scene, lanes=(Lane(), Lane("dgnet"))))
    notices: list[str] = []
    race = Race(store, Shelf(), None, notices.append)
    simulations = race.set_lanes(store.state.lanes)
    for simulation, canvas in simulations:
        race.push(canvas, simulation.turn(Turn(scene, steps=1, budget=60.0)), flush=True)
    assert f'<th colspan="2">{head}</th>' in race.table.object


@pytest.mark.parametrize(
    ("integrator", "shown"),
    [("discrete_gradient", r"\d(\.\d)?e−1[4-9]"), ("rk4", "–"), ("leapfrog", "–")],
)
def test_a_scheme_that_solves_nothing_has_no_residual(integrator, shown):
    """A wave's discrete gradient step is linear: its solve is exact to rounding."""
    outcome = Simulation(Lane()).turn(Turn(Scene("wave", integrator=integrator), steps=1))
    cells = re.findall("<td[^>]*>(.*?)</td>", standings.row("Truth", "#000", outcome))
    assert re.fullmatch(shown, cells[4])


def test_a_lane_that_an_error_has_stopped_says_so(monkeypatch):
    """Unlike one whose model was trained for another scene."""
    simulations = [Simulation(Lane()), Simulation(Lane()), Simulation(Lane("hnn"))]
    monkeypatch.setattr(simulations[1], "advance", lambda *_: 1 / 0)
    scene = Scene("pendulum", structure="damped_symplectic")
    rows = [standings.row("", "", o) for o in take_turn(simulations, Turn(scene, steps=1))]
    assert "note" not in rows[0]
    assert "stopped by an internal error" in rows[1]
    assert "does not run in this scene" in rows[2]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.62, "1.6"),
        (42.3, "42"),
        (130.0, "130"),
        (9960.0, "10000"),
        (0.2749, "0.27"),
        (0.05, "0.050"),
        (1.0, "1.0"),
        (4e-5, "4.0e−5"),
        (2.5e6, "2.5e6"),
        (0.0, "0"),
        (float("inf"), "–"),
    ],
)
def test_a_row_writes_numbers_as_people_do(value, shown):
    outcome = Simulation(Lane()).turn(Turn(Scene("pendulum"), steps=1))
    sample = replace(outcome.sample, drift=value, error=value)
    cells = re.findall(
        "<td[^>]*>(.*?)</td>", standings.row("", "", replace(outcome, sample=sample))
    )
    assert cells[1] == cells[3] == shown


def test_a_row_shows_the_reason_as_it_is():
    outcome = Simulation(Lane()).turn(Turn(Scene("pendulum", n=64)))
    shown = standings.row("Truth", "#000", replace(outcome, stopped="a<b>.npz: no"))
    assert "a&lt;b&gt;.npz: no" in shown
