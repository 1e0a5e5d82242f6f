"""Rules of inverse functions, error functions, sinc, entropy, and of losses linear far from zero.

    c ↦ c · slope(v, u),      slope = (σ(v) − σ(u))/(v − u)      (`secants_inverse.py`)

Shapes are those of the argument. `l1_loss` has no rule: torch drops its `weight` where it hands the
call over, and the law would silently be that of another energy.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete import secants_inverse
from ddg_explorer.discrete.record import Pair, UnsupportedOperation, elementwise, rule
from ddg_explorer.discrete.rules_elementwise import real

_SLOPES = {
    (torch.asinh, torch.arcsinh): secants_inverse.asinh,
    (torch.acosh, torch.arccosh): secants_inverse.acosh,
    (torch.atanh, torch.arctanh): secants_inverse.atanh,
    (torch.asin, torch.arcsin): secants_inverse.asin,
    (torch.acos, torch.arccos): secants_inverse.acos,
    (torch.erfc, torch.special.erfc): secants_inverse.erfc,
    (torch.sinc, torch.special.sinc): secants_inverse.sinc,
}


def _register(functions: tuple[Any, ...], slope: Any) -> None:
    @rule(*functions)
    def _(x: Pair) -> Pair:
        return elementwise(real(x, functions[0].__name__), functions[0], slope)


for _functions, _slope in _SLOPES.items():
    _register(_functions, _slope)


@rule(torch.special.ndtr)
def _ndtr(x: Any) -> Any:
    return 0.5 * torch.erfc(-math.sqrt(0.5) * x)


@rule(torch.xlogy, torch.special.xlogy)
def _xlogy(x: Any, y: Any) -> Any:
    """x log x for x ≥ 0, zero included, where both arguments are one; else y > 0."""
    if x is y:
        return elementwise(x, lambda z: torch.xlogy(z, z), secants_inverse.x_log_x)
    return x * torch.log(y)


@rule(torch.special.entr)
def _entr(x: Any) -> Any:
    return -_xlogy(x, x)


@rule(torch.float_power)
def _float_power(x: Any, exponent: Any) -> Any:
    """The power in float64, whatever the dtype of the state."""
    base, power = (
        real(z, "float_power").to(torch.float64) if isinstance(z, Pair | Tensor) else float(z)
        for z in (x, exponent)
    )
    return base**power


def _reduced(loss: Any, reduction: str) -> Any:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction={reduction!r}: must be 'none', 'mean' or 'sum'")
    return loss if reduction == "none" else getattr(loss, reduction)()


def _refuse_old(name: str, *old: Any) -> None:
    if any(given is not None for given in old):
        raise UnsupportedOperation(f"discrete_grad: {name} has a rule by `reduction` only")


@rule(F.mse_loss)
def _mse_loss(
    x: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Any:
    _refuse_old("mse_loss", size_average, reduce, weight)
    return _reduced((x - target).square(), reduction)


@rule(F.huber_loss)
def _huber_loss(
    x: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    _refuse_old("huber_loss", weight)
    if not delta > 0:
        raise ValueError(f"delta={delta}: must be positive")

    def huber(r: Tensor) -> Tensor:
        c = r.clamp(-delta, delta)
        return c * (r - 0.5 * c)

    distance: Any = x - target
    loss = elementwise(
        real(distance, "huber_loss"), huber, lambda v, u: secants_inverse.huber(v, u, delta)
    )
    return _reduced(loss, reduction)


@rule(F.smooth_l1_loss)
def _smooth_l1_loss(
    x: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    _refuse_old("smooth_l1_loss", size_average, reduce)
    if beta == 0:
        return _reduced(torch.abs(x - target), reduction)
    return _huber_loss(x, target, reduction, beta) / beta
