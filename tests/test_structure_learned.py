"""Learned structure operators: laws by construction, honest margins of free ones, gradients."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.structure import (
    CentralDerivative,
    DampedSymplectic,
    DissipativeKernel,
    DissipativeMatrix,
    FreeKernel,
    Friction,
    KernelStructure,
    Laplacian,
    MatrixStructure,
    SkewKernel,
    SkewMatrix,
    Structure,
)

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


def learnable() -> list[tuple[Structure, tuple[int, ...]]]:
    return [
        (MatrixStructure.skew(random(3, 3)), (3,)),
        (MatrixStructure.dissipative(random(3, 2), random(3, 3, seed=1)), (3,)),
        (MatrixStructure(nn.Parameter(random(2, 2)), LINE), (2, 8)),
        (DampedSymplectic(Friction(torch.tensor(0.3, dtype=F64)), size=4), (4,)),
        (DampedSymplectic(Friction(random(2))), (4,)),
        (DampedSymplectic(Friction(random(2, 2)), LINE), (4, 8)),
        (KernelStructure(LINE, nn.Parameter(random(3))), (1, 8)),
        (KernelStructure.skew(SQUARE, random(3, 3)), (1, 6, 6)),
        (KernelStructure.dissipative(LINE, random(2, 1), skew=random(3), zero_sum=True), (1, 8)),
        (
            KernelStructure.dissipative(SQUARE, random(3, 3, 2), zero_sum=True, isotropic=True),
            (1, 6, 6),
        ),
        (
            KernelStructure(SQUARE, FreeKernel(random(3, 3), zero_sum=True, isotropic=True)),
            (1, 6, 6),
        ),
    ]


def parameters_of(structure: Structure) -> dict[str, Tensor]:
    assert structure.module is not None
    return {name: p.detach().clone() for name, p in structure.module.named_parameters()}


def with_parameters(structure: Structure) -> Callable[[dict[str, Tensor], Tensor], Tensor]:
    """apply(g) as a pure function of the parameters, as a model's `functional_call` sees it."""

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.learned = structure.module

        def forward(self, g: Tensor) -> Tensor:
            return structure.apply(g)

    holder = Holder()
    return lambda values, g: torch.func.functional_call(
        holder, {f"learned.{name}": value for name, value in values.items()}, (g,)
    )


def test_gradients_reach_every_parameter_and_the_argument() -> None:
    for structure, shape in learnable():
        call, values = with_parameters(structure), parameters_of(structure)
        names = list(values)
        inputs = [values[name].requires_grad_() for name in names]
        g = random(2, *shape, seed=3).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda g, *ps, call=call, names=names: call(dict(zip(names, ps, strict=True)), g),
            (g, *inputs),
        ), structure.law


def test_parameters_can_be_batched() -> None:
    for structure, shape in learnable():
        call, values = with_parameters(structure), parameters_of(structure)
        stacked = {name: torch.stack([v, 2 * v, -v]) for name, v in values.items()}
        g = random(*shape, seed=3)
        together = torch.func.vmap(call, (0, None))(stacked, g)
        for i, factor in enumerate((1, 2, -1)):
            alone = call({name: factor * v for name, v in values.items()}, g)
            assert (together[i] - alone).abs().max() < 1e-13 * (1 + alone.abs().max())


def test_training_moves_a_constrained_operator_within_its_law() -> None:
    target = Laplacian(SQUARE)
    operator = KernelStructure.dissipative(SQUARE, random(2, 2, 4), zero_sum=True, isotropic=True)
    assert operator.module is not None
    optimiser = torch.optim.LBFGS(operator.module.parameters(), max_iter=100, tolerance_change=0)
    g = random(4, 1, 6, 6)

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = ((operator.apply(g) - target.apply(g)) / 36).square().mean()
        value.backward()
        return value

    optimiser.step(loss)
    assert loss().item() < 1e-10
    report = operator.report()
    assert (report.is_dissipative, report.conserves_mass, report.is_isotropic) == (True,) * 3


def test_flags_of_a_free_parameter_follow_its_value() -> None:
    weights = nn.Parameter(torch.tensor([-1.0, 0.0, 1.0], dtype=F64))
    operator = KernelStructure(LINE, weights)
    total = operator + Laplacian(LINE)
    assert (operator.is_skew, operator.conserves_mass, total.is_dissipative) == (True, True, True)
    before = operator.symbol()
    with torch.no_grad():
        weights[1] = 0.5
    assert (operator.is_skew, operator.is_dissipative, operator.conserves_mass) == (False,) * 3
    assert (total.is_skew, total.is_dissipative, total.conserves_mass) == (False,) * 3
    after = operator.symbol()
    assert before is not None
    assert after is not None
    assert (after - before - 0.5).abs().max() < 1e-15


def test_a_fixed_operator_does_not_change_with_the_callers_tensor() -> None:
    weights = torch.tensor([1.0, -2.0, 1.0], dtype=F64)
    operator = KernelStructure(LINE, weights)
    weights.mul_(-1)
    assert operator.is_dissipative
    assert operator.kernel.tolist() == [1.0, -2.0, 1.0]


def test_a_model_that_holds_one_saves_copies_and_moves_it() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.structure = KernelStructure.dissipative(SQUARE, random(2, 2, 4), zero_sum=True)
            self.learned = self.structure.module

    model = Model()
    assert [name for name, _ in model.named_parameters()] == ["learned.raw"]
    assert list(model.state_dict()) == ["learned.raw"]
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.get_parameter("learned.raw").zero_()
    g = random(1, 6, 6)
    assert not twin.structure.apply(g).any()
    assert model.structure.apply(g).any()
    single = model.float()
    assert single.get_parameter("learned.raw").dtype == torch.float32
    assert single.structure.apply(g.float()).dtype == torch.float32
    assert single.structure.report(tolerance=1e-6).is_dissipative


def test_learned_and_summed_operators_compile_in_one_graph() -> None:
    learned = KernelStructure.dissipative(SQUARE, random(2, 2, 4), zero_sum=True, isotropic=True)
    total = 0.5 * learned + CentralDerivative(SQUARE, "spectral") + Laplacian(SQUARE, "spectral")
    compiled = torch.compile(lambda g: total.apply(g), fullgraph=True, backend="aot_eager")
    g = random(2, 1, 6, 6)
    assert (compiled(g) - total.apply(g)).abs().max() < 1e-15 * total.apply(g).abs().max()


def test_friction_modules_stay_dissipative() -> None:
    for raw in (torch.tensor(-3.0, dtype=F64), random(3), random(3, 3)):
        operator = DampedSymplectic(Friction(raw), size=6)
        assert operator.is_dissipative
        assert not operator.is_skew
        report = operator.report()
        assert report.is_dissipative
        assert report.symmetric_min < 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SkewKernel(random(4)), "odd"),
        (lambda: FreeKernel(random(3, 5), isotropic=True), "equal widths"),
        (lambda: DissipativeKernel(random(3)), "half widths"),
        (lambda: DissipativeKernel(random(2, 1), skew=random(5)), "skew has shape"),
        (
            lambda: DissipativeKernel(random(2, 1), skew=random(3), isotropic=True),
            "isotropic=True",
        ),
        (lambda: SkewMatrix(random(2, 3)), "raw has shape"),
        (lambda: DissipativeMatrix(random(3)), "raw has shape"),
        (lambda: DissipativeMatrix(random(3, 1), random(2, 2)), "skew has shape"),
        (lambda: Friction(random(2, 3)), "raw has shape"),
    ],
)
def test_bad_parameters_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
