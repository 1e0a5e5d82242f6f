"""Numbers as they are seen and typed, and room for them: labels, times, limits, refusals."""

from __future__ import annotations

import math
import re

import pytest
from playwright.sync_api import expect
from test_live import choose, field, number, pause, press, typed, wait

from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.component import script


@pytest.fixture(scope="module")
def blank(browser):
    """An empty page for scripts that are functions and leave nothing behind."""
    page = browser.new_page()
    yield page
    page.context.close()


LABELS = """([x1, low, high]) => {{ {draw}
  const ctx = document.createElement("canvas").getContext("2d"), drawn = [];
  ctx.fillText = (text, x, y, room) => {{
    const width = Math.min(ctx.measureText(text).width, room ?? Infinity);
    const left = ctx.textAlign === "right" ? x - width : x - width / 2;
    drawn.push([text, left, left + width]);
  }};
  const area = new Area(48, 0, 300, 150);
  area.setRange(0, x1, low, high);
  area.axes(ctx, {{}});
  const ticks = [...niceTicks(0, x1, 300 / 90), ...niceTicks(low, high, 150 / 38)];
  return drawn.map((label, i) => [...label, ticks[i]]);
}}"""
CURVE = """([decades, floor, values]) => {{ {curves}
  const chart = Object.create(Chart.prototype), ys = [];
  chart.spec = {{decades, floor}};
  chart.ctx = {{setLineDash() {{}}, beginPath() {{}}, stroke() {{}},
    moveTo: (x, y) => ys.push(y), lineTo: (x, y) => ys.push(y)}};
  const samples = new Samples({{columns: 2, rollover: 9, zero: 1e-17}});
  samples.append(0, Float64Array.from(values.flatMap((v, i) => [i, v])));
  const area = new Area(0, 0, 900, 100);
  area.setRange(0, values.length, ...decades);
  chart.trace(area, {{column: 1, colour: "", width: 1, dash: []}}, samples);
  return ys;
}}"""


# Frames as they arrive, "paint" and "rest"; what the cells of a lane say after each.
READOUTS = """(events) => {{ const Bokeh = {{require: () => ({{ModelEvent: class {{}}}})}}; {lane}
  const lane = Object.create(LaneView.prototype), cell = () => ({{textContent: "–"}});
  Object.assign(lane, {{
    env: {{}}, view: {{forget() {{}}, absorb() {{}}}}, canvas: {{dataset: {{}}}}, schedule() {{}},
    model: {{device: "cpu"}}, root: {{getRootNode: () => ({{}})}}, low: {{}}, high: {{}},
    painted: 0, times: [], written: -1e3, readouts: Object.create(Readouts.prototype),
  }});
  const cells = lane.readouts.cells = {{t: cell(), fps: cell()}};
  return events.map((event) => {{
    const frame = new DataView(new ArrayBuffer(HEADER_BYTES));
    frame.setFloat64(16, event, true);
    frame.setFloat64(24, 0.25, true);
    frame.setFloat64(16 + 80, 4 * event, true);
    if (typeof event === "number") lane.take(frame.buffer, true);
    else lane[event]();
    return [cells.t.textContent, String(cells.fps.textContent)];
  }});
}}"""


@pytest.mark.parametrize(
    ("x1", "low", "high"), [(0.075, 0, 1), (1e-3, -2.5e-11, 2.75e-11), (8e-6, 999.75, 1000.25)]
)
def test_labels_of_axes_are_whole_and_exact(blank, x1, low, high):
    labels = blank.evaluate(LABELS.format(draw=script("draw")), [x1, low, high])
    assert len(labels) > 6
    for text, left, right, tick in labels:
        assert 0 <= left < right <= 48 + 300 + 8
        assert float(text.replace("−", "-")) == pytest.approx(tick, rel=1e-9)


def test_zeros_on_log_axes_stand_on_a_floor_that_is_seen_whole(blank):
    code = script("draw", "curves").replace("export ", "")
    values = [1e-17, 1e-7, 1e-17]
    ys = blank.evaluate(CURVE.format(curves=code), [[-17.5, 1], 1e-8, values])
    deep = blank.evaluate(CURVE.format(curves=code), [[-17.5, 1], 1e-17, values])
    assert ys[0] - ys[1] == pytest.approx(100 / 18.5)
    assert deep[0] == pytest.approx(100 - 0.5 * 100 / 18.5)


@pytest.mark.parametrize("order", [("paint", "rest"), ("rest", "paint")])
def test_a_lane_at_rest_reads_out_its_newest_frame(blank, order):
    code = READOUTS.format(lane=LaneCanvas._esm.replace("export ", ""))
    seen = blank.evaluate(code, [0.25, "paint", 0.5, "paint", 0.75, *order])
    assert seen[1] == ["0.250", "1"]
    assert seen[3] == ["0.250", "1"], "not written with every frame"
    assert seen[-1] == ["0.750", "0"]


@pytest.mark.parametrize(
    ("written", "numbers", "wanted"),
    [
        (
            "formatNumber",
            [0, 100, 150, 1250, 12345.6, 99999, 0.05, -7.5, 1 / 3, 2e5, 5e-4, -1.26e-7],
            "0 100 150 1250 12346 99999 0.05 −7.5 0.333 2e5 5e−4 −1.3e−7",
        ),
        (
            "formatFigure",
            [1.62, 42.3, 99.7, 130, 0.2749, 0.05, 1, -2.81, 4e-5, 2.5e6, 0, math.nan],
            "1.6 42 100 130 0.27 0.050 1.0 −2.8 4.0e−5 2.5e6 0 –",
        ),
    ],
    ids=["axes", "drifts"],
)
def test_numbers_are_written_as_people_do(blank, written, numbers, wanted):
    texts = blank.evaluate(
        f"(numbers) => {{ {script('draw')}\n return numbers.map((x) => {written}(x)); }}",
        numbers,
    )
    assert texts == wanted.split()


@pytest.mark.parametrize(("low", "high"), [(-2.48, 2.48), (0.3, 1.9), (7.2e-4, 9.9e-4)])
def test_an_axis_with_room_has_two_ticks(blank, low, high):
    ticks = blank.evaluate(
        f"(span) => {{ {script('draw')}\n return niceTicks(...span, 1.84); }}", [low, high]
    )
    assert 2 <= len(ticks) <= 5
    assert low <= min(ticks) < max(ticks) <= high


PHASE = """([window, names]) => {{ {phase}
  const curves = names.length > 2 ? [[0, 1], [2, 3]] : [[0, 1]];
  const palette = {{surface: "#ffffff", ink: "#000000"}};
  const view = new PhaseView({{spec: {{names, curves, window}}, colour: "#204060", palette}});
  view.points = [[0, 0, 0, 0, 0]];
  view.dt = 0.1;
  const ctx = {{setLineDash() {{}}, fillText() {{}}, beginPath() {{}}, moveTo() {{}}, lineTo() {{}},
    stroke() {{}}, measureText: () => ({{width: 9}})}};
  const area = new Area(0, 0, 300, 100);
  area.axes = area.clip = () => {{}};
  view.paintSeries(ctx, palette, area, view.env.spec);
  return [[area.y0, area.y1], names.map((_, c) => view.tint(view.body(c)))];
}}"""


def test_curves_over_time_span_the_lane_s_own_window(blank):
    code = PHASE.format(phase=script("draw", "phase"))
    plane = blank.evaluate(code, [[-1.3, 1.3, -1.9, 1.9], ["q", "p"]])
    orbits = blank.evaluate(code, [[-2, 2, -2, 2], ["x₁", "y₁", "x₂", "y₂"]])
    assert plane == [[-1.9, 1.9], ["#204060", "#204060"]]
    assert orbits == [[-2, 2], ["#204060", "#204060", "#6a8095", "#6a8095"]]


def test_times_have_the_digits_of_a_step(blank):
    cases = [
        (0, 1),
        (8e-6, 2e-6),
        (4e-4, 2e-4),
        (0.02, 2e-4),
        (1.5, 0.01),
        (1234.5, 1),
        (0.053, 1e-3),
    ]
    code = script("draw")
    texts = blank.evaluate(
        f"(cases) => {{ {code}\n return cases.map((c) => formatTime(...c)); }}", cases
    )
    assert texts == ["0", "8.00e−6", "0.0004", "0.0200", "1.50", "1235", "0.053"]


def test_a_limit_of_the_difference_is_typed_and_the_other_stays_exact(open_page):
    page = open_page("system=kdv&lanes=truth,dgnet&show=difference")
    dgnet = page.get_by_test_id("field").nth(1)
    wait(lambda: number(dgnet, "t") > 0.01, "the model runs", 20)
    pause(page, dgnet)
    high = number(dgnet, "high")
    low = page.get_by_label("lowest colour").nth(1)
    low.fill("−1e−4")
    low.press("Enter")
    wait(lambda: number(dgnet, "low") == -1e-4, "the typed limit")
    assert number(dgnet, "high") == high


def test_escape_gives_back_a_limit_and_a_word_is_refused(open_page):
    page = open_page("system=kdv&preset=two_solitons&lanes=truth")
    canvas = field(page)
    pause(page, canvas)
    low, limits = page.get_by_label("lowest colour"), [number(canvas, x) for x in ("low", "high")]
    shown = low.input_value()
    low.fill("-3")
    low.press("Escape")
    expect(low).to_have_value(shown)
    low.fill("abc")
    low.press("Enter")
    expect(page.get_by_text("limit=nan: must be a finite number")).to_be_visible()
    expect(low).to_have_value(shown)
    assert [number(canvas, x) for x in ("low", "high")] == limits


def test_read_outs_speak_of_the_law_and_of_what_is_solved(open_page):
    page = open_page("system=mass_spring&preset=published&lanes=truth,dgnet")
    field(page)
    expect(page.locator(".readouts").first).to_contain_text("own drift")
    expect(page.locator("table.lanes")).to_contain_text("Drift of")
    choose(page, "Structure operator G", "friction")
    expect(page.locator(".readouts").first).to_contain_text("own change")
    expect(page.locator("table.lanes")).to_contain_text("Change of")
    rounding = re.compile(r"\d(\.\d)?e−1[4-9]")
    for scheme, residual in (("discrete_gradient", rounding), ("rk4", "–")):
        press(page, "Pause")
        page = open_page(f"system=wave&lanes=truth&integrator={scheme}")
        expect(field(page)).not_to_have_attribute("data-t", "0")
        solve = page.locator(".readouts div", has_text="residual").locator("dd")
        expect(solve).to_have_text(residual)


def test_what_a_slider_shows_is_what_runs(open_page):
    page = open_page("system=kdv&preset=two_solitons&lanes=truth")
    canvas = field(page)
    typed(page, "n").fill("64.4")
    typed(page, "n").press("Enter")
    expect(typed(page, "n")).to_have_value("64")
    wait(lambda: "n=64" in page.evaluate("location.search"), "the link follows")
    dt = number(canvas, "dt")
    typed(page, "dt").fill("-1")
    typed(page, "dt").press("Enter")
    expect(typed(page, "dt")).to_have_class("typed wrong")
    expect(page.get_by_text("“-1” is refused: a number from")).to_be_visible()
    typed(page, "dt").blur()
    expect(typed(page, "dt")).to_have_class("typed")
    expect(typed(page, "dt")).to_have_value(f"{dt:g}")
    typed(page, "seed").fill("-1")
    typed(page, "seed").blur()
    expect(typed(page, "seed")).to_have_value("0")
    expect(page.get_by_text("a number from 0 to 4294967295")).to_be_visible()
    typed(page, "dt").fill("-1")
    typed(page, "dt").press("Enter")
    page.locator("[data-control='dt'] .range").press("ArrowRight")
    expect(typed(page, "dt")).to_have_class("typed")
    wait(lambda: number(canvas, "dt") > dt, "the moved Δt")


def test_a_typed_number_keeps_all_its_digits(open_page):
    page = open_page("system=kdv&lanes=truth")
    canvas = field(page)
    typed(page, "dt").fill("0.00123456789")
    typed(page, "dt").press("Enter")
    typed(page, "dt").blur()
    expect(typed(page, "dt")).to_have_value("0.001235")
    wait(lambda: number(canvas, "dt") == 0.00123456789, "the typed Δt")


def test_five_lanes_are_equally_wide(open_page):
    page = open_page("system=kdv&lanes=truth,dgnet,hnnpp,node,dgnet:rk4", width=1440)
    field(page)
    boxes = [box for lane in page.locator(".lane").all() if (box := lane.bounding_box())]
    assert len(boxes) == 5
    assert len({round(box["width"]) for box in boxes}) == 1
    assert len({box["y"] for box in boxes[:3]}) == len({box["y"] for box in boxes[3:]}) == 1


def test_a_phone_has_room_for_time_and_a_window_made_narrow_closes_its_drawer(open_page):
    page = open_page("system=kdv")
    field(page)
    page.set_viewport_size({"width": 400, "height": 860})
    wait(lambda: page.locator(".MuiBackdrop-root").count() == 0, "the drawer out of the way", 20)
    slider = page.get_by_label("Time", exact=True).bounding_box()
    assert slider is not None
    assert slider["width"] > 180
    press(page, "More")
    expect(page.get_by_role("button", name="Add a lane")).to_be_visible()
    rows = [
        page.get_by_role("button", name=name).bounding_box() for name in ("Add a lane", "Lock step")
    ]
    assert abs(rows[0]["y"] - rows[1]["y"]) < 10


def test_labels_of_a_form_look_alike(open_page):
    page = open_page("page=train&lanes=truth")
    activation, width = (page.get_by_label(name, exact=True) for name in ("Activation", "Width"))
    expect(width).to_be_visible()
    look = """e => { const root = e.closest(".MuiFormControl-root"), [label, gap] =
      ["label", "legend"].map((s) => root.querySelector(s).getBoundingClientRect());
      return [label.height, gap.width - label.width, root.clientHeight]; }"""
    assert activation.evaluate(look) == pytest.approx(width.evaluate(look), abs=0.6)
