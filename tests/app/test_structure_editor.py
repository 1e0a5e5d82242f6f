"""Editing G: entries become an operator, projections give it a law, and the law then holds."""

import math
import re
from itertools import pairwise

import pytest
import torch

from ddg_explorer.app import entries, equations, operator_marks
from ddg_explorer.app.component import style
from ddg_explorer.app.operator_editor import OperatorEditor
from ddg_explorer.app.simulation import Simulation, first_setup
from ddg_explorer.app.state import AppState, Lane, Scene
from ddg_explorer.app.store import Store
from ddg_explorer.app.theme import PAGE_CSS
from ddg_explorer.app.turns import Turn, build
from ddg_explorer.structure.projections import dissipative_kernel, real_symbol
from ddg_explorer.systems import SYSTEMS

EDITABLE = [(name, key) for name, cls in SYSTEMS.items() for key in cls().structures]
ROUGH = {
    "kdv": (0.3, 0.9, -1.7),
    "cahn_hilliard_2d": (0.1, 0.8, -0.3, 1.4, -1.0, 0.6, 0.2, 1.1, 0.5),
    "pendulum": (0.4, 1.2, -0.3, 0.7),
    "two_body": (0.4, 1.2, -0.3, 0.7),
    "wave": (0.4, 1.2, -0.3, 0.7),
}
SMALL = {"kdv": {"n": 24}, "cahn_hilliard_2d": {"n": 10}, "wave": {"n": 16}}


def form(system, key=None):
    found = entries.form_of(system, key or next(iter(system.structures)))
    assert found is not None
    return found


def scene(name, values, **options):
    return Scene(name, **{**SMALL.get(name, {}), **options}, entries=tuple(values))


def points(system):
    return () if system.grid is None else system.grid.shape


@pytest.mark.parametrize(("name", "key"), EDITABLE)
def test_entries_of_an_operator_make_the_same_operator(name, key):
    options = {} if SYSTEMS[name].ndim == 0 else {"n": 12, "operator": "finite_difference"}
    true = build(Scene(name, structure=key, **options))
    values = entries.started(true, key, form(true, key))
    made = build(Scene(name, structure=key, entries=values, **options))
    if key == "degenerate_mobility":
        true = build(Scene(name, structure="laplacian", **options))
    want, got = (s.structure.matrix(s.state_shape) for s in (true, made))
    assert float((got - want).abs().max()) <= 1e-11 * float(want.abs().max())
    assert made.structure.law == true.structure.law


def test_a_spectral_operator_starts_from_its_differences():
    system = build(Scene("kdv", "two_solitons"))
    assert system.operator == "spectral"
    assert entries.started(system, "d_dx", form(system)) == (-0.5, 0.0, 0.5)


def test_a_drawn_kernel_has_x_to_the_right_and_y_up():
    system = build(scene("cahn_hilliard_2d", (0, 3, 0, 5, 0, 7, 0, 11, 0), structure="d_dx"))
    g = torch.zeros(system.state_shape, dtype=torch.float64)
    g[0, 5, 5] = system.grid.spacing[0]
    out = system.structure.apply(g)[0]
    # the weight at +x takes from the right neighbour, so the impulse shows up on its left
    assert (out[4, 5], out[6, 5], out[5, 4], out[5, 6]) == (7, 5, 3, 11)


@pytest.mark.parametrize("name", ROUGH)
@pytest.mark.parametrize("law", ["skew", "dissipative", "zero_sum", "isotropic"])
def test_a_projection_gives_the_law_as_the_matrix_shows(name, law):
    base = build(Scene(name, **SMALL.get(name, {})))
    shape = form(base)
    if law not in entries.laws_of(shape):
        assert shape.kind == "matrix"
        return
    values = entries.projected(ROUGH[name], law, shape, points(base))
    system = build(scene(name, values))
    g = system.structure.matrix(system.state_shape)
    unit = float(g.abs().max())
    flag, defect = {
        "skew": (system.structure.is_skew, float((g + g.T).abs().max())),
        "dissipative": (
            system.structure.is_dissipative,
            float(torch.linalg.eigvalsh(g + g.T)[-1]),
        ),
        "zero_sum": (system.structure.conserves_mass, float(g.sum(0).abs().max())),
        "isotropic": (system.structure.is_isotropic, 0.0),
    }[law]
    assert flag
    assert defect <= 1e-12 * unit
    again = entries.projected(values, law, shape, points(base))
    assert again == pytest.approx(values, abs=1e-14)
    assert not build(scene(name, ROUGH[name])).structure.is_dissipative


def test_making_it_dissipative_keeps_isotropy_and_zero_sum_on_every_grid():
    base = build(Scene("cahn_hilliard_2d", n=10))
    rough = (0.5, -1.0, 0.5, -1.0, 2.0, -1.0, 0.5, -1.0, 0.5)
    values = entries.projected(rough, "dissipative", form(base), points(base))
    kernel = entries.tensor(values, form(base))
    assert abs(float(kernel.sum())) < 1e-14
    assert torch.equal(kernel, kernel.flip(0))
    assert torch.equal(kernel, kernel.T)
    for n in (10, 16, 64, 256):
        assert float(real_symbol(kernel, (n, n)).max()) <= 1e-12
    assert torch.equal(dissipative_kernel(kernel, (10, 10)), kernel)


def test_the_nearest_dissipative_matrix_is_no_further_than_any_other():
    generator = torch.Generator().manual_seed(1)
    a = torch.tensor([[0.4, 1.2], [-0.3, 0.7]], dtype=torch.float64)
    shape = form(build(Scene("pendulum")))
    nearest = entries.tensor(
        entries.projected(a.flatten().tolist(), "dissipative", shape, ()), shape
    )
    distance = float((nearest - a).norm())
    for _ in range(200):
        step = 0.3 * torch.randn(2, 2, generator=generator, dtype=torch.float64)
        other = nearest + step
        if float(torch.linalg.eigvalsh(other + other.T)[-1]) <= 0:
            assert float((other - a).norm()) >= distance - 1e-12


def rolled(wanted, lane="truth", steps=30):
    """Own energies of a lane, starting from the menu's G and edited while it runs."""
    simulation = Simulation(Lane(lane))
    menu = Scene(wanted.system, n=wanted.n, dt=wanted.dt)
    simulation.turn(Turn(menu, steps=2, budget=60.0))
    t = simulation.frame.t
    outcome = simulation.turn(Turn(wanted, steps=0))
    assert not outcome.error
    assert simulation.frame.t == t, "an edit acts on the running state"
    energies = []
    for _ in range(steps):
        simulation.turn(Turn(wanted, steps=1, budget=60.0))
        assert not simulation.rollout.stopped
        energies.append(float(simulation.frame.own_energy))
    return energies


@pytest.mark.parametrize("lane", ["truth", "dgnet"])
@pytest.mark.parametrize("law", ["skew", "dissipative"])
def test_the_law_holds_in_a_rollout_of_truth_and_learned_energy(law, lane):
    shape = form(build(Scene("kdv")))
    values = entries.projected((-0.4, 0.02, 0.5), law, shape, (50,))
    energies = rolled(Scene("kdv", entries=values), lane)
    scale = max(map(abs, energies))
    if law == "skew":
        assert max(energies) - min(energies) < 1e-12 * scale
    else:
        assert all(b <= a + 1e-12 * scale for a, b in pairwise(energies))
        assert energies[-1] < energies[0]


def test_a_kernel_that_can_create_energy_does():
    wanted = Scene("kdv", structure="d_dx", entries=(-0.5, 0.05, 0.5))
    assert "can create energy" in build(wanted).structure.law
    energies = rolled(wanted, steps=20)
    assert abs(energies[-1] - energies[0]) > 1e-4 * abs(energies[0])


@pytest.mark.parametrize(
    ("name", "model", "values", "reason"),
    [
        ("kdv", "node", (-0.5, 0.0, 0.5), "it has no H"),
        ("pendulum", "node", (0.0, 1.0, -1.0, 0.0), "it has no H"),
        ("pendulum", "hnn", (0.0, 1.0, -1.0, 0.0), "only DGNet and HNN++ take another"),
    ],
)
def test_a_model_without_a_free_g_says_so_and_comes_back(name, model, values, reason):
    simulation = Simulation(Lane(model))
    out = simulation.turn(Turn(Scene(name, entries=values), steps=1, budget=60.0))
    assert reason in out.setup.misfit
    back = simulation.turn(Turn(Scene(name), steps=1, budget=60.0))
    assert not back.setup.misfit
    assert back.header is not None


def test_another_g_of_the_menu_does_not_fit_a_node_either():
    simulation = Simulation(Lane("node"))
    out = simulation.turn(Turn(Scene("kdv", structure="d_dx_growing"), steps=1, budget=60.0))
    assert out.setup.misfit


@pytest.mark.parametrize(
    "state",
    [
        AppState(Scene("kdv", structure="d_dx", entries=(-0.5, 1 / 3, 0.5 + 1e-15))),
        AppState(Scene("pendulum", entries=(0.0, 1.0, -1.0, -0.25))),
        AppState(Scene("cahn_hilliard_2d", entries=ROUGH["cahn_hilliard_2d"], length=2.5)),
        AppState(Scene("kdv", device="cuda")),
    ],
)
def test_links_carry_entries_length_and_device(state):
    assert AppState.from_flat(state.to_flat()) == state


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1,nan,2", "entries=nan"),
        ("1,1e9,2", r"entries=1e\+09: must lie in \[-10000, 10000\]"),
        ("1,2", "entries: 2 of them"),
        ("a,b,c", "entries='a,b,c'"),
    ],
)
def test_bad_entries_are_refused_in_one_line(text, line):
    with pytest.raises(ValueError, match="^" + line):
        AppState.from_flat({"system": "kdv", "entries": text})


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (
            Scene("kdv", entries=(0.0, 1.0, -1.0, 0.0)),
            "entries: 4 of them; Korteweg–de Vries needs 3",
        ),
        (
            Scene("wave", choices={"form": "strain"}, entries=(0.0, 1.0, -1.0, 0.0)),
            "entries: Wave equation in this form has no kernel",
        ),
    ],
)
def test_entries_that_do_not_suit_leave_the_old_scene_running(wanted, line):
    simulation = Simulation(Lane())
    simulation.turn(Turn(Scene(wanted.system), steps=1, budget=60.0))
    out = simulation.turn(Turn(wanted, steps=1, budget=60.0))
    assert out.error.startswith(line)
    assert out.header.t > 0


def edited(name, **options):
    """An editor on a store, shown what a scene gives."""
    store = Store(AppState(Scene(name, **options)))
    editor = OperatorEditor(store, lambda **changes: store.change_scene(**changes))
    editor.show(first_setup(store.state.scene))
    return store, editor


def test_the_editor_writes_what_is_edited_and_shows_what_runs():
    store, editor = edited("kdv")
    assert list(editor.table.values) == [-0.5, 0.0, 0.5]
    assert "conserves energy" in editor.badges.object
    editor.table._on_edit([-0.5, 0.1, 0.5])
    assert store.state.scene.entries == (-0.5, 0.1, 0.5)
    assert store.state.scene.structure == "d_dx"
    assert "can create energy" not in editor.badges.object
    editor.show(first_setup(store.state.scene))
    assert "can create energy" in editor.badges.object
    assert "mass not conserved" in editor.badges.object
    editor.table._on_action("dissipative")
    assert store.state.scene.entries == pytest.approx((-0.5, 0.0, 0.5))
    editor.table._on_action("menu")
    assert store.state.scene.entries is None


def test_strain_form_has_no_table():
    _, editor = edited("wave", choices={"form": "strain"})
    assert list(editor.table.values) == []
    assert "matrix of derivatives" in editor.marks.object


def test_the_equation_shows_g_as_edited():
    wanted = Scene("kdv", structure="d_dx", entries=(-0.5, 0.25, 0.5))
    found = equations.lines(wanted, build(wanted))
    assert any(r"\frac{1}{\Delta x}\;[-0.5,\; 0.25,\; 0.5]" in line for line in found)
    assert r"u_t = G\frac" in found[0]


def test_margins_are_the_eigenvalues():
    _, editor = edited("pendulum", entries=(0.3, 1.0, -1.0, -0.2))
    assert "from −0.2 to 0.3" in editor.badges.object
    assert math.isclose(
        build(Scene("pendulum", entries=(0.3, 1, -1, -0.2))).structure.report().symmetric_max, 0.3
    )


def test_eigenvalues_that_are_all_one_are_said_once():
    _, editor = edited("kdv", entries=(-0.5, 0.05, 0.5), n=16, length=3.2)
    assert "Every eigenvalue of ½(G + Gᵀ) is 0.25; column sums 0.25." in editor.badges.object


def test_small_margins_are_written_like_all_numbers():
    assert operator_marks.signed(-1.25e-5, 1.0) == "−1.25e−5"
    assert operator_marks.signed(1e-13, 1.0) == "0"


def test_one_colour_means_one_sign_in_the_table_and_in_the_comparison():
    _, editor = edited("kdv", entries=(-0.5, 0.05, 0.5))
    sheet = style("operator")
    for sign in ("positive", "negative"):
        for text in (sheet, editor.comparison.object):
            assert f"var(--ddg-{sign}, " in text
    assert "--ddg-warn" not in editor.comparison.object


def test_badges_follow_the_theme_by_variables_of_the_page():
    _, editor = edited("kdv")
    sheet = "".join(map(str, editor.badges.stylesheets))
    used = set(re.findall(r"var\((--[\w-]+)", sheet))
    assert used == {f"--ddg-{name}" for name in ("good", "warn", "bad", "muted")}
    assert all(f"{name}:" in PAGE_CSS for name in used)


def test_a_learned_lane_marks_the_limit_of_its_own_explicit_scheme():
    def outcome(*lane):
        return Simulation(Lane(*lane)).turn(Turn(Scene("kdv"), steps=1, budget=60.0)).setup

    limit = outcome("hnnpp", "rk4").explicit_limit
    true = build(Scene("kdv")).explicit_limit()
    assert 0.2 * true < limit < 5 * true
    # waves grow under the midpoint rule at any Δt, and implicit schemes have no limit
    for scheme in ("midpoint", "implicit_midpoint"):
        assert math.isnan(outcome("hnnpp", scheme).explicit_limit)

    assert math.isnan(outcome("node", "midpoint").explicit_limit)

    def after(share):
        simulation = Simulation(Lane("hnnpp", "rk4"))
        scene = Scene("kdv", dt=share * limit)
        simulation.turn(Turn(scene, steps=round(32 / share), budget=None))
        return simulation.frame.u

    fine = after(0.25)
    assert float((after(0.5) - fine).norm() / fine.norm()) < 0.1
    assert float((after(4) - fine).norm() / fine.norm()) > 0.5


def test_the_menu_s_entries_are_those_of_the_preset():
    store, editor = edited("mass_spring", preset="oscillation", structure="damped_symplectic")
    assert list(editor.table.values) == [0, 1, -1, -0.1]
    store.change_scene(preset="friction")
    editor.show(first_setup(store.state.scene))
    assert list(editor.table.values) == [0, 1, -1, -0.15]
