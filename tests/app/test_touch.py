"""Gestures as the session sees them: strokes, initial states, undo, time travel, moments."""

import base64
import gc
import io
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import panel as pn
import pytest
import torch
from PIL import Image

from ddg_explorer.app import Explorer
from ddg_explorer.app.edits import Edit
from ddg_explorer.app.groups import Group
from ddg_explorer.app.marks import MOST, Moments
from ddg_explorer.app.miniatures import SIZE
from ddg_explorer.app.past import Past
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import AppState, Lane, Scene
from ddg_explorer.app.theme import LANE_COLOURS, PALETTES, colour_table
from ddg_explorer.app.traces import COLUMNS
from ddg_explorer.app.turns import GoTo, Mark, Turn, Undo

KDV = Scene("kdv", "two_solitons", n=128)
SOLITON = Edit("add", ((5.0, 1.0),))


@pytest.fixture(autouse=True)
def _extension():
    pn.extension()


@pytest.fixture
def explorer():
    made = Explorer(AppState(KDV, (Lane(), Lane("dgnet"))), play=False)
    yield made
    made.close()


def run(explorer, steps=0):
    """One turn of every lane, as the runner takes it."""
    runner = explorer.runner
    for group in runner._groups:
        group.steps = steps
        turn = runner._take(group)
        turn = Turn(
            turn.scene,
            steps=steps,
            budget=60.0,
            reset=turn.reset,
            exact=True,
            commands=turn.commands,
        )
        outcomes = [(e.canvas, e.simulation.turn(turn)) for e in group.entries]
        explorer._on_outcomes(outcomes)
    return outcomes[0][1]


def states(explorer):
    return [s.frame.u for s in explorer.race.simulations if s.frame is not None]


def gesture(explorer, name, data: Any = True):
    canvas = explorer.race.canvases[0]
    canvas.on_wake = None  # no browser, no loop
    canvas._receive(SimpleNamespace(data={name: data}))


def turn(simulation, scene, *commands, steps=0):
    return simulation.turn(Turn(scene, steps=steps, budget=60.0, exact=True, commands=commands))


def test_a_stroke_is_one_command_and_one_edit():
    group = Group([])
    first = Edit("disk", ((0.1, 0.1),), radius=0.1)
    group.order(first)
    group.order(Edit("disk", ((0.2, 0.1),), radius=0.1, joined=True))
    group.order(Edit("disk", ((0.8, 0.8),), radius=0.1))
    assert [len(c.points) for c in group.commands] == [2, 1]
    assert group.commands[0] == Edit("disk", ((0.1, 0.1), (0.2, 0.1)), radius=0.1)


def test_undo_brings_back_what_drifts_are_relative_to():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    before = turn(simulation, KDV, steps=3).sample
    edited = turn(simulation, KDV, SOLITON).sample
    assert edited.drift == 0
    assert edited.mass > before.mass + 1
    after = turn(simulation, KDV, Undo()).sample
    assert after.energy == before.energy
    assert after.drift == before.drift
    assert after.mass_drift == before.mass_drift


def test_the_exact_solution_is_not_shown_of_an_edited_state():
    simulation = Simulation(Lane())
    assert turn(simulation, KDV).header.extra == 1
    assert turn(simulation, KDV, SOLITON).header.extra == 0
    assert turn(simulation, KDV, Undo()).header.extra == 1


def test_going_on_from_before_an_edit_drops_it():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    turn(simulation, KDV, steps=2)
    turn(simulation, KDV, SOLITON, steps=2)
    back = turn(simulation, KDV, GoTo(0.0))
    assert back.visiting
    assert back.undoable == 1
    assert turn(simulation, KDV, steps=1).undoable == 0


def test_scrubbing_leaves_the_plots_alone_until_it_goes_on(explorer):
    run(explorer)
    for _ in range(3):
        run(explorer, steps=2)
    trace = explorer.race.plots.traces[0]
    assert len(trace.rows) == 4
    explorer.touch._act("go", 0.0)
    assert run(explorer).header.t == 0
    assert len(trace.rows) == 4
    run(explorer, steps=1)
    assert list(trace.rows[:, COLUMNS.index("t")]) == [0.0, pytest.approx(0.01)]


def test_an_edit_shows_as_a_step_of_the_mass(explorer):
    run(explorer)
    run(explorer, steps=1)
    gesture(explorer, "edit", {"kind": "add", "points": [[5.0, 1.0]], "joined": False})
    run(explorer)
    rows = explorer.race.plots.traces[0].rows
    assert list(rows[-3:, COLUMNS.index("t")]) == [0.01, 0.01, 0.01]
    before, _, after = rows[-3:, COLUMNS.index("mass")]
    assert after > before + 1


def test_what_is_drawn_before_the_first_step_is_the_initial_state(explorer):
    run(explorer)
    start = states(explorer)[0]
    gesture(explorer, "edit", {"kind": "add", "points": [[5.0, 1.0]], "joined": False})
    gesture(explorer, "lift")
    run(explorer)
    drawn = explorer.store.state.scene.start
    assert drawn is not None
    run(explorer, steps=3)
    explorer.runner.reset()
    outcome = run(explorer)
    assert outcome.header.t == 0
    for u in states(explorer):
        torch.testing.assert_close(u, drawn.state, rtol=0, atol=0)
    explorer.touch._act("undo", True)
    run(explorer)
    torch.testing.assert_close(states(explorer)[0], start, rtol=0, atol=0)
    assert not explorer.touch.bar.undoable


def test_reset_ends_an_edit_that_was_made_on_the_way(explorer):
    run(explorer)
    start = states(explorer)[0]
    run(explorer, steps=1)
    gesture(explorer, "edit", {"kind": "add", "points": [[5.0, 1.0]], "joined": False})
    gesture(explorer, "lift")
    run(explorer)
    assert explorer.store.state.scene.start is None
    explorer.runner.reset()
    run(explorer)
    torch.testing.assert_close(states(explorer)[0], start, rtol=0, atol=0)


def test_another_seed_or_grid_drops_the_drawn_state(explorer):
    run(explorer)
    gesture(explorer, "edit", {"kind": "curve", "points": [[1, 0], [9, 1]], "joined": False})
    gesture(explorer, "lift")
    run(explorer)
    assert explorer.store.state.scene.start is not None
    explorer.store.change_scene(n=64)
    assert explorer.store.state.scene.start is None
    assert not run(explorer).error


def test_a_dragged_point_starts_all_lanes_there():
    explorer = Explorer(AppState(Scene("pendulum")), play=False)
    run(explorer, steps=3)
    gesture(explorer, "start", [1.0, -0.5])
    assert run(explorer).header.t == 0
    assert len(states(explorer)) > 1
    for u in states(explorer):
        assert u.tolist() == [1.0, -0.5]
    explorer.touch._act("undo", True)
    run(explorer)
    assert states(explorer)[0].tolist() != [1.0, -0.5]
    explorer.close()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("edit", {"kind": "add", "points": [[float("nan"), 1]], "joined": False}),
        ("edit", {"kind": "add", "points": []}),
        ("edit", {"points": [[1, 1]]}),
        ("start", [float("inf"), 0]),
    ],
)
def test_a_wild_gesture_is_one_line_and_changes_nothing(explorer, name, data):
    lines = []
    explorer.touch._report = lines.append
    before = explorer.store.state
    gesture(explorer, name, data)
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert explorer.store.state is before
    assert not explorer.runner._groups[0].commands


def test_a_remembered_moment_brings_back_states_scene_and_clock_bit_by_bit(explorer):
    run(explorer)
    run(explorer, steps=4)
    explorer.touch._act("remember", True)
    run(explorer)
    kept, t = states(explorer), explorer.race.simulations[0].frame.t
    assert [name for name, *_ in explorer.touch.bar.moments] == ["A"]
    explorer.store.change_scene(dt=0.02)
    explorer.store.put_lanes([Lane()])
    run(explorer, steps=3)
    explorer.store.put_scene(Scene("pendulum"))
    run(explorer, steps=2)
    explorer.touch._act("recall", "A")
    assert run(explorer).header.t == t
    assert explorer.store.state.scene == KDV
    assert len(explorer.race.simulations) == 2
    torch.testing.assert_close(torch.stack(states(explorer)), torch.stack(kept), rtol=0, atol=0)
    explorer.touch._act("drop", "A")
    assert explorer.touch.bar.moments == []
    assert explorer.touch._act("recall", "A") is None


def test_a_moment_keeps_the_name_that_it_is_given(explorer):
    run(explorer)
    for _ in range(2):
        explorer.touch._act("remember", True)
        run(explorer, steps=2)
    t = explorer.race.simulations[0].frame.t

    def titles():
        return [[name, title] for name, title, *_ in explorer.touch.bar.moments]

    assert titles() == [["A", "A"], ["B", "B"]]
    explorer.touch._act("rename", ["B", "  after the <b>crossing</b> of both  "])
    assert titles() == [["A", "A"], ["B", "after the <b>crossing</b"]]
    explorer.store.put_scene(Scene("pendulum"))
    run(explorer, steps=3)
    explorer.touch._act("recall", "B")
    assert run(explorer).header.t < t
    assert explorer.store.state.scene == KDV
    explorer.touch._act("rename", ["B", " "])
    assert titles()[1] == ["B", "B"]
    explorer.touch._act("rename", ["gone", "nobody"])
    assert titles() == [["A", "A"], ["B", "B"]]


def pixels(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


@pytest.mark.parametrize("name", ["kdv", "pendulum", "cahn_hilliard_2d"])
def test_a_moment_has_a_picture_in_the_colours_of_the_stage(name):
    explorer = Explorer(AppState(Scene(name), (Lane(),)), play=False)
    run(explorer, steps=8)
    explorer.touch._act("remember", True)
    ((*_, missing),) = explorer.touch.bar.moments
    assert missing == ""
    run(explorer)
    ((*_, light),) = explorer.touch.bar.moments
    explorer.touch.restyle(True)
    ((*_, dark),) = explorer.touch.bar.moments
    a, b = pixels(light), pixels(dark)
    assert max(a.shape[:2]) <= 2 * max(SIZE)
    assert a.mean() > 150 > b.mean()
    assert len(np.unique(a.reshape(-1, 3), axis=0)) > 2
    if name == "cahn_hilliard_2d":
        table = np.frombuffer(colour_table("diverging", False), np.uint8).reshape(256, 4)
        known = set(map(tuple, table[:, :3].tolist()))
        assert set(map(tuple, a.reshape(-1, 3).tolist())) <= known
    assert len(light) < 20_000
    explorer.touch._act("drop", "A")
    assert explorer.touch.bar.moments == []
    explorer.close()


def ink(image, colour):
    """Where the picture has about this colour, of `#rrggbb`."""
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(image.astype(int) - rgb).max(-1) < 8


@pytest.mark.parametrize(
    ("name", "preset"), [("two_body", "published"), ("pendulum", "friction"), ("mass_spring", None)]
)
def test_the_picture_of_an_ode_s_moment_is_its_plane_with_the_whole_trail(name, preset):
    explorer = Explorer(AppState(Scene(name, preset), (Lane(),)), play=False)
    run(explorer)
    for _ in range(60):
        run(explorer, steps=8)
    explorer.touch._act("remember", True)
    run(explorer)
    ((*_, uri),) = explorer.touch.bar.moments
    image = pixels(uri)[1:-1, 1:-1]
    trail, plane = (
        ink(image, colour) for colour in (LANE_COLOURS["light"][0], PALETTES["light"]["border"])
    )
    assert trail.sum() > 0.02 * trail.size
    assert not trail[[0, -1]].any()
    if name != "two_body":
        rows = np.flatnonzero(plane.any(1))
        assert np.ptp(rows) > 0.9 * len(image)
        assert plane.sum() > 0.1 * plane.size
    explorer.close()


def test_moments_are_bounded_in_number_and_bytes():
    many = Moments()
    for k in range(MOST + 3):
        many.add(f"t = {k}", AppState(), [], edited=False)
    assert [name for name, *_ in many.labels()] == list("DEFGHI")
    heavy = Moments(limit=3000)
    lane: Any = SimpleNamespace(past=Past())
    picture: Any = None
    for k in range(5):
        mark = heavy.add(f"t = {k}", AppState(), [], edited=False)
        frame = SimpleNamespace(u=torch.zeros(128, dtype=torch.float64))
        mark.keep("lane", SimpleNamespace(frame=frame))
        assert heavy.take_pictures(lane, picture) == (k >= 2)
        assert sum(moment.size for moment in heavy._kept) <= 3000
    assert [name for name, *_ in heavy.labels()] == ["D", "E"]


def test_moments_let_go_of_lanes_that_were_built_anew(explorer):
    run(explorer)
    run(explorer, steps=2)
    explorer.touch._act("remember", True)
    run(explorer)
    alive = [weakref.ref(simulation.past) for simulation in explorer.race.simulations]
    kept = states(explorer)
    explorer.store.put_lanes([Lane()])
    run(explorer)
    gc.collect()
    assert [past() for past in alive] == [None, None]
    explorer.touch._act("recall", "A")
    run(explorer)
    torch.testing.assert_close(torch.stack(states(explorer)), torch.stack(kept), rtol=0, atol=0)


def test_a_mark_changes_nothing():
    simulation = Simulation(Lane())
    turn(simulation, KDV, steps=1)
    before, mark = simulation.frame, Mark()
    turn(simulation, KDV, mark)
    assert simulation.frame is before
    assert mark.moments[simulation.past.key].frame is before


def test_keys_drive_the_transport(explorer):
    explorer.touch._act("key", "play")
    assert explorer.runner.playing
    explorer.touch._act("key", "step")
    assert not explorer.runner.playing
    assert explorer.runner._groups[0].steps == 1
    explorer.touch._act("key", "reset")
    assert explorer.runner._groups[0].reset
