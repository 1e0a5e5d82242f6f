"""The page arrives in pieces: moving pictures first, and the rest moves nothing that is there."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from benchmarks.browser import WHOLE
from tests.browser.test_live import choose, field, number, press, wait

FIRST = """() => {
  const find = (root, selector) => root.querySelector(selector)
    ?? [...root.querySelectorAll("*")].filter((e) => e.shadowRoot)
      .map((e) => find(e.shadowRoot, selector)).find(Boolean);
  const moving = Number(find(document, "canvas[data-testid=field]")?.dataset.seq) >= 2;
  return moving && {controls: Boolean(find(document, "[data-control=dt]"))};
}"""
READY = "document.documentElement.dataset.ready === 'true'"


@pytest.mark.parametrize("width", [1440, 1024, 900, 400])
def test_lanes_stay_where_they_are_while_the_rest_arrives(open_page, width):
    page = open_page(width=width, whole=False)
    canvas = field(page)
    place = canvas.bounding_box()
    places = []
    while not page.evaluate(READY):
        places.append(canvas.bounding_box())
        page.wait_for_timeout(50)
    assert places
    assert all(p == place for p in (*places, canvas.bounding_box()))


def test_pictures_move_before_the_controls_are_there(open_page):
    page = open_page(whole=False)
    seen = page.wait_for_function(FIRST, polling="raf")
    assert seen.json_value() == {"controls": False}
    page.locator("[data-control='dt'] .range").wait_for()


def test_a_system_is_switched_while_the_page_arrives(open_page):
    page = open_page(whole=False)
    choose(page, "System", "Pendulum")
    page.locator(WHOLE).wait_for(state="attached")
    expect(page.locator(".lane[data-kind='phase']").first).to_be_visible()
    expect(page.get_by_text("Mass ∫u", exact=True)).to_be_hidden()
    canvas = field(page)
    seq = number(canvas, "seq")
    wait(lambda: number(canvas, "seq") > seq + 3, "it moves")


def test_a_page_whose_pictures_rest_arrives_too(open_page):
    page = open_page("page=theory")
    expect(page.get_by_role("tab", name="Theory")).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Explore").click()
    field(page)
    press(page, "Pause")


@pytest.mark.parametrize("page", ["train", "results"])
def test_a_page_without_pictures_gets_its_row_of_tabs(open_page, page):
    shown = open_page(f"page={page}")
    expect(shown.get_by_role("tab")).to_have_count(5)
