"""KdV: exact solitons, the published recipe, and the equation they solve."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from ddg_explorer.simulation import simulate
from ddg_explorer.structure import CentralDerivative
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.kdv import KdV
from ddg_explorer.systems.solitons import n_soliton

SIGNS = [(6.0, -1.0), (-6.0, 1.0), (6.0, 1.0), (-6.0, -1.0), (3.0, -0.5)]


def time_derivative(system: KdV, t: float, h: float = 2e-3) -> torch.Tensor:
    """u_t of the exact solution by central differences of order 6."""
    weights = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    terms = [w * (system.exact(t + j * h) - system.exact(t - j * h)) for j, w in weights.items()]
    return sum(terms[1:], terms[0]) / h


@pytest.mark.parametrize(("alpha", "beta"), SIGNS)
@pytest.mark.parametrize(
    ("preset", "t"), [("soliton", 0.7), ("two_solitons", 3.0), ("three_solitons", 4.0)]
)
def test_exact_solitons_solve_the_equation(alpha, beta, preset, t):
    system = KdV(preset, n=768, length=100.0, alpha=alpha, beta=beta)
    residual = (time_derivative(system, t) - system.rhs(system.exact(t))).abs().max()
    assert residual < 1e-9 * system.rhs(system.exact(t)).abs().max()


def test_finite_differences_approach_the_soliton_to_second_order():
    errors = []
    for n in (512, 1024, 2048):
        system = KdV("soliton", n=n, length=40.0, operator="finite_difference")
        errors.append(float((time_derivative(system, 0.7) - system.rhs(system.exact(0.7))).norm()))
        errors[-1] /= math.sqrt(n)
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(slope - 2) < 0.1 for slope in slopes), slopes


def test_soliton_has_its_height_speed_and_integrals():
    k, alpha, beta = 1.0, -6.0, 1.0
    system = KdV("soliton", n=512, length=40.0, alpha=alpha, beta=beta)
    for t in (0.0, 2.0):
        u = system.exact(t)[0]
        x = 40.0 * 0.3 - 4 * beta * k**2 * t
        i = round(x / 40.0 * 512) % 512
        node = i * 40.0 / 512
        offset = node - x % 40.0
        assert float(u[i]) == pytest.approx(-12 * beta / alpha * k**2 / math.cosh(offset) ** 2)
    assert float(system.mass(system.exact(0.0))[0]) == pytest.approx(4 * k, rel=1e-12)
    # ∫ −α/6 u³ − β/2 u_x² with u = 2k² sech²(kx): u³ gives 128k⁵/15·…, u_x² gives 64k⁵/15.
    energy = -alpha / 6 * 128 / 15 * k**5 - beta / 2 * 64 / 15 * k**5
    assert float(system.energy(system.exact(0.0))) == pytest.approx(energy, rel=1e-10)


def test_two_solitons_shift_each_other_by_the_known_phases():
    k = torch.tensor([[1.0, 0.6]], dtype=torch.float64)
    centres = torch.tensor([[-40.0, 0.0]], dtype=torch.float64)
    tau = 40.0
    x = torch.linspace(-50, 250, 60001, dtype=torch.float64)[None]
    w = n_soliton(x, tau, k, centres)[0]
    shift = math.log((1.6 / 0.4) ** 2) / 2
    fast = float(x[0, w.argmax()])
    assert fast == pytest.approx(-40 + 4 * tau + shift / 1.0, abs=6e-3)
    slow_part = torch.where(x[0] < 90, w, 0.0)
    assert float(x[0, slow_part.argmax()]) == pytest.approx(1.44 * tau - shift / 0.6, abs=6e-3)


def test_n_soliton_neither_overflows_nor_cancels_far_out():
    x = torch.tensor([[-1e4, -300.0, -20.0, 0.0, 20.0, 300.0, 1e4]], dtype=torch.float64)
    k = torch.tensor([[1.1]], dtype=torch.float64)
    w = n_soliton(x, 0.0, k, torch.zeros_like(k))
    tail = 8 * 1.1**2 * torch.exp(-2.2 * x.abs())
    expected = tail / (1 + torch.exp(-2.2 * x.abs())) ** 2
    assert torch.isfinite(w).all()
    torch.testing.assert_close(w, expected, rtol=1e-12, atol=0)
    two = torch.tensor([[1.1, 0.7]], dtype=torch.float64)
    w = n_soliton(x, 1e3, two, torch.zeros_like(two))
    assert torch.isfinite(w).all()
    assert (w >= 0).all()


def test_initial_state_is_the_exact_solution_at_zero():
    for preset in ("two_solitons", "soliton", "three_solitons"):
        system = KdV(preset)
        assert system.has_exact
        batch = system.exact(0.0, seed=3, batch=3)
        assert torch.equal(batch, system.initial(seed=3, batch=3))
        assert torch.equal(system.exact(0.5, seed=3, batch=3)[1], system.exact(0.5, 3, 2)[1])
    assert KdV("soliton").initial()[0].argmax() in (38, 39)


def test_exact_solution_ends_when_the_solitons_have_spread():
    system = KdV()
    system.exact(9.0)
    with pytest.raises(ValueError, match=r"no exact solution at τ=14: .* half the period"):
        system.exact(14.0)
    for changed in (KdV(viscosity=0.1), KdV(alpha=6.0, structure="d_dx_growing"), KdV("cosine")):
        assert not changed.has_exact
        with pytest.raises(ValueError, match="no exact solution"):
            changed.exact(0.0)


def test_published_recipe():
    """Two solitons of the recipe's amplitudes and places, half of them mirrored in space."""
    system = KdV("published")
    assert system.grid.shape == (50,)
    assert system.grid.length == (10.0,)
    assert system.dt == 1e-3
    assert system.operator == "finite_difference"
    u = system.initial(seed=7, batch=400)[:, 0]
    # ∫ 2k² sech²(kx) dx = 4k, mean of k₁ + k₂ is 2.5; the ends of the interval cut a little off.
    mass = u.sum(-1) * 0.2
    assert float(mass.mean()) == pytest.approx(10.0, rel=0.05)
    assert float(mass.max()) < 16
    assert float(u.max()) < 2 * 8.0 + 1e-9
    assert float(u.min()) > 0
    # The two solitons lie left of the middle on average (mean d = 0.425) unless mirrored.
    x = system.grid.coordinates()[0]
    middle = (u * x).sum(-1) / u.sum(-1)
    assert 0.35 < float((middle > 5).double().mean()) < 0.65


def test_published_sign_is_the_mirror_image_of_the_textbook():
    textbook = KdV("published", alpha=6.0, beta=-1.0)
    mirrored = KdV("published", alpha=-6.0, beta=1.0)
    u = textbook.initial(seed=1)
    assert torch.equal(u, mirrored.initial(seed=1))
    reflect = torch.flip(torch.roll(u, -1, -1), (-1,))
    flow = torch.flip(torch.roll(textbook.rhs(u), -1, -1), (-1,))
    torch.testing.assert_close(mirrored.rhs(reflect), flow)


def test_cosine_is_the_zabusky_kruskal_experiment():
    """u_t + u u_x + δ² u_xxx = 0, δ = 0.022, from cos πx on [0, 2)."""
    system = SYSTEMS["kdv"]("cosine", operator="spectral")
    x = system.grid.coordinates()[0]
    torch.testing.assert_close(system.initial()[0], torch.cos(math.pi * x))
    u, s = torch.cos(math.pi * x), torch.sin(math.pi * x)
    expected = math.pi * u * s - 0.022**2 * math.pi**3 * s
    torch.testing.assert_close(system.rhs(u[None])[0], expected, rtol=0, atol=1e-9)


def test_strengths_select_their_structure_and_count_as_zero_elsewhere():
    plain, viscous = KdV(), KdV(viscosity=0.2)
    assert plain.structure_key == "d_dx"
    assert plain.values["viscosity"] == 0
    assert viscous.structure_key == "d_dx_viscous"
    assert viscous.structure.is_dissipative
    assert not viscous.structure.is_skew
    assert viscous.with_(structure="d_dx").values["viscosity"] == 0
    assert "viscosity" in viscous.active_parameters
    assert "viscosity" not in plain.active_parameters
    u = plain.initial()
    extra = viscous.rhs(u) - plain.rhs(u)
    torch.testing.assert_close(extra, 0.2 * plain.laplacian(plain.gradient(u)), rtol=0, atol=1e-9)


def test_viscosity_acts_on_the_variation_and_not_on_the_wave():
    """u_t gains νβ u_xxxx − να (u u_x)_x."""
    plain = KdV("soliton", n=512, length=40.0)
    viscous = plain.with_(viscosity=0.2)
    u = plain.initial()
    dx = CentralDerivative(plain.grid, plain.operator).apply
    expected = -0.2 * plain.laplacian(plain.laplacian(u)) - 0.2 * 6 * dx(u * dx(u))
    torch.testing.assert_close(viscous.rhs(u) - plain.rhs(u), expected, rtol=0, atol=1e-8)
    assert expected.abs().max() > 1


def test_viscosity_steepens_positive_crests_and_smooths_negative_ones():
    """Energy falls, as it must, and max|u| of the soliton grows; that of −u falls."""
    system = KdV("soliton", viscosity=0.05)
    for sign in (1, -1):
        run = simulate(system, sign * system.initial(), steps=100, save_every=25)
        height = run.u.abs().amax((-2, -1))
        assert (run.energy.diff() < 0).all()
        assert (sign * height.diff() > 0).all()
        assert abs(float(height[-1] / height[0]) - 1) > 0.3


def test_viscosity_ends_in_a_blow_up_at_any_step():
    ends = []
    for dt in (0.01, 0.005):
        system = KdV("soliton", viscosity=0.2)
        run = simulate(system, dt=dt, steps=round(0.8 / dt), save_every=10)
        assert run.reason
        ends.append(float(run.t[-1]))
    assert ends[0] == pytest.approx(ends[1], abs=0.05), ends


@pytest.mark.parametrize("preset", ["two_solitons", "gas", "published"])
@pytest.mark.parametrize("values", [{"alpha": 0.0}, {"beta": 0.0}])
def test_without_solitons_only_the_initial_state_is_missing(preset, values):
    system = KdV(preset, **values)
    with pytest.raises(ValueError, match="solitons need both to be non-zero"):
        system.initial()
    assert system.energy_scale == 1.0
    # ρ of ∂x β∂xx, at most |β|k³; nothing moves about u = 0 without it
    assert (system.explicit_limit() == math.inf) == ("beta" in values)
    assert system.explicit_limit() > 0
