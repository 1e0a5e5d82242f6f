"""Structure operators to test, and an independent judge of their matrices."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ddg_explorer.grids import OPERATORS, Grid
from ddg_explorer.structure import (
    CentralDerivative,
    DampedSymplectic,
    Laplacian,
    MatrixStructure,
    MinusIdentity,
    StrainWave,
    Structure,
    Symplectic,
)

LINE, ODD_LINE = Grid.of(8, 3.0, 1), Grid.of(7, 3.0, 1)
SQUARE, OBLONG = Grid.of(6, 1.0, 2), Grid.of((6, 5), (1.0, 2.0), 2)
BOX = Grid.of((3, 4, 3), (1.0, 2.0, 1.0), 3)
GRIDS = [LINE, ODD_LINE, SQUARE, OBLONG, BOX]
F64 = torch.float64


def tensor(*values: object) -> Tensor:
    return torch.tensor(values, dtype=F64)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def fixed_operators() -> list[Structure]:
    found: list[Structure] = []
    for grid, operator in itertools.product(GRIDS, OPERATORS):
        d_dx = CentralDerivative(grid, operator)
        delta = Laplacian(grid, operator)
        found += [
            d_dx,
            CentralDerivative(grid, operator, axis=0, strength=-2.5),
            delta,
            Laplacian(grid, operator, strength=0.3),
            StrainWave(grid, operator),
            StrainWave(grid, operator, friction=0.4),
            d_dx + 0.1 * delta,
            d_dx - 0.1 * delta,
            2 * delta - delta,
            -delta,
            0.5 * d_dx + 0 * MinusIdentity(grid),
            delta + 0.2 * MinusIdentity(),
            0 * delta,
            delta + 0 * MinusIdentity(),
            delta + MinusIdentity(grid, strength=0.1) - 3 * d_dx,
        ]
    for grid in GRIDS:
        found += [
            MinusIdentity(grid),
            Symplectic(grid),
            Symplectic(grid, size=4),
            DampedSymplectic(0.0, grid),
            DampedSymplectic(0.7, grid),
            DampedSymplectic(tensor(0.0, 1.5), grid),
            DampedSymplectic(tensor([2.0, 1.0], [1.0, 0.5]), grid),
            Symplectic(grid) + 0.3 * MinusIdentity(),
            Symplectic(grid) - 0.3 * MinusIdentity(),
            Symplectic(grid) + 0.2 * Laplacian(grid),
            MatrixStructure(random(3, 3), grid),
            MatrixStructure(-random(2, 2) @ random(2, 2).T, grid),
        ]
    return [
        *found,
        Symplectic(size=2),
        Symplectic(size=8),
        DampedSymplectic(0.2, size=4),
        DampedSymplectic(tensor(0.0, 0.0)),
        DampedSymplectic(tensor([2.0, 1.0], [1.0, 0.5])),
        Symplectic(size=4) + 0.1 * MinusIdentity(),
        Symplectic(size=4) - 0.1 * MinusIdentity(),
        MatrixStructure(random(5, 5)),
        MatrixStructure(random(4, 4) - random(4, 4).T),
        MatrixStructure(tensor([-1.0, 1.0], [1.0, -1.0])),
        2 * MatrixStructure(tensor([1.0, 0.0], [0.0, 3.0])) + 4 * MinusIdentity(),
    ]


def grid_permutations(grid: Grid) -> list[Tensor]:
    """Node permutations of the grid's symmetries, from integer coordinates modulo n."""
    nodes = list(itertools.product(*map(range, grid.shape)))
    number = {node: i for i, node in enumerate(nodes)}
    found = []
    for order in itertools.permutations(range(grid.ndim)):
        if any(
            (grid.shape[a], grid.length[a]) != (grid.shape[b], grid.length[b])
            for a, b in enumerate(order)
        ):
            continue
        for signs in itertools.product((1, -1), repeat=grid.ndim):
            image = [
                number[
                    tuple(s * node[a] % n for a, s, n in zip(order, signs, grid.shape, strict=True))
                ]
                for node in nodes
            ]
            found.append(torch.tensor(image))
    return found


def laws_of(matrix: Tensor, grid: Grid | None) -> tuple[bool, bool, bool, bool]:
    """(skew, dissipative, mass, isotropic) of a dense matrix."""
    tolerance = 1e-12 * float(matrix.abs().max())
    nodes = matrix.shape[0] if grid is None else grid.size
    blocks = matrix.reshape(-1, nodes, matrix.shape[0])
    skew = bool((matrix + matrix.T).abs().max() <= tolerance)
    falls = bool(torch.linalg.eigvalsh(matrix + matrix.T).max() <= tolerance)
    mass = bool(blocks.sum(1).abs().max() <= tolerance)
    isotropic = grid is not None
    if grid is not None:
        channels = matrix.shape[0] // nodes
        for p in grid_permutations(grid):
            whole = torch.cat([p + c * nodes for c in range(channels)])
            isotropic &= bool((matrix[whole][:, whole] - matrix).abs().max() <= tolerance)
    return skew, falls, mass, isotropic


def flags(operator: object) -> tuple[bool, bool, bool, bool]:
    names = ("is_skew", "is_dissipative", "conserves_mass", "is_isotropic")
    return tuple(getattr(operator, name) for name in names)  # type: ignore[return-value]
