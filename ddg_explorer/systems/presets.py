"""What a built-in system declares: its parameters with their ranges, and its presets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """A physical parameter, nondimensional.

    Attributes
    ----------
    default
        Value where neither preset nor caller says otherwise.
    bounds
        Allowed range, ends included.
    symbol
        LaTeX symbol.
    doc
        One line of meaning.
    log
        Whether a slider should be logarithmic.
    structures
        Keys of the structure operators through which it acts; empty if it acts through H.
    """

    default: float
    bounds: tuple[float, float]
    symbol: str
    doc: str
    log: bool = False
    structures: tuple[str, ...] = ()

    def check(self, name: str, value: float) -> float:
        """`value` as a float; ValueError if it lies outside the bounds."""
        low, high = self.bounds
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not low <= number <= high:
            raise ValueError(f"{name}={value!r}: must lie in [{low:g}, {high:g}]")
        return number


@dataclass(frozen=True)
class Preset:
    """Good values: parameters, grid, Δt and an initial state that give a picture worth watching.

    Attributes
    ----------
    title, about
        A name, and one paragraph on what to look for.
    dt
        Time step (nondimensional).
    initial
        Names the method `exact_<initial>(draw, t, **options)` or `initial_<initial>(draw,
        **options)` of the system.
    n, length, operator
        Grid of a field system; None for an ODE.
    parameters
        Values that differ from the parameters' defaults.
    choices
        Values of the system's non-numeric choices (wave: form).
    options
        Keyword arguments of the initial state.
    """

    title: str
    about: str
    dt: float
    initial: str
    n: int | tuple[int, ...] | None = None
    length: float | tuple[float, ...] | None = None
    operator: str = "finite_difference"
    parameters: Mapping[str, float] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
