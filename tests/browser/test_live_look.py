"""How the page looks and behaves for whom: colours of the theme, little motion, the keyboard."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from ddg_explorer.app.theme import PALETTES, colour_table
from ddg_explorer.systems import SYSTEMS
from tests.browser.test_live import choose, field, number, press, wait

RACES = ("kdv", "cahn_hilliard", "cahn_hilliard_2d", "mass_spring", "pendulum", "two_body")
COLOUR = "e => getComputedStyle(e).color"
FILL = "e => getComputedStyle(e).backgroundColor"
FOCUS = """() => {
  let e = document.activeElement;
  while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
  return e.getAttribute("aria-label") || e.textContent;
}"""
PIXELS = """c => {
  const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let s = "";
  for (const x of d) s += String.fromCharCode(x);
  return btoa(s);
}"""


def rgb(colour: str) -> str:
    return "rgb({}, {}, {})".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))


def middle(page: Page, name: str) -> float:
    box = page.get_by_role("button", name=name, exact=True).bounding_box()
    assert box is not None
    return box["y"] + box["height"] / 2


def cell(page: Page, index: int):
    return page.locator("[data-control='entries'] input").nth(index)


def test_the_editor_of_g_follows_the_theme(open_page):
    page = open_page("system=kdv&lanes=truth&theme=light")
    field(page)
    badge = page.locator(".badge.good").first
    assert badge.evaluate(COLOUR) == rgb(PALETTES["light"]["good"])
    page.get_by_role("button", name="Toggle theme").click()
    wait(lambda: badge.evaluate(COLOUR) == rgb(PALETTES["dark"]["good"]), "its dark colour")


def test_negative_and_positive_have_one_colour_each_in_the_editor_of_g(open_page):
    page = open_page("system=kdv&lanes=truth&structure=d_dx&entries=-0.5,0.05,0.5")
    field(page)
    menu = page.get_by_test_id("comparison").locator("table").first.locator("td")
    for index in (0, 2):
        own, other = cell(page, index).evaluate(FILL), menu.nth(index).evaluate(FILL)
        assert own == other
    assert cell(page, 0).evaluate(FILL) != cell(page, 2).evaluate(FILL)


def test_only_what_is_refused_is_an_alert(open_page):
    page = open_page("system=kdv&lanes=truth")
    field(page)
    alerts = page.locator("[data-control='entries'] [role=alert]")
    expect(alerts).to_have_text("")
    expect(page.get_by_text("Weights of the neighbours")).to_be_visible()
    cell(page, 1).fill("nonsense")
    cell(page, 1).press("Enter")
    expect(alerts).to_have_text("an entry must be a number from −10000 to 10000")
    cell(page, 1).press("Escape")
    expect(alerts).to_have_text("")


def test_typed_fields_have_true_minus_signs(open_page):
    page = open_page("system=cahn_hilliard&lanes=truth&dt=0.0001")
    field(page)
    typed = page.locator("[data-control='dt'] .typed")
    expect(typed).to_have_value("1e−4")
    typed.fill("2e-5")
    typed.press("Enter")
    expect(typed).to_have_value("2e−5")
    wait(lambda: number(field(page), "dt") == 2e-5, "the smaller Δt")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_gallery_has_the_colours_of_the_lanes(open_page, theme):
    page = open_page(f"system=kdv&lanes=truth&theme={theme}")
    field(page)
    press(page, "Gallery")
    for preset, scale in (("kdv.soliton", "sequential"), ("cahn_hilliard_2d.discs", "diverging")):
        picture = page.locator(f"[data-preset='{preset}'] canvas[data-painted]")
        expect(picture).to_be_attached()
        shown = np.frombuffer(base64.b64decode(picture.evaluate(PIXELS)), np.uint32)
        table = np.frombuffer(colour_table(scale, theme == "dark"), np.uint32)
        assert set(shown) <= set(table)
        assert len(set(shown)) > 40


def test_a_page_rests_where_the_system_asks_for_less_motion(open_page):
    page = open_page("system=kdv", calm=True)
    canvas = field(page)
    page.wait_for_timeout(600)
    assert number(canvas, "t") == 0
    press(page, "Play")
    wait(lambda: number(canvas, "t") > 0, "it moves when it is asked to")
    tab = page.get_by_role("tab", name="Train")
    assert tab.evaluate("e => getComputedStyle(e).transitionProperty") == "none"


def test_a_page_comes_to_rest_when_less_motion_is_asked_for(open_page):
    page = open_page("system=kdv&lanes=truth")
    canvas = field(page)
    wait(lambda: number(canvas, "t") > 0, "it moves")
    page.emulate_media(reduced_motion="reduce")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_the_keyboard_comes_past_the_drawer_in_one_step(open_page):
    page = open_page("system=kdv&lanes=truth")
    field(page)
    skip = page.get_by_role("button", name="Skip to the page")
    assert skip.bounding_box()["width"] <= 1
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate(FOCUS) == "Skip to the page"
    assert skip.bounding_box()["width"] > 100
    page.keyboard.press("Enter")
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUS))
    assert reached[0] == "Korteweg–de Vries"
    assert reached[-1] in ("Play", "Pause")


def test_titles_of_races_are_whole(open_page):
    page = open_page("system=kdv&lanes=truth", width=1440)
    field(page)
    preset = page.get_by_label("Preset", exact=True)
    shown = ""
    for system in RACES:
        if shown:
            choose(page, "System", SYSTEMS[system].title)
        expect(preset).not_to_have_text(shown)
        expect(preset).to_contain_text("Race: ")
        assert preset.evaluate("e => e.scrollWidth - e.clientWidth") <= 0, system
        shown = preset.inner_text()


def test_the_bar_of_lanes_stands_in_line_with_the_brush(open_page):
    page = open_page("system=cahn_hilliard_2d&lanes=truth,dgnet", width=1440)
    field(page)
    expect(page.get_by_text("Brush value")).to_be_visible()
    assert abs(middle(page, "Add a lane") - middle(page, "Paint")) < 2


@pytest.mark.parametrize("width", [900, 400])
def test_sharing_begins_at_the_left_where_it_has_a_row_of_its_own(open_page, width):
    page = open_page("system=kdv&lanes=truth", width=width)
    field(page)
    if width == 400:
        press(page, "More")
    lefts = [
        page.get_by_role("button", name=name).bounding_box()["x"]
        for name in ("Pause", "Share", "Add a lane")
    ]
    assert max(lefts) - min(lefts) < 2


def test_the_drawer_of_a_phone_has_the_colour_of_the_surface(open_page):
    page = open_page("system=kdv&lanes=truth&theme=dark", width=400)
    field(page)
    page.get_by_role("button", name="Open drawer").click()
    paper = page.locator(".MuiDrawer-paper")
    expect(paper).to_be_visible()
    assert paper.evaluate(FILL) == rgb(PALETTES["dark"]["surface"])
    assert paper.evaluate("e => getComputedStyle(e).backgroundImage") == "none"


def test_charts_of_results_say_above_them_what_they_show(open_page):
    page = open_page("page=results", width=1440)
    for title in ("Energy MSE", "State MSE"):
        heading = page.get_by_role("heading", name=title, exact=True)
        expect(heading).to_be_visible()
        assert heading.bounding_box()["y"] < 900
