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
