"""Structure operators: sums, sharing, transforms of torch.func, names and refusals."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from structure_zoo import (
    LINE,
    OBLONG,
    ODD_LINE,
    SQUARE,
    fixed_operators,
    flags,
    random,
    tensor,
)
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.structure import (
    STRUCTURES,
    CentralDerivative,
    Combination,
    DampedSymplectic,
    KernelStructure,
    Laplacian,
    MatrixStructure,
    MinusIdentity,
    MobilityStructure,
    StateDependent,
    StrainWave,
    Structure,
    Symplectic,
)


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


def test_a_sum_without_symbol_that_is_too_large_to_measure_promises_nothing() -> None:
    class Shift(Structure):
        grid = Grid((5000,), (1.0,))

        def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
            return g.roll(1, -1)

    assert (Shift() - Shift()).law == "can create energy"
    assert not (Shift() - Shift()).apply(random(1, 5000)).any()


def test_sums_of_lists_and_quotients_are_sums() -> None:
    delta, slope = Laplacian(LINE), CentralDerivative(LINE)
    g = random(1, *LINE.shape)
    total = sum([delta, slope, slope])
    assert isinstance(total, Structure)
    assert torch.equal(total.apply(g), (delta + slope + slope).apply(g))
    assert torch.equal((delta / 4).apply(g), 0.25 * delta.apply(g))
    assert (delta / -1).law == "can create energy, conserves mass"
    for half in (np.float32(0.5), np.float64(0.5), torch.tensor(0.5)):
        assert torch.equal((half * delta).apply(g), (delta / 2).apply(g))


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
    assert STRUCTURES["learned_skew_matrix"](random(3, 3)).is_skew
    assert STRUCTURES["learned_dissipative_kernel"](LINE, random(2, 1)).is_dissipative


def test_lists_and_arrays_are_the_float64_tensor_of_their_numbers() -> None:
    g = random(5, 2)
    expected = MatrixStructure(tensor([0.1, 1.0], [-1.0, 0.0])).apply(g)
    rows = [[0.1, 1], [-1, 0]]
    for numbers in (rows, tuple(map(tuple, rows)), np.array(rows), np.array(rows, dtype=">f8")):
        assert torch.equal(MatrixStructure(numbers).apply(g), expected)
    kernel = np.array([1, -2, 1])
    operator = KernelStructure(LINE, kernel)
    kernel[1] = 7
    assert torch.equal(operator.kernel, tensor(1.0, -2.0, 1.0))
    damped = DampedSymplectic([0.1, 0.2])
    assert torch.equal(damped.friction, tensor(0.1, 0.2))
    assert damped.state_shape == (4,)


def test_torch_func_transforms_see_a_linear_map() -> None:
    operators = [op for op in fixed_operators() if op.state_shape is not None]
    operators += [
        KernelStructure(LINE, random(3)),
        KernelStructure(SQUARE, random(3, 3)),
        MobilityStructure(SQUARE, torch.cos),
    ]
    for operator in operators:
        assert operator.state_shape is not None
        g, u = random(3, *operator.state_shape), random(*operator.state_shape, seed=1)
        expected = operator.apply(g, u)
        scale = 1e-14 * max(1.0, float(expected.abs().max()))
        mapped = torch.func.vmap(lambda g, op=operator, u=u: op.apply(g, u))(g)
        assert (mapped - expected).abs().max() <= scale
        _, tangent = torch.func.jvp(lambda g, op=operator, u=u: op.apply(g, u), (u,), (g[0],))
        assert (tangent - expected[0]).abs().max() <= scale
        states = torch.func.vmap(lambda u, op=operator, g=g: op.apply(g[0], u))(g)
        assert (states[1] - operator.apply(g[0], g[1])).abs().max() <= scale


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DampedSymplectic(-0.1), "friction=-0.1"),
        (lambda: DampedSymplectic(math.nan), "friction=nan"),
        (lambda: DampedSymplectic(tensor(0.1, -0.2)), "every entry"),
        (lambda: DampedSymplectic(tensor([1.0, 2.0], [2.0, 1.0])), "smallest eigenvalue -1"),
        (lambda: DampedSymplectic(tensor([1.0, 0.5], [0.0, 1.0])), "symmetric"),
        (lambda: DampedSymplectic([[1.0, 0.0], [0.0, -1e-3]]), "smallest eigenvalue -0.001"),
        (lambda: DampedSymplectic(True), "^friction=True: must be a real number"),
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
        (lambda: math.nan * Laplacian(LINE), "^weight=nan: must be finite"),
        (lambda: 10**400 * Laplacian(LINE), "^weight=1000.*: must be finite"),
        (lambda: True * Laplacian(LINE), "^weight=True: must be a real number"),
        (lambda: 1j * Laplacian(LINE), "^weight=a complex: must be a real number"),
        (lambda: "a" * Laplacian(LINE), "^weight='a': must be a real number"),
        (lambda: Laplacian(LINE) * Laplacian(LINE), "^weight=a Laplacian: must be a real number"),
        (lambda: random(2) * Laplacian(LINE), "^weight=a Tensor: must be a real number"),
        (lambda: nn.Parameter(tensor(0.1)[0]) * Laplacian(LINE), "^weight: has a gradient"),
        (lambda: nn.Parameter(tensor(0.1)[0]).exp() * Laplacian(LINE), "^weight: has a gradient"),
        (lambda: Laplacian(LINE, strength=nn.Parameter(tensor(0.1)[0])), "^strength: has a gradi"),
        (lambda: Laplacian(LINE) / 0, "^divisor=0: must not be 0"),
        (lambda: Laplacian(LINE) / "a", "^divisor='a': must be a real number"),
        (lambda: Symplectic() + 1, "^operator=1: a sum is one of structure operators"),
        (lambda: 1 + Symplectic(), "^operator=1: a sum is one of structure operators"),
        (lambda: Symplectic() - None, "^operator=None: a sum is one of structure operators"),
        (lambda: Laplacian(None), "^grid=None: must be a periodic Grid"),
        (lambda: CentralDerivative((8,)), r"^grid=\(8,\): must be a periodic Grid"),
        (lambda: StrainWave(8), "^grid=8: must be a periodic Grid"),
        (lambda: KernelStructure([1, -2, 1], LINE), r"^grid=\[1, -2, 1\]: must be a periodic"),
        (lambda: MobilityStructure(None, torch.cos), "^grid=None: must be a periodic Grid"),
        (lambda: MinusIdentity(0.5), r"^grid=0\.5: must be a periodic Grid"),
        (lambda: Symplectic(2), "^grid=2: must be a periodic Grid"),
        (lambda: DampedSymplectic(0.1, 2), "^grid=2: must be a periodic Grid"),
        (lambda: MatrixStructure([[0.0]], 2), "^grid=2: must be a periodic Grid"),
        (lambda: StateDependent(torch.mul, grid=2), "^grid=2: must be a periodic Grid"),
        (lambda: Laplacian(LINE) + Laplacian(ODD_LINE), "share one grid"),
        (lambda: MatrixStructure(random(2, 3)), r"needs \(d, d\)"),
        (lambda: MatrixStructure(tensor([math.nan])), "finite"),
        (lambda: MatrixStructure(random(2, 2).requires_grad_()), "nn.Parameter"),
        (lambda: MatrixStructure([[0, 1], [1]]), r"^matrix=\[\[0, 1\], \[1\]\]: must be real"),
        (lambda: MatrixStructure("ab"), "^matrix='ab': must be real"),
        (lambda: MatrixStructure(None), "^matrix=None: must be real"),
        (lambda: MatrixStructure(np.array([[0, 1j], [1, 0]])), "^matrix=a ndarray: must be real"),
        (lambda: DampedSymplectic(None), "^friction=None: must be real"),
        (lambda: DampedSymplectic([0.1, [0.2]]), r"^friction=\[0\.1, \[0\.2\]\]: must be real"),
        (lambda: DampedSymplectic([math.inf]), "^friction: every entry must be finite"),
        (lambda: KernelStructure(LINE, "abc"), "^kernel='abc': must be real"),
        (lambda: MatrixStructure([[0, 1j], [1j, 0]]), "real numbers in rows of one length"),
        (
            lambda: MatrixStructure(torch.tensor([[0, 1j], [1j, 0]])),
            "^matrix has dtype .*x64",
        ),
        (
            lambda: MatrixStructure(nn.Parameter(random(2, 2) + 0j)),
            "^matrix has dtype .*x128",
        ),
        (
            lambda: MatrixStructure(torch.eye(2).bool()),
            "^matrix has dtype .*bool: must be",
        ),
        (lambda: KernelStructure(LINE, random(3) + 0j), "^kernel has dtype .*: must be real"),
        (lambda: DampedSymplectic(tensor(0.1, 0.2) + 0j), "^friction has dtype .*: must be real"),
        (lambda: MatrixStructure(Symplectic()), "real numbers in rows of one length"),
        (lambda: KernelStructure(LINE, random(2)), "odd"),
        (lambda: KernelStructure(LINE, random(9)), "width ≤ n"),
        (lambda: KernelStructure(LINE, random(3, 3)), "one width"),
        (lambda: Laplacian(Grid.of(128, 1.0, 2)).matrix(), "at most 4096"),
    ],
)
def test_bad_input_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        make()
    assert "\n" not in str(refusal.value)
