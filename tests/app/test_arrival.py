"""A page that arrives in pieces, without a browser: the tests answer in its place."""

import time
from types import SimpleNamespace

import panel as pn
import pytest
from bokeh.document import Document

from ddg_explorer.app import Explorer, explore, session
from ddg_explorer.app.arrival import GRACE, Arrival
from ddg_explorer.app.canvas import LaneCanvas, Receipt
from ddg_explorer.app.explorer import MOVING
from ddg_explorer.app.state import AppState, Scene
from ddg_explorer.app.turns import Turn

PAINTED = SimpleNamespace(data={"painted": True})


@pytest.fixture
def explorer():
    pn.extension()
    made = Explorer(AppState(Scene("kdv")))
    yield made
    made.close()


def answer(explorer) -> bool:
    """Tell that all has been painted; whether something may follow."""
    sent = []
    explorer.arrival._send_msg = sent.append
    explorer.arrival._receive(PAINTED)
    return sent[0]["more"]


def move(explorer):
    for _ in range(MOVING):
        explorer.race.canvases[0].credits.acknowledge(explorer.race.canvases[0].credits.spend())


def test_pictures_come_first_and_everything_follows(explorer):
    first = explorer.page()
    assert len(first.select(LaneCanvas)) == 4
    assert explorer.desk.transport.play not in first.select()
    move(explorer)
    pieces = 0
    while answer(explorer):
        pieces += 1
    assert pieces == 3
    shown = first.select()
    desk = explorer.desk
    for part in (desk.transport.play, desk.share.save, *desk.controls.panels):
        assert part in shown


def test_nothing_follows_before_the_pictures_move(explorer, monkeypatch):
    page = explorer.page()
    assert answer(explorer)
    assert answer(explorer)
    assert explorer.desk.transport.play not in page.select()
    later = time.monotonic() + 2 * GRACE
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert answer(explorer)
    assert explorer.desk.transport.play in page.select()


def test_a_page_without_pictures_waits_for_none(explorer):
    explorer.store.change_view(page="theory")
    page = explorer.page()
    while answer(explorer):
        pass
    assert explorer.desk.controls.panels[0] in page.select()


def test_a_piece_that_fails_is_told_and_the_last(monkeypatch):
    told, sent = [], []
    monkeypatch.setattr(session, "notify", told.append)

    def pieces():
        yield
        raise ValueError("gamma=-1: must be positive")

    arrival = Arrival(pieces(), lambda: True)
    monkeypatch.setattr(arrival, "_send_msg", sent.append)
    for _ in range(3):
        arrival._receive(PAINTED)
    assert [message["more"] for message in sent] == [True, False, False]
    assert told == ["gamma=-1: must be positive"]


def test_another_system_while_the_rest_arrives(explorer):
    page = explorer.page()
    move(explorer)
    answer(explorer)
    explorer.desk.controls.system.widget.value = "pendulum"
    scene = explorer.store.state.scene
    outcomes = [
        (canvas, simulation.turn(Turn(scene, steps=1)))
        for canvas, simulation in zip(
            explorer.race.canvases, explorer.race.simulations, strict=True
        )
    ]
    explorer._on_outcomes(outcomes)
    move(explorer)
    while answer(explorer):
        pass
    assert explorer.desk.controls.system.value == "pendulum"
    assert not any(chart["name"] == "mass" for chart in explorer.race.plots.charts)
    assert explorer.desk.controls.panels[-1] in page.select()


def test_a_notebook_shows_everything_at_once():
    shown = explore("kdv", play=False)
    layout = shown.__panel__()
    assert shown.desk.transport.play in layout.select()
    assert shown.race.plots in layout.select()
    shown.close()


def test_the_browser_takes_a_script_as_it_is_once_for_all_lanes(explorer):
    models = [canvas.get_root() for canvas in explorer.race.canvases]
    assert len({model.bundle for model in models}) == 1
    assert models[0].bundle
    assert models[0].esm == LaneCanvas._esm


def test_only_canvases_are_asked_about_an_acknowledged_frame(explorer) -> None:
    document = Document()
    document.add_root(explorer.page().get_root(document))
    explorer.arrival.complete()
    asked = [model() for model in document.callbacks._subscribed_models[Receipt.event_name]]
    assert {model.class_name for model in asked} == {"LaneCanvas"}
    assert len(asked) == len(explorer.race.canvases)


def test_an_acknowledged_frame_does_not_make_the_page_busy() -> None:
    canvas, heard, busy = LaneCanvas(), [], []
    canvas.on_msg(lambda event: heard.append(event.data))
    model = canvas.get_root(Document())
    watcher = pn.state.param.watch(lambda event: busy.append(event.new), "busy")
    try:
        model._trigger_event(Receipt(model, data={"ack": 1}))
    finally:
        pn.state.param.unwatch(watcher)
    assert heard == [{"ack": 1}]
    assert not busy
