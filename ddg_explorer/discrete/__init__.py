"""Discrete calculus: discrete gradients that obey an exact discrete chain rule."""

from ddg_explorer.discrete.activations import ACTIVATIONS, secant
from ddg_explorer.discrete.classical import gonzalez, itoh_abe, mean_value
from ddg_explorer.discrete.gradient import discrete_grad
from ddg_explorer.discrete.record import (
    Pair,
    UnsupportedOperation,
    elementwise,
    linear,
    record,
    rule,
)

__all__ = [
    "ACTIVATIONS",
    "Pair",
    "UnsupportedOperation",
    "discrete_grad",
    "elementwise",
    "gonzalez",
    "itoh_abe",
    "linear",
    "mean_value",
    "record",
    "rule",
    "secant",
]
