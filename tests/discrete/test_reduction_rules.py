"""Rules with secants of their own: norms at zero, log-sum-exp, angles; kinks; other precisions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete import UnsupportedOperation, discrete_grad, secants
from ddg_explorer.discrete.record import Pair

F64 = torch.float64
TOLERANCE = {torch.float64: 1e-14, torch.float32: 4e-6}
Energy = Callable[[Tensor], Tensor]

NORMS: dict[str, Energy] = {
    "norm": lambda x: x.norm(dim=-1),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, dim=-1),
    "linalg.norm": lambda x: torch.linalg.norm(x, dim=-1),
    "fourth power": lambda x: torch.linalg.norm(x, dim=-1) ** 4,
    "std": lambda x: x.std(-1),
    "hypot": lambda x: torch.hypot(x[..., 0], x[..., 1]),
    "1": lambda x: torch.linalg.norm(x, 1, dim=-1),
}


def _randn(*shape: int, seed: int, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def _gradient(energy: Energy, u: Tensor) -> Tensor:
    x = u.clone().requires_grad_()
    return torch.autograd.grad(energy(x).sum(), x)[0]


def _law(energy: Energy, v: Tensor, u: Tensor) -> Tensor:
    """Error of ∇̄H·(v − u) = H(v) − H(u), in units of the terms that it is made of."""
    terms = discrete_grad(energy)(v, u) * (v - u)
    high, low = energy(v), energy(u)
    size = 1 + high.abs() + low.abs() + terms.abs().sum(-1)
    return (terms.sum(-1) - (high - low)).abs() / size


@pytest.mark.parametrize("name", NORMS)
def test_norms_at_zero(name: str) -> None:
    """Zeros at both ends or at one, in one batch: a slope of 0, the law, finite derivatives."""
    energy = NORMS[name]
    v, u = _randn(4, 3, seed=1), _randn(4, 3, seed=2)
    v[:2], u[1:3] = 0.0, 0.0
    assert torch.equal(discrete_grad(energy)(0 * u, 0 * u), 0 * u)
    if name != "hypot":  # whose derivative at zero is NaN in torch
        assert torch.equal(_gradient(energy, 0 * u), 0 * u)
    assert (_law(energy, v, u) < 1e-15).all()
    v.requires_grad_()
    found = discrete_grad(energy)(v, u)
    (derivative,) = torch.autograd.grad(found.square().sum(), v)
    assert torch.equal(found[1], torch.zeros(3, dtype=F64))
    assert derivative.isfinite().all()


def test_a_field_with_exact_zeros_has_a_finite_gradient() -> None:
    """|ψ|⁴ of a wave of two components that vanishes outside an interval."""
    x = torch.linspace(-3, 3, 16, dtype=F64)
    u = torch.stack([torch.clamp(1 - x.abs(), min=0.0), 0 * x])
    found = discrete_grad(lambda s: (torch.linalg.vector_norm(s, dim=-2) ** 4).sum(-1))(u, u)
    torch.testing.assert_close(found, 4 * u * (u * u).sum(0))


def _exact_norm(x: list[mp.mpf]) -> mp.mpf:
    return mp.sqrt(sum(a * a for a in x))


def _exact_logsumexp(x: list[mp.mpf]) -> mp.mpf:
    return mp.log(sum(mp.exp(a) for a in x))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["norm", "logsumexp"])
@pytest.mark.parametrize("distance", [8.0, 1.0, 1e-2, 1e-5, 1e-8, 1e-12, 1e-15])
def test_close_to_the_exact_secant(name: str, distance: float, dtype: torch.dtype) -> None:
    """Along v − u to 50 digits, and every component by the formula in 50 digits."""
    u = 3 * _randn(5, 4, seed=3, dtype=dtype)
    v = u + distance * _randn(5, 4, seed=4, dtype=dtype)
    if name == "norm":
        found = discrete_grad(lambda x: torch.linalg.vector_norm(x, dim=-1))(v, u)
    else:
        found = discrete_grad(lambda x: torch.logsumexp(x, -1))(v, u)
    with mp.workdps(50):
        for a, b, slopes in zip(v.tolist(), u.tolist(), found.tolist(), strict=True):
            a, b = [mp.mpf(x) for x in a], [mp.mpf(x) for x in b]
            steps = [x - y for x, y in zip(a, b, strict=True)]
            if name == "norm":
                total = _exact_norm(a) + _exact_norm(b)
                exact = [(x + y) / total for x, y in zip(a, b, strict=True)]
                rise = _exact_norm(a) - _exact_norm(b)
            else:
                high, low = _exact_logsumexp(a), _exact_logsumexp(b)
                share = (high - low) / (mp.exp(high) - mp.exp(low)) if a != b else mp.exp(-low)
                exact = [
                    share * ((mp.exp(x) - mp.exp(y)) / d if d else mp.exp(x))
                    for x, y, d in zip(a, b, steps, strict=True)
                ]
                rise = high - low
            assert abs(sum(s * d for s, d in zip(exact, steps, strict=True)) - rise) < 1e-30
            for s, e in zip(slopes, exact, strict=True):
                assert abs(s - e) <= TOLERANCE[dtype] * abs(e)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_angles_are_accurate_and_count_the_jump(dtype: torch.dtype) -> None:
    """Of every angle between the ends, in every quadrant, short of opposite ones."""
    start = torch.linspace(-3.0, 3.0, 13, dtype=F64).to(dtype)
    for distance in (3.1, -2.0, 1.0, 0.1, -1e-3, 1e-5, 1e-10, 0.0):
        end = start + distance
        first, last = torch.stack([start.sin(), start.cos()]), torch.stack([end.sin(), end.cos()])
        found = secants.turn(*(1.5 * last), *first)
        assert torch.equal(found, secants.turn(*first, *(1.5 * last)))
        with mp.workdps(50):
            for v, u, s in zip((1.5 * last).T.tolist(), first.T.tolist(), found, strict=True):
                (y, x), (b, a) = ([mp.mpf(z) for z in end] for end in (v, u))
                cross, dot = a * y - b * x, a * x + b * y
                exact = (mp.atan2(y, x) - mp.atan2(b, a)) / cross if cross else 1 / dot
                assert abs(s.item() - exact) <= TOLERANCE[dtype] * abs(exact)


def test_log_sum_exp_of_large_and_far_ends() -> None:
    u = torch.tensor([[-1e4, -1e4 + 1], [900.0, 1.0], [-3.0, 1e4]], dtype=F64)
    v = torch.tensor([[1e4, 1e4 - 2], [-900.0, 2.0], [1e4, -3.0]], dtype=F64)
    assert discrete_grad(lambda x: torch.logsumexp(x, -1))(v, u).isfinite().all()
    assert (_law(lambda x: torch.logsumexp(x, -1), v, u) < 1e-12).all()


@pytest.mark.parametrize(
    ("function", "kinks"),
    [
        (lambda x: x.clamp(-1.0, 2.0), (-1.0, 2.0)),
        (F.hardtanh, (-1.0, 1.0)),
        (F.relu6, (0.0, 6.0)),
        (F.hardsigmoid, (-3.0, 3.0)),
        (F.hardswish, (-3.0, 3.0)),
    ],
)
def test_kinks_as_autograd_has_them(function: Energy, kinks: tuple[float, float]) -> None:
    u = torch.tensor([*kinks], dtype=F64)[:, None]
    gradient = discrete_grad(lambda x: function(x).sum(-1))
    assert torch.equal(gradient(u, u), _gradient(function, u))
    for distance in (1.0, -1e-9):
        assert (_law(lambda x: function(x).sum(-1), u + distance, u) < 1e-15).all()


def test_a_product_with_zeros() -> None:
    v = torch.tensor([[0.0, 0.0, 3.0, 1.0, 2.0], [0.0, 1.0, 3.0, 1.0, 2.0]], dtype=F64)
    u = torch.tensor([[0.0, 0.0, 3.0, 1.0, 2.0], [4.0, 1.0, 0.0, 1.0, 2.0]], dtype=F64)
    assert (_law(lambda x: x.prod(-1), v, u) == 0).all()
    assert torch.equal(
        discrete_grad(lambda x: x.prod(-1))(u, u), _gradient(lambda x: x.prod(-1), u)
    )


FAMILIES: dict[str, Energy] = {
    "reductions": lambda x: x.var(-1) + x.std(-1) + torch.logsumexp(x, -1) + x.prod(-1),
    "products": lambda x: (
        torch.linalg.vecdot(x, x.roll(1, -1))
        + torch.linalg.cross(x[..., :3], x[..., 1:], dim=-1).square().sum(-1)
        + torch.lerp(x, x.square(), 0.3).sum(-1)
        + torch.addcmul(x, x, x, value=0.5).sum(-1)
    ),
    "moves": lambda x: (
        torch.hstack([x, x.square()]).masked_fill(torch.arange(8) == 2, 1.0).square().sum(-1)
        + torch.diagonal(x[..., None] * x[..., None, :], 0, -2, -1).sum(-1)
        + F.avg_pool1d(x[:, None], 2).square().sum((-2, -1))
        + torch.trapezoid(x.square(), dx=0.1)
    ),
    "pointwise": lambda x: (
        torch.atan(x) + torch.tan(0.3 * x) + x.clamp(-0.5, 0.5) + F.softsign(x) + F.softmax(x, -1)
    ).sum(-1),
    "angles": lambda x: torch.atan2(x[..., 0], x[..., 1]) + torch.hypot(x[..., 2], x[..., 3]),
    "operators": lambda x: (
        x / (1 + torch.arange(4, dtype=x.dtype)) + x.square() ** torch.tensor([1.0, 2.0, 1.5, 1.0])
    ).sum(-1),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("distance", [1.0, 1e-2, 1e-4])
def test_law_and_symmetry_in_both_precisions(
    name: str, distance: float, dtype: torch.dtype
) -> None:
    u = _randn(5, 4, seed=5, dtype=dtype)
    v = u + distance * _randn(5, 4, seed=6, dtype=dtype)
    found = discrete_grad(FAMILIES[name])(v, u)
    assert found.dtype == dtype
    torch.testing.assert_close(
        found, discrete_grad(FAMILIES[name])(u, v), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]
    )
    assert (_law(FAMILIES[name], v, u) < TOLERANCE[dtype]).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_captured_whole_by_dynamo(name: str) -> None:
    u, v = _randn(5, 4, seed=7), _randn(5, 4, seed=8)
    gradient = discrete_grad(FAMILIES[name])
    torch.compiler.reset()
    captured = torch.compile(gradient, fullgraph=True, backend="eager")
    torch.testing.assert_close(captured(v, u), gradient(v, u), rtol=1e-14, atol=1e-15)


def test_dynamo_is_refused_where_it_exchanges_the_operands() -> None:
    matrix = _randn(4, 4, seed=9)
    u, v = _randn(4, 4, seed=10), _randn(4, 4, seed=11)

    def compiled(energy: Energy) -> Tensor:
        torch.compiler.reset()
        return torch.compile(discrete_grad(energy), fullgraph=True, backend="eager")(v, u)

    for energy in (
        lambda x: (torch.matmul(x, matrix) ** 2).sum(-1),
        lambda x: (torch.linalg.matmul(x, matrix) ** 2).sum(-1),
        lambda x: (torch.linalg.matmul(matrix, x) ** 2).sum(-1),
    ):
        torch.testing.assert_close(compiled(energy), discrete_grad(energy)(v, u))
    with pytest.raises((UnsupportedOperation, torch._dynamo.exc.Unsupported), match="exchanges"):
        compiled(lambda x: ((x @ matrix) ** 2).sum(-1))


def test_reflected_operators_of_a_constant_tensor() -> None:
    matrix = _randn(4, 4, seed=12).square() + 0.5
    v, u = _randn(4, 4, seed=13).square() + 0.5, _randn(4, 4, seed=14).square() + 0.5
    for name in ("__rpow__", "__rmatmul__", "__rtruediv__", "__rsub__", "__rmul__", "__radd__"):

        def energy(x: Tensor, name: str = name) -> Tensor:
            return getattr(Tensor, name)(matrix, x).sum(-1)

        whole = (discrete_grad(lambda x, f=energy: f(x).sum())(v, u) * (v - u)).sum()
        assert math.isclose(whole, (energy(v) - energy(u)).sum(), rel_tol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ["masked_fill", "where", "added"])
def test_softmax_with_masked_scores(name: str, dtype: torch.dtype) -> None:
    mask = torch.ones(4, 4, dtype=torch.bool).triu(1)
    penalty = torch.zeros(4, 4, dtype=dtype).masked_fill(mask, -math.inf)
    masked = {
        "masked_fill": lambda s: s.masked_fill(mask, -math.inf),
        "where": lambda s: torch.where(mask, -math.inf, s),
        "added": lambda s: s + penalty,
    }[name]

    def energy(x: Tensor) -> Tensor:
        weights = masked(x[..., :, None] * x[..., None, :]).softmax(-1)
        return (weights * x[..., None, :]).square().sum((-1, -2))

    v, u = _randn(6, 4, seed=15).to(dtype), _randn(6, 4, seed=16).to(dtype)
    slope = discrete_grad(energy)(v, u)
    tol = 50 * torch.finfo(dtype).eps
    torch.testing.assert_close(
        (slope * (v - u)).sum(-1), energy(v) - energy(u), rtol=tol, atol=tol * 10
    )
    x = u.clone().requires_grad_()
    (exact,) = torch.autograd.grad(energy(x).sum(), x)
    torch.testing.assert_close(discrete_grad(energy)(u, u), exact, rtol=tol, atol=tol * 10)


def test_powers_by_a_tensor_are_those_by_its_numbers() -> None:
    v, u = _randn(5, 4, seed=17), _randn(5, 4, seed=18)
    u[0], v[0, 0] = 0.0, 0.0
    powers = torch.tensor([2.0, 3.0, 1.0, 4.0], dtype=torch.float64)
    found = discrete_grad(lambda x: (x**powers).sum(-1))(v, u)
    each = discrete_grad(lambda x: x[..., 0] ** 2 + x[..., 1] ** 3 + x[..., 2] + x[..., 3] ** 4)
    torch.testing.assert_close(found, each(v, u))
    one = discrete_grad(lambda x: (x ** torch.tensor(2)).sum(-1))(v, u)
    torch.testing.assert_close(one, v + u)
    moments = discrete_grad(lambda x: (x[..., None] ** torch.arange(4)).sum((-1, -2)))
    cubic = discrete_grad(lambda x: (1 + x + x**2 + x**3).sum(-1))
    torch.testing.assert_close(moments(v, u), cubic(v, u))
    root = discrete_grad(lambda x: (x.abs() ** torch.tensor([0.5, 2.0, 1.5, -1.0])).sum(-1))
    a, b = v[1:].abs(), u[1:].abs()
    gained = (
        a ** torch.tensor([0.5, 2.0, 1.5, -1.0]) - b ** torch.tensor([0.5, 2.0, 1.5, -1.0])
    ).sum(-1)
    torch.testing.assert_close((root(a, b) * (a - b)).sum(-1), gained)


def test_a_learned_exponent_has_a_gradient() -> None:
    exponent = torch.tensor([2.0, 3.0], dtype=torch.float64, requires_grad=True)
    v, u = _randn(5, 2, seed=19).abs() + 0.5, _randn(5, 2, seed=20).abs() + 0.5
    slope = discrete_grad(lambda x: (x**exponent).sum(-1))(v, u)
    (found,) = torch.autograd.grad((slope * (v - u)).sum(), exponent)
    (exact,) = torch.autograd.grad((v**exponent - u**exponent).sum(), exponent)
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize("name", ["sum", "mean", "var", "std"])
def test_an_empty_list_of_axes_means_all(name: str) -> None:
    v, u = _randn(3, 4, seed=21), _randn(3, 4, seed=22)
    energy = discrete_grad(lambda x: getattr(x, name)([]))
    torch.testing.assert_close(energy(v, u), discrete_grad(lambda x: getattr(x, name)())(v, u))


def test_reductions_of_single_numbers_and_of_nothing() -> None:
    v, u = _randn(3, seed=23), _randn(3, seed=24)
    for energy in (
        lambda x: x.square().sum().sum(-1),
        lambda x: x.square().sum().logsumexp(0),
        lambda x: x.square().sum().prod(0),
        lambda x: x.square().sum() * x[:0].prod(0),
        lambda x: torch.linalg.vector_norm(x, dim=-1, dtype=torch.float64) ** 2,
    ):
        torch.testing.assert_close(discrete_grad(energy)(v, u), v + u)


def test_a_broken_graph_is_named() -> None:
    strangers: list = []

    def energy(x: Tensor) -> Tensor:
        strangers.append(x)
        return strangers[0].sum(-1)

    u = _randn(3, 2, seed=25)
    discrete_grad(energy)(u, u)
    with pytest.raises(ValueError, match="another discrete gradient, or torch"):
        discrete_grad(energy)(u, u)


def test_a_spread_with_no_degrees_of_freedom_left_is_infinite_as_torch_has_it() -> None:
    v, u = _randn(2, 5, seed=26), _randn(2, 5, seed=27)
    pair: Any = Pair(v, u, [])
    for correction in (5, 9):
        for spread in (pair.var(-1, correction=correction), pair.std(-1, correction=correction)):
            assert (spread.v == torch.inf).all()
            assert (spread.u == torch.inf).all()
