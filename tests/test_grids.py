"""Grids: accuracy of the differences, symbols against stencils, exact zeros, integrals."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ddg_explorer.grids import OPERATORS, Grid, check_operator

GRIDS = [
    Grid.of(8, 3.0, 1),
    Grid.of(9, 3.0, 1),
    Grid.of((6, 8), (1.0, 2.5), 2),
    Grid.of((5, 8), 2.0, 2),
    Grid.of((8, 5), 2.0, 2),
    Grid.of((4, 3, 6), (1.0, 2.0, 3.0), 3),
]


def random_field(grid: Grid, seed: int = 0, *batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*batch, *grid.shape, generator=generator, dtype=torch.float64)


def slope(errors: list[float], sizes: list[int]) -> float:
    x, y = torch.tensor(sizes, dtype=torch.float64).log(), torch.tensor(errors).log()
    x, y = x - x.mean(), y - y.mean()
    return -float((x * y).sum() / (x * x).sum())


@pytest.mark.parametrize(
    ("difference", "order"), [("central", 2.0), ("laplacian", 2.0), ("forward", 1.0)]
)
def test_order_of_accuracy(difference: str, order: float) -> None:
    sizes, errors = [32, 64, 128, 256], []
    for n in sizes:
        grid = Grid.of(n, 2 * math.pi, 1)
        (x,) = grid.coordinates()
        f = torch.exp(torch.sin(x))
        exact = torch.cos(x) * f
        if difference == "laplacian":
            error = grid.laplacian(f) - (torch.cos(x) ** 2 - torch.sin(x)) * f
        elif difference == "central":
            symbol = grid.derivative_symbol(0, "finite_difference", f.dtype, f.device)
            error = grid.irfft(symbol * grid.rfft(f)) - exact
        else:
            error = grid.forward_difference(f) - exact
        errors.append(float(error.abs().max()))
    assert abs(slope(errors, sizes) - order) < 0.03


def test_two_dimensional_laplacian_uses_each_axis_spacing() -> None:
    errors, sizes = [], [16, 32, 64]
    for n in sizes:
        grid = Grid.of((n, 2 * n), (2.0, 3.0), 2)
        x, y = grid.coordinates()
        a, b = 2 * math.pi / 2.0, 2 * math.pi * 2 / 3.0
        f = torch.sin(a * x) * torch.cos(b * y)
        errors.append(float((grid.laplacian(f) + (a * a + b * b) * f).abs().max()))
    assert abs(slope(errors, sizes) - 2) < 0.05


def test_spectral_operators_are_exact_below_nyquist() -> None:
    grid = Grid.of((12, 9), (2.0, 5.0), 2)
    x, y = grid.coordinates()
    a, b = 2 * math.pi * 5 / 2.0, 2 * math.pi * 4 / 5.0
    f = torch.sin(a * x + 0.3) * torch.cos(b * y)
    f_hat = grid.rfft(f)
    slopes = [grid.derivative_symbol(axis, "spectral", torch.float64, "cpu") for axis in (0, 1)]
    d_x, d_y = (grid.irfft(symbol * f_hat) for symbol in slopes)
    assert (d_x - a * torch.cos(a * x + 0.3) * torch.cos(b * y)).abs().max() < 1e-13 * a * 4
    assert (d_y + b * torch.sin(a * x + 0.3) * torch.sin(b * y)).abs().max() < 1e-13 * b * 4
    delta = grid.irfft(grid.laplacian_symbol("spectral", torch.float64, "cpu") * f_hat)
    assert (delta + (a * a + b * b) * f).abs().max() < 1e-12 * (a * a + b * b)


@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_finite_difference_symbols_are_those_of_the_stencils(grid: Grid) -> None:
    f = random_field(grid)

    def defect(stencil: Callable[[Tensor], Tensor], symbol: Tensor) -> float:
        by_shift, by_symbol = stencil(f), grid.irfft(symbol * grid.rfft(f))
        return float((by_shift - by_symbol).abs().max() / by_shift.abs().max())

    for axis, h in zip(grid.axes, grid.spacing, strict=True):
        symbol = grid.derivative_symbol(axis, "finite_difference", torch.float64, "cpu")

        def central(u: Tensor, axis: int = axis, h: float = h) -> Tensor:
            return (u.roll(-1, axis) - u.roll(1, axis)) / (2 * h)

        assert defect(central, symbol) < 2e-15
    symbol = grid.laplacian_symbol("finite_difference", torch.float64, "cpu")
    assert defect(grid.laplacian, symbol) < 2e-15


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: str(g.shape))
def test_symbols_are_exactly_skew_and_nonpositive(grid: Grid, operator: str) -> None:
    for axis in range(grid.ndim):
        symbol = grid.derivative_symbol(axis, operator, torch.float64, "cpu")
        assert tuple(symbol.shape) == grid.half_shape
        assert not symbol.real.any()
        assert not symbol.select(axis, 0).any()
        if grid.shape[axis] % 2 == 0:
            assert not symbol.select(axis, grid.shape[axis] // 2).any()
        assert symbol.imag.select(axis, 1).ne(0).all()
    delta = grid.laplacian_symbol(operator, torch.float64, "cpu")
    assert delta.is_floating_point()
    assert delta.flatten()[0] == 0
    assert (delta.flatten()[1:] < 0).all()


def test_integral_coordinates_and_volume() -> None:
    grid = Grid.of((6, 8), (1.5, 2.0), 2)
    x, y = grid.coordinates(torch.float32)
    assert x.dtype == torch.float32
    assert x.shape == y.shape == (6, 8)
    assert x[0, 0] == 0
    assert float(x[-1, 0]) == pytest.approx(1.5 - 0.25)
    assert float(y[0, -1]) == pytest.approx(2.0 - 0.25)
    one = torch.ones(4, 2, 6, 8, dtype=torch.float64)
    assert grid.integral(one).shape == (4, 2)
    assert (grid.integral(one) - 3.0).abs().max() < 1e-15 * 3


def test_symbols_are_rounded_once_and_kept_per_dtype() -> None:
    grid = Grid.of((64, 48), (3.0, 7.0), 2)
    exact = grid.laplacian_symbol("finite_difference", torch.float64, "cpu")
    single = grid.laplacian_symbol("finite_difference", torch.float32, torch.device("cpu"))
    assert torch.equal(single, exact.float())
    assert grid.laplacian_symbol("finite_difference", torch.float32, "cpu") is single
    slopes = grid.derivative_symbol(-1, "spectral", torch.float32, "cpu")
    assert slopes.dtype == torch.complex64
    assert grid.derivative_symbol(1, "spectral", torch.float32, "cpu") is slopes
    assert grid.wavenumbers(torch.float32)[0] is grid.wavenumbers(torch.float32)[0]


def test_symbols_first_asked_for_in_inference_mode_can_be_trained_through() -> None:
    grid = Grid.of(8, 1.0, 1)
    with torch.inference_mode():
        symbol = grid.derivative_symbol(0, "spectral", torch.float64, "cpu")
    f = random_field(grid).requires_grad_()
    slope = grid.irfft(symbol * grid.rfft(f))
    (slope**2 / 2).sum().backward()
    assert f.grad is not None
    expected = -grid.irfft(symbol * grid.rfft(slope.detach()))
    assert (f.grad - expected).abs().max() < 1e-13 * expected.abs().max()


def test_a_cold_grid_compiles_in_one_graph() -> None:
    grid = Grid.of((6, 5), 1.0, 2)

    def second_derivative(u: Tensor) -> Tensor:
        symbol = grid.derivative_symbol(0, "spectral", u.dtype, u.device)
        return grid.forward_difference(grid.irfft(symbol * grid.rfft(u))) + grid.laplacian(u)

    u = random_field(grid)
    compiled = torch.compile(second_derivative, fullgraph=True, backend="aot_eager")
    assert (compiled(u) - second_derivative(u)).abs().max() < 1e-12


def test_grids_are_values() -> None:
    grid = Grid.of(8, 1.0, 2)
    grid.laplacian_symbol("spectral", torch.float64, "cpu")
    fresh = Grid((8, 8), (1.0, 1.0))
    assert grid == fresh
    assert hash(grid) == hash(fresh)
    assert pickle.loads(pickle.dumps(grid)) == grid
    assert (grid.ndim, grid.size, grid.half_shape) == (2, 64, (8, 5))
    assert grid.axes == (-2, -1)
    assert grid.cell_volume == 1 / 64


def test_numbers_of_numpy_make_the_same_grid() -> None:
    grid = Grid.of(np.int64(8), np.float32(2.5), 2)
    assert grid == Grid((8, 8), (2.5, 2.5))
    assert {type(n) for n in grid.shape} | {type(x) for x in grid.length} == {int, float}


@pytest.mark.parametrize(
    ("shape", "length"),
    [
        ([6, 8], [1, 2.5]),
        (np.array([6, 8]), np.array([1.0, 2.5])),
        (torch.tensor([6, 8]), torch.tensor([1.0, 2.5])),
        ((np.int64(6), np.int32(8)), (np.float32(1), torch.tensor(2.5))),
    ],
)
def test_lists_and_arrays_make_the_grid_that_tuples_make(shape: Any, length: Any) -> None:
    plain = Grid((6, 8), (1.0, 2.5))
    for grid in (Grid(shape, length), Grid.of(shape, length, 2)):
        assert grid == plain
        assert hash(grid) == hash(plain)
        assert repr(grid) == repr(plain)
    assert Grid.from_dict(plain.to_dict()) == plain


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Grid(64, 1.0), "n=64: must be an integer ≥ 3 per axis"),
        (lambda: Grid((64.5,), (1.0,)), "n=(64.5,): must be an integer ≥ 3 per axis"),
        (lambda: Grid("64", (1.0,)), "n='64': must be an integer ≥ 3 per axis"),
        (lambda: Grid((64,), 1.0), "length=1.0: must be a positive number per axis"),
        (lambda: Grid((64,), ("1",)), "length=('1',): must be a positive number per axis"),
        (lambda: Grid((64,), (True,)), "length=(True,): must be a positive number per axis"),
        (
            lambda: Grid((64,), (10**400,)),
            "length=(inf,): every length must be finite and positive",
        ),
        (lambda: Grid.of(6.7, 1.0, 1), "n=6.7: must be an integer ≥ 3 per axis"),
        (lambda: Grid.of(64.0, 1.0, 1), "n=64.0: must be an integer ≥ 3 per axis"),
        (lambda: Grid.of(("64",), 1.0, 1), "n=('64',): must be an integer ≥ 3 per axis"),
        (lambda: Grid.of(None, 1.0, 2), "n=None: must be an integer ≥ 3 per axis"),
        (lambda: Grid.of(8, "1", 2), "length='1': must be a positive number per axis"),
        (lambda: Grid.of((8, 8), 1.0, 1), "n=(8, 8): this system lives on 1 axes"),
    ],
)
def test_what_are_no_numbers_of_points_or_lengths_is_refused_in_one_line(
    make: Callable[[], object], line: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid.of(2, 1.0, 1), "at least 3 points"),
        (lambda: Grid.of(8, -1.0, 1), "finite and positive"),
        (lambda: Grid.of(8, math.nan, 2), "finite and positive"),
        (lambda: Grid.of((8, 8), 1.0, 1), "n="),
        (lambda: Grid((8,), (1.0, 2.0)), "length="),
        (lambda: Grid((), ()), "length="),
        (lambda: check_operator("upwind"), "operator='upwind'"),
        (lambda: GRIDS[0].derivative_symbol(0, "x", torch.float64, "cpu"), "operator='x'"),
        (lambda: GRIDS[0].laplacian_symbol("x", torch.float64, "cpu"), "operator='x'"),
    ],
)
def test_bad_input_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
