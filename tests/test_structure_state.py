"""State-dependent structure operators: laws at any state, mobilities, promises to be checked."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from ddg_explorer.grids import OPERATORS, Grid
from ddg_explorer.structure import (
    CentralDerivative,
    Laplacian,
    MobilityStructure,
    StateDependent,
    StateMatrix,
    Symplectic,
)

F64 = torch.float64
GRIDS = [Grid.of(8, 3.0, 1), Grid.of(7, 3.0, 1), Grid.of(6, 1.0, 2), Grid.of((6, 5), (1.0, 2.0), 2)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def degenerate(u: Tensor) -> Tensor:
    return 1 - u**2


def hat(u: Tensor) -> Tensor:
    """½ of the matrix of the cross product with u, to be skew-symmetrised."""
    zero = torch.zeros_like(u[..., 0])
    rows = [[zero, -u[..., 2], u[..., 1]], [zero, zero, -u[..., 0]], [zero, zero, zero]]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_a_mobility_keeps_every_law_at_any_state(grid: Grid, operator: str) -> None:
    structure = MobilityStructure(grid, degenerate, operator)
    for seed in range(3):
        u = 1.5 * random(1, *grid.shape, seed=seed)
        assert (degenerate(u) < 0).any()
        g = structure.matrix(u=u)
        scale = g.abs().max()
        assert scale > 0
        assert (g - g.T).abs().max() <= 1e-14 * scale
        assert torch.linalg.eigvalsh(g).max() <= 1e-14 * scale
        assert g.sum(0).abs().max() <= 1e-14 * scale
        report = structure.report(u)
        assert (report.is_dissipative, report.conserves_mass, report.is_isotropic) == (True,) * 3
        assert not report.is_skew


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_a_mobility_may_be_a_number_or_one_a_channel(grid: Grid, operator: str) -> None:
    g, u = random(3, 2, *grid.shape), random(3, 2, *grid.shape, seed=1)
    full = MobilityStructure(grid, lambda u: torch.full_like(u, 0.3), operator).apply(g, u)
    for shape in ((), (2, *[1] * grid.ndim)):
        mobility = torch.full(shape, 0.3, dtype=F64)
        thin = MobilityStructure(grid, lambda u, m=mobility: m, operator)
        assert torch.equal(thin.apply(g, u), full)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_a_constant_mobility_is_a_laplacian(grid: Grid) -> None:
    g, u = random(4, 1, *grid.shape), random(4, 1, *grid.shape, seed=1)
    constant = MobilityStructure(grid, lambda u: torch.full_like(u, 0.3))
    expected = Laplacian(grid, strength=0.3).apply(g)
    assert (constant.apply(g, u) - expected).abs().max() < 3e-15 * expected.abs().max()


@pytest.mark.parametrize(("operator", "order"), [("finite_difference", 2.0), ("spectral", None)])
def test_accuracy_of_the_flux_form(operator: str, order: float | None) -> None:
    sizes, errors = (32, 64, 128), []
    for n in sizes:
        grid = Grid.of(n, 2 * math.pi, 1)
        (x,) = grid.coordinates()
        u, g = torch.sin(x), torch.cos(2 * x)
        m, m_x = 1.5 + u, torch.cos(x)
        exact = m_x * (-2 * torch.sin(2 * x)) + m * (-4 * torch.cos(2 * x))
        structure = MobilityStructure(grid, lambda u: 1.5 + u, operator)
        errors.append(float((structure.apply(g[None], u[None]) - exact).abs().max()))
    if order is None:
        # Rounding is amplified by two derivatives, |k|² ~ n².
        assert all(error < 3e-16 * n**2 for n, error in zip(sizes, errors, strict=True))
    else:
        slopes = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
        assert all(abs(slope - order) < 0.05 for slope in slopes)


def test_matrices_of_the_state_keep_their_law() -> None:
    u = random(5, 3)
    skew = StateMatrix(hat, "skew")
    g = random(5, 3, seed=1)
    assert torch.equal(skew.matrix(u=u[0]), -skew.matrix(u=u[0]).T)
    assert (g * skew.apply(g, u)).sum(-1).abs().max() < 1e-15 * 10
    # Rigid body: u × g, so that |u|² is a Casimir whatever the energy.
    cross = torch.linalg.cross(u, g)
    assert (skew.apply(g, u) - cross).abs().max() < 1e-15 * 5
    falling = StateMatrix(lambda u: u[..., :, None] * torch.ones(3, 2, dtype=F64), "dissipative")
    report = falling.report(u[0])
    assert report.is_dissipative
    assert report.symmetric_min == pytest.approx(-2 * float(u[0] @ u[0]), rel=1e-14)
    free = StateMatrix(hat, "free")
    assert (free.is_skew, free.is_dissipative) == (False, False)
    assert torch.equal(free.matrix(u=u[0]), hat(u[0]))


def test_sums_and_flags() -> None:
    grid = GRIDS[0]
    skew = StateMatrix(hat, "skew")
    both = skew + StateMatrix(lambda u: u[..., :, None], "dissipative")
    assert (both.is_skew, both.is_dissipative, both.state_dependent) == (False, True, True)
    u = random(3)
    assert both.report(u).is_dissipative
    assert not (skew - StateMatrix(lambda u: u[..., :, None], "dissipative")).is_dissipative
    advection = CentralDerivative(grid) + 0.1 * MobilityStructure(grid, degenerate)
    assert (advection.is_dissipative, advection.conserves_mass) == (True, True)
    assert advection.symbol() is None
    assert advection.report(random(1, 8)).is_dissipative


def test_a_broken_promise_shows_in_the_report() -> None:
    grid = GRIDS[0]
    wrong = StateDependent(lambda g, u: u * g, grid=grid, is_skew=True, conserves_mass=True)
    assert (wrong.is_skew, wrong.is_dissipative) == (True, True)
    u = random(1, 8)
    report = wrong.report(u)
    assert (report.is_skew, report.is_dissipative, report.conserves_mass) == (False,) * 3
    assert report.symmetric_max == pytest.approx(float(u.max()), rel=1e-15)
    assert report.is_isotropic  # pointwise: G(Pu) = P G(u) Pᵀ although G(u) ≠ P G(u) Pᵀ
    somewhere = torch.arange(8, dtype=F64)
    fixed = StateDependent(lambda g, u: somewhere * u * g, grid=grid)
    assert not fixed.report(u).is_isotropic


def test_a_function_without_a_grid_acts_on_an_ode() -> None:
    turn = Symplectic()
    structure = StateDependent(lambda g, u: u.square().sum(-1, True) * turn.apply(g), is_skew=True)
    u = random(4)
    assert structure.report(u).is_skew
    assert structure.report(u).anisotropy is None
    expected = float(u @ u) * turn.matrix((4,))
    assert (structure.matrix(u=u) - expected).abs().max() < 1e-15 * 10


def test_learned_mobilities_and_matrices_get_gradients() -> None:
    class Mobility(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.raw = nn.Parameter(torch.tensor([0.7, -0.2], dtype=F64))

        def forward(self, u: Tensor) -> Tensor:
            return nn.functional.softplus(self.raw[0] + self.raw[1] * u**2)

    mobility = Mobility()
    structure = MobilityStructure(GRIDS[2], mobility)
    assert structure.module is mobility
    g, u = random(1, 6, 6).requires_grad_(), random(1, 6, 6, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda g, u: structure.apply(g, u), (g, u))
    structure.apply(g, u).square().sum().backward()
    assert mobility.raw.grad is not None
    assert mobility.raw.grad.abs().min() > 0


def test_the_state_must_be_given() -> None:
    for structure in (
        MobilityStructure(GRIDS[0], degenerate),
        StateMatrix(hat),
        StateDependent(lambda g, u: u * g),
    ):
        with pytest.raises(ValueError, match="u=None"):
            structure.apply(random(1, 8))
        with pytest.raises(ValueError, match="u=None"):
            structure.report()
    with pytest.raises(ValueError, match="law='gradient'"):
        StateMatrix(hat, "gradient")
    with pytest.raises(ValueError, match="operator='upwind'"):
        MobilityStructure(GRIDS[0], degenerate, "upwind")
