"""Controls in a browser: the editor of G and its badges, the gallery."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from test_live import choose, field, number, wait


def entry(page: Page, column: int):
    return page.get_by_label(f"Entry, row 1, column {column}", exact=True)


def test_an_edited_kernel_flips_the_badges_and_its_law_comes_back(open_page):
    page = open_page("system=kdv&lanes=truth")
    canvas = field(page)
    badges = page.get_by_test_id("badges")
    expect(badges).to_contain_text("conserves energy")
    expect(entry(page, 1)).to_have_value("−0.5")
    t = number(canvas, "t")
    entry(page, 2).fill("0.05")
    entry(page, 2).press("Enter")
    expect(badges).to_contain_text("can create energy")
    expect(badges).to_contain_text("mass not conserved")
    assert "entries=-0.5%2C0.05" in page.evaluate("location.search")
    assert number(canvas, "t") >= t, "an edit acts on the running state"

    wait(lambda: number(canvas, "drift") > 1e-6, "the energy drifts", 20)
    page.get_by_role("button", name="Make skew", exact=True).click()
    expect(badges).to_contain_text("conserves energy")
    expect(badges).to_contain_text("conserves mass")
    page.get_by_role("button", name="Back to the menu", exact=True).click()
    wait(lambda: "entries" not in page.evaluate("location.search"), "the edit is dropped")


def test_a_bad_entry_is_refused_in_place(open_page):
    page = open_page("system=kdv&lanes=truth")
    canvas = field(page)
    for bad in ("nonsense", "1e9"):
        entry(page, 3).fill(bad)
        entry(page, 3).press("Enter")
        expect(entry(page, 3)).to_have_attribute("aria-invalid", "true")
        expect(page.get_by_text("an entry must be a number from")).to_be_visible()
    seq = number(canvas, "seq")
    wait(lambda: number(canvas, "seq") > seq + 2, "frames go on")
    assert "entries" not in page.evaluate("location.search")


def test_a_learned_g_is_opened_beside_the_true_one_and_runs(open_page):
    page = open_page("system=pendulum&lanes=truth")
    canvas = field(page)
    expect(page.get_by_test_id("badges")).to_contain_text("conserves energy")
    t = number(canvas, "t")
    page.get_by_label("Open a learned G").click()
    page.get_by_text("DGNet, friction", exact=True).last.click()
    comparison = page.get_by_test_id("comparison")
    expect(comparison).to_contain_text("True: S − R")
    expect(comparison).to_contain_text("distance 7.0")
    expect(page.get_by_test_id("badges")).to_contain_text("dissipates energy")
    expect(page.get_by_label("Entry, row 2, column 2", exact=True)).to_have_value("−0.207")
    assert "structure=damped_symplectic" in page.evaluate("location.search")
    assert number(canvas, "t") >= t, "it acts on the running state"
    wait(lambda: number(canvas, "drift") > 1e-3, "the energy falls", 20)
    page.get_by_role("button", name="Back to the menu", exact=True).click()
    expect(comparison).to_have_count(0)


def test_the_gallery_opens_and_chooses(open_page):
    page = open_page("system=kdv&lanes=truth")
    canvas = field(page)
    page.get_by_role("button", name="Gallery", exact=True).click()
    card = page.locator("[data-preset='wave.standing']")
    expect(card).to_be_visible()
    expect(page.locator("[data-preset='kdv.published'] em")).to_have_text("trained models race")
    expect(card.locator("canvas[data-painted]")).to_be_visible()
    epoch = number(canvas, "epoch")
    card.click()
    expect(card).to_be_hidden()
    wait(lambda: "system=wave" in page.evaluate("location.search"), "the link follows")
    assert "preset=standing" in page.evaluate("location.search")
    canvas = field(page)
    wait(lambda: number(canvas, "epoch") != epoch or number(canvas, "t") > 0, "it runs")


WITHIN = """c => {
  const view = c.closest(".content").getBoundingClientRect(), box = c.getBoundingClientRect();
  const seen = e => { const b = e.getBoundingClientRect();
    return b.top >= view.top && b.bottom <= view.bottom; };
  const cut = [...c.closest(".content").querySelectorAll(".card canvas")].some(i => {
    const b = i.getBoundingClientRect(); return b.top < view.top && b.bottom > view.top; });
  return {chosen: seen(c), title: seen(c.closest("section").querySelector("h3")), cut};
}"""


@pytest.mark.parametrize(
    ("system", "other", "width"), [("pendulum", "two_body", 1280), ("kdv", "mass_spring", 400)]
)
def test_the_gallery_opens_at_the_title_of_the_system_that_runs(open_page, system, other, width):
    page = open_page(f"system={system}&lanes=truth", width=width)
    field(page)
    for running in (system, other):
        page.get_by_role("button", name="Gallery", exact=True).click()
        card = page.locator(f"[data-preset^='{running}.'][aria-current]")
        expect(card).to_be_visible()
        wait(lambda card=card: card.evaluate(WITHIN)["chosen"], "the card that runs")
        seen = card.evaluate(WITHIN)
        assert seen["title"] or width < 500
        assert not seen["cut"], "no picture is cut at the upper edge"
        if running == system:
            page.locator(f"[data-preset='{other}.published']").click()
            expect(card).to_be_hidden()


def test_the_preset_that_is_shown_is_the_one_that_runs(open_page):
    page = open_page("system=kdv&lanes=truth")
    field(page)
    preset = page.get_by_label("Preset", exact=True)
    expect(preset).to_have_text("Race: two random solitons")
    choose(page, "System", "Pendulum")
    expect(preset).to_have_text("Race: a wide pendulum")
    choose(page, "System", "Mass and spring")
    expect(preset).to_have_text(re.compile("Race: (?!a wide pendulum)"))
    page.get_by_role("button", name="Gallery", exact=True).click()
    page.locator("[data-preset='two_body.published']").click()
    expect(preset).to_have_text("Race: nearly circular orbits")


def test_a_button_tells_what_it_does_and_its_key(open_page):
    page = open_page("system=pendulum")
    field(page)
    tooltip = page.get_by_role("tooltip")
    for button, line in {
        "Pause": "Key: space",
        "Step": "Key: →",
        "Reset": "Key: r",
        "Free running": "as fast as it can",
    }.items():
        page.get_by_role("button", name=button, exact=True).hover()
        expect(tooltip.filter(has_text=line)).to_be_visible()
        expect(tooltip).to_have_count(1)


def test_friction_of_the_strain_form_runs_and_another_form_drops_it(open_page):
    page = open_page("system=wave&preset=strain")
    canvas = field(page)
    choose(page, "Structure operator G", "friction dissipates energy")
    expect(page.get_by_test_id("badges")).to_contain_text("dissipates energy")
    assert "structure=damped_strain_wave" in page.evaluate("location.search")
    wait(lambda: number(canvas, "drift") > 1e-3, "the energy falls", 20)
    choose(page, "Form", "displacement")
    expect(page.get_by_test_id("badges")).to_contain_text("conserves energy")
    assert "structure" not in page.evaluate("location.search")


def test_a_button_is_called_by_what_is_written_on_it(open_page):
    page = open_page("system=kdv&preset=two_solitons")
    buttons = page.get_by_role("button").filter(visible=True, has_text="Randomise")
    expect(buttons).to_have_count(1)
    expect(buttons).to_have_accessible_name(re.compile("Randomise"))


def test_the_mark_of_explicit_schemes_is_seen_where_the_step_begins_beyond_it(open_page):
    page = open_page("system=cahn_hilliard_2d&preset=published&lanes=truth")
    slider = page.locator("[data-control='dt']")
    expect(slider.locator(".mark")).to_be_visible()
    expect(slider).to_contain_text("explicit schemes: up to about 4.6e−6")
