"""The live page in a browser: it moves, obeys its controls, and says what went wrong."""

from __future__ import annotations

import math
import time

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

PIXELS = """c => {
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
  let s = 0;
  for (let i = 0; i < d.length; i += 4) s = (s * 31 + d[i] * 65536 + d[i+1] * 256 + d[i+2]) | 0;
  return s;
}"""


def field(page: Page) -> Locator:
    """The first live canvas, once it has painted."""
    canvas = page.get_by_test_id("field").first
    expect(canvas).to_be_visible()
    wait(lambda: number(canvas, "seq") >= 1, "first frame")
    return canvas


def number(canvas: Locator, name: str) -> float:
    return float(canvas.get_attribute(f"data-{name}") or math.nan)


def wait(condition, what: str, seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.03)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def typed(page: Page, key: str) -> Locator:
    return page.locator(f"[data-control='{key}'] .typed")


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_label(label, exact=True).click()
    page.get_by_role("menuitem", name=option).click()


def settle(canvas: Locator) -> float:
    """The frame counter once it has stopped: no new frame for 0.6 s."""
    seen, since = number(canvas, "seq"), time.monotonic()
    deadline = since + 8
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if seen != (seen := number(canvas, "seq")):
            since = time.monotonic()
        elif time.monotonic() > since + 0.6:
            return seen
    raise AssertionError("frames keep coming")


def pause(page: Page, canvas: Locator) -> float:
    """Press Pause; the frame counter once the server has obeyed."""
    press(page, "Pause")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    return settle(canvas)


def test_bare_page_moves_by_itself_and_obeys_transport(open_page):
    page = open_page()
    canvas = field(page)
    assert canvas.get_attribute("data-lane") == "truth"
    before, seq = canvas.evaluate(PIXELS), number(canvas, "seq")
    wait(lambda: number(canvas, "seq") > seq + 5, "five more frames")
    assert canvas.evaluate(PIXELS) != before
    seq = pause(page, canvas)
    t, dt, pixels = number(canvas, "t"), number(canvas, "dt"), canvas.evaluate(PIXELS)
    press(page, "Step")
    wait(lambda: number(canvas, "seq") > seq, "the step's frame")
    assert number(canvas, "t") == pytest.approx(t + dt, rel=1e-9)
    assert canvas.evaluate(PIXELS) != pixels
    press(page, "Reset")
    wait(lambda: number(canvas, "t") == 0, "reset")
    press(page, "Play")
    wait(lambda: number(canvas, "t") > 0, "playing again")


TWO_CLICKS = """([first, second]) => {
  const found = [];
  const look = root => root.querySelectorAll("*").forEach(e => {
    if (e.tagName === "BUTTON" && e.offsetParent) found.push(e);
    if (e.shadowRoot) look(e.shadowRoot);
  });
  look(document);
  for (const label of [first, second]) found.find(e => e.innerText.trim() === label).click();
}"""


def test_pause_pressed_right_after_step_does_not_play_on(open_page):
    page = open_page("system=pendulum&lanes=truth")
    canvas = field(page)
    wait(lambda: number(canvas, "seq") > 3, "frames")
    page.evaluate(TWO_CLICKS, ["Step", "Pause"])
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    settle(canvas)
    press(page, "Play")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_focused()


def test_time_step_typed_and_dragged_reaches_a_frame(open_page):
    page = open_page("system=kdv&preset=two_solitons")
    canvas = field(page)
    typed(page, "dt").fill("0.02")
    typed(page, "dt").press("Enter")
    wait(lambda: number(canvas, "dt") == 0.02, "typed Δt")
    handle = page.locator("[data-control='dt'] .range")
    box = handle.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    shown = float(typed(page, "dt").input_value())
    assert shown < 0.01
    wait(lambda: number(canvas, "dt") == pytest.approx(shown, rel=1e-3), "dragged Δt")
    assert "dt=" in page.evaluate("location.search")


def test_a_number_out_of_range_is_refused_in_place(open_page):
    page = open_page()
    canvas = field(page)
    dt = number(canvas, "dt")
    typed(page, "dt").fill("-1")
    typed(page, "dt").press("Enter")
    expect(typed(page, "dt")).to_have_class("typed wrong")
    seq = number(canvas, "seq")
    wait(lambda: number(canvas, "seq") > seq + 3, "frames go on")
    assert number(canvas, "dt") == dt


def test_switching_systems(open_page):
    page = open_page()
    canvas = field(page)
    for option, kind in (
        ("Cahn–Hilliard (2-D)", "field"),
        ("Pendulum", "phase"),
        ("Korteweg–de Vries", "profile"),
    ):
        choose(page, "System", option)
        expect(page.locator(f".lane[data-kind='{kind}']").first).to_be_visible()
        wait(lambda: number(canvas, "seq") >= 1, f"a frame of {option}")
        seq, pixels = number(canvas, "seq"), canvas.evaluate(PIXELS)
        wait(lambda s=seq: number(canvas, "seq") > s + 5, f"{option} moves")
        assert canvas.evaluate(PIXELS) != pixels
        mass = page.get_by_text("Mass ∫u", exact=True)
        expect(mass).to_be_visible(visible=kind != "phase")


def below_the_lanes(page: Page) -> float:
    """How far below the first lane's picture the first chart is."""
    boxes = [
        page.locator(f"canvas[{which}]").bounding_box() or {}
        for which in ("data-lane=truth", "data-chart=energy")
    ]
    return boxes[1]["y"] - boxes[0]["y"]


def test_a_failing_step_is_one_readable_line(open_page):
    page = open_page("system=kdv&preset=two_solitons&integrator=euler&dt=0.5")
    canvas = field(page)
    status = page.locator(".lane .status")
    expect(status).to_contain_text("diverged at t =")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert "Traceback" not in page.content()
    settle(canvas)
    typed(page, "dt").fill("1e-5")
    typed(page, "dt").press("Enter")
    wait(lambda: number(canvas, "dt") == 1e-5, "smaller Δt")
    press(page, "Reset")
    press(page, "Play")
    expect(status).to_have_text("")
    wait(lambda: number(canvas, "t") > 0, "it runs again")


def test_a_race_goes_on_without_the_models_that_diverge(open_page):
    page = open_page("system=kdv&dt=0.01&speed=20")
    truth = field(page)
    place = below_the_lanes(page)
    for name in ("HNN++", "Neural ODE"):
        lane = page.locator(".lane", has_text=name)
        expect(lane.locator(".status")).to_contain_text("diverged at t =", timeout=60_000)
        canvas = lane.get_by_test_id("field")
        end, now = number(canvas, "t"), number(truth, "t")
        wait(lambda now=now: number(truth, "t") > now + 0.2, "the truth goes on")
        assert number(canvas, "t") == end, "its last good frame stays"
        line, picture = lane.locator(".status").bounding_box(), canvas.bounding_box()
        assert line["y"] >= picture["y"] + picture["height"], "nothing hides the picture"
        assert line["width"] > 0
    assert below_the_lanes(page) == place, "nothing moved"
    assert page.locator(".lane", has_text="DGNet").locator(".status").inner_text() == ""


def test_structure_that_breaks_the_law_says_so(open_page):
    page = open_page()
    canvas = field(page)
    expect(page.locator(".badge", has_text="conserves energy")).to_be_visible()
    choose(page, "Structure operator G", "∂x + ε")
    expect(page.locator(".badge.bad", has_text="law broken")).to_be_visible()
    drift = number(canvas, "drift")
    wait(lambda: number(canvas, "drift") > max(1e-6, drift), "the energy drifts")


def test_the_page_opens_with_a_race_against_the_truth(open_page):
    page = open_page()
    lanes = page.get_by_test_id("field")
    expect(lanes).to_have_count(4)
    names = [lanes.nth(i).get_attribute("data-lane") for i in range(4)]
    assert names == ["truth", "dgnet", "hnnpp", "node"]
    truth, dgnet = lanes.nth(0), lanes.nth(1)
    wait(lambda: number(dgnet, "t") > 0.02, "the model runs", 20)
    pause(page, truth)
    assert number(truth, "t") == number(dgnet, "t")
    assert number(dgnet, "own") < 1e-12
    assert 0 < number(dgnet, "error") < 1e-2


def test_a_lane_is_removed_added_and_put_under_another_integrator(open_page):
    page = open_page("system=pendulum")
    lanes = page.get_by_test_id("field")
    expect(lanes).to_have_count(4)
    schemes = page.get_by_label("Integrator of Neural ODE").locator("option").all_inner_texts()
    assert "RK2" in schemes
    assert not {"DG", "Implicit midpoint"} & set(schemes)
    page.get_by_role("button", name="Remove Neural ODE").click()
    expect(lanes).to_have_count(3)
    press(page, "Add a lane")
    page.get_by_role("menuitem", name="DGNet").click()
    expect(lanes).to_have_count(4)
    page.get_by_label("Integrator of DGNet").last.select_option("rk4")
    wait(lambda: "dgnet%3Ark4" in page.evaluate("location.search"), "the link follows")
    page.get_by_role("button", name="Difference").wait_for(state="hidden")


def test_a_lane_that_does_not_fit_says_why(open_page):
    page = open_page("system=kdv&n=64")
    field(page)
    expect(page.get_by_text("trained with Δx = 0.2").first).to_be_visible()


def test_a_lane_tells_that_its_model_belongs_to_another_step(open_page):
    page = open_page("system=mass_spring&lanes=truth,dgnet")
    expect(page.get_by_text("own drift")).to_have_count(2)
    note = page.get_by_role("button", name="belongs to")
    expect(note).to_have_count(0)
    place = below_the_lanes(page)
    typed(page, "dt").fill("0.1")
    typed(page, "dt").press("Enter")
    expect(note).to_have_text("belongs to Δt = 0.202i")
    assert below_the_lanes(page) == place, "its line was kept ready"
    sentence = page.get_by_text("Learned at Δt = 0.20202, stepped at 0.1: ")
    expect(sentence).to_be_hidden()
    for shown in ("Enter", "Space"):
        note.press(shown)
        expect(sentence).to_be_visible()
        note.press("Escape")
        expect(sentence).to_be_hidden()
    note.click()
    expect(sentence).to_be_visible()
    assert below_the_lanes(page) == place


def test_a_lane_that_fits_again_goes_on_with_the_truth(open_page):
    page = open_page("system=pendulum&lanes=truth,hnn")
    truth, hnn = (page.get_by_test_id("field").nth(i) for i in range(2))
    wait(lambda: number(hnn, "t") > 1, "the model runs", 20)
    pause(page, truth)
    choose(page, "Structure operator G", "S − R")
    expect(page.get_by_text("trained with friction = 0").first).to_be_visible()
    choose(page, "Structure operator G", "S: conserves energy")
    expect(page.get_by_text("goes on from the truth at t =")).to_be_visible()
    wait(lambda: number(hnn, "t") == number(truth, "t") > 1, "the same time")


def test_lock_step_is_left_and_taken_up_again_without_losing_the_run(open_page):
    page = open_page("system=cahn_hilliard_2d&lanes=truth,dgnet")
    truth, dgnet = (page.get_by_test_id("field").nth(i) for i in range(2))
    wait(lambda: number(dgnet, "t") > 0, "the model runs", 20)
    pause(page, truth)
    t = number(truth, "t")
    press(page, "Free running")
    difference = page.get_by_role("button", name="Difference", exact=True)
    expect(difference).to_be_disabled()
    difference.hover(force=True)
    expect(page.get_by_text("Differences need lock step")).to_be_visible()
    press(page, "Lock step")
    expect(difference).to_be_enabled()
    assert number(truth, "t") == number(dgnet, "t") == t
    press(page, "Free running")
    press(page, "Play")
    wait(
        lambda: number(truth, "t") > number(dgnet, "t") + 5e-3 > t + 5e-3, "the truth is faster", 20
    )
    pause(page, truth)
    press(page, "Lock step")
    expect(page.get_by_text("the lanes were at different times")).to_be_visible()
    wait(lambda: number(truth, "t") == number(dgnet, "t") == 0, "both at the start")


def test_lanes_show_their_difference_from_the_truth(open_page):
    page = open_page("system=kdv&lanes=truth,dgnet&show=difference")
    dgnet = page.get_by_test_id("field").nth(1)
    wait(lambda: number(dgnet, "t") > 0.01, "the model runs", 20)
    assert number(dgnet, "high") == -number(dgnet, "low")
    page.get_by_role("button", name="State", exact=True).click()
    wait(lambda: number(dgnet, "high") > 5, "states again")


def test_dark_theme_reaches_canvas_and_controls(open_page):
    page = open_page("theme=dark")
    canvas = field(page)
    corner = "c => [...c.getContext('2d').getImageData(1, 1, 1, 1).data].slice(0, 3)"
    assert max(canvas.evaluate(corner)) < 60
    page.get_by_role("button", name="Toggle theme").click()
    wait(lambda: min(canvas.evaluate(corner)) > 200, "a light canvas")
    assert "theme=light" in page.evaluate("location.search")


def test_narrow_page_is_usable(open_page):
    page = open_page(width=400, height=860)
    canvas = field(page)
    wait(lambda: page.locator(".MuiBackdrop-root").count() == 0, "the drawer out of the way")
    box = canvas.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 400
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    lane, curve = (
        page.locator(f"canvas[data-{which}]").bounding_box()
        for which in ("lane=node", "chart=energy")
    )
    assert lane is not None
    assert curve is not None
    assert curve["y"] > lane["y"] + lane["height"]
    press(page, "Pause")


def test_curves_follow_where_they_can_be_seen(open_page):
    page = open_page("system=pendulum&preset=swing")
    curve = page.locator("canvas[data-chart=drift]")
    wait(lambda: number(curve, "samples") > 30, "some samples")
    pixels = curve.evaluate(PIXELS)
    wait(lambda: curve.evaluate(PIXELS) != pixels, "the curve grows")
    press(page, "Reset")
    wait(lambda: number(curve, "samples") < 20, "it begins anew")


def test_bad_link_falls_back_with_a_notice(open_page):
    page = open_page("system=nonsense", whole=False)
    expect(page.get_by_text("The link was not understood")).to_be_visible()
    canvas = field(page)
    seq = number(canvas, "seq")
    wait(lambda: number(canvas, "seq") > seq + 3, "the default moves")


def test_layout_does_not_jump_while_playing(open_page):
    page = open_page()
    canvas = field(page)
    wait(lambda: number(canvas, "seq") > 20, "frames")
    places = [canvas.bounding_box()]
    for _ in range(5):
        page.wait_for_timeout(200)
        places.append(canvas.bounding_box())
    assert all(p == places[0] for p in places)


def test_two_sessions_are_independent(open_page):
    first, second = open_page(), open_page("system=kdv&dt=0.004")
    a, b = field(first), field(second)
    typed(first, "dt").fill("0.02")
    typed(first, "dt").press("Enter")
    wait(lambda: number(a, "dt") == 0.02, "the first session's Δt")
    assert number(b, "dt") == 0.004


def test_closed_sessions_leave_nothing_running(open_page, server):
    process = psutil.Process(server.pid)

    def visit() -> None:
        page = open_page()
        field(page)
        page.context.close()

    def busy() -> float:
        before = process.cpu_times()
        time.sleep(0.5)
        after = process.cpu_times()
        return (after.user + after.system - before.user - before.system) / 0.5

    visit()
    wait(lambda: busy() < 0.1, "idle after one session", 15)
    threads, memory = process.num_threads(), process.memory_info().rss
    for _ in range(4):
        visit()
    wait(lambda: busy() < 0.1, "idle after five sessions", 15)
    assert process.num_threads() <= threads
    assert process.memory_info().rss - memory < 60e6
