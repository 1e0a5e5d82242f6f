"""What every preset of every built-in system promises: states, calculus, laws, splitting."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.latex import number

PRESETS = [(name, preset) for name, system in SYSTEMS.items() for preset in system.presets]
FIELDS = [name for name, system in SYSTEMS.items() if system.ndim]
every_preset = pytest.mark.parametrize(("name", "preset"), PRESETS)


def small(name: str, **changes):
    """The system's first preset, on a grid small enough for dense matrices."""
    ndim = SYSTEMS[name].ndim
    size = {} if ndim == 0 else {"n": 32 if ndim == 1 else 8}
    return SYSTEMS[name](**{**size, **changes})


def operators(name: str) -> tuple[dict, ...]:
    if SYSTEMS[name].ndim == 0:
        return ({},)
    return ({"operator": "finite_difference"}, {"operator": "spectral"})


def two_states(system):
    return system.initial(seed=1, batch=2), system.initial(seed=2, batch=2)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@every_preset
def test_initial_states_are_finite_seeded_and_prefix_stable(name, preset):
    system = SYSTEMS[name](preset)
    batch = system.initial(seed=3, batch=3)
    assert batch.shape == (3, *system.state_shape)
    assert batch.dtype == torch.float64
    assert torch.isfinite(batch).all()
    assert torch.equal(batch, system.initial(seed=3, batch=3))
    assert torch.equal(batch[:2], system.initial(seed=3, batch=2))
    assert torch.equal(batch[0], system.initial(seed=3))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(batch[i], batch[j])
    assert not torch.equal(batch[0], system.initial(seed=4))
    assert torch.equal(system.with_(dtype=torch.float32).initial(seed=3), batch[0].float())


@every_preset
def test_initial_leaves_the_global_generator_alone(name, preset):
    before = torch.random.get_rng_state()
    SYSTEMS[name](preset).initial(seed=5, batch=2)
    assert torch.equal(before, torch.random.get_rng_state())


@every_preset
def test_gradients_are_those_of_the_energy(name, preset):
    for operator in operators(name):
        system = SYSTEMS[name](preset, **operator)
        v, u = two_states(system)
        assert relative(system.gradient(u), Dynamics.gradient(system, u)) < 2e-13
        automatic = Dynamics.discrete_gradient(system, v, u)
        assert relative(system.discrete_gradient(v, u), automatic) < 2e-13


@every_preset
def test_discrete_chain_rule(name, preset):
    for operator in operators(name):
        system = SYSTEMS[name](preset, **operator)
        v, u = two_states(system)
        product = system.discrete_gradient(v, u) * (v - u)
        change = product.flatten(1).sum(1) * system.cell_volume
        scale = product.abs().sum() * system.cell_volume + system.energy(v).abs().max()
        assert (change - (system.energy(v) - system.energy(u))).abs().max() < 1e-14 * scale


@every_preset
def test_every_structure_obeys_the_law_it_declares(name, preset):
    system = SYSTEMS[name](preset)
    u = system.initial(seed=1)
    g = system.gradient(u)
    for key in system.structures:
        structure = system.make_structure(key)
        flow = structure.apply(g, u)
        power = float((g * flow).sum()) / float(g.norm() * flow.norm())
        if structure.is_skew:
            assert abs(power) < 1e-14
        elif structure.is_dissipative:
            assert power < 1e-14
        else:
            assert power > 1e-4, "a law-breaking operator should let the energy rise"
        if structure.conserves_mass and system.grid is not None:
            moved = system.mass(flow).abs().max() / system.mass(flow.abs()).max()
            assert moved < 1e-13
        assert key in system.structure_symbols
        changed = system.with_(structure=key)
        assert changed.structure_key == key
        assert changed.structure_symbol in changed.equation


@every_preset
def test_presets_are_described_and_steppable(name, preset):
    system = SYSTEMS[name](preset)
    good = system.presets[preset]
    assert good.title
    assert len(system.about) > 60
    assert system.dt == good.dt > 0
    assert system.energy_scale > 0
    assert math.isfinite(system.energy_scale)
    assert 0 < system.explicit_limit() < math.inf


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_systems_offer_at_least_three_presets_and_say_their_equation(name):
    system = SYSTEMS[name]()
    assert system.name == name
    assert len(system.presets) >= 3
    assert system.preset == next(iter(system.presets))
    assert "H =" in system.equation
    assert set(system.active_parameters) <= set(system.parameters) == set(system.values)


@pytest.mark.parametrize("name", FIELDS)
def test_quadratic_symbol_and_nonlinear_parts_make_up_the_gradients(name):
    for operator in operators(name):
        system = SYSTEMS[name](**operator)
        v, u = two_states(system)
        q = system.quadratic_symbol()
        c = system.state_shape[0]
        assert q.shape == ((c, c) if c > 1 else ()) + system.grid.half_shape
        parts = system.apply_symbol(q, u) + system.nonlinear_gradient(u)
        assert relative(parts, system.gradient(u)) < 2e-13
        middle = system.apply_symbol(q, (u + v) / 2)
        parts = middle + system.nonlinear_discrete_gradient(v, u)
        assert relative(parts, system.discrete_gradient(v, u)) < 2e-13


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_energy_degree_is_the_degree_of_the_polynomial(name):
    """Along a line, H has vanishing differences of order degree + 1, and of no lower order."""
    system = small(name)
    degree = system.energy_degree
    if degree is None:
        return
    v, u = system.initial(seed=1), system.initial(seed=2)
    points = [system.energy(u + s * (v - u)) for s in range(-3, degree + 3)]
    scale = max(abs(float(h)) for h in points)
    differences = torch.stack(points)
    for _ in range(degree):
        differences = differences.diff()
    assert differences.abs().min() > 1e-6 * scale
    assert differences.diff().abs().max() < 1e-12 * scale


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_explicit_limit_is_that_of_the_linearised_equation(name):
    system = small(name)
    u = system.stiffest_state()
    jacobian = torch.func.jacrev(system.rhs)(u).reshape(u.numel(), -1)
    radius = torch.linalg.eigvals(jacobian).abs().max()
    assert system.explicit_limit() == pytest.approx(2.8 / float(radius), rel=0.15)


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_separable_systems_split_into_kinetic_and_potential_parts(name):
    system = SYSTEMS[name]()
    u = system.initial(seed=1, batch=2)
    if not system.separable:
        with pytest.raises(ValueError, match="does not define kinetic_gradient"):
            Dynamics.kinetic_gradient(system, u)
        return
    dim = -1 if system.grid is None else -1 - system.grid.ndim
    q, p = u.chunk(2, dim)
    parts = torch.cat([system.potential_gradient(q), system.kinetic_gradient(p)], dim)
    assert relative(parts, system.gradient(u)) < 1e-14


def test_separability_follows_the_structure():
    assert SYSTEMS["pendulum"]().separable
    assert not SYSTEMS["pendulum"](friction=0.1).separable
    assert SYSTEMS["wave"]().separable
    assert not SYSTEMS["wave"]("strain").separable
    assert SYSTEMS["two_body"]().separable
    assert SYSTEMS["mass_spring"]().separable
    assert not SYSTEMS["kdv"]().separable


@pytest.mark.parametrize("name", FIELDS)
def test_operators_agree_on_smooth_fields_to_second_order(name):
    """Finite differences approach the spectral operator like Δx²."""
    errors = []
    for n in (64, 128, 256) if SYSTEMS[name].ndim == 1 else (16, 32, 64):
        exact, stencil = (SYSTEMS[name](n=n, **operator) for operator in reversed(operators(name)))
        x = exact.grid.coordinates()[0] * (2 * math.pi / exact.grid.length[0])
        u = torch.stack([torch.sin(x + c) for c in range(exact.channels)])
        errors.append(float((stencil.rhs(u) - exact.rhs(u)).abs().max()))
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(slope - 2) < 0.1 for slope in slopes), slopes


@pytest.mark.parametrize(
    ("x", "shown"),
    [(0.0, "0"), (-0.0, "0"), (-0.5, "-0.5"), (-1e-5, "-10^{-5}"), (5e-4, r"5\times10^{-4}")],
)
def test_numbers_in_equations(x: float, shown: str) -> None:
    assert number(x) == shown
