"""The Train tab in a browser: from Start to a model, Cancel and Resume, refusals, a phone."""

import re
from collections.abc import Iterator

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect
from test_live import choose, press, wait

from benchmarks.browser import Server, serve
from ddg_explorer.models import load_model

PATIENCE = 200
"""Seconds a tiny training may take on a busy machine, its process and its data included."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        with serve("tests/browser/served_train.py") as running:
            yield running


@pytest.fixture
def arrived() -> str:
    return "body"


def state(page: Page) -> Locator:
    return page.get_by_test_id("train-state")


def fill(page: Page, label: str, value: int) -> None:
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")


def tiny(page: Page, steps: int) -> None:
    """A training of seconds: little data, few steps."""
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    fill(page, "Trajectories", 3)
    fill(page, "Steps of each", 20)
    fill(page, "Width", 4)
    fill(page, "Steps", steps)


def step(page: Page) -> int:
    found = re.search(r"(\d+) / \d+", page.get_by_test_id("train-numbers").inner_text())
    return int(found[1]) if found else 0


def workers(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.pid).children(recursive=True)


def test_a_number_can_be_typed_again_after_enter(open_page):
    page = open_page()
    tiny(page, steps=300)
    field = page.get_by_label("Steps", exact=True)
    for typed in ("7", "4"):
        field.click()
        page.keyboard.press("Control+A")
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
    press(page, "Start")
    expect(state(page)).to_contain_text("Finished", timeout=1000 * PATIENCE)
    expect(page.get_by_test_id("train-numbers")).to_contain_text("4 / 4")


def test_a_number_that_is_tabbed_to_is_typed_over(open_page):
    page = open_page()
    field = page.get_by_label("Steps", exact=True)
    fill(page, "Steps", 5000)
    for typed in ("100", "20000", "7"):
        page.get_by_role("button", name="Decrease Steps", exact=True).focus()
        page.keyboard.press("Tab")
        page.keyboard.type(typed)
        page.keyboard.press("Enter")
        expect(field).to_have_value(typed)


def test_every_button_of_a_number_is_named_after_its_field(open_page):
    page = open_page()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    for label in ("Trajectories", "Steps of each", "Noise, % of RMS", "Seed of the data", "Width"):
        for act in ("Decrease", "Increase"):
            expect(page.get_by_role("button", name=f"{act} {label}", exact=True)).to_be_visible()
    choose(page, "Optimiser", "Adam")
    page.get_by_role("button", name="Increase Learning rate", exact=True).click()
    expect(page.get_by_label("Learning rate", exact=True)).to_have_value("0.103")
    unnamed = page.get_by_role("button", name=re.compile("^$"))
    expect(unnamed).to_have_count(0)


def test_on_a_phone_start_brings_the_run_into_view(open_page):
    page = open_page(width=400, height=700)
    tiny(page, steps=300)
    start = page.get_by_role("button", name="Start", exact=True)
    start.evaluate("button => button.scrollIntoView({block: 'end'})")
    expect(state(page)).not_to_be_in_viewport()
    start.click()
    expect(state(page)).to_be_in_viewport(ratio=1)
    press(page, "Cancel")
    expect(state(page)).to_contain_text("Cancelled")


def test_a_run_that_waits_shows_no_empty_cards(open_page):
    page = open_page()
    warnings: list[str] = []
    page.on("console", lambda m: warnings.append(m.text) if m.type == "warning" else None)
    tiny(page, steps=400)
    press(page, "Start")
    press(page, "Start")
    expect(state(page)).to_contain_text("Waiting: 1st in the queue")
    for title in ("Loss (relative square error)", "Rollout of the present model"):
        expect(page.get_by_text(title)).to_be_hidden()
    page.get_by_role("button", name=re.compile("· 1:")).click()
    expect(page.get_by_text("Loss (relative square error)")).to_be_visible(timeout=1000 * PATIENCE)
    expect(page.get_by_text("from a held-out initial state")).to_be_visible()
    page.get_by_role("button", name=re.compile("· 2:")).click()
    expect(page.get_by_text("Loss (relative square error)")).to_be_hidden()
    assert not [line for line in warnings if "log axis" in line]


def test_from_start_to_a_model(open_page, server):
    page = open_page()
    tiny(page, 200)
    expect(state(page)).to_contain_text("No run")
    expect(page.get_by_role("button", name="Download model")).to_be_disabled()
    press(page, "Start")
    expect(state(page)).to_contain_text("Training", timeout=1000 * PATIENCE)
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_be_enabled()
    expect(state(page)).to_contain_text("Finished", timeout=1000 * PATIENCE)
    assert step(page) == 200
    expect(page.get_by_text("from a held-out initial state")).to_be_visible()
    arrived = page.get_by_test_id("arrived")
    expect(arrived).to_contain_text("DGNet · Korteweg–de Vries · 1")
    expect(arrived).to_contain_text("200 steps")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download model").click()
    file = download.value
    assert file.suggested_filename.startswith("dgnet-")
    target = file.path().with_suffix(".safetensors")
    file.save_as(target)
    assert load_model(target).key == "dgnet"
    wait(lambda: not workers(server), "the worker has ended", 30)


def test_cancel_and_resume(open_page, server):
    page = open_page()
    tiny(page, 400)
    press(page, "Start")
    wait(lambda: step(page) > 4, "training", PATIENCE)
    press(page, "Cancel")
    expect(state(page)).to_contain_text("Cancelled")
    wait(lambda: not workers(server), "the worker has ended", 30)
    reached = step(page)
    press(page, "Resume")
    wait(lambda: step(page) > reached, "it goes on", PATIENCE)
    assert step(page) < 400
    press(page, "Cancel")
    expect(state(page)).to_contain_text("Cancelled")


def test_a_second_run_waits_visibly_and_a_closed_page_ends_both(open_page, server):
    page = open_page()
    tiny(page, 400)
    press(page, "Start")
    press(page, "Start")
    expect(
        page.get_by_role("button", name=re.compile("2: (waiting|starting|making)"))
    ).to_be_visible()
    wait(lambda: len(workers(server)) >= 1, "a worker", PATIENCE)
    page.context.close()
    wait(lambda: not workers(server), "workers end with their session", 30)


def test_what_cannot_be_is_one_line(open_page):
    page = open_page()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    fill(page, "Trajectories", 2000)
    fill(page, "Steps of each", 5000)
    press(page, "Start")
    line = "Trajectories = 2000, Steps of each = 5000: take 3.7 GiB, at most 1 GiB are allowed"
    expect(page.get_by_text(line)).to_be_visible()
    choose(page, "Data", "Own file")
    press(page, "Start")
    expect(page.get_by_text("Own file: choose one first")).to_be_visible()
    table = {"name": "own.csv", "mimeType": "text/csv", "buffer": b"time,q,p\n0,1,0\n1,x,0\n"}
    page.locator("input[type=file]").set_input_files(table)
    expect(page.get_by_text("own.csv")).not_to_have_count(0)
    expect(page.get_by_text(re.compile("row|number|column"))).not_to_have_count(0)
    assert "Traceback" not in page.content()
    expect(state(page)).to_contain_text("No run")


@pytest.mark.parametrize("width", [400, 900])
def test_it_fits_and_has_a_dark_theme(open_page, width):
    page = open_page(width=width)
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Toggle theme").click()
    colour = "e => getComputedStyle(e.querySelector('span')).color"
    wait(lambda: state(page).evaluate(colour) == "rgb(163, 174, 187)", "the dark theme's ink")
