"""Convolution kernels as structure operators: laws by construction, margins of free ones."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.structure import (
    CentralDerivative,
    DissipativeKernel,
    FreeKernel,
    KernelStructure,
    Laplacian,
    SkewKernel,
    SkewMatrix,
)
from ddg_explorer.structure.projections import dissipative_kernel, real_symbol

F64 = torch.float64
LINE, SQUARE = Grid.of(8, 3.0, 1), Grid.of(6, 1.0, 2)
TALK = torch.tensor(
    [[2.450, 1.339, 2.448], [1.328, -15.148, 1.326], [2.447, 1.338, 2.452]], dtype=F64
)
"""The 3×3 kernel the published talk shows for 2-D Cahn–Hilliard, learned without constraint."""


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def kernels(seed: int) -> list[nn.Module]:
    def raw(*shape: int) -> Tensor:
        return random(*shape, seed=seed)

    return [
        SkewKernel(raw(3)),
        SkewKernel(raw(3, 5)),
        DissipativeKernel(raw(2, 1)),
        DissipativeKernel(raw(3, 2), zero_sum=True, skew=raw(5)),
        DissipativeKernel(raw(2, 2, 4)),
        DissipativeKernel(raw(2, 2, 1), zero_sum=True, skew=raw(3, 3)),
        DissipativeKernel(raw(2, 2, 4), zero_sum=True, isotropic=True),
        DissipativeKernel(raw(3, 3, 2), isotropic=True),
        DissipativeKernel(raw(2, 2, 2, 3), zero_sum=True, isotropic=True),
        FreeKernel(raw(3, 3), zero_sum=True),
        FreeKernel(raw(5, 5), zero_sum=True, isotropic=True),
        FreeKernel(raw(5), isotropic=True),
    ]


def test_constrained_kernels_keep_their_laws_on_every_grid() -> None:
    checked = 0
    for seed, n in itertools.product(range(5), (5, 6, 11, 16)):
        for module in kernels(seed):
            grid = Grid.of(n, 1.0, module().ndim)
            operator = KernelStructure(grid, module)
            report = operator.report(tolerance=2e-15)
            for law in module.guarantees:  # type: ignore[union-attr]
                assert getattr(operator, law)
                assert getattr(report, law), f"{law} of {type(module).__name__}: {report}"
                checked += 1
    assert checked > 400


def test_constraints_are_exact_where_floating_point_allows() -> None:
    for seed in range(5):
        skew = SkewKernel(random(3, 5, seed=seed))()
        assert torch.equal(skew, -skew.flip(0, 1))
        even = DissipativeKernel(random(3, 3, 2, seed=seed))()
        assert torch.equal(even, even.flip(0, 1))
        for module in (
            DissipativeKernel(random(2, 2, 4, seed=seed), zero_sum=True, isotropic=True),
            FreeKernel(random(5, 5, seed=seed), isotropic=True),
        ):
            k = module()
            assert torch.equal(k, k.T)
            assert torch.equal(k, k.flip(0))
        a = SkewMatrix(random(5, 5, seed=seed))()
        assert torch.equal(a, -a.T)


def test_every_even_three_wide_kernel_with_nonpositive_symbol_is_reached() -> None:
    # −Ĝ = c − 2a cos θ ≥ 0 for |2a| ≤ c; s₀² + s₁² = c and s₀ s₁ = −a has a solution.
    for a, c in [(1.0, 2.0), (0.3, 2.0), (-0.7, 1.5), (0.0, 1.0), (-1.0, 2.0)]:
        plus, minus = math.sqrt(c - 2 * a), math.sqrt(c + 2 * a)
        s = torch.tensor([[(plus + minus) / 2], [(plus - minus) / 2]], dtype=F64)
        expected = torch.tensor([a, -c, a], dtype=F64)
        assert (DissipativeKernel(s)() - expected).abs().max() < 1e-15


def test_laplacians_and_derivatives_are_among_the_constrained_kernels() -> None:
    h = SQUARE.spacing[0]
    along = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=F64)
    squares = torch.stack([along, along.T], -1) / h
    learned = KernelStructure.dissipative(SQUARE, squares, zero_sum=True, isotropic=True)
    assert (learned.matrix() - Laplacian(SQUARE).matrix()).abs().max() < 1e-12
    line = KernelStructure.skew(LINE, torch.tensor([-1.0, 0.0, 1.0], dtype=F64) / (2 * 3.0 / 8))
    assert torch.equal(line.matrix(), CentralDerivative(LINE).matrix())
    # The nine-point Laplacian [1 4 1; 4 −20 4; 1 4 1]/6 needs both diagonals as well.
    diagonal = torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=F64)
    weights = torch.tensor([4 / 6, 4 / 6, 1 / 6, 1 / 6], dtype=F64).sqrt()
    nine = torch.stack([along, along.T, diagonal, diagonal.flip(1)], -1) * weights
    row = torch.tensor([[1.0, 4.0, 1.0], [4.0, -20.0, 4.0], [1.0, 4.0, 1.0]], dtype=F64) / 6
    assert (DissipativeKernel(nine)() - row).abs().max() < 1e-14


def test_verdicts_on_the_published_learned_kernel() -> None:
    for n in (3, 16, 65):
        operator = KernelStructure(Grid.of(n, 1.0, 2), TALK)
        report = operator.report(tolerance=1e-2)
        assert (report.is_skew, report.is_dissipative) == (False, True)
        assert (report.conserves_mass, report.is_isotropic) == (True, True)
        assert report.mass_defect / report.scale == pytest.approx(0.02 / 15.148, rel=1e-6)
        assert report.anisotropy == pytest.approx(0.013, rel=1e-9)
        # The sum is negative, so the largest symbol, at θ = 0, is that sum: dissipative outright.
        assert report.symmetric_max == pytest.approx(-0.02, abs=1e-10)
        assert operator.is_dissipative
        assert not operator.conserves_mass
        assert not operator.is_isotropic


def test_weights_multiply_the_neighbours_they_lie_next_to() -> None:
    g = random(2, 6, 6)
    for i, j in itertools.product((-1, 0, 1), repeat=2):
        kernel = torch.zeros(3, 3, dtype=F64)
        kernel[1 + i, 1 + j] = 2.0
        shifted = 2 * torch.roll(g, (-i, -j), (-2, -1))
        assert torch.equal(KernelStructure(SQUARE, kernel).apply(g), shifted)


@pytest.mark.parametrize("widths", [(3,), (5,), (11,), (3, 3), (1, 3), (5, 3), (5, 5), (3, 3, 3)])
def test_kernels_wide_and_narrow_equal_the_plain_sum(widths: tuple[int, ...]) -> None:
    grid = Grid.of((13, 12, 11)[: len(widths)], 1.0, len(widths))
    kernel, g = random(*widths), random(2, 3, *grid.shape, seed=1)
    plain = torch.zeros_like(g)
    for node in itertools.product(*map(range, widths)):
        shift = [w // 2 - j for w, j in zip(widths, node, strict=True)]
        plain += kernel[node] * torch.roll(g, shift, grid.axes)
    for operator in (KernelStructure(grid, kernel), KernelStructure(grid, nn.Parameter(kernel))):
        assert (operator.apply(g) - plain).abs().max() < 3e-15 * kernel.abs().sum() * g.abs().max()


@pytest.mark.parametrize("points", [5, 7])
def test_a_kernel_made_dissipative_is_so_on_any_grid(points: int) -> None:
    """Also between the few wavenumbers of the small grid it was made for."""
    kernel = torch.tensor([0.5, -0.2, -0.6, -0.2, 0.5], dtype=F64)
    made = dissipative_kernel(kernel, (points,))
    for size in (points, 64, 256):
        assert real_symbol(made, (size,)).max() <= 1e-12
    assert torch.equal(dissipative_kernel(made, (points,)), made)
