"""A session's links, and what is left standing when something fails in it."""

import asyncio
import logging
import time
from types import SimpleNamespace

import panel as pn
import pytest
from bokeh.document import Document
from bokeh.io import doc as current
from bokeh.util.token import generate_jwt_token, get_session_id, get_token_payload
from panel.io.server import get_server
from panel.io.state import set_curdoc
from panel.models.esm import DataEvent
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.ioloop import IOLoop

from ddg_explorer.app import Explorer, serve, session, stage
from ddg_explorer.app.groups import take_turn
from ddg_explorer.app.pages.results import ResultsPage
from ddg_explorer.app.simulation import first_setup
from ddg_explorer.app.state import AppState, Lane, Scene
from ddg_explorer.app.tabs import Tabs
from ddg_explorer.app.turns import Turn, build


@pytest.fixture(autouse=True)
def _extension():
    pn.extension()


@pytest.fixture
def told(monkeypatch):
    """Lines that the person has been shown."""
    lines = []
    monkeypatch.setattr(session, "notify", lines.append)
    return lines


@pytest.fixture
def link(monkeypatch):
    """`link(query)`: what a session opens with at this address."""

    def opened(query):
        pairs = [part.split("=") for part in query.split("&")]
        args = {key: [text.encode("latin-1")] for key, text in pairs}
        monkeypatch.setattr(type(pn.state), "session_args", args)
        return session.linked(show)

    def show(state, notice):
        first_setup(state.scene)
        return state, notice

    return opened


def test_a_link_that_can_be_shown_is_shown(link):
    state, notice = link("system=pendulum&preset=friction&dt=0.07")
    assert state == AppState(Scene("pendulum", "friction", dt=0.07))
    assert notice == ""


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("system=kdv&entries=1,2,3,4", "entries: 4 of them"),
        ("system=wave&entries=1,2,3", "entries: 3 of them"),
        ("system=pendulum&n=64", "n=64"),
        ("system=pendulum&length=3", "length=3"),
        ("system=pendulum&operator=spectral", "operator='spectral'"),
        ("system=kdv&integrator=leapfrog", "integrator='leapfrog'"),
        ("system=pendulum&integrator=etdrk4", "integrator='etdrk4'"),
        ("system=kdv&p.alpha=0", "alpha=0"),
        ("system=wave&c.form=strain&structure=damped_symplectic", "structure='damped_symplectic'"),
        ("system=wave&n=" + "9" * 400, "n=999"),
        ("system=wave&speed=" + "9" * 400, "speed=999"),
        ("system=\xff", "system="),
    ],
)
def test_a_link_that_cannot_be_shown_opens_its_system_and_says_why(link, query, named):
    state, notice = link(query)
    system = query.split("&")[0].removeprefix("system=")
    assert state == AppState(Scene("kdv" if system == "\xff" else system))
    assert f"({named}" in notice
    assert "\n" not in notice
    assert len(notice) < 300


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_a_link_to_a_device_that_is_not_here(link):
    state, notice = link("system=pendulum&device=cuda")
    assert state == AppState(Scene("pendulum"))
    assert "device='cuda': not available here" in notice


def test_what_lanes_tell_is_told_as_such(monkeypatch):
    """Not as an error, in red."""
    lines = []
    area = SimpleNamespace(
        error=lambda line, **_: lines.append(("error", line)),
        info=lambda line, **_: lines.append(("info", line)),
    )
    monkeypatch.setattr(type(pn.state), "notifications", area)
    explorer = Explorer(AppState(Scene("pendulum"), (Lane(), Lane("hnn"))), play=False)
    canvases = explorer.race.canvases
    for scene in (Scene("pendulum", structure="damped_symplectic"), Scene("pendulum")):
        outcomes = take_turn(explorer.race.simulations, Turn(scene, budget=None))
        explorer._on_outcomes(list(zip(canvases, outcomes, strict=True)))
    explorer.close()
    assert lines == [("info", outcomes[0].note)]
    assert outcomes[0].note.startswith("a lane runs again")


def test_a_page_builds_what_runs_in_it_once(monkeypatch):
    """Not for the link, for the page and for the run."""
    built = []
    monkeypatch.setattr(stage, "build", lambda scene: built.append(scene) or build(scene))
    monkeypatch.setattr(type(pn.state), "session_args", {"system": [b"pendulum"], "dt": [b"0.07"]})
    explorer = session.linked(lambda state, notice: Explorer(state, notice=notice))
    simulations, state = explorer.race.simulations, explorer.store.state
    outcomes = take_turn(simulations, Turn(state.scene, budget=None, reset=True))
    explorer._on_outcomes(list(zip(explorer.race.canvases, outcomes, strict=True)))
    explorer.close()
    assert state.scene == Scene("pendulum", dt=0.07)
    assert [outcome.header.t for outcome in outcomes] == [pytest.approx(0.07)] * len(simulations)
    assert len(built) == len(simulations) > 1


def test_what_fails_in_a_callback_is_logged_with_its_trace_and_said_in_one_line(told, caplog):
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError as problem:
        with caplog.at_level(logging.ERROR):
            session.report(problem)
    assert told == ["That has failed (RuntimeError); the server's log says why."]
    assert caplog.records[0].exc_info[1].args == ("two\nlines",)
    session.report(ValueError("dt=-1: must be\npositive"))
    assert told[1:] == ["dt=-1: must be positive"]


def test_a_message_that_fails_leaves_bokeh_s_current_document_alone(told, monkeypatch):
    """Otherwise the document of that session would be everybody's current one."""
    monkeypatch.setattr(serve, "prepare_process", lambda: None)
    monkeypatch.setattr(pn.config, "exception_handler", None)
    serve.configure()
    browser = session.Browser(lambda *_: 1 / 0)
    doc, depth = Document(), len(current._PATCHED_CURDOCS)
    with current.patch_curdoc(doc):
        browser._comm_event(doc, DataEvent(None, {"width": 300}))
    assert len(current._PATCHED_CURDOCS) == depth
    assert told == ["That has failed (ZeroDivisionError); the server's log says why."]


def test_nothing_moves_before_it_is_known_whether_it_may():
    """The browser may show a canvas before it has told that its system asks for less motion."""
    explorer, begun = Explorer(), []
    explorer.runner.start = lambda: begun.append(explorer.runner.playing)
    tell = explorer.browser._receive
    canvas = explorer.race.canvases[0]
    canvas._receive(SimpleNamespace(data={"ready": True}))
    assert begun == []
    tell(SimpleNamespace(data={"width": 1280, "still": True}))
    assert begun == [False]
    explorer.runner.play(True)
    tell(SimpleNamespace(data={"width": 400, "still": False}))
    assert explorer.runner.playing, "another width says nothing about motion"
    explorer.close()


def test_what_fails_under_the_lock_is_told(told):
    doc, later = Document(), []
    doc._session_context = lambda: SimpleNamespace()
    doc.add_next_tick_callback = later.append
    session.under_lock(doc, lambda: 1 / 0)
    assert told == []
    later[0]()
    assert told == ["That has failed (ZeroDivisionError); the server's log says why."]


def test_a_session_s_socket_can_be_opened_again_after_bokeh_s_five_minutes():
    made = generate_jwt_token("name", extra_payload={"arguments": ["kdv"]}, expiration=300)
    request = SimpleNamespace(arguments={})
    context = SimpleNamespace(id="name", token_payload=get_token_payload(made), request=request)
    doc = Document()
    doc._session_context = lambda: context
    before = time.time()
    with set_curdoc(doc):
        browsers = [session.Browser(lambda *_: None) for _ in range(2)]
    token = browsers[0].token
    assert get_session_id(token) == "name"
    assert get_token_payload(token)["arguments"] == ["kdv"]
    assert get_token_payload(token)["session_expiry"] >= int(before) + session.TOKEN_LIFE
    assert browsers[0].birth != browsers[1].birth


def test_where_nobody_serves_a_page_its_connection_is_not_watched():
    browser = session.Browser(lambda *_: None)
    assert browser.birth == browser.token == ""


def test_a_beat_of_the_connection_is_answered():
    sent = []
    browser = session.Browser(lambda *_: pytest.fail("no window"))
    browser._send_msg = sent.append
    browser._receive(SimpleNamespace(data={"beat": True}))
    assert sent == [{"beat": True}]


def test_the_browser_knows_whether_the_page_runs():
    """So that one which is loaded anew by itself rests if it did."""
    explorer = Explorer(play=False)
    assert not explorer.browser.playing
    explorer.runner.play(True)
    assert explorer.browser.playing
    explorer.runner.step()
    assert not explorer.browser.playing
    explorer.close()


def test_the_session_of_a_page_that_is_closed_may_end(caplog):
    asked, doc = [], Document()
    served = SimpleNamespace(request_expiration=lambda: asked.append(True))
    doc._session_context = lambda: SimpleNamespace(session=served)
    browser = session.Browser(lambda *_: pytest.fail("no window"))
    browser._receive(SimpleNamespace(data={"gone": True}))
    assert asked == []
    with set_curdoc(doc):
        browser._receive(SimpleNamespace(data={"gone": True}))
    assert asked == [True]
    doc._session_context = lambda: SimpleNamespace(session=None)
    with caplog.at_level(logging.INFO):
        session.expire(doc)
    assert "internals have changed" in caplog.text


def test_a_session_that_has_ended_is_let_go_of_and_no_other(monkeypatch, caplog):
    ended, other = Document(), Document()
    views = {"a": (1, 2, ended, None), "b": (1, 2, other, None), "c": (1, 2, None, None)}
    monkeypatch.setattr(type(pn.state), "_views", views)
    session.forget(ended)
    session.forget(None)
    assert list(views) == ["b", "c"]
    monkeypatch.setattr(type(pn.state), "_views", {"a": ()})
    with caplog.at_level(logging.INFO):
        session.forget(ended)
    assert "internals have changed" in caplog.text


def test_pictures_are_drawn_whatever_document_is_current():
    """A dead document on Bokeh's stack has no theme to be set."""
    dead = Document()
    del dead._theme
    with current.patch_curdoc(dead):
        page = ResultsPage(False)
    assert any(chart.object is not None for chart in page._charts.values())


def made(name):
    return SimpleNamespace(view=pn.Column(name=name), restyle=lambda _: None)


def test_a_tab_that_cannot_be_opened_leaves_the_old_one_shown(told):
    broken = []

    def results():
        if broken:
            raise RuntimeError("no figures")
        return made("results")

    opened = []
    tabs = Tabs({"explore": lambda: made("explore"), "results": results}, opened.append)
    tabs.show("explore")
    broken.append(True)
    tabs.show("results")
    assert opened == ["explore"]
    assert [frame.visible for frame in tabs.view] == [True]
    assert len(told) == 1
    broken.clear()
    tabs.show("results")
    assert [frame.visible for frame in tabs.view] == [False, True]


@pytest.mark.parametrize("query", ["", "?theme=dark&system=pendulum"])
def test_the_printed_address_leads_to_the_page_with_its_query(query, monkeypatch):
    asked = {}
    monkeypatch.setattr(serve, "configure", lambda: None)
    monkeypatch.setattr(pn, "serve", lambda pages, **options: asked.update(options, panel=pages))
    serve.serve(port=0)

    async def location():
        server = get_server(**asked, start=False, loop=IOLoop.current())
        server.start()
        try:
            await AsyncHTTPClient().fetch(
                f"http://localhost:{server.port}/{query}", follow_redirects=False
            )
        except HTTPClientError as answer:
            return answer.response.headers["Location"]
        finally:
            server.stop()

    assert asyncio.run(location()) == f"./explorer{query}"


def test_a_page_under_the_path_of_a_proxy_finds_its_style_sheets():
    """A location that is made after the note would take the path out of it."""
    doc = Document()
    with set_curdoc(doc):
        session.stay_offline(doc)
    assert doc in pn.state._locations
