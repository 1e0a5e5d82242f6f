"""Touching the lanes in a browser: painting, undo, the time slider, remembered moments, keys."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_live import PIXELS, field, number, pause, press, settle, typed, wait

PENDULUM = "system=pendulum&lanes=truth"
KDV = "system=kdv&preset=two_solitons&lanes=truth"
FIELD = "system=cahn_hilliard_2d&n=64&lanes=truth"


def paused(page: Page):
    """The true lane's canvas, at rest."""
    canvas = field(page)
    pause(page, canvas)
    return canvas


def at(canvas, fx: float, fy: float) -> tuple[float, float]:
    box = canvas.bounding_box()
    assert box is not None
    return box["x"] + fx * box["width"], box["y"] + fy * box["height"]


def test_painting_changes_pixels_and_energy_and_undo_takes_it_back(open_page):
    page = open_page(FIELD)
    canvas = paused(page)
    pixels, energy, t = canvas.evaluate(PIXELS), number(canvas, "energy"), number(canvas, "t")
    page.mouse.move(*at(canvas, 0.3, 0.3))
    expect(page.locator(".lane .brush")).to_be_visible()
    page.mouse.down()
    page.mouse.move(*at(canvas, 0.7, 0.6), steps=5)
    page.mouse.up()
    wait(lambda: number(canvas, "energy") != energy, "the painted energy")
    settle(canvas)
    assert canvas.evaluate(PIXELS) != pixels
    assert number(canvas, "t") == t
    press(page, "Undo")
    wait(lambda: number(canvas, "energy") == energy, "the energy before")
    assert canvas.evaluate(PIXELS) == pixels
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_disabled()


def test_painting_off_leaves_the_field_alone(open_page):
    page = open_page(FIELD)
    canvas = paused(page)
    press(page, "Paint")
    expect(canvas).to_have_attribute("data-tool", "")
    expect(page.locator("[data-control='brush-value']")).to_be_hidden()
    pixels = canvas.evaluate(PIXELS)
    page.mouse.click(*at(canvas, 0.5, 0.5))
    settle(canvas)
    assert canvas.evaluate(PIXELS) == pixels


def swipe(page: Page, canvas, height: float) -> None:
    """A finger goes up from the canvas's middle by this many pixels."""
    x, y = at(canvas, 0.5, 0.5)
    browser = page.context.new_cdp_session(page)

    def touch(kind: str, *places: float) -> None:
        points = [{"x": x, "y": place} for place in places]
        browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", y)
    for part in range(1, 9):
        touch("touchMove", y - height * part / 8)
    touch("touchEnd")
    browser.detach()


def test_a_finger_scrolls_over_a_lane_and_paints_only_when_asked_to(open_page):
    page = open_page(FIELD, width=400, height=800, touch=True)
    canvas = paused(page)
    tool = page.get_by_role("button", name="Paint", exact=True)
    expect(tool).to_have_attribute("aria-pressed", "false")
    expect(canvas).to_have_attribute("data-tool", "")
    canvas.scroll_into_view_if_needed()
    energy, top = number(canvas, "energy"), at(canvas, 0, 0)[1]
    swipe(page, canvas, 200)
    wait(lambda: at(canvas, 0, 0)[1] < top - 100, "the page scrolls")
    settle(canvas)
    assert number(canvas, "energy") == energy
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_disabled()

    tool.tap()
    expect(canvas).to_have_attribute("data-tool", "paint")
    canvas.scroll_into_view_if_needed()
    top = at(canvas, 0, 0)[1]
    swipe(page, canvas, 100)
    wait(lambda: number(canvas, "energy") != energy, "the painted energy")
    assert at(canvas, 0, 0)[1] == top
    expect(page.get_by_role("button", name="Undo", exact=True)).to_be_enabled()


def test_a_click_on_a_profile_adds_a_soliton(open_page):
    page = open_page(KDV)
    canvas = paused(page)
    energy, pixels = number(canvas, "energy"), canvas.evaluate(PIXELS)
    page.mouse.click(*at(canvas, 0.8, 0.25))
    wait(lambda: number(canvas, "energy") != energy, "the soliton's energy")
    settle(canvas)
    assert canvas.evaluate(PIXELS) != pixels


def test_the_time_slider_goes_back_and_play_goes_on_from_there(open_page):
    page = open_page(KDV)
    canvas = field(page)
    wait(lambda: number(canvas, "t") > 0.3, "some time", 20)
    pause(page, canvas)
    end = number(canvas, "t")
    time_slider = page.get_by_label("Time", exact=True)
    time_slider.focus()
    time_slider.press("Home")
    wait(lambda: number(canvas, "t") == 0, "the start")
    time_slider.press("End")
    wait(lambda: number(canvas, "t") == end, "the end again")
    time_slider.press("Home")
    wait(lambda: number(canvas, "t") == 0, "the start again")
    press(page, "Step")
    wait(lambda: number(canvas, "t") == pytest.approx(number(canvas, "dt")), "a step from there")


def test_pressing_in_the_phase_plane_starts_there_and_reset_comes_back_to_it(open_page):
    page = open_page(PENDULUM)
    canvas = paused(page)
    epoch = number(canvas, "epoch")
    page.mouse.click(*at(canvas, 0.3, 0.35))
    wait(lambda: number(canvas, "epoch") > epoch, "the new start")
    assert number(canvas, "t") == 0
    energy = number(canvas, "energy")
    press(page, "Step")
    wait(lambda: number(canvas, "t") > 0, "a step")
    press(page, "Reset")
    wait(lambda: number(canvas, "t") == 0, "the start")
    assert number(canvas, "energy") == energy


def test_a_remembered_moment_is_gone_back_to(open_page):
    page = open_page(PENDULUM)
    canvas = paused(page)
    t, energy = number(canvas, "t"), number(canvas, "energy")
    press(page, "Remember")
    back = page.locator(".chip button").first
    expect(back).to_contain_text("A")
    press(page, "Reset")
    wait(lambda: number(canvas, "t") == 0, "reset")
    back.click()
    wait(lambda: number(canvas, "t") == t, "the moment")
    assert number(canvas, "energy") == energy
    page.get_by_role("button", name="Forget A").click()
    expect(page.locator(".chip")).to_have_count(0)


def test_a_remembered_moment_is_given_a_name(open_page):
    page = open_page(PENDULUM)
    canvas = paused(page)
    press(page, "Remember")
    chip = page.locator(".chip")
    expect(chip.locator("img")).to_be_visible()
    page.get_by_role("button", name="Rename A").click()
    page.keyboard.type("first r swing")
    page.keyboard.press("Enter")
    expect(chip).to_contain_text("first r swing")
    assert number(canvas, "t") > 0, "keys that are typed do not drive the page"
    page.get_by_role("button", name="Rename first r swing").click()
    page.keyboard.type("other")
    page.keyboard.press("Escape")
    expect(chip).to_contain_text("first r swing")
    page.get_by_role("button", name="Forget first r swing").click()
    expect(chip).to_have_count(0)


def test_keys_play_step_and_reset_but_not_while_typing(open_page):
    page = open_page(PENDULUM)
    canvas = field(page)
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    settle(canvas)
    t, dt = number(canvas, "t"), number(canvas, "dt")
    page.keyboard.press("ArrowRight")
    wait(lambda: number(canvas, "t") == pytest.approx(t + dt), "a step")
    typed(page, "dt").focus()
    page.keyboard.press("r")
    page.keyboard.press(" ")
    settle(canvas)
    assert number(canvas, "t") == pytest.approx(t + dt)
    page.evaluate("document.activeElement.blur()")
    typed(page, "dt").evaluate("e => e.blur()")
    page.keyboard.press("r")
    wait(lambda: number(canvas, "t") == 0, "reset")
    page.keyboard.press(" ")
    wait(lambda: number(canvas, "t") > 0, "playing")
