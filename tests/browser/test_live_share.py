"""What leaves the page comes back: the link, and files through the Share menu and Open."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect
from test_live import PIXELS, field, number, pause, press, typed, wait


def saved(page: Page, label: str) -> tuple[str, bytes]:
    """Name and bytes of a file chosen from the Share menu."""
    press(page, "Share")
    with page.expect_download(timeout=30_000) as download:
        page.get_by_role("menuitem", name=label).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def opened(page: Page, name: str, data: bytes) -> None:
    with page.expect_file_chooser() as chooser:
        press(page, "Open a file")
    chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": data})


def test_the_address_restores_what_runs(open_page):
    page = open_page("system=kdv&preset=two_solitons")
    canvas = field(page)
    typed(page, "dt").fill("0.02")
    typed(page, "dt").press("Enter")
    wait(lambda: number(canvas, "dt") == 0.02, "the new Δt")
    query = page.evaluate("location.search").lstrip("?")
    again = field(open_page(query))
    assert number(again, "dt") == 0.02


def test_a_recipe_is_saved_and_opened_again(open_page):
    page = open_page("system=pendulum&preset=friction&dt=0.07&lanes=truth")
    field(page)
    name, data = saved(page, "Recipe (JSON)")
    assert name == "pendulum-friction-seed0.json"
    assert json.loads(data)["state"]["dt"] == "0.07"
    other = open_page("system=kdv&preset=soliton")
    canvas = field(other)
    opened(other, name, data)
    wait(lambda: number(canvas, "dt") == 0.07, "the recipe's Δt")
    expect(other.locator(".lane[data-kind='phase']").first).to_be_visible()


def test_a_recipe_brings_the_exact_solution_and_leaves_the_theme(open_page):
    page = open_page("system=kdv&preset=two_solitons&n=64")
    field(page)
    state = {"system": "kdv", "preset": "two_solitons", "n": "64", "exact": "1", "theme": "dark"}
    opened(page, "dark.json", json.dumps({"ddg_explorer": 1, "state": state}).encode())
    expect(page.get_by_role("switch", name="Show the exact solution")).to_be_checked()
    query = page.evaluate("location.search")
    assert "exact=1" in query
    assert "theme" not in query
    press(page, "Pause")
    _, picture = saved(page, "Picture (PNG)")
    assert Image.open(io.BytesIO(picture)).convert("L").getpixel((1, 1)) > 200


def test_a_clip_says_that_it_is_being_made_and_when_it_is_ready(open_page):
    page = open_page("system=kdv&preset=two_solitons&n=64")
    canvas = field(page)
    wait(lambda: number(canvas, "seq") > 60, "some frames", 30)
    press(page, "Share")
    with page.expect_download(timeout=60_000):
        page.get_by_role("menuitem", name="Clip (GIF)").click()
        expect(page.get_by_text("Making the clip…")).to_be_visible()
    expect(page.get_by_text("kdv-two_solitons-seed0.gif is ready.")).to_be_visible()
    expect(page.get_by_text("Making the clip…")).to_have_count(0)


def test_picture_and_state_hold_what_is_seen(open_page):
    page = open_page("system=kdv&preset=two_solitons&n=64")
    canvas = field(page)
    wait(lambda: number(canvas, "t") > 0.05, "some steps")
    pause(page, canvas)
    _, picture = saved(page, "Picture (PNG)")
    assert Image.open(io.BytesIO(picture)).width > 300
    _, state = saved(page, "State (NumPy)")
    with np.load(io.BytesIO(state), allow_pickle=False) as file:
        assert file["u"].shape == (1, 64)
        assert json.loads(str(file["about"]))["t"] == number(canvas, "t")
    seen = canvas.evaluate(PIXELS)
    press(page, "Reset")
    wait(lambda: number(canvas, "t") == 0, "reset")
    assert canvas.evaluate(PIXELS) != seen
    epoch = number(canvas, "epoch")
    opened(page, "state.npz", state)
    wait(lambda: number(canvas, "epoch") > epoch, "the state as a new start")
    name, again = saved(page, "State (NumPy)")
    with np.load(io.BytesIO(again)) as new, np.load(io.BytesIO(state)) as old:
        assert np.array_equal(new["u"], old["u"]), name


def mass(page: Page) -> float:
    """The sum of the true lane's state."""
    _, state = saved(page, "State (NumPy)")
    with np.load(io.BytesIO(state)) as file:
        return float(file["u"].sum())


def test_painting_changes_the_mass_which_then_stays(open_page):
    page = open_page("system=cahn_hilliard_2d&n=32&lanes=truth")
    canvas = field(page)
    pause(page, canvas)
    energy = number(canvas, "energy")
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait(lambda: number(canvas, "energy") != energy, "the painted energy")
    painted = mass(page)
    press(page, "Play")
    start = number(canvas, "t")
    wait(lambda: number(canvas, "t") > start, "it plays on")
    pause(page, canvas)
    assert abs(mass(page) - painted) < 1e-9
    press(page, "Undo")
    wait(lambda: number(canvas, "energy") == energy, "the energy before")
    assert abs(mass(page) - painted) > 1


def test_a_file_that_cannot_be_read_is_one_line(open_page):
    page = open_page("system=kdv&preset=two_solitons")
    canvas = field(page)
    opened(page, "broken.safetensors", b"nonsense")
    expect(page.get_by_text("is no checkpoint of a model")).to_be_visible()
    opened(page, "notes.txt", b"nonsense")
    expect(page.get_by_text("notes.txt: open one of")).to_be_visible()
    seq = number(canvas, "seq")
    wait(lambda: number(canvas, "seq") > seq + 3, "frames go on")
