"""Results, structure and theory without a browser: what the pictures show is what was computed."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import panel as pn
import pytest
import torch
from bokeh.core.validation.check import check_integrity
from bokeh.document import Document
from bokeh.models import ColumnDataSource, HoverTool

from ddg_explorer.app import state
from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.numerals import number, scientific
from ddg_explorer.app.pages import structure_figures
from ddg_explorer.app.pages.palette import MARKERS, model_colour, model_marker, model_title
from ddg_explorer.app.pages.published_rows import Row, rows_of
from ddg_explorer.app.pages.results import ResultsPage, _figure
from ddg_explorer.app.pages.results_chart import metric_chart
from ddg_explorer.app.pages.specimens import (
    of_model,
    of_structure,
    of_system,
    published_kernel,
)
from ddg_explorer.app.pages.structure import StructurePage
from ddg_explorer.app.pages.structure_words import verdict_table, verdicts
from ddg_explorer.app.pages.theory import LANGUAGES, TheoryPage
from ddg_explorer.app.pages.theory_secant import slopes
from ddg_explorer.app.pages.theory_step import Q_LIMIT, SCHEMES, contour, motion, path_of, walk
from ddg_explorer.app.theme import LANE_COLOURS, MODEL_ORDER
from ddg_explorer.data import Dataset
from ddg_explorer.discrete import ACTIVATIONS, secant
from ddg_explorer.grids import Grid
from ddg_explorer.learned_structure import inspect_structure
from ddg_explorer.models import MODELS, ModelRecipe
from ddg_explorer.paper import COMMITTED, PUBLISHED, summarise
from ddg_explorer.structure import KernelStructure, MatrixStructure, Symplectic
from ddg_explorer.systems import SYSTEMS

OF_SESSION = "Of this session: trained here"


@pytest.fixture(autouse=True)
def _extension():
    pn.extension()


def columns(fig, *names):
    """The sources of a figure that have all of these columns."""
    found = [s for s in fig.select({"type": ColumnDataSource}) if set(names) <= set(s.data)]
    return [{name: np.asarray(s.data[name]) for name in s.data} for s in found]


def test_every_model_has_a_colour_a_marker_and_a_name() -> None:
    assert set(MODEL_ORDER) == {"truth", *MODELS}
    assert len(MARKERS) == len(MODEL_ORDER) == len(set(MARKERS))
    assert [model_colour(name, True) for name in MODEL_ORDER] == list(LANE_COLOURS["dark"])
    assert model_marker("dgnet") == "circle"
    assert model_title("truth") == "True system"
    with pytest.raises(ValueError, match="model='perceptron': use one of truth, dgnet"):
        model_colour("perceptron", False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (-0.0, "0"),
        (5500.0, "5500"),
        (0.0175, "0.0175"),
        (-1.6e-3, "−1.60e−3"),
        (2.347e5, "2.35e5"),
        (math.inf, "diverged"),
    ],
)
def test_numbers_as_text(value: float | None, text: str) -> None:
    assert number(value) == text
    assert number(2.45, 4, keep=True) == "2.450"
    shown = [scientific(x, 2) for x in (None, math.nan, math.inf, 0.0, -2e-7, 3.04)]
    assert shown == ["–", "–", "–", "0", "−2.0e−7", "3.0e0"]


# --- results


@pytest.fixture(scope="module")
def tables():
    return summarise(COMMITTED, PUBLISHED)


@pytest.mark.parametrize("experiment", PUBLISHED)
def test_rows_are_the_summaries_and_all_published_ones(tables, experiment: str) -> None:
    rows = rows_of(tables, experiment, "test")
    names = [f"{r.model}/{r.train}/{r.predict}" for r in rows]
    assert list(dict.fromkeys(names)) == list(PUBLISHED[experiment])
    assert sum(r.budget is not None for r in rows) == len(tables[experiment])
    for row, name in zip(rows, names, strict=True):
        assert row.published == PUBLISHED[experiment][name]
        if row.budget is not None:
            who, _, schemes = name.partition("/")
            summary = tables[experiment][f"{who}@{row.budget}/{schemes}"]
            assert row.figures["energy_mse"].mean == summary["energy_mse"]["mean"]
            assert list(row.seeds) == summary["seed_numbers"]


def test_a_chart_shows_every_seed_its_mean_and_the_published_figure(tables) -> None:
    rows = rows_of(tables, "kdv", "test")
    fig = metric_chart(rows, "state_mse", dark=False)
    ours = next(c for c in columns(fig, "what", "marker"))
    wanted = [x for r in rows if r.figures for x in r.figures["state_mse"].seeds]
    assert sorted(ours["x"]) == sorted(wanted)
    assert set(ours["marker"]) == {model_marker(r.model) for r in rows if r.figures}
    published = next(c for c in columns(fig, "what", "row") if "marker" not in c)
    assert sorted(published["x"]) == sorted(r.published["state_mse"] for r in rows)
    ticks = [c for c in columns(fig, "x1", "y1") if np.allclose(c["x"], c["x1"])]
    several = [r for r in rows if len(r.seeds) > 1]
    assert several
    assert sorted(ticks[0]["x"]) == sorted(r.figures["state_mse"].mean for r in several)
    marks = np.log10([*ours["x"], *published["x"]])
    ends = np.log10([fig.x_range.start, fig.x_range.end])
    assert min(marks.min() - ends[0], ends[1] - marks.max()) > 0.03 * (ends[1] - ends[0])


def test_scrolling_over_a_picture_does_not_zoom_it(tables) -> None:
    chart = metric_chart(rows_of(tables, "kdv", "test"), "state_mse", dark=False)
    kernel = structure_figures.heat_map(torch.eye(3), 1.0, dark=False, kernel=True)
    for fig in (chart, kernel):
        assert {type(tool) for tool in fig.tools} == {HoverTool}


def test_a_metric_that_was_not_published_and_not_run_has_no_chart() -> None:
    row = Row("node", "rk2", "rk2", published={"du_dt": 1.0, "energy_mse": 2.0})
    assert metric_chart([row], "state_mse", dark=True) is None
    assert metric_chart([row], "energy_mse", dark=True) is not None


def test_every_experiment_and_test_set_can_be_shown() -> None:
    page = ResultsPage(False)
    for name in PUBLISHED:
        page.experiment.widget.value = name
        assert {row.model for row in page.rows} == {n.split("/")[0] for n in PUBLISHED[name]}
        for test in list(page.test.widget.options.values()):
            page.test.widget.value = test
            assert page.rows
    page.restyle(True)


def test_filters_leave_what_they_name() -> None:
    page = ResultsPage(False)
    page.models.value = ["dgnet"]
    assert {row.model for row in page.rows} == {"dgnet"}
    before = len(page.rows)
    page.budgets.value = []
    assert all(row.budget is None for row in page.rows)
    assert len(page.rows) < before
    page.models.value = []
    assert page.rows == []


def test_runs_that_diverged_are_told_and_not_drawn_as_numbers(tmp_path: Path) -> None:
    source = COMMITTED / "kdv" / "node@ours-rk2-seed0.json"
    result = json.loads(source.read_text())
    for figures in result["predictions"]["rk2"].values():
        figures |= {"energy_mse": None, "state_mse": 1e30, "diverged": 10}
    (tmp_path / "kdv").mkdir()
    (tmp_path / "kdv" / source.name).write_text(json.dumps(result))
    page = ResultsPage(False, tmp_path)
    row = next(row for row in page.rows if row.budget)
    assert row.lost("energy_mse")
    assert row.lost("state_mse")
    fig = metric_chart([row], "state_mse", dark=False)
    assert "diverged" in {t for c in columns(fig, "text") for t in c["text"]}
    assert not [c for c in columns(fig, "what", "marker") if len(c["x"])]
    assert "10 rollouts" in page._table.object


def test_the_table_puts_errors_first_and_tells_what_stands_beside_them() -> None:
    page = ResultsPage(False)
    shown = page._table.object
    head = re.findall(r"<th [^>]*>(.*?)</th>", shown)
    assert head[:5] == ["Model", "Energy MSE", "Published", "State MSE", "Published"]
    assert head[-3:] == ["Seeds", "Steps", "Training, s"]
    assert "± its standard error" in shown
    assert "from the smallest to the largest" in page._key.object
    for row in page.rows:
        cell = _figure(row, "state_mse")
        assert ("median" in cell) == (len(row.seeds) > 2)
        if len(row.seeds) > 1:
            found = [x for x in row.figures["state_mse"].seeds if x is not None]
            error = np.std(found, ddof=1) / math.sqrt(len(found))
            assert f"± {number(error, 2)}" in cell
    page.models.value = []
    assert "stand alone" not in page._notes.object
    assert "standard error" not in page._table.object


def test_partial_seeds_and_rows_that_are_behind_are_told() -> None:
    page = ResultsPage(False)
    page.test.widget.value = "fresh"
    assert ">4 of 5</span>" in page._table.object
    page.test.widget.value = "test"
    assert " of 5</span>" not in page._table.object
    head = re.findall(r"<th [^>]*>(.*?)</th>", page._table.object)
    du_dt, own = head.index("du/dt MSE"), head.index("One-step error (ours only)")
    assert head[du_dt + 1] == "Published"
    assert head[own + 1] == "Seeds"
    assert "Ours is larger" not in page._notes.object
    page.experiment.widget.value = "spring"
    assert "Ours is larger than published: HNN, RK2 (energy" in page._notes.object


def test_the_page_of_no_results_shows_the_published_ones(tmp_path: Path) -> None:
    page = ResultsPage(True, tmp_path)
    assert all(row.budget is None for row in page.rows)
    assert "not run here" in page._table.object.lower()
    assert "stand alone" in page._notes.object


# --- structure


@pytest.mark.parametrize(
    ("name", "key"),
    [(name, key) for name, cls in SYSTEMS.items() for key in cls().structures],
)
def test_every_operator_of_every_system_can_be_looked_at(name: str, key: str) -> None:
    system = SYSTEMS[name](structure=key)
    found = of_system(name, key, system.operator)
    judged = {one.law: one.words for one in verdicts(found, 1e-12)}
    if system.structure.is_skew:
        assert judged["Energy"] == "conserved"
    elif system.structure.is_dissipative:
        assert judged["Energy"] == "dissipated"
    else:
        assert judged["Energy"] == "can rise"
    if system.grid is not None:
        assert (judged["Mass"] == "conserved") == system.structure.conserves_mass
        assert (judged["Directions"] == "isotropic") == system.structure.is_isotropic
    assert found.weights is not None or system.ndim == 2


def test_a_curve_is_the_symbol() -> None:
    found = of_system("kdv", "d_dx", "finite_difference")
    symbol = found.structure.symbol()
    assert found.grid is not None
    assert symbol is not None
    assert structure_figures.parts_of([symbol]) == ["imag"]
    fig = structure_figures.curves([("Ĝ", symbol)], found.grid, "imag", False)
    drawn = next(c for c in columns(fig, "θ"))
    np.testing.assert_array_equal(drawn["imag Ĝ"], symbol.imag.numpy())
    spacing = found.grid.spacing[0]
    np.testing.assert_allclose(drawn["imag Ĝ"], np.sin(drawn["θ"]) / spacing, atol=1e-12)


def test_an_image_is_the_symbol_on_the_whole_plane() -> None:
    kernel = torch.tensor([[0.0, 1.0, 0.5], [2.0, -1.0, 0.0], [0.0, 1.0, 0.0]]).double()
    grid = Grid((8, 10), (8.0, 10.0))
    symbol = KernelStructure(grid, kernel).symbol()
    plane = torch.fft.ifftshift(structure_figures.whole_plane(symbol, grid))
    torch.testing.assert_close(plane[:, :6], symbol, atol=1e-13, rtol=0)
    torch.testing.assert_close(plane[1, 7], symbol[7, 3].conj(), atol=1e-13, rtol=0)
    fig = structure_figures.image(symbol, grid, "real", 5.0, True)
    picture = next(c for c in columns(fig, "image"))
    drawn, angle = picture["image"][0], 2 * math.pi / 10
    assert drawn.shape == (9, 11)
    np.testing.assert_allclose(picture["x"][0] + angle / 2, -math.pi)
    shifted = torch.fft.fftshift(plane).real.numpy()
    np.testing.assert_allclose(drawn[:-1, :-1], shifted, atol=1e-13)
    np.testing.assert_allclose(drawn[-1], drawn[0], atol=1e-13)
    np.testing.assert_allclose(drawn[:, -1], drawn[:, 0], atol=1e-13)
    for axis, ticks in ((fig.x_range, fig.xaxis), (fig.y_range, fig.yaxis)):
        assert sorted((axis.start, axis.end)) == [-math.pi, math.pi]
        assert list(ticks[0].major_label_overrides.values()) == list(structure_figures.ANGLES)
    borders = [getattr(fig, f"min_border_{side}") for side in ("left", "right", "top", "bottom")]
    assert borders[0] + borders[1] == borders[2] + borders[3]


def test_the_axes_of_a_kernel_and_of_its_symbol_have_one_direction() -> None:
    grid = Grid((8, 8), (8.0, 8.0))
    kernel = torch.zeros(3, 3, dtype=torch.float64)
    kernel[2, 1] = 1.0  # the neighbour at x + Δx
    table = structure_figures.heat_map(kernel, 1.0, False, kernel=True)
    symbol = KernelStructure(grid, kernel).symbol()
    fig = structure_figures.image(symbol, grid, "imag", 1.0, False)
    for drawn in (table, fig):
        assert drawn.y_range.start > drawn.y_range.end
    values = next(c for c in columns(fig, "image"))["image"][0]
    theta = np.linspace(-math.pi, math.pi, 9)
    np.testing.assert_allclose(values, np.tile(np.sin(theta)[:, None], (1, 9)), atol=1e-12)


def test_a_heat_map_prints_the_weights_in_their_places() -> None:
    weights = torch.tensor([[0.0, 1.0, 2.0], [3.0, -4.0, 5.0], [6.0, 7.0, 8.0]]).double()
    fig = structure_figures.heat_map(weights, 8.0, False, kernel=True)
    words = next(c for c in columns(fig, "text"))
    shown = {(x, y): t for x, y, t in zip(words["x"], words["y"], words["text"], strict=True)}
    assert shown[0, 0] == "−4.000"
    assert shown[1, -1] == "2.000"  # along y and along x
    assert shown[-1, 1] == "6.000"


@pytest.mark.parametrize(
    ("name", "names"),
    [("pendulum", "q p"), ("two_body", "q₁ q₂ q₃ q₄ p₁ p₂ p₃ p₄"), ("kdv", "")],
)
def test_a_matrix_names_the_coordinates_of_its_system(name, names) -> None:
    key = next(iter(SYSTEMS[name].structures))
    operator = None if SYSTEMS[name].ndim == 0 else "spectral"
    found = of_system(name, key, operator)
    assert found.kind == "matrix"
    assert found.names == tuple(names.split())
    fig = structure_figures.heat_map(found.weights, 1.0, False, kernel=False, names=found.names)
    for axis in (fig.xaxis[0], fig.yaxis[0]):
        assert axis.major_label_overrides == dict(enumerate(names.split()))
        assert axis.axis_label == ("" if names else "column" if axis in fig.below else "row")


def test_figures_of_another_operator_go_before_the_heading_comes() -> None:
    page, seen = StructurePage(False), []
    page._head.param.watch(lambda event: seen.append(list(page._pictures.objects)), "object")
    page.which.widget.value = next(title for title in page._titles if "published" in title)
    assert seen == [[]]
    assert page._pictures.objects


def test_the_published_kernel_obeys_its_laws_to_its_rounding() -> None:
    found = published_kernel()
    assert [one.words for one in verdicts(found, found.tolerance)] == [
        "dissipated",
        "conserved",
        "isotropic",
    ]
    strict = {one.law: one for one in verdicts(found, 1e-4)}
    assert strict["Mass"].words == "not conserved"
    assert strict["Mass"].defect == pytest.approx(0.02 / 15.148, rel=1e-3)
    assert found.beside_weights is not None
    assert float(found.beside_weights.norm()) == pytest.approx(float(found.weights.norm()))


def learned_kernel(raw: list[list[float]]):
    grid = Grid((16, 16), (1.0, 1.0))
    context = {
        "system": "cahn_hilliard_2d",
        "operator": "finite_difference",
        "structure": {"kind": "laplacian", "operator": "finite_difference"},
    }
    data = Dataset(torch.zeros(1, 2, 1, 16, 16, dtype=torch.float64), 0.1, grid, context)
    recipe = ModelRecipe.fitting("dgnet", data, hidden=2, structure={"kind": "learned_kernel"})
    model = recipe.build()
    with torch.no_grad():
        model.get_parameter("operator.raw").copy_(torch.tensor(raw, dtype=torch.float64))
    return model


def test_a_model_that_is_handed_in_is_shown_at_the_scale_of_the_truth() -> None:
    shelf = Shelf()
    page = StructurePage(False, shelf)
    model = learned_kernel([[0.0, -3.0, 0.0], [-3.0, 12.0, -3.0], [0.0, -3.0, 0.0]])
    before = model.get_parameter("operator.raw").clone()
    shelf.put("trained here", model)
    page.which.widget.value = OF_SESSION
    found = page.specimen
    assert found.gap == pytest.approx(0, abs=1e-12)
    assert "relative to the largest weight" in page._verdicts.object
    torch.testing.assert_close(found.weights, found.beside_weights, atol=1e-9, rtol=1e-12)
    assert torch.equal(before, model.get_parameter("operator.raw"))
    page.restyle(True)
    page.which.widget.value = "system:kdv"
    assert page.operator.value == "d_dx"
    page.which.widget.value = OF_SESSION
    assert page.specimen.report == found.report


@pytest.mark.parametrize("shape", [(3, 3), (2, 2)])
def test_a_difference_is_told_relative_to_the_largest_weight(shape: tuple[int, int]) -> None:
    found = published_kernel()
    kind = "kernel" if shape == (3, 3) else "matrix"
    true = torch.zeros(shape, dtype=torch.float64)
    true[1, 1], true[0, 1] = -8.0, 2.0
    weights = true.clone()
    weights[0, 0] = 0.4
    found = replace(found, weights=weights, beside_weights=true, kind=kind)
    assert found.gap == pytest.approx(0.4 / (2 if kind == "kernel" else 8), rel=1e-2)
    told = verdict_table(found, 1e-3)
    assert ("entry" in told) == ("entries" in told) == (kind == "matrix")
    assert told.count("relative to the largest " + ("weight" if kind == "kernel" else "entry")) == 2
    assert ("largest weight beside the centre." in told) == (kind == "kernel")


def test_the_page_and_the_command_line_tell_one_distance() -> None:
    model = learned_kernel([[0.1, 1.0, 0.0], [1.0, -4.1, 1.0], [0.0, 1.0, 0.0]])
    found = inspect_structure(model)
    assert of_model("G", model).gap == found.distance
    line = f"{found.distance:.1e} of its largest weight beside the centre"
    assert any(sentence.endswith(line) for sentence in found.sentences())


def test_a_tolerance_is_told_with_its_reason() -> None:
    page = StructurePage(False)
    page.which.widget.value = next(name for name in page._makers if "published" in name)
    assert page.tolerance.note.startswith("The bar in every gauge. 2e−3 at first")
    page.which.widget.value = "system:kdv"
    assert "1e−12 at first" in page.tolerance.note
    page.offer("trained here", learned_kernel([[0, 1, 0], [1, -4, 1], [0, 1, 0]]))
    page.which.widget.value = OF_SESSION
    assert "1e−3 at first" in page.tolerance.note


def test_a_bare_operator_is_measured_in_its_own_units() -> None:
    found = of_structure("S", Symplectic(size=4))
    assert found.weights is not None
    assert found.weights.shape == (4, 4)
    growing = MatrixStructure(torch.tensor([[0.1, 1.0], [-1.0, 0.1]], dtype=torch.float64))
    found = of_structure("G", growing)
    assert [one.words for one in verdicts(found, 1e-12)] == ["can rise"]


def test_models_without_a_learned_operator_are_not_offered() -> None:
    shelf = Shelf()
    data = Dataset(torch.zeros(1, 2, 2, dtype=torch.float64), 0.1, None, {})
    for model in ("node", "dgnet"):
        structure = {} if model == "node" else {"structure": {"kind": "symplectic"}}
        shelf.put(model, ModelRecipe.fitting(model, data, hidden=2, **structure).build())
    learned = {"kind": "learned_matrix"}
    shelf.put("mine", ModelRecipe.fitting("dgnet", data, hidden=2, structure=learned).build())
    page = StructurePage(False, shelf)
    own = [name for name in page.which.widget.options if name.startswith("Of this session")]
    assert own == ["Of this session: mine"]


def test_the_verdicts_follow_the_tolerance() -> None:
    page = StructurePage(False)
    page.offer("trained here", learned_kernel([[0, 1, 0], [1, -4.02, 1], [0, 1, 0]]))
    page.which.widget.value = OF_SESSION
    assert "not conserved" in page._verdicts.object
    page.tolerance._receive(type("Event", (), {"data": {"value": 0.05}})())
    assert "not conserved" not in page._verdicts.object


def test_pictures_of_a_symbol_have_sizes_that_bokeh_can_lay_out() -> None:
    page = StructurePage(False)
    page.which.widget.value = "system:cahn_hilliard_2d"
    found = check_integrity(page.view.get_root(Document()).references())
    assert not [issue for issue in (*found.error, *found.warning) if "SIZING" in issue.name]


# --- theory


@pytest.mark.parametrize("dt", [0.05, 0.5, 1.3, 2.5])
@pytest.mark.parametrize("start", [(-1.2, 1.2), (2.0, 0.4), (0.3, -2.4)])
def test_a_discrete_gradient_step_ends_on_its_contour(dt: float, start) -> None:
    walks = {scheme: walk(start, dt, 1, scheme) for scheme in SCHEMES}
    assert not walks["discrete_gradient"].reason
    assert abs(walks["discrete_gradient"].change) < 1e-11
    assert abs(walks["euler"].change) > 1e-4
    q, p = walks["discrete_gradient"].states[-1]
    assert p**2 / 2 + 1 - math.cos(q) == pytest.approx(start[1] ** 2 / 2 + 1 - math.cos(start[0]))


def test_the_exact_motion_is_that_of_an_accurate_scheme() -> None:
    reference = walk((-1.2, 1.2), 0.325, 12, "collocation8").states[-1]
    np.testing.assert_allclose(motion((-1.2, 1.2), 3.9), reference, atol=2e-8)


def test_a_path_beyond_the_picture_comes_back_by_whole_turns() -> None:
    states = walk((0.5, 2.8), 1.3, 12, "discrete_gradient").states
    assert states[-1, 0] > 4 * math.pi
    drawn = path_of(states)
    assert abs(drawn["q"][-1]) <= Q_LIMIT
    parts = np.split(
        np.column_stack([drawn["q"], drawn["p"]]), np.flatnonzero(np.isnan(drawn["q"]))
    )
    assert len(parts) > 3
    steps = {tuple(step.round(9)) for step in np.diff(states, axis=0)}
    for part in parts:
        assert {tuple(x.round(9)) for x in np.diff(part[np.isfinite(part[:, 0])], axis=0)} <= steps
    inside = walk((-1.2, 1.2), 0.5, 4, "discrete_gradient").states
    np.testing.assert_array_equal(path_of(inside)["q"], inside[:, 0])


@pytest.mark.parametrize("energy", [0.1, 1.9, 2.0, 3.5])
def test_contours_have_their_energy(energy: float) -> None:
    q, p = contour(energy)
    there = np.isfinite(q)
    np.testing.assert_allclose((p**2 / 2 + 1 - np.cos(q))[there], energy, atol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_those_of_the_engine(name: str) -> None:
    v, u = np.array([1.8, 0.7 + 1e-9, 0.7]), np.array([-0.6, 0.7, 0.7])
    found = slopes(name, v, u)
    wanted = secant(name, torch.as_tensor(v), torch.as_tensor(u))
    np.testing.assert_array_equal(found.closed64, wanted.numpy())
    assert found.errors["quotient64"][0] < 1e-14
    assert found.errors["closed32"][:2].max() < 5e-6
    assert np.isnan(found.errors["quotient64"][2])


def test_the_quotient_loses_what_the_closed_form_keeps() -> None:
    distance = np.logspace(0, -12, 25)
    found = slopes("tanh", 0.7 + distance, np.full_like(distance, 0.7))
    assert found.errors["quotient64"][-1] > 1e-6
    assert np.nanmax(found.errors["quotient32"][distance < 1e-6]) > 1e-2
    assert found.errors["closed32"].max() < 2e-6


def given(slider, value: float) -> None:
    """As if a person had moved it."""
    slider._receive(type("Event", (), {"data": {"value": value}})())


@pytest.mark.parametrize("u", [-4.0, 0.0, 4.0])
@pytest.mark.parametrize("distance", [1e-16, 1e-3, 4.0])
def test_the_ends_are_as_far_apart_as_the_slider_says_and_in_the_picture(u, distance) -> None:
    picture = TheoryPage(False).secant
    given(picture.u, u)
    for v in (-4.0, 4.0):
        given(picture.v, v)
        given(picture.distance, distance)
        assert picture.distance.value == distance
        assert abs(picture.v.value - u) == pytest.approx(distance, abs=1e-15)
        assert picture._lines.x_range.start < picture.v.value < picture._lines.x_range.end
    assert picture.u.low == picture.v.low == -4
    assert picture.u.high == picture.v.high == 4


def test_a_slope_of_zero_has_no_sign() -> None:
    picture = TheoryPage(False).secant
    picture.activation.widget.value = "cos"
    given(picture.u, 2.0)
    given(picture.v, -2.0)
    assert "−0<" not in picture._table.object


def test_both_languages_say_the_same_with_the_same_formulas() -> None:
    english, japanese = LANGUAGES["en"], LANGUAGES["ja"]
    assert english.keys() == japanese.keys()
    for name in english:
        shown = [re.findall(r"\$\$.+?\$\$", words[name]) for words in (english, japanese)]
        assert shown[0] == shown[1], name
        tags = [sorted(re.findall(r"</?\w+", words[name])) for words in (english, japanese)]
        assert tags[0] == tags[1], name
        assert english[name].count("$") % 2 == japanese[name].count("$") % 2 == 0, name


def test_every_language_of_a_link_is_spoken() -> None:
    assert tuple(LANGUAGES) == state.LANGUAGES


def test_the_theory_page_speaks_both_languages_and_follows_its_controls() -> None:
    page = TheoryPage(False)
    assert "Discretise the calculus" in page._prose["discrete"].object
    page.language.value = "ja"
    assert "離散勾配" in page._prose["discrete"].object
    assert page.step.dt.label == "時間刻み Δt"
    page.step.dt._receive(type("Event", (), {"data": {"value": 2.0}})())
    assert abs(page.step.walks["discrete_gradient"].change) < 1e-11
    page.step._tapped(type("Event", (), {"x": 0.5, "y": 2.5})())
    assert page.step.walks["euler"].states[0].tolist() == [0.5, 2.5]
    page.secant.distance._receive(type("Event", (), {"data": {"value": 1e-10}})())
    assert page.secant.v.value == page.secant.u.value + 1e-10
    page.restyle(True)
    with pytest.raises(ValueError, match="language='fr': use one of en, ja"):
        TheoryPage(False, "fr")
