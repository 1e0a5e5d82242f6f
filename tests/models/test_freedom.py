"""What a free matrix leaves open beside its scale."""

from __future__ import annotations

import pytest
import torch
from zoo import RECIPES, lively, states

from ddg_explorer.models.freedom import (
    falling,
    family_distance,
    hessians,
    lawful,
    symmetrising,
)


def some(make, count=20):
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    return torch.stack([make(*row.tolist()) for row in draws])


def separable(a, b, c, d):
    return torch.tensor([[a, 0.0], [0.0, b]], dtype=torch.float64)


def coupled(a, b, c, d):
    return torch.tensor([[a, c], [c, b]], dtype=torch.float64)


@pytest.mark.parametrize(("make", "freedom"), [(separable, 2), (coupled, 1)])
def test_the_freedom_of_an_energy_in_two_dimensions(make, freedom):
    basis = symmetrising(some(make))
    assert len(basis) == freedom
    for matrix in some(make, 5):
        products = basis @ matrix
        assert (products - products.mT).abs().max() < 1e-12


def test_a_quadratic_energy_leaves_a_symmetric_matrix_open():
    one = coupled(2.0, 1.0, 0.3, 0.0)
    assert len(symmetrising(one.expand(20, 2, 2))) == 3


def test_two_separable_bodies_leave_the_masses_of_both_open():
    def energy(a, b, c, d):
        matrix = torch.zeros(4, 4, dtype=torch.float64)
        matrix[:2, :2] = coupled(a, b, c, d)
        matrix[2:, 2:] = torch.eye(2, dtype=torch.float64) * (2 + d)
        return matrix

    assert len(symmetrising(some(energy))) >= 2


def test_very_unequal_components_change_nothing():
    stretched = torch.diag(torch.tensor([1.0, 100.0], dtype=torch.float64))
    for make, freedom in ((separable, 2), (coupled, 1)):
        matrices = stretched @ some(make) @ stretched
        basis = symmetrising(matrices)
        assert len(basis) == freedom
        products = basis[:, None] @ matrices
        assert (products - products.mT).abs().max() < 1e-10 * products.abs().max()


def test_the_family_of_a_separable_energy_holds_its_relatives():
    basis = symmetrising(some(separable))
    true = torch.tensor([[0.0, 1.0], [-1.0, -0.2]], dtype=torch.float64)
    relative = true @ torch.diag(torch.tensor([3.0, 0.5], dtype=torch.float64))
    assert family_distance(relative, true, basis) < 1e-12
    other = torch.tensor([[0.1, 1.0], [-1.0, -0.2]], dtype=torch.float64)
    assert family_distance(other, true, basis) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("friction", [0.0, 0.3])
@pytest.mark.parametrize("factors", [(3.0, 0.2), (1.0, -4.0)])
def test_of_all_relatives_the_one_that_conserves_or_dissipates_is_taken(friction, factors):
    true = torch.tensor([[0.0, 1.0], [-1.0, -friction]], dtype=torch.float64)
    relative = true @ torch.diag(torch.tensor(factors, dtype=torch.float64))
    found = lawful(relative, symmetrising(some(separable)))
    assert found is not None
    assert torch.linalg.eigvalsh(found + found.mT).max() < 1e-9
    torch.testing.assert_close(found.norm(), relative.norm())
    torch.testing.assert_close(found / found[0, 1], true, rtol=0, atol=1e-5)
    if not friction:
        torch.testing.assert_close(found / found[0, 1], true, rtol=0, atol=1e-9)


def test_a_matrix_that_is_not_invertible_has_no_lawful_relative():
    assert lawful(torch.zeros(2, 2, dtype=torch.float64), symmetrising(some(separable))) is None


def damped(*friction):
    """S − R of as many degrees of freedom."""
    half = len(friction)
    eye = torch.eye(half, dtype=torch.float64)
    upper = torch.cat([0 * eye, eye], 1)
    lower = torch.cat([-eye, -torch.diag(torch.tensor(friction, dtype=torch.float64))], 1)
    return torch.cat([upper, lower])


def diagonals(*rows):
    return torch.stack([torch.diag(torch.tensor(row, dtype=torch.float64)) for row in rows])


def symmetric(size):
    """A basis of all symmetric matrices: with G ∇²H in front, of the family of a quadratic H."""
    units = torch.eye(size * size, dtype=torch.float64).unflatten(1, (size, size))
    return (units + units.mT)[torch.ones(size, size).triu().flatten().bool()]


SPRINGS = torch.block_diag(torch.tensor([[2.0, -0.7], [-0.7, 1.5]]), torch.eye(2)).double()
"""∇²H of two bodies and three springs."""
PAIR = diagonals([1, 1, 0, 0], [0, 0, 1, 1])
ALL = diagonals([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1])
ONE = diagonals([1.3, 0], [0, 0.7])
FAMILIES = {
    "2×2, 2 factors": lambda r: damped(r) @ ONE,
    "2×2, quadratic": lambda r: damped(r) @ symmetric(2),
    "2×2, p before q": lambda r: damped(r).flip(0, 1) @ ONE,
    "4×4, 2 factors": lambda r: damped(r, r) @ PAIR,
    "4×4, 2 factors, unequal": lambda r: damped(r, 3 * r) @ PAIR,
    "4×4, 4 factors": lambda r: damped(r, r) @ ALL,
}


def rise(matrices):
    return torch.linalg.eigvalsh((matrices + matrices.mT) / 2)[..., -1]


def least_rise(basis):
    """λmax of the symmetric part over all members of norm 1: by trial, then by smaller and smaller
    steps from the twenty best."""
    unit = torch.linalg.svd(basis.flatten(1), full_matrices=False)[2].unflatten(1, basis.shape[1:])
    draw = torch.Generator().manual_seed(7)

    def tried(weights):
        weights = weights / weights.norm(dim=-1, keepdim=True)
        found = rise(torch.tensordot(weights, unit, 1))
        return weights[found.argsort()[:20]], float(found.min())

    best, _ = tried(torch.randn(30_000, len(unit), generator=draw, dtype=torch.float64))
    low, step = torch.inf, 0.2
    for _ in range(45):
        near = torch.randn(100, *best.shape, generator=draw, dtype=torch.float64)
        best, low = tried(torch.cat([best[None], best + step * near]).flatten(0, 1))
        step *= 0.75
    return low


@pytest.mark.parametrize("friction", [0.0, 0.15, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", FAMILIES)
def test_no_trial_finds_one_by_which_energy_rises_less(name, friction):
    """Most of these have no member that dissipates strictly: the least rise is 0, at one point."""
    basis = FAMILIES[name](friction)
    found = falling(basis)
    assert found is not None
    assert float(found.norm()) == pytest.approx(1, abs=1e-12)
    assert family_distance(found, torch.eye(len(found), dtype=torch.float64), basis) < 1e-9
    low = least_rise(basis)
    assert rise(found) <= low + 1e-7
    assert rise(found) >= low - 1e-4


@pytest.mark.parametrize("friction", [0.0, 0.15, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_family_known_to_a_thousandth_is_searched_as_well(friction, seed):
    draw = torch.Generator().manual_seed(seed)
    for basis in (damped(friction) @ ONE, damped(friction, friction) @ PAIR):
        basis = basis + 1e-3 * torch.randn(basis.shape, generator=draw, dtype=torch.float64)
        found = falling(basis)
        assert found is not None
        assert rise(found) <= least_rise(basis) + 1e-7
        half = len(found) // 2
        scaled = found / found[0, half]
        near = torch.as_tensor(damped(*[friction] * half))
        assert (scaled - near).abs().max() < 0.02


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("size", [2, 4])
def test_families_without_any_law_are_searched_as_well(count, size):
    """Where all let energy rise the problem is not convex; what is all but singular is left out."""
    for seed in range(3):
        draw = torch.Generator().manual_seed(seed)
        basis = torch.randn(count, size, size, generator=draw, dtype=torch.float64)
        found, low = falling(basis), least_rise(basis)
        assert found is not None
        assert rise(found) <= low + 1e-3


@pytest.mark.parametrize("friction", [0.15, 0.5, 1.0])
def test_the_true_friction_is_found_from_any_relative(friction):
    true = damped(friction)
    for factors in ([1.3, 0.7], [1.0, 3.0], [-0.2, -1.0]):
        relative = true @ torch.diag(torch.tensor(factors, dtype=torch.float64))
        found = lawful(relative, symmetrising(some(separable)))
        assert found is not None
        torch.testing.assert_close(found / found[0, 1], true, rtol=0, atol=1e-4)
        assert rise(found) < 1e-8


def test_of_all_that_conserve_alike_it_is_the_one_nearest_to_s():
    """Energies of normal modes, and of uncoupled bodies, can be weighted at will."""
    for basis in (damped(0, 0) @ SPRINGS @ symmetric(4), damped(0, 0) @ ALL):
        found = falling(basis)
        assert found is not None
        torch.testing.assert_close(2 * found, damped(0, 0), rtol=0, atol=1e-6)


def test_the_same_family_gives_the_same_bits():
    basis = damped(0.3, 0.1) @ ALL
    found, again = falling(basis), falling(basis.clone())
    assert found is not None
    assert again is not None
    assert torch.equal(found, again)


@pytest.mark.parametrize("units", [(1e3, 1.0), (1.0, 1e-3), (1e4, 1e2)])
def test_units_of_the_components_change_nothing(units):
    """u → Du makes D G Dᵀ of G and D⁻ᵀ ∇²H D⁻¹ of ∇²H."""
    sizes = torch.tensor(units, dtype=torch.float64)
    true, hessians = damped(0.5), some(separable)
    relative = true @ torch.diag(torch.tensor([1.3, 0.7], dtype=torch.float64))
    scaled = relative * sizes[:, None] * sizes
    found = lawful(scaled, symmetrising(hessians / sizes[:, None] / sizes), sizes)
    assert found is not None
    torch.testing.assert_close(found.norm(), scaled.norm())
    found = found / sizes[:, None] / sizes
    torch.testing.assert_close(found / found[0, 1], true, rtol=0, atol=1e-4)


@pytest.mark.parametrize("condition", [1e2, 1e4])
def test_what_is_badly_conditioned_is_no_relative(condition):
    """diag(−1, −1/c) and its negative are the only members, and c is their condition."""
    only = torch.diag(torch.tensor([-1.0, -1 / condition], dtype=torch.float64))
    found = falling(only[None])
    if condition > 1e3:
        assert found is None
        assert lawful(only, torch.eye(2, dtype=torch.float64)[None]) is None
    else:
        torch.testing.assert_close(found, only / only.norm())


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_second_derivatives_of_a_learned_energy(mode):
    model = lively(RECIPES["dgnet-ode"].build())
    u = states(model, 5).to(model.dtype)
    with mode():
        found = hessians(model, u)
    assert not found.requires_grad
    exact = torch.stack([torch.func.hessian(model.energy)(one) for one in u])
    torch.testing.assert_close(found, exact.detach().double(), rtol=1e-12, atol=1e-12)
