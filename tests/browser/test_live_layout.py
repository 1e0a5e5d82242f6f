"""What of the page is seen without scrolling, and that nothing in it is broken or pushed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_live import field, press

LANES = 4


def bottom(page: Page, selector: str) -> float:
    box = page.locator(selector).last.bounding_box()
    assert box is not None
    return box["y"] + box["height"]


def test_four_lanes_and_both_drifts_are_seen_at_once(open_page):
    page = open_page(width=1440, height=900)
    field(page)
    expect(page.get_by_test_id("field")).to_have_count(LANES)
    for chart in ("drift", "own_drift"):
        assert bottom(page, f"canvas[data-chart={chart}]") <= 900
    rows = {
        round(box["y"] + box["height"] / 2, -1)
        for name in ("Pause", "Share", "Open a file", "Add a lane", "Draw", "Remember")
        if (box := page.get_by_role("button", name=name, exact=True).bounding_box())
    }
    assert len(rows) == 2


def test_a_phone_shows_a_lane_first_and_the_rest_after_more(open_page):
    page = open_page(width=400, height=860)
    canvas = field(page)
    place = canvas.bounding_box()
    assert place is not None
    assert place["y"] < 400
    add = page.get_by_role("button", name="Add a lane")
    expect(add).to_be_hidden()
    press(page, "More")
    expect(add).to_be_visible()
    expect(page.get_by_role("button", name="Share")).to_be_visible()
    press(page, "Less")
    expect(add).to_be_hidden()
    assert canvas.bounding_box() == place


@pytest.mark.parametrize("system", ["kdv", "cahn_hilliard"])
def test_read_outs_and_the_table_s_head_stand_in_one_line(open_page, system):
    page = open_page(f"system={system}", width=1440)
    field(page)
    heights = page.locator(".readouts dt, table.lanes th:not([rowspan])").evaluate_all(
        "all => all.map((e) => e.getClientRects().length && e.offsetHeight)"
    )
    assert len(heights) == 4 * LANES + 3
    assert max(heights) < 24
    overflows = page.locator(".readouts dt").evaluate_all(
        "all => all.map((e) => e.scrollWidth - e.clientWidth)"
    )
    assert max(overflows) <= 0


def test_the_drawer_is_closed_where_it_steers_nothing(open_page):
    page = open_page(width=900, height=800)
    field(page)
    drawer = page.locator(".sidebar")
    expect(drawer).to_be_visible()
    page.get_by_role("tab", name="Results").click()
    expect(drawer).to_be_hidden()
    page.get_by_role("tab", name="Explore").click()
    expect(drawer).to_be_visible()


def test_an_open_list_of_operators_is_not_cut_on_a_phone(open_page):
    page = open_page("page=structure", width=400, height=860)
    page.get_by_label("Operator of").click()
    options = page.get_by_role("menuitem")
    expect(options.first).to_be_visible()
    cut = options.evaluate_all("all => all.map((e) => e.scrollWidth - e.clientWidth)")
    assert max(cut) <= 0
