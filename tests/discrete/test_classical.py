"""Gonzalez, mean-value and Itoh–Abe discrete gradients: their laws, orders, and each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ddg_explorer.discrete import discrete_grad, gonzalez, itoh_abe, mean_value

F64 = torch.float64
CLASSICAL = {"gonzalez": gonzalez, "mean_value": mean_value, "itoh_abe": itoh_abe}
EXACT = {"gonzalez": gonzalez, "itoh_abe": itoh_abe, "automatic": discrete_grad}


def _randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


A = _randn(5, 5, seed=0)


def _quadratic(u: Tensor) -> Tensor:
    return 0.5 * torch.einsum("...i,ij,...j->...", u, A + A.mT, u) + u.sum(-1)


def _pendulums(u: Tensor) -> Tensor:
    """Coupled pendulums: nonlinear, non-separable, not polynomial."""
    return (1 - u.cos()).sum(-1) + 0.5 * (u * u.roll(1, -1)).sum(-1) + u[..., 0] ** 2 * u[..., 1]


def _gradient(energy: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    return torch.func.grad(lambda x: energy(x).sum())(u)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("energy", [_quadratic, _pendulums])
@pytest.mark.parametrize("distance", [1.0, 1e-2, 1e-4, 1e-6, 1e-9, 1e-13])
def test_chain_rule_to_rounding_of_the_energy(
    name: str, energy: Callable[[Tensor], Tensor], distance: float
) -> None:
    u = _randn(4, 5, seed=1)
    v = u + distance * _randn(4, 5, seed=2)
    rise = energy(v) - energy(u)
    along = (EXACT[name](energy)(v, u) * (v - u)).sum(-1)
    assert ((along - rise).abs() <= 1e-15 * (10 + 10 * energy(u).abs())).all()


def test_symmetric_ones_agree_on_quadratics() -> None:
    """∇H at the midpoint for all three; Itoh–Abe differs by a skew part, not on diagonals."""
    u, v = _randn(4, 5, seed=3), _randn(4, 5, seed=4)
    middle = _gradient(_quadratic, 0.5 * (u + v))
    for method in (gonzalez, mean_value, discrete_grad):
        torch.testing.assert_close(method(_quadratic)(v, u), middle, rtol=1e-12, atol=1e-12)
    difference = itoh_abe(_quadratic)(v, u) - middle
    assert difference.abs().max() > 0.1
    assert (difference * (v - u)).sum(-1).abs().max() < 1e-12
    torch.testing.assert_close(
        itoh_abe(lambda x: x.square().sum(-1))(v, u), u + v, rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize(("name", "order"), [("gonzalez", 2), ("mean_value", 2), ("itoh_abe", 1)])
def test_order_against_the_gradient_at_the_midpoint(name: str, order: int) -> None:
    u, step = _randn(3, 5, seed=5), _randn(3, 5, seed=6)
    method = CLASSICAL[name](_pendulums)
    errors = [
        (method(u + h * step, u) - _gradient(_pendulums, u + 0.5 * h * step)).abs().max().item()
        for h in (1e-2, 5e-3)
    ]
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


@pytest.mark.parametrize("name", CLASSICAL)
def test_consistent_and_differentiable_at_equal_ends(name: str) -> None:
    """∇̄H(u, u) = ∇H(u); d/dv there is half the Hessian (for Itoh–Abe its lower triangle)."""
    u = _randn(5, seed=7)
    method = CLASSICAL[name](_pendulums)
    torch.testing.assert_close(method(u, u), _gradient(_pendulums, u), rtol=1e-14, atol=1e-14)
    hessian = torch.func.hessian(_pendulums)(u)
    half = 0.5 * hessian
    if name == "itoh_abe":
        half = hessian.tril(-1) + 0.5 * hessian.diag().diag()
    for v in (u, u + 1e-11 * _randn(5, seed=8)):
        found = torch.func.jacfwd(lambda x: method(x, u))(v)
        torch.testing.assert_close(found, half, rtol=1e-9, atol=1e-9)
        found = torch.func.jacrev(lambda x: method(x, u))(v)
        torch.testing.assert_close(found, half, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CLASSICAL)
def test_gradients_through_a_module_without_rules(name: str) -> None:
    """Any differentiable module, also one discrete_grad refuses; weights and both ends."""
    net = nn.Sequential(nn.Conv1d(1, 2, 3, padding=1), nn.Softmax(1), nn.Flatten()).double()
    weight = net[0].weight

    def energy(u: Tensor) -> Tensor:
        return (net(u)[:, :6] * u.flatten(1)).sum(-1)

    u, v = _randn(2, 1, 6, seed=9), _randn(2, 1, 6, seed=10)
    method = CLASSICAL[name](energy)
    assert method(v, u).shape == u.shape
    assert torch.autograd.gradcheck(method, (v.requires_grad_(), u.requires_grad_()))
    (found,) = torch.autograd.grad(method(v, u).square().sum(), weight)
    direction = _randn(*weight.shape, seed=11)
    sides = []
    with torch.no_grad():
        for sign in (1, -1):
            weight += sign * 1e-6 * direction
            sides.append(method(v, u).square().sum())
            weight -= sign * 1e-6 * direction
    slope = (sides[0] - sides[1]) / 2e-6
    torch.testing.assert_close((found * direction).sum(), slope, rtol=1e-6, atol=1e-8)


def test_mean_value_converges_exponentially_and_is_exact_for_polynomials() -> None:
    u, v = _randn(4, 5, seed=12), _randn(4, 5, seed=13)
    rise = _pendulums(v) - _pendulums(u)
    defects = [
        ((mean_value(_pendulums, nodes=n)(v, u) * (v - u)).sum(-1) - rise).abs().max().item()
        for n in (1, 2, 3, 4, 6)
    ]
    assert all(b < 0.2 * a for a, b in itertools.pairwise(defects))
    assert defects[-1] < 1e-9

    def sextic(x: Tensor) -> Tensor:
        return (x**6).sum(-1)

    along = (mean_value(sextic, nodes=3)(v, u) * (v - u)).sum(-1)
    torch.testing.assert_close(along, sextic(v) - sextic(u), rtol=1e-12, atol=1e-12)
    separable = discrete_grad(sextic)(v, u)
    torch.testing.assert_close(mean_value(sextic, nodes=3)(v, u), separable, rtol=1e-11, atol=1e-12)


def test_bad_arguments_are_value_errors() -> None:
    u = torch.ones(2, 3)
    with pytest.raises(ValueError, match="nodes=0"):
        mean_value(_quadratic, nodes=0)
    for method in CLASSICAL.values():
        with pytest.raises(ValueError, match="v has dtype"):
            method(lambda x: x.sum(-1))(u.double(), u)
        with pytest.raises(ValueError, match="returned shape"):
            method(lambda x: x.sum(0))(u, u)
        with pytest.raises(ValueError, match=r"^energy returned a float: must be a tensor"):
            method(lambda x: 1.0)(u, u)
