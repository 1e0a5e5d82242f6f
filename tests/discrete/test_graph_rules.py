"""Extremes, norms of any order, distances and scattering: the law, symmetry, ties, zeros."""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath as mp
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete import UnsupportedOperation, discrete_grad

F64 = torch.float64
TOLERANCE = {torch.float64: 1e-14, torch.float32: 4e-6}
DISTANCES = [10.0, 1.0, 1e-2, 1e-5, 1e-8, 1e-12, 0.0]
Energy = Callable[[Tensor], Tensor]

RECEIVERS = torch.tensor([0, 2, 2, 1])
PAIRS = torch.triu_indices(4, 4, 1)


def _randn(*shape: int, seed: int, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64).to(dtype)


def _gradient(energy: Energy, u: Tensor) -> Tensor:
    x = u.clone().requires_grad_()
    return torch.autograd.grad(energy(x).sum(), x)[0]


def _particles(x: Tensor) -> Tensor:
    """Soft repulsion of every pair and the squares of what nodes receive; 4 points in 2-D."""
    points = x.unflatten(-1, (4, 2))
    near = torch.erfc(torch.cdist(points, points)[..., PAIRS[0], PAIRS[1]]).sum(-1)
    nodes = torch.zeros_like(points[..., :3, :]).index_add(-2, RECEIVERS, points)
    return near + nodes.square().sum((-2, -1)) + F.normalize(points, dim=-1)[..., 0].sum(-1)


FAMILIES: dict[str, Energy] = {
    "particles": _particles,
    "maximum": lambda x: torch.maximum(x[..., :4], x[..., 4:]).square().sum(-1),
    "minimum": lambda x: (torch.minimum(x, x.new_tensor(0.3)) ** 3).sum(-1),
    "amax": lambda x: x.amax(-1) * x.amin(-1),
    "max": lambda x: x.unflatten(-1, (2, 4)).max(-1).values.square().sum(-1),
    "norm 1": lambda x: torch.linalg.vector_norm(x, 1, -1),
    "norm 3": lambda x: torch.linalg.vector_norm(x, 3, -1) ** 2,
    "norm 1.5": lambda x: torch.linalg.vector_norm(x, 1.5, -1),
    "norm inf": lambda x: torch.linalg.vector_norm(x, math.inf, -1),
    "layer_norm": lambda x: (F.layer_norm(x, (8,)) ** 3).sum(-1),
    "rms_norm": lambda x: (F.rms_norm(x, (8,)) ** 3).sum(-1),
    "cosine": lambda x: F.cosine_similarity(x[..., :4], x[..., 4:], dim=-1),
    "scatter": lambda x: (
        torch.zeros_like(x)
        .scatter_add(-1, torch.arange(8).expand(x.shape) // 3, x)
        .square()
        .sum(-1)
    ),
    "inverse": lambda x: (torch.asinh(x) + torch.asin(torch.tanh(x)) + torch.sinc(x)).sum(-1),
    "huber": lambda x: F.huber_loss(x, 0 * x + 0.2, reduction="none", delta=0.5).sum(-1),
    "windows": lambda x: x.unfold(-1, 3, 1).prod(-1).sum(-1),
}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_law_symmetry_and_consistency(name: str, distance: float, dtype: torch.dtype) -> None:
    energy, tolerance = FAMILIES[name], TOLERANCE[dtype]
    u = _randn(6, 8, seed=5, dtype=dtype)
    v = u + distance * _randn(6, 8, seed=6, dtype=dtype)
    found = discrete_grad(energy)(v, u)
    assert found.dtype == dtype
    size = 1 + found.abs().amax()
    assert ((found - discrete_grad(energy)(u, v)).abs() <= tolerance * size).all()
    terms, high, low = found * (v - u), energy(v), energy(u)
    unit = 1 + high.abs() + low.abs() + terms.abs().sum(-1)
    assert ((terms.sum(-1) - (high - low)).abs() <= tolerance * unit).all()
    if distance <= 1e-12:
        exact = _gradient(energy, u)
        assert ((found - exact).abs() <= 10 * tolerance * size + 100 * distance).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_vmap_backward_and_forward_mode_of_batches(name: str) -> None:
    """One row at a time under vmap; the Jacobian by v, in reverse and in forward mode."""
    gradient = discrete_grad(FAMILIES[name])
    u, v = _randn(3, 8, seed=7), _randn(3, 8, seed=8)
    torch.testing.assert_close(torch.func.vmap(gradient)(v, u), gradient(v, u))
    reverse = torch.func.jacrev(gradient)(v[0], u[0])
    torch.testing.assert_close(reverse, torch.func.jacfwd(gradient)(v[0], u[0]))
    h = 1e-6
    moved = [
        (gradient(v[0] + h * e, u[0]) - gradient(v[0] - h * e, u[0])) / (2 * h)
        for e in torch.eye(8, dtype=F64)
    ]
    torch.testing.assert_close(reverse, torch.stack(moved, -1), rtol=1e-6, atol=1e-7)


def test_extremes_share_ties_and_do_not_depend_on_the_order() -> None:
    v = torch.tensor([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0], [5.0, 0.0, 1.0, 2.0]], dtype=F64)
    u = torch.tensor([[3.0, 3.0, 1.0, 3.0], [1.0, 4.0, 0.0, 4.0], [5.0, 1.0, 0.0, 5.0]], dtype=F64)
    largest = discrete_grad(lambda x: torch.amax(x, -1))
    found = largest(v, u)
    assert torch.equal((found * (v - u)).sum(-1), v.amax(-1) - u.amax(-1))
    torch.testing.assert_close(found.sum(-1), torch.ones(3, dtype=F64), rtol=0, atol=1e-15)
    assert (found >= 0).all()
    assert torch.equal(found, largest(u, v))
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(largest(v[:, order], u[:, order]), found[:, order])
    torch.testing.assert_close(largest(u, u), _gradient(lambda x: x.amax(-1), u))
    pair = discrete_grad(lambda x: torch.maximum(x[..., 0], x[..., 1]))
    torch.testing.assert_close(pair(u, u), _gradient(lambda x: torch.maximum(*x.unbind(-1)[:2]), u))


def test_extremes_pass_over_masked_values() -> None:
    mask = torch.tensor([False, True, False, True])
    v, u = _randn(5, 4, seed=9), _randn(5, 4, seed=10)

    def energy(x: Tensor) -> Tensor:
        hidden = x.masked_fill(mask, -math.inf)
        return hidden.amax(-1) + torch.maximum(hidden, torch.zeros_like(x)).sum(-1)

    found = discrete_grad(energy)(v, u)
    assert torch.equal(found[:, mask], torch.zeros(5, 2, dtype=F64))
    torch.testing.assert_close((found * (v - u)).sum(-1), energy(v) - energy(u))


@pytest.mark.parametrize("function", [torch.max, torch.min])
def test_where_an_extreme_lies_is_refused(function: Callable) -> None:
    u = _randn(2, 3, seed=11)
    for energy in (
        lambda x: function(x, -1).values * function(x, -1).indices.double(),
        lambda x: torch.arange(3.0, dtype=F64)[function(x, -1).indices] + x.sum(-1),
        lambda x: x.gather(1, function(x, 1, keepdim=True)[1]).sum(-1),
        lambda x: x.sum(-1) * torch.add(function(x, -1)[1], 1.0),
        lambda x: x.sum(-1) * function(x, -1)[1],
        lambda x: x.sum(-1) * (1 + function(x, -1).indices),
        lambda x: x.sum(-1) if function(x, -1).indices[0] > 0 else -x.sum(-1),
        lambda x: x.sum(-1) if function(x, -1)[1] else -x.sum(-1),
        lambda x: x[:, function(x, -1).indices].sum(-1),
    ):
        with pytest.raises(TypeError, match="for their values, not the indices"):
            discrete_grad(energy)(u, u)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("p", [1.5, 3, 4.0, 7])
@pytest.mark.parametrize("distance", DISTANCES)
def test_norms_are_close_to_the_exact_secant(p: float, distance: float, dtype: torch.dtype) -> None:
    """Every component by the formula of `rules_norms.py`, in 60 digits."""
    u = 3 * _randn(5, 4, seed=3, dtype=dtype)
    v = u + distance * _randn(5, 4, seed=4, dtype=dtype)
    found = discrete_grad(lambda x: torch.linalg.vector_norm(x, p, dim=-1))(v, u)
    with mp.workdps(60):
        for a, b, slopes in zip(v.tolist(), u.tolist(), found.tolist(), strict=True):
            a, b = [mp.mpf(x) for x in a], [mp.mpf(x) for x in b]
            high, low = (sum(abs(x) ** p for x in y) for y in (a, b))
            whole = mp.mpf(1) / p * low ** (mp.mpf(1) / p - 1)
            if high != low:
                whole = (high ** (mp.mpf(1) / p) - low ** (mp.mpf(1) / p)) / (high - low)
            for x, y, s in zip(a, b, slopes, strict=True):
                part = p * mp.sign(x) * abs(x) ** (p - 1)
                part = part if x == y else (abs(x) ** p - abs(y) ** p) / (x - y)
                assert abs(s - part * whole) <= TOLERANCE[dtype] * max(1, abs(part * whole))


@pytest.mark.parametrize("p", [1.5, 3.0, math.inf])
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_norms_at_zero_and_of_all_sizes(p: float, scale: float) -> None:
    v, u = scale * _randn(4, 3, seed=1), scale * _randn(4, 3, seed=2)
    v[:2], u[1:3] = 0.0, 0.0
    gradient = discrete_grad(lambda x: torch.linalg.vector_norm(x, p, dim=-1))
    rise = torch.linalg.vector_norm(v, p, dim=-1) - torch.linalg.vector_norm(u, p, dim=-1)
    found = gradient(v, u)
    assert torch.equal(found[1], torch.zeros(3, dtype=F64))
    torch.testing.assert_close((found * (v - u)).sum(-1), rise, rtol=1e-13, atol=1e-14 * scale)
    v.requires_grad_()
    (derivative,) = torch.autograd.grad(gradient(v, u)[::3].sum(), v)
    assert derivative.isfinite().all()


def test_distances_of_points_to_themselves_have_no_slope() -> None:
    v, u = _randn(40, 3, seed=12), _randn(40, 3, seed=13)

    def energy(x: Tensor) -> Tensor:
        exact = "donot_use_mm_for_euclid_dist"
        return torch.cdist(x, x, compute_mode=exact).square().sum((-2, -1))

    def pairs(x: Tensor) -> Tensor:
        return 2 * F.pdist(x).square().sum(-1)

    found = discrete_grad(energy)(v, u)
    assert found.isfinite().all()
    torch.testing.assert_close(found, 2 * 40 * (v + u - (v + u).mean(0)))
    torch.testing.assert_close(found, discrete_grad(pairs)(v, u))


def test_a_scatter_reads_the_leading_part_of_its_source() -> None:
    index = torch.tensor([[0, 1], [2, 0]])
    v, u = _randn(3, 4, seed=14), _randn(3, 4, seed=15)
    weight = torch.tensor([1.0, 2.0, 4.0], dtype=F64)[:, None]

    def energy(x: Tensor) -> Tensor:
        zeros = torch.zeros(3, 2, dtype=F64)
        return (zeros.scatter_add(0, index, x.square()) * weight).sum()

    known = torch.zeros(3, 4, dtype=F64)
    known[:2, :2] = torch.tensor([[1.0, 2.0], [4.0, 1.0]])
    torch.testing.assert_close(discrete_grad(energy)(v, u), known * (v + u))


REFUSED: dict[str, tuple[Energy, type[Exception], str]] = {
    "norm 0": (lambda x: torch.linalg.vector_norm(x, 0, -1), TypeError, "norm of order 0 has no"),
    "norm 0.5": (lambda x: torch.cdist(x, x, 0.5).sum(-1), TypeError, r"order 0\.5 .* 1 ≤ p ≤ inf"),
    "old loss": (
        lambda x: F.huber_loss(x, 0 * x, weight=x)[None],
        TypeError,
        "huber_loss has a rule by `reduction` only",
    ),
    "reduction": (
        lambda x: F.huber_loss(x, 0 * x, reduction="max"),
        ValueError,
        "reduction='max': must be",
    ),
    "l1_loss": (
        lambda x: F.l1_loss(x, torch.ones(2, 3, dtype=F64))[None],
        TypeError,
        "no rule for torch operation 'l1_loss'",
    ),
    "delta": (lambda x: F.huber_loss(x, 0 * x, delta=0.0), ValueError, r"delta=0\.0: must be pos"),
    "index": (
        lambda x: torch.zeros(3, dtype=F64).index_add(0, x[0], x[0]),
        TypeError,
        "index computed from the state",
    ),
    "complex": (lambda x: torch.asinh(x + 1j).real.sum(-1), TypeError, "asinh of a complex value"),
    "in place": (
        lambda x: torch.zeros(3, dtype=F64).index_add_(0, torch.arange(2), x[:, 0]),
        TypeError,
        "index_add writes in place",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_by_name(name: str) -> None:
    energy, kind, message = REFUSED[name]
    u = _randn(2, 3, seed=16)
    with pytest.raises(kind, match=message) as caught:
        discrete_grad(energy)(u, u)
    assert kind is not TypeError or isinstance(caught.value, UnsupportedOperation)
    assert "\n" not in str(caught.value)
