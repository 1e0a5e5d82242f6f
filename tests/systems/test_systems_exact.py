"""Exact solutions of the mechanical systems and of the wave equation; the published ODE recipes."""

from __future__ import annotations

import math

import mpmath as mp
import pytest
import torch

from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.elliptic import elliptic_functions
from ddg_explorer.systems.two_body import kepler

EXACT = [
    (name, preset)
    for name, system in SYSTEMS.items()
    for preset in system.presets
    if name != "kdv" and system(preset).has_exact
]


def test_every_system_with_a_known_solution_offers_it():
    assert {name for name, _ in EXACT} == {"mass_spring", "pendulum", "two_body", "wave"}
    assert len(EXACT) == 15


@pytest.mark.parametrize(("name", "preset"), EXACT)
def test_exact_solution_starts_at_the_initial_state(name, preset):
    system = SYSTEMS[name](preset)
    u = system.initial(seed=2, batch=2)
    torch.testing.assert_close(system.exact(0.0, seed=2, batch=2), u, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("name", "preset"), EXACT)
def test_exact_solution_solves_the_equation(name, preset):
    """Central differences of order 6 in time against the right-hand side (spectral in space)."""
    options = {"operator": "spectral", "n": 256} if SYSTEMS[name].ndim else {}
    system = SYSTEMS[name](preset, **options)
    h = 1e-3
    weights = {1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    for t in (0.8, 7.3):
        terms = [
            w * (system.exact(t + j * h, 1, 2) - system.exact(t - j * h, 1, 2))
            for j, w in weights.items()
        ]
        rhs = system.rhs(system.exact(t, seed=1, batch=2))
        defect = (sum(terms[1:], terms[0]) / h - rhs).abs().max()
        assert defect < 1e-10 * rhs.abs().max()


@pytest.mark.parametrize(("name", "preset"), EXACT)
def test_exact_solution_keeps_or_loses_energy_as_it_should(name, preset):
    options = {"operator": "spectral"} if SYSTEMS[name].ndim else {}
    system = SYSTEMS[name](preset, **options)
    energies = torch.stack([system.energy(system.exact(t)) for t in (0.0, 1.0, 10.0, 100.0)])
    if system.structure.is_skew:
        assert (energies - energies[0]).abs().max() < 1e-11 * energies[0].abs()
    else:
        assert (energies.diff() < 0).all()


def test_linear_oscillator_returns_after_its_period():
    system = SYSTEMS["mass_spring"](mass=0.5, stiffness=2.0)
    torch.testing.assert_close(system.exact(math.pi), system.initial(), rtol=0, atol=1e-13)
    torch.testing.assert_close(system.exact(math.pi / 4), torch.tensor([0.0, -1.0]).double())


def test_elliptic_functions_have_known_values():
    """K(k = 1/√2) = Γ(1/4)²/(4√π); sn K = 1, dn K = k′, sn(K/2)² = 1/(1 + k′)."""
    k = torch.tensor([math.sqrt(0.5)], dtype=torch.float64)
    quarter = math.gamma(0.25) ** 2 / (4 * math.sqrt(math.pi))
    sn, cn, dn = elliptic_functions(quarter, k, k)
    torch.testing.assert_close(torch.cat([sn, cn, dn]), torch.cat([k**0, 0 * k, k]))
    sn, cn, dn = elliptic_functions(quarter / 2, k, k)
    torch.testing.assert_close(sn**2, 1 / (1 + k), rtol=1e-14, atol=0)
    torch.testing.assert_close(sn**2 + cn**2, k**0, rtol=1e-14, atol=0)
    torch.testing.assert_close(dn**2 + (k * sn) ** 2, k**0, rtol=1e-14, atol=0)


@pytest.mark.parametrize("k_prime", [1.0, 0.9, 0.1, 1e-4, 1e-6, 1e-8, 1e-10, 1e-13, 1e-16])
def test_elliptic_functions_keep_their_digits_near_the_separatrix(k_prime):
    """Against 60 digits over a period 4K, K = ln(4/k′) for small k′, and densely about K/2, where
    the phases of the descent pass through a right angle."""
    with mp.workdps(60):
        m = 1 - mp.mpf(k_prime) ** 2
        quarter = float(mp.ellipk(m))
        places = [0.02, 0.1, 0.3, 0.48, 0.495, 0.5, 0.505, 0.52, 0.7, 0.9, 1.3, 1.5, 2.1, 3.7]
        for u in (quarter * place for place in places):
            exact = [float(mp.re(mp.ellipfun(name, u, m=m))) for name in ("sn", "cn", "dn")]
            k = torch.tensor([float(mp.sqrt(m)), k_prime], dtype=torch.float64)
            found = torch.cat(elliptic_functions(u, k[:1], k[1:]))
            assert (found - torch.tensor(exact, dtype=torch.float64)).abs().max() < 5e-14


def test_pendulum_period_grows_towards_the_separatrix():
    """T(θ) = 2π/agm(1, cos θ/2) for ω = 1; ten periods bring the pendulum back."""
    for preset, angle in (("swing", 2.27), ("separatrix", 3.1)):
        a, b = 1.0, math.cos(angle / 2)
        for _ in range(10):
            a, b = (a + b) / 2, math.sqrt(a * b)
        system = SYSTEMS["pendulum"](preset)
        u = system.exact(10 * 2 * math.pi / a)
        torch.testing.assert_close(u, system.initial(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("eccentricity", [0.0, 0.3, 0.85, 0.999])
def test_kepler_equation_is_solved_to_rounding(eccentricity):
    m = torch.linspace(-20, 20, 4001, dtype=torch.float64)
    anomaly = kepler(m, eccentricity)
    defect = anomaly - eccentricity * torch.sin(anomaly) - m
    turns = torch.round(defect / (2 * math.pi))
    assert (defect - 2 * math.pi * turns).abs().max() < 2e-14


def test_two_body_orbit_closes_after_its_period():
    for preset, axis in (("ellipse", 2.0), ("circle", 1.5), ("comet", 2.0)):
        system = SYSTEMS["two_body"](preset, gravity=2.0)
        period = 2 * math.pi * math.sqrt(axis**3 / 4.0)
        torch.testing.assert_close(system.exact(period), system.initial(), rtol=0, atol=1e-12)
        assert float(system.energy(system.initial())) == pytest.approx(-2.0 / (2 * axis))


def test_wave_pulse_follows_d_alembert():
    """After half a turn of the ring the two halves meet again, opposite to where they started."""
    system = SYSTEMS["wave"](speed=2.0, length=20.0)
    start = system.initial()
    half_turn = system.exact(20.0 / 2 / 2.0)
    torch.testing.assert_close(half_turn[0], start[0].roll(100), rtol=0, atol=1e-12)
    quarter = system.exact(20.0 / 4 / 2.0)[0]
    both = (start[0].roll(50) + start[0].roll(-50)) / 2
    torch.testing.assert_close(quarter, both, rtol=0, atol=1e-12)


def test_wave_forms_describe_the_same_motion():
    displacement = SYSTEMS["wave"](form="displacement", operator="spectral", friction=0.3)
    strain = SYSTEMS["wave"](form="strain", operator="spectral", friction=0.3)
    assert strain.structure_key == "damped_strain_wave"
    u, e = displacement.exact(3.0), strain.exact(3.0)
    slope = displacement.grid.derivative_symbol(0, "spectral", torch.float64, "cpu")
    u_x = displacement.grid.irfft(slope * displacement.grid.rfft(u[0]))
    torch.testing.assert_close(u_x, e[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(u[1], e[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(displacement.energy(u), strain.energy(e))


def test_wave_mode_with_critical_damping_is_exact():
    """r = 2ck: u = (1 + ckt) e^(−ckt) for that mode."""
    ck = 0.5 * 2 * math.pi * 3 / 10
    critical = SYSTEMS["wave"]("standing", speed=0.5, length=10.0, friction=2 * ck)
    factor = (1 + ck * 2.0) * math.exp(-ck * 2.0)
    expected = factor * critical.initial()[0]
    torch.testing.assert_close(critical.exact(2.0)[0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "low", "high", "energy"),
    [
        ("mass_spring", 0.1, 1.0, lambda q, p: q**2 + p**2),
        ("pendulum", 1.3, 2.3, lambda q, p: 3 * (1 - torch.cos(q)) + p**2),
    ],
)
def test_published_oscillators(name, low, high, energy):
    system = SYSTEMS[name]("published")
    u = system.initial(seed=1, batch=1500)
    torch.testing.assert_close(system.energy(u), energy(u[:, 0], u[:, 1]))
    radius = u.norm(dim=1)
    assert low <= float(radius.min())
    assert float(radius.max()) <= high
    assert float(radius.mean()) == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    assert float(u.mean(0).abs().max()) < 0.06 * high
    assert 99 * system.dt == pytest.approx(20.0)
    box = SYSTEMS[name]("published_test").initial(seed=1, batch=600)
    assert 0.2 <= float(box.abs().min()) < 0.21
    assert 0.99 < float(box.abs().max()) <= 1.0
    assert float((box > 0).double().mean()) == pytest.approx(0.5, abs=0.06)


def test_published_two_bodies_are_nearly_circular():
    system = SYSTEMS["two_body"]("published")
    u = system.initial(seed=1, batch=1500)
    q, p = u[:, 0:2], u[:, 4:6]
    assert torch.equal(u[:, 2:4], -q)
    assert torch.equal(u[:, 6:8], -p)
    assert float(q.min()) >= 0.5
    assert float(q.max()) <= 1.5
    assert (q * p).sum(1).abs().max() < 1e-14
    # v² = 1/(4|q|) on a circle; the factor in front is 1 + 0.05 N(0, 1).
    factor = p.norm(dim=1) * 2 * q.norm(dim=1).sqrt()
    assert float(factor.mean()) == pytest.approx(1.0, abs=5e-3)
    assert float(factor.std()) == pytest.approx(0.05, rel=0.06)
    assert 499 * system.dt == pytest.approx(25.0)


def test_published_cahn_hilliard_is_uniform_noise():
    system = SYSTEMS["cahn_hilliard"]("published")
    assert (system.grid.shape, system.grid.length, system.dt) == ((50,), (1.0,), 1e-4)
    assert system.values["gamma"] == 5e-4
    u = system.initial(seed=1, batch=200)
    assert float(u.abs().max()) <= 0.05
    assert float(u.std()) == pytest.approx(0.1 / math.sqrt(12), rel=0.02)
    assert float(u.mean()) == pytest.approx(0.0, abs=1e-3)
