"""Lanes of one model in a browser, a narrow page, and what is left of a page that is gone."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace

import panel as pn
import pytest
from panel.io.server import get_server
from playwright.sync_api import expect
from tornado.ioloop import IOLoop

from benchmarks.browser import WHOLE
from ddg_explorer.app import serve
from tests.browser.conftest import PATIENCE
from tests.browser.test_live import field, number, pause, press, settle, wait
from tests.browser.test_live_connection import LINE, Wire

TWINS = "system=pendulum&lanes=truth,dgnet,dgnet:rk4,dgnet:rk4"
SIX = "system=kdv&lanes=truth,dgnet,dgnet:rk4,dgnet:rk4,node,node:rk4"
CUT = """() => {
  const cut = [];
  const visit = (root) => {
    for (const e of root.querySelectorAll("*")) {
      if (e.shadowRoot) visit(e.shadowRoot);
      const held = e.matches("h2, .remove, .bar input, .readouts dd, table.lanes td");
      if (held && e.scrollWidth > e.clientWidth + 1) cut.push(e.textContent || e.className);
    }
  };
  visit(document);
  return cut;
}"""
"""Texts of the lanes and of their table that have less room than they need."""

LISTEN = """() => {
  window.drawn = [];
  const real = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
    if (this.canvas.dataset.chart) window.drawn.push(text);
    real.call(this, text, ...rest);
  };
}"""
"""Notes the texts of the charts from then on."""


@pytest.fixture
def kept() -> Iterator[SimpleNamespace]:
    """A server in this process that keeps its sessions long and looks often for those to end."""
    made = SimpleNamespace()
    begun = threading.Event()

    def run() -> None:
        async def main() -> None:
            made.loop, made.over = asyncio.get_running_loop(), asyncio.Event()
            made.server = get_server(
                {"explorer": serve.open_session},
                port=0,
                start=False,
                loop=IOLoop.current(),
                unused_session_lifetime_milliseconds=1000 * serve.KEPT,
                check_unused_sessions_milliseconds=200,
            )
            made.server.start()
            made.url = f"http://localhost:{made.server.port}/explorer"
            begun.set()
            await made.over.wait()
            made.server.stop()

        asyncio.run(main())

    options = {name: getattr(pn.config, name) for name in ("notifications", "exception_handler")}
    serve.configure()
    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(PATIENCE / 1000)
    yield made
    made.loop.call_soon_threadsafe(made.over.set)
    thread.join()
    for name, value in options.items():
        setattr(pn.config, name, value)


def test_lanes_of_one_model_differ_in_name_shade_and_dash(open_page):
    page = open_page(TWINS, width=1440)
    field(page)
    names = ["DGNet · DG", "DGNet · RK4", "DGNet · RK4 (2)"]
    buttons = page.get_by_role("button", name=re.compile("^Remove "))
    expect(buttons).to_have_count(3)
    for name in names:
        expect(page.get_by_role("button", name=f"Remove {name}", exact=True)).to_have_count(1)
        expect(page.get_by_role("img", name=f"{name}: live picture", exact=True)).to_have_count(1)
    looks = [
        page.locator("section.lane .swatch").nth(i).evaluate("e => getComputedStyle(e).background")
        for i in range(4)
    ]
    assert len(set(looks)) == 4
    page.get_by_label("Integrator of DGNet · RK4 (2)").select_option("discrete_gradient")
    expect(page.get_by_role("button", name="Remove DGNet · DG (2)", exact=True)).to_be_visible()
    page.get_by_role("button", name="Remove DGNet · RK4", exact=True).click()
    expect(buttons).to_have_count(2)
    for name in ("DGNet · DG", "DGNet · DG (2)"):
        expect(page.get_by_role("button", name=f"Remove {name}", exact=True)).to_have_count(1)


@pytest.mark.parametrize("width", [1440, 900])
def test_of_six_lanes_nothing_is_cut(open_page, width):
    page = open_page(SIX, width=width, height=1400)
    canvas = field(page)
    wait(lambda: number(canvas, "t") > 0.01, "some time", 30)
    pause(page, canvas)
    lanes = [page.locator("section.lane").nth(i).bounding_box() for i in range(6)]
    rows = sorted({round(box["y"]) for box in lanes})
    assert len(rows) == (2 if width == 1440 else 3)
    assert {round(box["width"]) for box in lanes} == {round(lanes[0]["width"])}
    assert lanes[0]["width"] >= 215
    assert page.evaluate(CUT) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [360, 320])
def test_the_transport_fits_the_card_of_a_phone(open_page, width):
    page = open_page("system=pendulum&lanes=truth", width=width, height=740, touch=True)
    field(page)
    names = ("Pause", "Step", "Reset")
    boxes = [page.get_by_role("button", name=n, exact=True).bounding_box() for n in names]
    assert all(box["y"] == boxes[0]["y"] for box in boxes)
    for box, after in pairwise(boxes):
        assert box["x"] + box["width"] <= after["x"] - 4
    assert boxes[0]["x"] == pytest.approx(33, abs=1)
    assert width - boxes[2]["x"] - boxes[2]["width"] == pytest.approx(33, abs=1)


def test_charts_that_have_not_moved_span_a_time_that_can_be_read(open_page):
    page = open_page("system=pendulum&lanes=truth", calm=True)
    canvas = field(page)
    settle(canvas)
    assert number(canvas, "t") == 0
    page.evaluate(LISTEN)
    page.set_viewport_size({"width": 1300, "height": 900})
    wait(lambda: page.evaluate("window.drawn.length > 0"), "charts of another width")
    page.wait_for_timeout(300)
    drawn: list[str] = page.evaluate("window.drawn")
    assert "0.5" in drawn
    assert not [text for text in drawn if "e−" in text]


RELOAD = "() => Bokeh.documents[0].ddgConnection.reload()"
"""What the page does when its session has ended."""


@pytest.mark.parametrize("playing", [True, False])
def test_a_page_that_is_loaded_anew_by_itself_rests_if_it_did(open_page, playing):
    page = open_page("system=pendulum&lanes=truth")
    canvas = field(page)
    wait(lambda: number(canvas, "t") > 0.3, "some time")
    if not playing:
        pause(page, canvas)
    page.evaluate(RELOAD)
    expect(page.get_by_text("The connection was lost for too long")).to_be_visible()
    page.locator(WHOLE).wait_for(state="attached")
    canvas = field(page)
    if playing:
        wait(lambda: number(canvas, "t") > 0.3, "some time")
        return
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    settle(canvas)
    assert number(canvas, "t") == 0
    press(page, "Play")
    wait(lambda: number(canvas, "t") > 0, "playing again")
    page.reload()
    page.locator(WHOLE).wait_for(state="attached")
    wait(lambda: number(field(page), "t") > 0, "playing as any page that is opened")


def test_a_lost_page_finds_its_session_and_that_of_a_closed_one_ends(browser, kept):
    wire = Wire(kept.server.port)
    page = browser.new_page()
    page.goto(f"http://localhost:{wire.port}/explorer?system=pendulum&lanes=truth")
    page.locator(WHOLE).wait_for(state="attached", timeout=PATIENCE)
    page.evaluate("window.same = true")
    (session,) = kept.server.get_sessions("/explorer")
    wire.cut()
    wait(lambda: session.connection_count == 0, "the end of the connection")
    time.sleep(1)  # several times between two looks for sessions to end
    assert kept.server.get_sessions("/explorer") == [session]
    wire.refuses = False
    wait(lambda: session.connection_count == 1, "the connection", 20)
    expect(page.locator(LINE)).to_have_count(0)
    t = number(field(page), "t")
    wait(lambda: number(field(page), "t") > t, "frames", 20)
    assert page.evaluate("window.same")
    page.goto("about:blank")
    wait(lambda: kept.server.get_sessions("/explorer") == [], "the end of the session")
    page.close()
    wire.close()
