"""Rules of activation functions, slopes from `activations.py`.

    c ↦ c · slope(v, u),      slope = (σ(v) − σ(u))/(v − u)

Shapes are those of the argument.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete import activations, secants
from ddg_explorer.discrete.record import Pair, UnsupportedOperation, elementwise, rule
from ddg_explorer.discrete.rules_elementwise import plain, real

# Scale and shape of the self-normalising elu.
_SELU = (1.0507009873554805, 1.6732632423543772)

plain(torch.relu, activations.relu)
plain(F.silu, activations.silu)
plain(F.softsign, activations.softsign)
plain(F.hardswish, activations.hardswish)


@rule(F.softplus)
def _softplus(x: Pair, beta: float = 1.0, threshold: float = 20.0) -> Pair:
    """The smooth log(1 + e^(βx))/β at both ends, without torch's switch to x at βx > threshold.

    The recorded energy differs from torch's by that switch, at most e^(−threshold)/β per element
    (2e-9 by default): the law holds for the smooth function.
    """
    if threshold < 20:
        raise ValueError(f"threshold={threshold}: softplus must be smooth, threshold ≥ 20")

    def smooth(y: Tensor) -> Tensor:
        return torch.relu(y) + torch.log1p(torch.exp(-(beta * y).abs())) / beta

    return elementwise(
        real(x, "softplus"), smooth, lambda v, u: activations.softplus(beta * v, beta * u)
    )


@rule(F.logsigmoid)
def _logsigmoid(x: Pair) -> Pair:
    return elementwise(x, F.logsigmoid, lambda v, u: activations.softplus(-v, -u))


@rule(F.gelu)
def _gelu(x: Pair, approximate: str = "none") -> Pair:
    return elementwise(
        x,
        functools.partial(F.gelu, approximate=approximate),
        lambda v, u: activations.gelu(v, u, approximate),
    )


@rule(F.leaky_relu)
def _leaky_relu(x: Pair, negative_slope: float = 0.01) -> Pair:
    return elementwise(
        x,
        lambda y: F.leaky_relu(y, negative_slope),
        lambda v, u: activations.leaky_relu(v, u, negative_slope),
    )


@rule(F.elu)
def _elu(x: Pair, alpha: float = 1.0) -> Pair:
    return elementwise(x, lambda y: F.elu(y, alpha), lambda v, u: activations.elu(v, u, alpha))


@rule(F.celu)
def _celu(x: Any, alpha: float = 1.0) -> Any:
    return alpha * F.elu(x / alpha)


@rule(F.selu)
def _selu(x: Any) -> Any:
    scale, alpha = _SELU
    return scale * F.elu(x, alpha)


@rule(F.mish)
def _mish(x: Any) -> Any:
    return x * torch.tanh(F.softplus(x))


@rule(F.tanhshrink)
def _tanhshrink(x: Any) -> Any:
    return x - torch.tanh(x)


@rule(F.hardtanh)
def _hardtanh(x: Pair, min_val: float = -1.0, max_val: float = 1.0) -> Pair:
    return elementwise(
        x,
        lambda y: torch.clamp(y, min_val, max_val),
        lambda v, u: secants.clamp(v, u, min_val, max_val, closed=False),
    )


@rule(F.relu6)
def _relu6(x: Pair) -> Pair:
    return _hardtanh(x, 0.0, 6.0)


@rule(F.hardsigmoid)
def _hardsigmoid(x: Any) -> Any:
    return _hardtanh(x + 3.0, 0.0, 6.0) / 6.0  # pyright: ignore[reportOperatorIssue]


@rule(F.dropout)
def _dropout(x: Pair, p: float = 0.5, training: bool = True) -> Pair:
    if training and p > 0:
        raise UnsupportedOperation("discrete_grad: dropout is random; put the module in eval mode")
    return x
