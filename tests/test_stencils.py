"""Stencil operators with weights that vary: product, matrix and mean symbol agree."""

from __future__ import annotations

import itertools

import pytest
import torch

from ddg_explorer.grids import Grid
from ddg_explorer.stencils import LocalOperator
from ddg_explorer.structure import CentralDerivative, Laplacian


def random_operator(grid: Grid, channels: int, batch: int) -> LocalOperator:
    generator = torch.Generator().manual_seed(0)
    offsets = list(itertools.product((-2, 0, 1), repeat=grid.ndim))
    shape = (batch, channels, channels * len(offsets), grid.size)
    return LocalOperator(grid, offsets, torch.randn(shape, generator=generator).double())


@pytest.mark.parametrize(("shape", "channels"), [((9,), 1), ((8,), 2), ((5, 4), 1), ((4, 6), 3)])
def test_product_equals_the_matrix(shape: tuple[int, ...], channels: int) -> None:
    grid = Grid(shape, tuple(1.0 for _ in shape))
    operator = random_operator(grid, channels, 2)
    d = torch.randn(2, channels, *shape, generator=torch.Generator().manual_seed(1)).double()
    expected = (operator.dense() @ d.flatten(1).unsqueeze(-1)).view(d.shape)
    torch.testing.assert_close(operator.apply(d), expected, rtol=1e-13, atol=1e-13)


def test_offsets_reach_where_they_say() -> None:
    """(J d)(x) = d(x + 1): the weight multiplies the right neighbour."""
    grid = Grid((6,), (6.0,))
    operator = LocalOperator(grid, [(1,)], torch.ones(1, 1, 1, 6).double())
    d = torch.arange(6.0).double()[None, None]
    assert operator.apply(d).flatten().tolist() == [1, 2, 3, 4, 5, 0]


@pytest.mark.parametrize("make", [Laplacian, CentralDerivative])
@pytest.mark.parametrize("shape", [(12,), (8, 10)])
def test_symbol_of_constant_weights_is_that_of_the_operator(make, shape) -> None:
    grid = Grid(shape, tuple(1.0 + i for i in range(len(shape))))
    structure = make(grid)
    offsets = list(itertools.product((-1, 0, 1), repeat=grid.ndim))
    impulse = torch.zeros(1, *shape).double()
    impulse[(0, *(n // 2 for n in shape))] = 1.0
    response = structure.apply(impulse)[0]
    kernel = [response[tuple(n // 2 - i for n, i in zip(shape, o, strict=True))] for o in offsets]
    weights = torch.stack(kernel)[None, None, :, None].expand(1, 1, -1, grid.size)
    symbol = LocalOperator(grid, offsets, weights).symbol()
    assert (symbol - structure.symbol()).abs().max() < 1e-11 * structure.symbol().abs().max()


def test_ode_is_one_node_without_a_symbol() -> None:
    matrix = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(2)).double()
    operator = LocalOperator(None, [()], matrix.unsqueeze(-1))
    d = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]]).double()
    assert torch.equal(operator.dense(), matrix)
    torch.testing.assert_close(operator.apply(d), (matrix @ d.unsqueeze(-1)).squeeze(-1))
    with pytest.raises(ValueError, match="an ODE has no Fourier symbol"):
        operator.symbol()
