"""Structure operators of models from plain data, so that a checkpoint can name its G.

A specification is a dict with a `kind` and that kind's options: `{"kind": "laplacian", "operator":
"spectral"}`. Fixed kinds are operators of `ddg_explorer.structure`; the `learned_…` kinds start
from a random draw and are trained together with H. Data determine H and G only up to H → cH,
G → G/c (`models.gauge`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.models.networks import MatrixField, Mobility
from ddg_explorer.structure import (
    CentralDerivative,
    DampedSymplectic,
    FreeKernel,
    Friction,
    KernelStructure,
    Laplacian,
    MatrixStructure,
    MinusIdentity,
    MobilityStructure,
    StateMatrix,
    StrainWave,
    Structure,
    Symplectic,
)

Numbers = Sequence[Any]
"""Numbers in lists within lists."""
PAIRED = ("symplectic", "damped_symplectic", "learned_friction")
"""Kinds that act on (q, p)."""
MIXING = (("learned_skew_matrix", "skew"), ("learned_state_matrix", "skew"))
"""Kinds with their law that are zero for a single number."""
FIRST_FRICTION = 0.1
"""Where a learned friction starts."""


def operators_of(*, field: bool) -> list[str]:
    """The kinds that a field on a grid has, or an ODE, and that are complete by their name."""
    homes = ("any", "field" if field else "ode")
    return [k for k, (home, make) in OPERATORS.items() if home in homes and not _needed(make)]


def _needed(make: Callable[..., Structure]) -> list[str]:
    """The options of a kind that have no default."""
    options = signature(make).parameters.values()
    return [o.name for o in options if o.kind is o.KEYWORD_ONLY and o.default is o.empty]


def specification(structure: Structure, grid: Grid | None) -> dict[str, Any] | None:
    """What `make_operator` makes this G of, for states on that grid.

    None where it is of no fixed kind, is learned, or acts otherwise on this grid, as one that was
    made without it.
    """
    if type(structure) not in FIXED or structure.module is not None:
        return None
    if structure.grid != grid and not isinstance(structure, MinusIdentity):
        return None
    kind, options = FIXED[type(structure)]
    return {"kind": kind, **options(structure)}


def specified(structure: Any, grid: Grid | None) -> Mapping[str, Any] | None:
    """The specification of a G given by its kind or as an operator; others stay as they are.

    Raises
    ------
    ValueError
        For an operator without one (`specification`), or anything else.
    """
    if isinstance(structure, str):
        return {"kind": structure}
    if structure is None or isinstance(structure, Mapping):
        return structure
    found = specification(structure, grid) if isinstance(structure, Structure) else None
    if found is None:
        kinds = ", ".join(operators_of(field=grid is not None))
        place = "an ODE" if grid is None else f"{grid}"
        raise ValueError(
            f"structure=a {type(structure).__name__}: is no fixed operator with a kind, made for "
            f"{place}; use one of {kinds}, or {{'kind': …}} with its options"
        )
    return found


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


class Draws:
    """What an operator is made of: the states' shape and grid, and random initial weights."""

    def __init__(
        self,
        state_shape: tuple[int, ...],
        grid: Grid | None,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        self.size, self.generator, self.dtype = state_shape[0], generator, dtype
        self._grid = grid

    @property
    def any_grid(self) -> Grid | None:
        return self._grid

    @property
    def grid(self) -> Grid:
        assert self._grid is not None
        return self._grid

    def normal(self, *shape: int) -> Tensor:
        """N(0, 1) numbers, drawn in float64."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.dtype)

    def stencil(self, width: int) -> tuple[int, ...]:
        return (width,) * self.grid.ndim


def _symplectic(of: Draws) -> Structure:
    return Symplectic(of.any_grid, size=of.size)


def _damped(of: Draws, *, friction: float | Numbers) -> Structure:
    return DampedSymplectic(friction, of.any_grid, size=of.size)


def _kernel(of: Draws, *, weights: Numbers) -> Structure:
    return KernelStructure(of.grid, weights)


def _matrix(of: Draws, *, entries: Numbers) -> Structure:
    return MatrixStructure(entries, of.any_grid)


def _learned_friction(of: Draws) -> Structure:
    start = torch.full((of.size // 2,), FIRST_FRICTION, dtype=of.dtype)
    # the inverse of softplus, which keeps the friction positive
    return DampedSymplectic(Friction(start.expm1().log()), of.any_grid, size=of.size)


def _learned_matrix(of: Draws) -> Structure:
    return MatrixStructure(nn.Parameter(of.normal(of.size, of.size)), of.any_grid)


def _learned_skew_matrix(of: Draws) -> Structure:
    return MatrixStructure.skew(of.normal(of.size, of.size), of.any_grid)


def _learned_dissipative_matrix(of: Draws) -> Structure:
    falling, skew = of.normal(of.size, of.size), of.normal(of.size, of.size)
    return MatrixStructure.dissipative(falling, skew, of.any_grid)


def _learned_kernel(
    of: Draws,
    *,
    width: int = 3,
    zero_sum: bool = False,
    isotropic: bool = False,
    centre: float | None = None,
) -> Structure:
    """`centre` is the initial weight of the centre; the others are then drawn ten times smaller."""
    raw = of.normal(*of.stencil(width))
    if centre is not None:
        raw = 0.1 * raw
        raw[(width // 2,) * raw.ndim] = centre
    return KernelStructure(of.grid, FreeKernel(raw, zero_sum=zero_sum, isotropic=isotropic))


def _learned_skew_kernel(of: Draws, *, width: int = 3) -> Structure:
    return KernelStructure.skew(of.grid, of.normal(*of.stencil(width)))


def _learned_dissipative_kernel(
    of: Draws, *, width: int = 3, zero_sum: bool = False, isotropic: bool = False
) -> Structure:
    half = of.stencil((width + 1) // 2)
    rank = 1 if of.grid.ndim == 1 else half[0] ** of.grid.ndim
    raw = of.normal(*half, rank)
    return KernelStructure.dissipative(of.grid, raw, zero_sum=zero_sum, isotropic=isotropic)


def _learned_state_matrix(
    of: Draws, *, law: str = "skew", hidden: int = 32, activation: str = "tanh"
) -> Structure:
    field = MatrixField(
        of.size, hidden=hidden, activation=activation, generator=of.generator, dtype=of.dtype
    )
    return StateMatrix(field, law)


def _learned_mobility(of: Draws, *, hidden: int = 16, operator: str = "finite_difference"):
    mobility = Mobility(hidden=hidden, generator=of.generator, dtype=of.dtype)
    return MobilityStructure(of.grid, mobility, operator)


OPERATORS: dict[str, tuple[str, Callable[..., Structure]]] = {
    "symplectic": ("any", _symplectic),
    "damped_symplectic": ("any", _damped),
    "d_dx": ("field", lambda of, **options: CentralDerivative(of.grid, **options)),
    "laplacian": ("field", lambda of, **options: Laplacian(of.grid, **options)),
    "minus_identity": ("any", lambda of, **options: MinusIdentity(of.any_grid, **options)),
    "strain_wave": ("field", lambda of, **options: StrainWave(of.grid, **options)),
    "kernel": ("field", _kernel),
    "matrix": ("any", _matrix),
    "learned_friction": ("any", _learned_friction),
    "learned_matrix": ("any", _learned_matrix),
    "learned_skew_matrix": ("any", _learned_skew_matrix),
    "learned_dissipative_matrix": ("any", _learned_dissipative_matrix),
    "learned_state_matrix": ("ode", _learned_state_matrix),
    "learned_kernel": ("field", _learned_kernel),
    "learned_skew_kernel": ("field", _learned_skew_kernel),
    "learned_dissipative_kernel": ("field", _learned_dissipative_kernel),
    "learned_mobility": ("field", _learned_mobility),
}
"""Kind → where it lives ("field", "ode" or "any"), and what makes it."""


def _unless(structure: Structure, **plain: Any) -> dict[str, Any]:
    """The attributes that differ from these."""
    values = {name: getattr(structure, name) for name in plain}
    return {name: value for name, value in values.items() if value != plain[name]}


FIXED: dict[type[Structure], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    Symplectic: ("symplectic", lambda g: {}),
    DampedSymplectic: ("damped_symplectic", lambda g: {"friction": g.friction.tolist()}),
    CentralDerivative: (
        "d_dx",
        lambda g: {"operator": g.operator, **_unless(g, axis=-1, strength=1.0)},
    ),
    Laplacian: ("laplacian", lambda g: {"operator": g.operator, **_unless(g, strength=1.0)}),
    MinusIdentity: ("minus_identity", lambda g: _unless(g, strength=1.0)),
    StrainWave: ("strain_wave", lambda g: {"operator": g.operator, **_unless(g, friction=0.0)}),
    KernelStructure: ("kernel", lambda g: {"weights": g.kernel.tolist()}),
    MatrixStructure: ("matrix", lambda g: {"entries": g.entries.tolist()}),
}
"""Class → its kind, and the options that make this one."""
