"""What a free matrix leaves open beside its scale."""

from __future__ import annotations

import pytest
import torch

from ddg_explorer.models.freedom import family_distance, lawful, symmetrising


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
    assert torch.linalg.eigvalsh(found + found.mT).max() < 1e-2
    torch.testing.assert_close(found.norm(), relative.norm())
    if not friction:
        torch.testing.assert_close(found / found[0, 1], true, rtol=0, atol=1e-9)


def test_a_matrix_that_is_not_invertible_has_no_lawful_relative():
    assert lawful(torch.zeros(2, 2, dtype=torch.float64), symmetrising(some(separable))) is None
