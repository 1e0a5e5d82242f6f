"""Structure operators: every flag against the materialised matrix, symbols, sums, refusals.

The matrix is judged here by definitions written out independently of `structure.report`.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ddg_explorer.grids import OPERATORS, Grid
from ddg_explorer.structure import (
    STRUCTURES,
    CentralDerivative,
    Combination,
    DampedSymplectic,
    KernelStructure,
    Laplacian,
    MatrixStructure,
    MinusIdentity,
    StateDependent,
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
            expected = grid.central_difference(g, axis)
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


def test_a_sum_shares_one_transform_and_equals_its_parts() -> None:
    slope, delta = CentralDerivative(OBLONG, "spectral"), Laplacian(OBLONG, "spectral")
    g = random(2, *OBLONG.shape)
    total = (2 * (slope + 0.5 * delta) - Laplacian(OBLONG)).apply(g)
    parts = 2 * slope.apply(g) + delta.apply(g) - Laplacian(OBLONG).apply(g)
    assert (total - parts).abs().max() < 1e-14 * parts.abs().max()
    assert len(Combination((2.0, slope + 0.5 * delta), (0.0, slope)).terms) == 2
    assert not (0 * slope).apply(g).any()


def test_flags_of_a_sum_stay_cheap_on_a_large_grid() -> None:
    grid = Grid.of(512, 1.0, 2)
    assert flags(Laplacian(grid) + 0.1 * MinusIdentity()) == (False, True, False, True)
    assert flags(Laplacian(grid) - 0.1 * MinusIdentity()) == (False, False, False, True)
    unknown = StateDependent(lambda g, u: u * g, grid=grid)
    assert flags(unknown + Laplacian(grid)) == (False, False, False, False)


def test_symbols_are_kept_and_safe_to_share_between_threads() -> None:
    operator = CentralDerivative(LINE, "spectral") + 0.1 * Laplacian(LINE, "spectral")
    g = random(1, *LINE.shape)
    expected = (CentralDerivative(LINE, "spectral") + 0.1 * Laplacian(LINE, "spectral")).apply(g)
    out: list[Tensor] = []
    threads = [threading.Thread(target=lambda: out.append(operator.apply(g))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(out) == 8
    assert all(torch.equal(result, expected) for result in out)
    assert operator.symbol() is operator.symbol()


def test_names_make_operators() -> None:
    assert {
        "symplectic", "damped_symplectic", "d_dx", "laplacian", "minus_identity", "matrix", "kernel"
    } <= set(STRUCTURES)  # fmt: skip
    for key in ("d_dx", "laplacian", "strain_wave", "minus_identity", "symplectic"):
        assert isinstance(STRUCTURES[key](LINE), Structure)
    assert STRUCTURES["damped_symplectic"](0.3).is_dissipative
    assert STRUCTURES["dense_skew"](random(3, 3)).is_skew
    assert STRUCTURES["dissipative_kernel"](LINE, random(2, 1)).is_dissipative


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DampedSymplectic(-0.1), "friction=-0.1"),
        (lambda: DampedSymplectic(math.nan), "friction=nan"),
        (lambda: DampedSymplectic(tensor(0.1, -0.2)), "every entry"),
        (lambda: DampedSymplectic(tensor([1.0, 2.0], [2.0, 1.0])), "smallest eigenvalue -1"),
        (lambda: DampedSymplectic(tensor([1.0, 0.5], [0.0, 1.0])), "symmetric"),
        (lambda: DampedSymplectic(tensor(0.1, 0.2), size=6), "size=6"),
        (lambda: DampedSymplectic(torch.nn.Parameter(tensor(0.1))), "Friction module"),
        (lambda: DampedSymplectic(random(2, 2, 2)), "has shape"),
        (lambda: Symplectic(size=3), "size=3"),
        (lambda: Symplectic().apply(random(3)), "3 components"),
        (lambda: Symplectic(size=4).apply(random(2)), "2 components"),
        (lambda: Symplectic().matrix(), "shape=None"),
        (lambda: StrainWave(LINE).apply(random(3, 8)), "3 channels"),
        (lambda: StrainWave(LINE, friction=-1), "friction=-1"),
        (lambda: Laplacian(LINE, strength=-1), "strength=-1"),
        (lambda: MinusIdentity(strength=math.inf), "strength=inf"),
        (lambda: Laplacian(LINE, "upwind"), "operator='upwind'"),
        (lambda: CentralDerivative(LINE, axis=1), "axis=1"),
        (lambda: Combination(), r"terms=\(\)"),
        (lambda: math.nan * Laplacian(LINE), "finite"),
        (lambda: Laplacian(LINE) + Laplacian(ODD_LINE), "share one grid"),
        (lambda: MatrixStructure(random(2, 3)), r"needs \(d, d\)"),
        (lambda: MatrixStructure(tensor([math.nan])), "finite"),
        (lambda: MatrixStructure(random(2, 2).requires_grad_()), "nn.Parameter"),
        (lambda: KernelStructure(LINE, random(2)), "odd"),
        (lambda: KernelStructure(LINE, random(9)), "width ≤ n"),
        (lambda: KernelStructure(LINE, random(3, 3)), "one width"),
        (lambda: Laplacian(Grid.of(128, 1.0, 2)).matrix(), "at most 4096"),
    ],
)
def test_bad_input_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
