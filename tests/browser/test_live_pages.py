"""Results, structure and theory in a browser: what a phone shows of them."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from ddg_explorer.app.state import PAGES


@pytest.mark.parametrize("width", [360, 400])
def test_every_tab_lies_within_a_narrow_window(open_page, width: int):
    page = open_page("page=theory", width=width, height=860)
    for title in PAGES.values():
        box = page.get_by_role("tab", name=title, exact=True).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    page.get_by_role("tab", name=PAGES["results"], exact=True).click()
    expect(page.get_by_role("heading", name="Results")).to_be_visible()


def test_a_phone_shows_errors_beside_the_published_ones_and_keeps_the_model(open_page):
    page = open_page("page=results", width=400, height=860)
    table = page.get_by_role("region", name="KdV, two solitons: published test set")
    row = table.locator("tbody tr").first
    row.scroll_into_view_if_needed()
    frame = table.bounding_box()
    assert frame is not None
    for column in range(3):
        box = row.locator("td").nth(column).bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]
    table.evaluate("e => e.scrollLeft = e.scrollWidth")
    kept = row.locator("td").first.bounding_box()
    last = row.locator("td").last.bounding_box()
    assert kept is not None
    assert last is not None
    assert kept["x"] == pytest.approx(frame["x"], abs=1)
    assert last["x"] + last["width"] <= frame["x"] + frame["width"] + 1


@pytest.mark.parametrize("width", [400, 1440])
def test_pictures_of_a_symbol_are_square(open_page, width: int):
    page = open_page("page=structure", width=width, height=860)
    cards = page.locator(".across")
    expect(cards).to_have_count(3)
    sizes = page.locator(".bk-Figure").evaluate_all(
        "all => all.map(e => [e.offsetWidth, e.offsetHeight])"
    )
    shown = [size for size in sizes if size[0] > 0]
    square = [size for size in shown if abs(size[0] - size[1]) <= 1]
    assert len(square) == 3
    assert min(size[0] for size in square) > 250


def test_the_theory_changes_its_language_at_once_and_keeps_it(open_page):
    page = open_page("page=theory")
    expect(page.get_by_role("heading", name="Secant and tangent")).to_be_visible()
    page.evaluate("""() => {
      window.mixed = 0;
      const spoken = (root) => [...root.querySelectorAll("*")].flatMap((e) =>
        e.shadowRoot ? spoken(e.shadowRoot) : e.matches("div[lang]") ? [e.lang] : []);
      const look = () => {
        if (new Set(spoken(document)).size > 1) window.mixed += 1;
        requestAnimationFrame(look);
      };
      look();
    }""")
    page.get_by_role("button", name="日本語").click()
    expect(page.get_by_role("heading", name="理論")).to_be_visible()
    expect(page.get_by_text("時間刻み Δt", exact=True)).to_be_visible()
    assert page.evaluate("window.mixed") == 0
    query = page.evaluate("location.search").lstrip("?")
    assert "lang=ja" in query
    again = open_page(query)
    expect(again.get_by_role("heading", name="理論")).to_be_visible()


def test_a_model_trained_in_the_page_runs_as_a_lane(open_page):
    page = open_page("system=kdv&lanes=truth&page=train")
    for label, value in {"Trajectories": 3, "Steps of each": 20, "Width": 4, "Steps": 20}.items():
        number = page.get_by_label(label, exact=True)
        number.fill(str(value))
        number.press("Enter")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_test_id("train-state")).to_contain_text("Finished", timeout=200_000)
    page.get_by_role("tab", name="Explore", exact=True).click()
    lanes = page.locator(".lane")
    expect(lanes).to_have_count(2)
    expect(lanes.nth(1)).to_contain_text("DGNet")
    canvas = lanes.nth(1).get_by_test_id("field")
    expect(canvas).not_to_have_attribute("data-t", "0")
