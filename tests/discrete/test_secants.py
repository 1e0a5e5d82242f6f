"""Secant slopes against mpmath over 16 decades; derivatives, symmetry, extreme arguments."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp
import pytest
import torch
from torch import Tensor

from ddg_explorer.discrete import ACTIVATIONS, activations, secant, secants

DISTANCES = [10.0 ** (1 - 0.5 * k) for k in range(35)] + [0.0]
TOLERANCE = {torch.float64: 5e-15, torch.float32: 2e-6}


@dataclass(frozen=True)
class Case:
    """A slope, its exact function, where its arguments lie, the unit of an absolute error, and a
    factor of its bound."""

    slope: Callable[[Tensor, Tensor], Tensor]
    exact: Callable[[mp.mpf], mp.mpf]
    low: float = -20.0
    high: float = 20.0
    unit: float | None = None
    factor: float = 1.0


def _power(p: float) -> Case:
    positive = not float(p).is_integer()
    return Case(
        lambda v, u: secants.power(v, u, p),
        lambda x: x ** (mp.mpf(p) if positive else int(p)),
        0.0 if positive else -20.0,
    )


def _gelu_tanh(x: mp.mpf) -> mp.mpf:
    return x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)))


def _hardswish(x: mp.mpf) -> mp.mpf:
    return x * min(max(x + 3, mp.mpf(0)), mp.mpf(6)) / 6


_EXPONENTS = (3, 4, 5, 6, 7, 8, 9, 12, 13, 17, -1, -2, -3, -12, 1.5, 2.5, -1.5, 0.125)
CASES = {
    "tanh": Case(activations.tanh, mp.tanh),
    "sigmoid": Case(activations.sigmoid, lambda x: 1 / (1 + mp.exp(-x))),
    "softplus": Case(activations.softplus, lambda x: mp.log1p(mp.exp(x))),
    "relu": Case(activations.relu, lambda x: max(x, mp.mpf(0))),
    "leaky_relu": Case(activations.leaky_relu, lambda x: x if x > 0 else mp.mpf(0.01) * x),
    "elu": Case(activations.elu, lambda x: x if x > 0 else mp.expm1(x)),
    "silu": Case(activations.silu, lambda x: x / (1 + mp.exp(-x)), unit=1.1),
    "gelu": Case(activations.gelu, lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2, -5, 5, 1.13),
    "gelu_tanh": Case(lambda v, u: activations.gelu(v, u, "tanh"), _gelu_tanh, -5, 5, 1.13),
    "erf": Case(secants.erf, mp.erf, -5, 5),
    "sin": Case(secants.sin, mp.sin, unit=1),
    "cos": Case(secants.cos, mp.cos, unit=1),
    "sinh": Case(secants.sinh, mp.sinh),
    "cosh": Case(secants.cosh, mp.cosh),
    "exp": Case(secants.exp, mp.exp),
    "log": Case(secants.log, mp.log, 0.0),
    "log1p": Case(secants.log1p, mp.log1p, -0.999),
    "tan": Case(secants.tan, mp.tan, -1.5, 1.5),
    "atan": Case(secants.atan, mp.atan),
    "clamp": Case(lambda v, u: secants.clamp(v, u, -0.75, 2.0), lambda x: min(max(x, -0.75), 2)),
    "clamp above": Case(
        lambda v, u: secants.clamp(v, u, 1e-3, None), lambda x: max(x, mp.mpf(1e-3))
    ),
    "softsign": Case(activations.softsign, lambda x: x / (1 + abs(x))),
    "hardswish": Case(activations.hardswish, _hardswish, unit=1.5),
    "sqrt": Case(secants.sqrt, mp.sqrt, 0.0),
    "rsqrt": Case(secants.rsqrt, lambda x: 1 / mp.sqrt(x), 0.0),
    "reciprocal": Case(secants.reciprocal, lambda x: 1 / x),
    "square": Case(secants.square, lambda x: x * x),
    "abs": Case(secants.absolute, abs),
    **{f"power {p}": _power(p) for p in _EXPONENTS},
}


def _arguments(case: Case, dtype: torch.dtype, each: int = 10) -> tuple[Tensor, Tensor]:
    """Pairs at every distance: uniform, of all magnitudes, and straddling zero."""
    rng, pairs = random.Random(7), []
    for distance in DISTANCES:
        for i in range(each):
            u = rng.uniform(case.low, case.high)
            d = distance * rng.uniform(0.3, 1.0) * rng.choice((-1, 1))
            if i % 3 == 1:
                u = math.copysign(case.high * 10 ** rng.uniform(-8, 0), u)
            if i % 3 == 2 and case.low < -1:
                u = -0.5 * d * rng.uniform(0.9, 1.1)
            v = u + d
            v = v if case.low < v < case.high else u - d
            v = v if case.low < v < case.high else u * rng.uniform(0.2, 0.9)
            if u and v:
                pairs.append((v, u))
    v, u = torch.tensor(pairs, dtype=dtype).unbind(1)
    return v, u


def _exact(case: Case, v: mp.mpf | float, u: float) -> mp.mpf:
    a, b = mp.mpf(v), mp.mpf(u)
    if a == b:
        step = mp.mpf(10) ** -22 * abs(a)
        a, b = a + step, b - step
    return (case.exact(a) - case.exact(b)) / (a - b)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_slope_has_the_stated_accuracy_at_every_distance(name: str, dtype: torch.dtype) -> None:
    case, info = CASES[name], torch.finfo(dtype)
    v, u = _arguments(case, dtype)
    slope = case.slope(v, u)
    assert torch.equal(slope, case.slope(u, v)), "symmetric in (v, u)"
    worst = mp.mpf(0)
    with mp.workdps(55):
        for a, b, s in zip(v.tolist(), u.tolist(), slope.tolist(), strict=True):
            exact = _exact(case, a, b)
            if info.tiny <= abs(exact) <= info.max:
                worst = max(worst, abs(s - exact) / (case.unit or abs(exact)))
    assert worst <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["log", *(n for n in CASES if n.startswith("power") and "." in n)])
def test_tiny_ends_keep_the_stated_accuracy(name: str, dtype: torch.dtype) -> None:
    """Down to the smallest number there is; derivatives by Euler's theorem, the slope's degree."""
    case, info = CASES[name], torch.finfo(dtype)
    least = info.tiny * info.eps
    sizes = [least, 3 * least, info.tiny, 1.1 * info.tiny, info.tiny**0.5, info.eps, 0.01, 10.0]
    ends = torch.cartesian_prod(*[torch.tensor(sizes, dtype=dtype)] * 2)
    v, u = (x.requires_grad_() for x in ends.unbind(1))
    slope = case.slope(v, u)
    by_v, by_u = torch.autograd.grad(slope.sum(), (v, u))
    with mp.workdps(400):
        for a, b, s in zip(v.tolist(), u.tolist(), slope.tolist(), strict=True):
            exact = _exact(case, a, b)
            if info.tiny <= abs(exact) <= info.max:
                assert abs(s - exact) <= TOLERANCE[dtype] * abs(exact)
    degree = -1.0 if name == "log" else float(name.split()[1]) - 1
    known = (slope.abs() >= info.tiny) & (slope.abs() * (1 / torch.minimum(v, u)) < info.max)
    euler = v * by_v + u * by_u - degree * slope
    assert (euler.abs() <= 20 * TOLERANCE[dtype] * slope.abs())[known].all()
    assert known.sum() >= 9


@pytest.mark.parametrize("name", CASES)
def test_first_and_second_derivative_are_right_through_equal_arguments(name: str) -> None:
    case = CASES[name]
    rng, pairs = random.Random(3), []
    for distance in [10.0**-k for k in range(16)] + [0.0]:
        u = rng.uniform(0.3, 2.0) * (1 if case.low > -1 else rng.choice((-1, 1)))
        pairs.append((u + 0.5 * distance * math.copysign(1, u), u))
    v, u = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    v.requires_grad_()
    (first,) = torch.autograd.grad(case.slope(v, u).sum(), v, create_graph=True)
    second = torch.zeros_like(v)
    if first.requires_grad:
        (second,) = torch.autograd.grad(first.sum(), v)
    with mp.workdps(110):
        for a, b, d1, d2 in zip(
            v.tolist(), u.tolist(), first.tolist(), second.tolist(), strict=True
        ):
            exact1, exact2 = _derivatives(case, a, b)
            assert abs(d1 - exact1) <= 5e-14 * max(1, abs(exact1))
            assert abs(d2 - exact2) <= 1e-11 * max(1, abs(exact2))


def _derivatives(case: Case, v: float, u: float) -> tuple[mp.mpf, mp.mpf]:
    """∂f[v, u]/∂v and ∂²f[v, u]/∂v² by differences that never touch v = u, in 110 digits."""
    h = mp.mpf(10) ** -25
    near, far = (
        [_exact(case, mp.mpf(v) + sign * step, u) for sign in (1, -1)] for step in (h, 2 * h)
    )
    return (near[0] - near[1]) / (2 * h), (sum(far) - sum(near)) / (3 * h * h)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_far_and_extreme_arguments_stay_finite(name: str, dtype: torch.dtype) -> None:
    """No overflow where the slope is an ordinary number, and the chain rule still holds there."""
    huge = torch.tensor([-1e4, -900.0, -120.0, -30.0, 0.0, 30.0, 120.0, 900.0, 1e4], dtype=dtype)
    v, u = torch.meshgrid(huge, huge + 0.25, indexing="ij")
    v, u = v.clone().requires_grad_(), u.clone()
    slope = secant(name, v, u)
    (gradient,) = torch.autograd.grad(slope.sum(), v)
    assert slope.isfinite().all()
    assert gradient.isfinite().all()
    rise = ACTIVATIONS[name](v) - ACTIVATIONS[name](u)
    unit = torch.finfo(dtype).eps * (1 + v.abs() + u.abs())
    assert ((slope * (v - u) - rise).abs() <= 4 * unit).all()


def test_piecewise_slopes_are_exact() -> None:
    v = torch.tensor([3.0, -2.0, 1e-300, -1e300, 0.0, 5.0], dtype=torch.float64)
    u = torch.tensor([1.0, -7.0, -1.0, 1e-300, 0.0, -5.0], dtype=torch.float64)
    relu = torch.tensor([1.0, 0.0, 1e-300, 0.0, 0.0, 0.5], dtype=torch.float64)
    assert torch.equal(activations.relu(v, u), relu)
    leaky = torch.tensor([1.0, 0.25, 0.25, 0.25, 0.25, 0.625], dtype=torch.float64)
    assert torch.equal(activations.leaky_relu(v, u, 0.25), leaky)
    absolute = torch.tensor([1.0, -1.0, -1.0, -1.0, 0.0, 0.0], dtype=torch.float64)
    assert torch.equal(secants.absolute(v, u), absolute)


def test_real_powers_are_right_at_zero() -> None:
    v = torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64)
    u = torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(
        secants.power(v, u, 1.5), torch.tensor([0.0, 2**0.5, 3**0.5], dtype=torch.float64)
    )
    assert secants.power(v, u, 0.25)[0] == math.inf
    low, high = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.0, 16.0))
    slopes = torch.autograd.grad(secants.power(low, high, 0.25), (low, high))
    assert [float(s) for s in slopes] == [-math.inf, pytest.approx(-0.75 * 2 / 16**2)]
    assert secants.power(torch.tensor([-1.0]), torch.tensor([2.0]), 1.5).isnan()


def test_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="name='swish': use one of tanh"):
        secant("swish", torch.zeros(1), torch.ones(1))
