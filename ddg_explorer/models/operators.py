"""Structure operators of models from plain data, so that a checkpoint can name its G.

A specification is a dict with a `kind` and that kind's options: `{"kind": "laplacian", "operator":
"spectral"}`; `operator_kinds` has them all. Data determine H and G only up to H → cH, G → G/c
(`models.gauge`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import torch

from ddg_explorer.grids import Grid
from ddg_explorer.models.operator_kinds import FIXED, OPERATORS, Draws
from ddg_explorer.structure import MatrixStructure, MinusIdentity, StrainWave, Structure

PAIRED = ("symplectic", "damped_symplectic", "learned_friction")
"""Kinds that act on (q, p)."""
MIXING = (("learned_skew_matrix", "skew"), ("learned_state_matrix", "skew"))
"""Kinds with their law that are zero for a single number."""


def operators_of(*, field: bool) -> list[str]:
    """The kinds that a field on a grid has, or an ODE, and that are complete by their name."""
    homes = ("any", "field" if field else "ode")
    return [k for k, (home, make) in OPERATORS.items() if home in homes and not _needed(make)]


def _needed(make: Callable[..., Structure]) -> list[str]:
    """The options of a kind that have no default."""
    options = signature(make).parameters.values()
    return [o.name for o in options if o.kind is o.KEYWORD_ONLY and o.default is o.empty]


def specification(
    structure: str | Structure | Mapping[str, Any], grid: Grid | None
) -> dict[str, Any] | None:
    """What `make_operator` makes this G of, for states on that grid.

    A kind by its name becomes one, a specification is one. None where an operator is of no fixed
    kind, is learned, or acts otherwise on this grid, as one that was made without it; and for what
    is no operator.
    """
    if isinstance(structure, str):
        return {"kind": structure}
    if isinstance(structure, Mapping):
        return dict(structure)
    if type(structure) not in FIXED or structure.module is not None:
        return None
    if structure.grid != grid and not isinstance(structure, MinusIdentity):
        return None
    kind, options = FIXED[type(structure)]
    return {"kind": kind, **options(structure)}


def make_operator(
    specification: Mapping[str, Any],
    state_shape: tuple[int, ...],
    grid: Grid | None,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> Structure:
    """The structure operator of a specification, for states of this shape.

    Raises
    ------
    ValueError
        For an unknown kind or option, or one that does not suit these states.
    """
    options = dict(specification)
    kind = options.pop("kind", None)
    if kind not in OPERATORS:
        raise ValueError(f"structure kind={kind!r}: use one of {', '.join(OPERATORS)}")
    home, make = OPERATORS[kind]
    if home != "any" and (home == "field") != (grid is not None):
        raise ValueError(
            f"structure kind={kind!r}: needs {'a grid' if home == 'field' else 'an ODE'}"
        )
    missing = [name for name in _needed(make) if name not in options]
    if missing:
        raise ValueError(f"structure kind={kind!r}: needs {' and '.join(missing)}")
    size, unit = state_shape[0], "components" if grid is None else "channels"
    if kind in PAIRED and size % 2:
        raise ValueError(
            f"structure kind={kind!r}: needs an even number of {unit}, the states have {size}"
        )
    if size < 2 and (kind, options.get("law", "skew")) in MIXING:
        raise ValueError(f"structure kind={kind!r}: needs 2 or more {unit}, or G is 0")
    try:
        operator = make(Draws(state_shape, grid, generator, dtype), **options)
    except TypeError as error:
        reason = str(error).rpartition("()")[-1].strip()
        raise ValueError(f"structure kind={kind!r}: {reason}") from None
    if isinstance(operator, MatrixStructure | StrainWave):
        wanted, *_ = operator.state_shape
        if wanted != size:
            raise ValueError(
                f"structure kind={kind!r}: needs {wanted} {unit}, the states have {size}"
            )
    return operator
