"""Slopes of inverse functions, erfc, sinc, x log x and Huber's function against mpmath."""

from __future__ import annotations

import math
import random

import mpmath as mp
import pytest
import torch
from test_secants import DISTANCES, Case
from torch import Tensor

from ddg_explorer.discrete import discrete_grad
from ddg_explorer.discrete import secants_inverse as inverse

TOLERANCE = {torch.float64: 1e-15, torch.float32: 4e-7}


def _huber(x: mp.mpf) -> mp.mpf:
    d = mp.mpf(1.5)
    return x * x / 2 if abs(x) <= d else d * (abs(x) - d / 2)


def _sinc(x: mp.mpf) -> mp.mpf:
    return mp.sincpi(x)


CASES = {
    "asinh": Case(inverse.asinh, mp.asinh),
    "acosh": Case(inverse.acosh, mp.acosh, 1.0),
    "atanh": Case(inverse.atanh, mp.atanh, -1.0, 1.0),
    "asin": Case(inverse.asin, mp.asin, -1.0, 1.0),
    "acos": Case(inverse.acos, mp.acos, -1.0, 1.0),
    "erfc": Case(inverse.erfc, mp.erfc, -5.0, 5.0, factor=5),
    "sinc": Case(inverse.sinc, _sinc, unit=1.4),
    "x log x": Case(inverse.x_log_x, lambda x: x * mp.log(x), 0.0, 1.0, 1.0, factor=4),
    "huber": Case(lambda v, u: inverse.huber(v, u, 1.5), _huber),
}


def _arguments(case: Case, dtype: torch.dtype, each: int = 10) -> tuple[Tensor, Tensor]:
    """Pairs at every distance: uniform, near the ends of the domain, and straddling zero."""
    rng, pairs = random.Random(7), []
    size = case.high - case.low
    for distance in DISTANCES:
        for i in range(each):
            u = rng.uniform(case.low, case.high)
            if i % 3 == 1:
                edge = size * 10 ** rng.uniform(-6, -1)
                u = case.low + edge if i % 2 else case.high - edge
            d = distance * rng.uniform(0.3, 1.0) * rng.choice((-1, 1))
            if i % 3 == 2 and case.low < 0:
                u = -0.5 * d * rng.uniform(0.9, 1.1)
            if not case.low < u < case.high:
                u = rng.uniform(case.low, case.high)
            v = u + d
            v = v if case.low < v < case.high else u - d
            v = v if case.low < v < case.high else 0.5 * (u + rng.uniform(case.low, case.high))
            pairs.append((v, u))
    v, u = torch.tensor(pairs, dtype=dtype).unbind(1)
    inside = (v > case.low) & (v < case.high) & (u > case.low) & (u < case.high)
    return v[inside], u[inside]


def _exact(case: Case, v: mp.mpf | float, u: mp.mpf | float) -> mp.mpf:
    a, b = mp.mpf(v), mp.mpf(u)
    if a == b:
        step = mp.mpf(10) ** -22
        a, b = a + step, b - step
    return (case.exact(a) - case.exact(b)) / (a - b)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_slope_has_the_stated_accuracy_and_symmetry(name: str, dtype: torch.dtype) -> None:
    case = CASES[name]
    v, u = _arguments(case, dtype)
    slope = case.slope(v, u)
    assert len(v) > 300
    assert torch.equal(slope, case.slope(u, v)), "symmetric in (v, u)"
    worst = mp.mpf(0)
    with mp.workdps(60):
        for a, b, s in zip(v.tolist(), u.tolist(), slope.tolist(), strict=True):
            exact = _exact(case, a, b)
            if abs(exact) >= torch.finfo(dtype).tiny:
                worst = max(worst, abs(s - exact) / (case.unit or abs(exact)))
    assert worst <= case.factor * TOLERANCE[dtype]


@pytest.mark.parametrize("name", CASES)
def test_first_and_second_derivative_are_right_through_equal_arguments(name: str) -> None:
    case = CASES[name]
    rng, pairs = random.Random(3), []
    low, high = (1.1, 2.5) if name == "acosh" else (0.1, 0.8)
    for distance in [10.0**-k for k in range(1, 16)] + [0.0]:
        u = rng.uniform(low, high)
        pairs.append((u + 0.5 * distance, u))
    if name in ("sinc", "asinh"):
        pairs += [(3.0, 2.9), (2.0, -2.0), (7.2, 7.2), (0.6, 0.4), (4.0, 0.1), (0.0, 0.0)]
    v, u = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    v.requires_grad_()
    (first,) = torch.autograd.grad(case.slope(v, u).sum(), v, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), v, allow_unused=True)
    second = torch.zeros_like(v) if second is None else second
    with mp.workdps(110):
        h = mp.mpf(10) ** -25
        for a, b, d1, d2 in zip(
            v.tolist(), u.tolist(), first.tolist(), second.tolist(), strict=True
        ):
            near, far = ([_exact(case, mp.mpf(a) + s * t, b) for s in (1, -1)] for t in (h, 2 * h))
            exact1, exact2 = (near[0] - near[1]) / (2 * h), (sum(far) - sum(near)) / (3 * h * h)
            assert abs(d1 - exact1) <= 1e-13 * max(1, abs(exact1))
            assert abs(d2 - exact2) <= 2e-11 * max(1, abs(exact2))


def test_slopes_at_the_ends_of_the_domain() -> None:
    one, two = torch.tensor([1.0], dtype=torch.float64), torch.tensor([2.0], dtype=torch.float64)
    assert inverse.asin(one, one).item() == math.inf
    assert inverse.asin(one, -one).item() == pytest.approx(math.pi / 2)
    assert inverse.acosh(one, one).item() == math.inf
    assert inverse.acosh(one, two).item() == pytest.approx(math.acosh(2.0))
    assert inverse.asin(two, one).isnan()
    assert inverse.x_log_x(0 * one, two).item() == pytest.approx(math.log(2.0))
    assert inverse.x_log_x(0 * one, 0 * one).item() == -math.inf


def test_asinh_of_huge_arguments() -> None:
    v = torch.tensor([1e200, 1e300, -1e250, 3e9], dtype=torch.float64)
    u = torch.tensor([1e200, 1e-3, 1e250, 3.1e9], dtype=torch.float64)
    with mp.workdps(400):
        exact = [1 / mp.mpf(1e200)]
        pairs = list(zip(v.tolist(), u.tolist(), strict=True))[1:]
        exact += [(mp.asinh(a) - mp.asinh(b)) / (mp.mpf(a) - mp.mpf(b)) for a, b in pairs]
    for s, e in zip(inverse.asinh(v, u).tolist(), exact, strict=True):
        assert abs(s - e) <= 1e-14 * abs(e)


def test_the_entropy_of_a_concentration_that_reaches_zero() -> None:
    """∫ φ log φ + (1 − φ) log(1 − φ) from and to pure phases: the law with finite slopes."""

    def energy(x: Tensor) -> Tensor:
        return (torch.xlogy(x, x) - torch.special.entr(1 - x)).sum(-1)

    u = torch.tensor([[0.0, 0.3, 1.0, 0.5]], dtype=torch.float64)
    v = torch.tensor([[0.2, 0.0, 0.6, 1.0]], dtype=torch.float64)
    found = discrete_grad(energy)(v, u)
    assert found.isfinite().all()
    torch.testing.assert_close((found * (v - u)).sum(-1), energy(v) - energy(u), rtol=0, atol=1e-15)
