"""Learned structure operators: gradients, training within the law, life inside a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
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


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


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


def test_what_an_operator_shows_of_itself_is_a_copy() -> None:
    kernel = KernelStructure(LINE, [1.0, -2.0, 1.0])
    matrix = MatrixStructure([[0.0, 1.0], [-1.0, 0.0]])
    damped = DampedSymplectic([0.1, 0.2])
    learned = MatrixStructure.skew([[0.0, 1.0], [0.0, 0.0]])
    cases = [(kernel, "kernel", 1), (matrix, "entries", 2), (damped, "friction", 4)]
    for operator, name, size in [*cases, (learned, "entries", 2)]:
        shape = (1, 8) if operator is kernel else (size,)
        before = (operator.law, operator.apply(random(*shape)).detach().clone())
        with torch.no_grad():
            getattr(operator, name).view(-1)[0] = 5.0
        assert operator.law == before[0]
        assert torch.equal(operator.apply(random(*shape)), before[1])
        assert float(getattr(operator, name).view(-1)[0].detach()) != 5
    free = MatrixStructure(nn.Parameter(random(2, 2)))
    with torch.no_grad():
        free.entries[0, 0] = 5.0
    assert float(free.entries.detach()[0, 0]) == float(random(2, 2)[0, 0])


NUMBERS = [[2, 0, 1], [-1, 3, 0], [0, 1, 1]]


@pytest.mark.parametrize("made_of", [list, np.array, torch.tensor], ids=["list", "array", "int"])
def test_starting_values_are_any_real_numbers(made_of: Callable[..., Any]) -> None:
    numbers, raw = made_of(NUMBERS), torch.tensor(NUMBERS, dtype=F64)
    flat, halves = made_of([-1, 0, 2]), made_of([[1], [-1]])
    pairs = [
        (MatrixStructure.skew(numbers), raw - raw.T),
        (MatrixStructure.dissipative(numbers, numbers), raw - raw.T - raw @ raw.T),
    ]
    for operator, expected in pairs:
        assert operator.module is not None
        assert all(p.dtype == F64 for p in operator.module.parameters())
        assert torch.equal(operator.entries.detach(), expected)
    kernels = [
        (KernelStructure.skew(LINE, flat), [-1.5, 0.0, 1.5]),
        (KernelStructure.dissipative(LINE, halves, skew=flat), [-0.5, -2.0, 2.5]),
        (KernelStructure(LINE, FreeKernel(flat)), [-1.0, 0.0, 2.0]),
    ]
    for operator, expected in kernels:
        assert operator.kernel.tolist() == expected
    assert torch.equal(Friction(numbers)(), raw @ raw.T)


def test_starting_values_are_copied() -> None:
    for start in (random(3, 3), nn.Parameter(random(3, 3))):
        module = SkewMatrix(start)
        with torch.no_grad():
            start.zero_()
        assert module().any()
        assert module.raw is not start


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
        (lambda: Friction([0.1, [0.2]]), r"^raw=\[0\.1, \[0\.2\]\]: must be real numbers in rows"),
        (lambda: MatrixStructure.skew([[0, 1], [1]]), r"^raw=\[\[0, 1\], \[1\]\]: must be real"),
        (
            lambda: MatrixStructure.skew([[0, torch.inf], [1, 0]]),
            "^raw: every entry must be fin",
        ),
        (
            lambda: KernelStructure.skew(LINE, torch.tensor([-1j, 0, 1j])),
            "^raw has dtype .*: must be",
        ),
        (lambda: DissipativeKernel(random(2, 1), skew="abc"), "^skew='abc': must be real numbers"),
        (
            lambda: DissipativeMatrix(random(2, 1), torch.eye(2).bool()),
            "^skew has dtype torch.bool: must be real numbers",
        ),
    ],
)
def test_bad_parameters_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        make()
    assert "\n" not in str(refusal.value)
