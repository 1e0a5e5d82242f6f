"""Structure operators: every flag against the materialised matrix, symbols, margins."""

from __future__ import annotations

import math

import pytest
import torch
from structure_zoo import (
    F64,
    GRIDS,
    LINE,
    OBLONG,
    ODD_LINE,
    SQUARE,
    fixed_operators,
    flags,
    laws_of,
    random,
    tensor,
)
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.structure import (
    CentralDerivative,
    DampedSymplectic,
    KernelStructure,
    Laplacian,
    MatrixStructure,
    MinusIdentity,
    StrainWave,
    Structure,
    Symplectic,
)
from ddg_explorer.structure.comparison import distance, gap
from ddg_explorer.structure.report import symmetries


def test_every_flag_is_that_of_the_matrix_and_of_the_report() -> None:
    for operator in fixed_operators():
        laws = laws_of(operator.matrix(), operator.grid)
        what = f"{type(operator).__name__} on {operator.grid}"
        assert flags(operator) == laws, what
        assert flags(operator.report()) == laws, what


def test_symbols_act_as_the_matrix_does() -> None:
    seen = 0
    for operator in fixed_operators():
        if operator.grid is None or operator.state_shape is None:
            assert operator.symbol() is None
            continue
        symbol, grid = operator.symbol(), operator.grid
        assert symbol is not None
        g = random(*operator.state_shape)
        g_hat = grid.rfft(g)
        product = (
            torch.einsum("ij...,j...->i...", symbol + 0j, g_hat)
            if (symbol.ndim > grid.ndim)
            else symbol * g_hat
        )
        by_matrix = (operator.matrix() @ g.flatten()).reshape(g.shape)
        scale = float(operator.matrix().abs().sum(1).max()) * float(g.abs().max())
        assert (grid.irfft(product) - by_matrix).abs().max() <= 2e-15 * scale
        seen += 1
    assert seen > 100


def test_waves_are_eigenvectors_with_the_symbol_as_eigenvalue() -> None:
    for operator in (
        CentralDerivative(LINE),
        Laplacian(LINE, "spectral"),
        CentralDerivative(ODD_LINE, "spectral"),
        KernelStructure(LINE, random(5)),
    ):
        grid = operator.grid
        assert grid is not None
        symbol, matrix = operator.symbol(), operator.matrix().to(torch.complex128)
        assert symbol is not None
        (x,), (k,) = grid.coordinates(), grid.wavenumbers()
        for mode in range(grid.half_shape[0]):
            if 2 * mode == grid.size:
                continue  # the Nyquist wave is its own mirror image: checked through the matrix
            wave = torch.exp(1j * k[mode] * x)
            assert (matrix @ wave - symbol[mode] * wave).abs().max() < 5e-15 * matrix.abs().sum(1)[
                0
            ]


def test_energy_law_of_random_gradients() -> None:
    for operator in fixed_operators():
        if operator.state_shape is None:
            continue
        g = random(7, *operator.state_shape).flatten(1)
        image = operator.apply(g.reshape(7, *operator.state_shape)).flatten(1)
        power, size = (g * image).sum(1), (g.norm(dim=1) * image.norm(dim=1)).max()
        if operator.is_skew:
            assert power.abs().max() <= 1e-14 * size
        elif operator.is_dissipative:
            assert power.max() <= 1e-14 * size


def test_batches_are_applied_alike_and_dtypes_kept() -> None:
    for operator in fixed_operators():
        if operator.state_shape is None:
            continue
        g = random(2, 3, *operator.state_shape)
        out = operator.apply(g)
        each = torch.stack([torch.stack([operator.apply(b) for b in row]) for row in g])
        assert (out - each).abs().max() <= 1e-14 * max(1.0, float(each.abs().max()))
        single = operator.apply(g.float())
        assert single.dtype == torch.float32
        assert (single - out).abs().max() <= 5e-6 * max(1.0, float(out.abs().max()))


def test_everything_follows_the_device_of_the_argument() -> None:
    # The meta device stands for any other: mixing it with a CPU tensor raises.
    for operator in fixed_operators():
        if operator.state_shape is not None:
            out = operator.apply(torch.empty(3, *operator.state_shape, dtype=F64, device="meta"))
            assert out.device.type == "meta"
            symbol = operator.symbol(F64, "meta")
            assert symbol is None or symbol.device.type == "meta"


def test_blocks_of_the_channel_operators() -> None:
    n = LINE.size
    d, eye, zero = CentralDerivative(LINE).matrix(), torch.eye(n, dtype=F64), torch.zeros(n, n)
    wave = torch.cat([torch.cat([zero, d], 1), torch.cat([d, -0.4 * eye], 1)])
    assert torch.equal(StrainWave(LINE, friction=0.4).matrix(), wave)
    damped = torch.cat([torch.cat([zero, eye], 1), torch.cat([-eye, -0.7 * eye], 1)])
    assert torch.equal(DampedSymplectic(0.7, LINE).matrix(), damped)
    r = tensor([2.0, 1.0], [1.0, 0.5])
    two, none = torch.eye(2, dtype=F64), torch.zeros(2, 2)
    damped = torch.cat([torch.cat([none, two], 1), torch.cat([-two, -r], 1)])
    assert torch.equal(DampedSymplectic(r).matrix(), damped)


def test_stencils_are_those_of_the_grid() -> None:
    for grid in GRIDS:
        g = random(2, *grid.shape)
        fast, plain = Laplacian(grid, strength=0.3).apply(g), 0.3 * grid.laplacian(g)
        assert (fast - plain).abs().max() < 2e-15 * plain.abs().max()
        for axis in grid.axes:
            difference = CentralDerivative(grid, axis=axis).apply(g)
            expected = (g.roll(-1, axis) - g.roll(1, axis)) / (2 * grid.spacing[axis])
            assert (difference - expected).abs().max() < 2e-15 * expected.abs().max()


def test_margins_are_the_numbers_they_claim_to_be() -> None:
    broken = Symplectic(LINE) - 0.3 * MinusIdentity()
    report = broken.report()
    assert report.symmetric_max == pytest.approx(0.3, abs=1e-15)
    assert report.symmetric_min == pytest.approx(0.3, abs=1e-15)
    assert report.skew_defect == pytest.approx(0.3, abs=1e-15)
    assert report.mass_defect == pytest.approx(1.0, abs=1e-15)
    assert broken.law == "can create energy"
    assert "energy can rise" in str(report)
    report = Laplacian(LINE).report()
    h = LINE.spacing[0]
    assert report.symmetric_min == pytest.approx(-4 / h**2, rel=1e-14)
    assert report.scale == pytest.approx(2 / h**2, rel=1e-14)
    assert report.anisotropy == pytest.approx(0, abs=1e-14 * report.scale)
    slope = CentralDerivative(LINE).report()
    assert slope.anisotropy == pytest.approx(1 / h, rel=1e-14)
    assert MatrixStructure(tensor([1.0, 2.0], [0.0, -1.0])).report().symmetric_max == pytest.approx(
        math.sqrt(2), rel=1e-14
    )


def test_symbol_and_matrix_give_the_same_margins() -> None:
    class Hidden(Structure):
        def __init__(self, inner: Structure) -> None:
            self.inner, self.grid = inner, inner.grid

        @property
        def state_shape(self) -> tuple[int, ...] | None:
            return self.inner.state_shape

        def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
            return self.inner.apply(g, u)

    for inner in (
        KernelStructure(SQUARE, random(3, 3)),
        StrainWave(OBLONG, friction=0.4),
        CentralDerivative(ODD_LINE, "spectral") + 0.1 * Laplacian(ODD_LINE),
    ):
        by_symbol, by_matrix = inner.report(), Hidden(inner).report()
        for name in ("scale", "symmetric_max", "symmetric_min", "mass_defect", "anisotropy"):
            difference = abs(getattr(by_symbol, name) - getattr(by_matrix, name))
            assert difference <= 3e-14 * by_matrix.scale, name


def test_a_rectangle_of_as_many_points_has_half_the_symmetries_of_a_square() -> None:
    square, rectangle = Grid((8, 8), (1.0, 1.0)), Grid((8, 8), (1.0, 2.0))
    found = [len(list(symmetries(grid))) for grid in (LINE, square, rectangle, OBLONG)]
    assert found == [2, 8, 4, 4]
    # both Laplacians are: the rectangle's is not asked to be the same along x and y
    assert Laplacian(square).report().is_isotropic
    assert Laplacian(rectangle).report().is_isotropic


def test_a_gap_is_relative_to_the_weights_beside_the_centre_or_to_the_centre_alone() -> None:
    laplacian = tensor(1.0, -2.0, 1.0)
    assert gap(tensor(1.0, -2.5, 1.0), laplacian) == 0.5
    assert gap(tensor(0.0, -1.0, 0.0), tensor(0.0, -2.0, 0.0)) == 0.5
    assert distance(tensor(0.0, -1.0, 0.0), tensor(0.0, -2.0, 0.0)) == 0
