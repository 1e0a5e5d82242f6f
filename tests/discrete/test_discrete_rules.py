"""Every rule: the discrete chain rule, and ∇̄H(u, u) = ∇H(u) against automatic differentiation."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from rule_operations import ALL, constant
from torch import Tensor

from ddg_explorer.discrete import discrete_grad
from ddg_explorer.discrete.record import RULES

SHAPE = (3, 4, 6)


def _energy(operation: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Weighted sum of squares of the operation's result: nonlinear, and of no symmetry."""

    def energy(x: Tensor) -> Tensor:
        y = operation(x)
        return (torch.square(y) * constant(*y.shape, seed=5) + y).sum()

    return energy


@pytest.mark.parametrize("name", ALL)
def test_chain_rule_and_consistency(name: str) -> None:
    energy = _energy(ALL[name])
    u, step = constant(*SHAPE, seed=1), constant(*SHAPE, seed=2)
    x = u.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(x), x)
    scale = gradient.abs().sum().item()
    # float() rounds to single precision, and the law holds to that.
    rounding = 1e-6 if "double" in name else 1e-14
    # Two derivatives of torch itself are computed with constants in single precision.
    known = 1e-7 if name in ("elementwise: celu", "elementwise: hardsigmoid") else rounding
    assert torch.allclose(discrete_grad(energy)(u, u), gradient, rtol=0, atol=known * (1 + scale))
    for distance in (1.0, 1e-5):
        v = u + distance * step
        found = discrete_grad(energy)(v, u)
        high, low = energy(v).item(), energy(u).item()
        assert found.shape == u.shape
        assert found.dtype == u.dtype
        along = (found * (v - u)).sum().item()
        size = 1 + scale + abs(high) + abs(low)
        assert math.isclose(along, high - low, rel_tol=0, abs_tol=rounding * size)


@pytest.mark.parametrize("name", ALL)
def test_vmap_and_forward_mode(name: str) -> None:
    """vmap equals a loop; the derivative along a step is the same by jvp and by backward."""
    gradient = discrete_grad(_energy(ALL[name]))
    u, step, along = (constant(*SHAPE, seed=s) for s in (1, 2, 3))
    v = (u + 0.3 * step).requires_grad_()
    found = torch.func.vmap(gradient, randomness="same")(torch.stack([v, u]), torch.stack([u, u]))
    each = torch.stack([gradient(v, u), gradient(u, u)])
    torch.testing.assert_close(found, each, rtol=1e-11, atol=1e-10)
    (backward,) = torch.autograd.grad(each[0].mul(along).sum(), v)
    _, forward = torch.func.jvp(lambda x: gradient(x, u), (v.detach(),), (along,))
    scale = 1 + (forward * along).abs().sum().item()
    gap = (forward * along).sum() - (backward * along).sum()
    assert abs(gap.item()) <= 1e-10 * scale


def test_every_registered_rule_is_exercised() -> None:
    """A rule added without a test of its own fails here."""
    used: set[str] = set()
    rules = dict(RULES)
    try:
        for key, function in rules.items():
            RULES[key] = lambda *a, _k=key, _f=function, **k: (used.add(_k), _f(*a, **k))[1]
        u = constant(*SHAPE, seed=1)
        for operation in ALL.values():
            discrete_grad(_energy(operation))(u, u)
    finally:
        RULES.update(rules)
    synonyms = {"absolute", "negative", "positive", "multiply", "divide", "true_divide"}
    synonyms |= {"subtract", "concat", "concatenate", "swapdims", "view_as", "adjoint", "H", "mH"}
    synonyms |= {"conj_physical", "resolve_conj", "split_with_sizes", "special_log1p"}
    synonyms |= {"addmv", "baddbmm", "ndimension", "nelement"}
    dunder = {name for name in rules if name.startswith("__")}
    assert set(rules) - used <= synonyms | dunder
