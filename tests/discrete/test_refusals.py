"""What discrete_grad refuses, each with one clear line: operations, energies, pairs of ends."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ddg_explorer.discrete import UnsupportedOperation, discrete_grad, rule
from ddg_explorer.discrete.record import RULES

F64 = torch.float64


def _randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "unknown": (
        lambda x: torch.lgamma(x).sum(-1),
        r"'lgamma'.*@ddg_explorer.discrete.rule\(\"lgamma",
    ),
    "unknown method": (lambda x: x.median(-1), "no rule for torch operation 'median'"),
    "add_": (lambda x: x.add_(1.0).sum(-1), "add writes in place"),
    "+=": (lambda x: _increment(x).sum(-1), "iadd writes in place"),
    "setitem": (lambda x: _assign(x).sum(-1), "setitem writes in place"),
    "into a constant": (lambda x: _write(x).sum(-1), "setitem writes in place"),
    "inplace": (nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(0)), "relu writes in place"),
    "out": (lambda x: torch.sin(x, out=torch.zeros(2, 3)).sum(-1), "sin writes in place"),
    "if": (lambda x: x.sum(-1) if x.sum() > 0 else -x.sum(-1), "gt makes the energy branch"),
    "bool": (lambda x: x.sum(-1) if x.sum() else x.mean(-1), "bool makes the energy branch"),
    "float": (lambda x: x.sum(-1) * float(x.sum()), "float makes the energy branch"),
    "item": (lambda x: x.sum(-1) * x.sum().item(), "item makes the energy branch"),
    "where": (lambda x: torch.where(x > 0, x, 0.0).sum(-1), "gt makes the energy branch"),
    "==": (lambda x: x.sum(-1) * (x == 0), "eq makes the energy branch"),
    "isnan": (lambda x: torch.isnan(x).sum(-1), "isnan makes the energy branch"),
    "index": (lambda x: torch.arange(9.0)[x, 0].sum(-1), "index computed from the state"),
    "kernel": (lambda x: F.conv1d(torch.ones(1, 1, 9), x[None]).sum(-1), "kernel computed"),
    "dropout": (nn.Dropout(), "dropout is random"),
    "diagonal": (lambda x: torch.einsum("bii->b", x[..., None] * x[:, None]), "repeats an index"),
    "index lists": (lambda x: torch.einsum(x, [0, 1], x, [0, 1], [0]), "einsum with lists of ind"),
    "keyword": (
        lambda x: torch.gather(x, 1, torch.zeros(2, 1).long(), sparse_grad=True).sum(-1),
        "the rule of gather got an unexpected keyword argument 'sparse_grad'",
    ),
    "no argument": (lambda x: x.cumsum().sum(-1), "the rule of cumsum missing 1 .* 'dim'"),
    "complex": (lambda x: torch.tanh(x + 1j).real.sum(-1), "tanh of a complex value"),
    "norm": (lambda x: torch.linalg.vector_norm(x, ord=0.5, dim=-1), "norm of order 0.5"),
    "matrix norm": (lambda x: torch.linalg.norm(x, 2, (-2, -1))[None], "matrix norm 2 has no rule"),
    "bound": (lambda x: torch.clamp(x, max=x[:, :1]).sum(-1), "bound computed from the state"),
    "softmax": (lambda x: F.softmax(x).sum(-1), "softmax without `dim`"),
    "cross": (lambda x: torch.cross(x, x).sum(-1), "cross without `dim`"),
    "ceil_mode": (lambda x: F.avg_pool1d(x[None], 2, ceil_mode=True)[0].sum(-1), "ceil_mode"),
    "mse weight": (lambda x: F.mse_loss(x, x, weight=x)[None], "by `reduction` only"),
    "detach": (lambda x: x.detach().sum(-1), "no rule for torch operation 'detach'"),
    "data": (lambda x: x.data.sum(-1), "no attribute 'data'"),
}


def _increment(x: Tensor) -> Tensor:
    x += 1.0
    return x


def _assign(x: Tensor) -> Tensor:
    x[..., 0] = 0.0
    return x


def _write(x: Tensor) -> Tensor:
    y = torch.zeros(2, 3, dtype=F64)
    y[:] = x
    return y


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_clear_line(name: str) -> None:
    energy, message = REFUSED[name]
    u = _randn(2, 3, seed=17)
    expected = AttributeError if name == "data" else UnsupportedOperation
    with pytest.raises(expected, match=message) as caught:
        discrete_grad(energy)(u, u)
    assert "\n" not in str(caught.value)


WITHOUT_A_RULE: dict[str, Callable[[Tensor], Tensor]] = {
    "torch": torch.lgamma,
    "method": lambda x: x.lgamma(),
    "special": torch.special.bessel_j0,
    "linalg": lambda x: torch.linalg.det(x.mT @ x),
    "functional": lambda x: F.instance_norm(x[None]),
    "functional built in": lambda x: F.bilinear(x, x, torch.ones(1, 3, 3, dtype=F64)),
    "keywords": lambda x: F.max_pool1d(input=x, kernel_size=2),
    "%": lambda x: x % 0.3,
    "% of a constant": lambda x: torch.ones(3, dtype=F64) % x,
    "//": lambda x: x // 2.0,
    "complex": lambda x: torch.fft.rfft(x).angle(),
}


@pytest.mark.parametrize("name", WITHOUT_A_RULE)
def test_the_rule_that_a_refusal_asks_for_is_taken(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    u = _randn(2, 3, seed=17)

    def energy(x: Tensor) -> Tensor:
        return x.sum(-1) + WITHOUT_A_RULE[name](x)

    with pytest.raises(UnsupportedOperation) as caught:
        discrete_grad(energy)(u, u)
    advice = re.search(r"@ddg_explorer\.discrete\.rule\((.*)\)$", str(caught.value))
    assert advice is not None
    key = advice[1].strip('"')
    monkeypatch.setitem(RULES, key, None)
    rule(key)(lambda *_, **__: torch.zeros(2))
    assert torch.equal(discrete_grad(energy)(u, u), torch.ones(2, 3, dtype=F64))


@pytest.mark.parametrize(
    ("energy", "v", "u", "message"),
    [
        (lambda x: torch.ones(2), (2, 3), (2, 3), "does not depend on the state"),
        (lambda x: torch.zeros_like(x).sum(-1), (2, 3), (2, 3), "does not depend on the state"),
        (lambda x: 1.0, (2, 3), (2, 3), "energy returned a float"),
        (lambda x: x * 1.0, (2, 3), (2, 3), r"returned shape \(2, 3\) for a state of shape \(2, 3"),
        (lambda x: x.sum(0), (2, 3), (2, 3), r"returned shape \(3,\)"),
        (lambda x: x.sum(-1) + 0j, (2, 3), (2, 3), "complex128: must be real"),
        (lambda x: (-2.0) ** x.sum(-1), (2, 3), (2, 3), "base=-2.0: .* must be positive"),
        (lambda x: 0 ** x.sum(-1), (2, 3), (2, 3), "base=0: .* must be positive"),
        (lambda x: F.mse_loss(x, x, reduction="max"), (2, 3), (2, 3), "reduction='max': must be"),
        (lambda x: F.softplus(x, 1, 5).sum(-1), (2, 3), (2, 3), "threshold=5: .* ≥ 20"),
        (lambda x: x.sum(-1), (2, 3), (3,), r"v has shape torch.Size\(\[2, 3\]\)"),
    ],
)
def test_bad_energies_and_ends_are_value_errors(
    energy: Callable, v: tuple[int, ...], u: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        discrete_grad(energy)(_randn(*v, seed=1), _randn(*u, seed=2))


def test_mismatched_types_are_value_errors() -> None:
    u = torch.ones(2, 3)
    energy = discrete_grad(lambda x: x.sum(-1))
    with pytest.raises(ValueError, match=r"v has dtype torch\.float64, u torch\.float32"):
        energy(u.double(), u)
    with pytest.raises(ValueError, match=r"u has dtype torch\.int64"):
        energy(u.long(), u.long())
    with pytest.raises(ValueError, match="v is a list"):
        energy([1.0], u)
    with pytest.raises(ValueError, match="v has device meta, u cpu"):
        energy(u.to("meta"), u)


def test_an_error_within_a_rule_is_not_taken_for_an_argument_without_one() -> None:
    u = _randn(2, 3, seed=17)
    with pytest.raises(TypeError, match="NoneType") as caught:
        discrete_grad(lambda x: (x + None).sum(-1))(u, u)
    assert not isinstance(caught.value, UnsupportedOperation)
