"""The kinds of structure operators that a model can be given, by name.

`OPERATORS` makes each from its options; the `learned_…` kinds start from a random draw and are
trained together with H, those of components in units of the data where `units` gives them. `FIXED`
is the way back: from an operator of `ddg_explorer.structure` to its kind and the options that make
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.io import described
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
from ddg_explorer.structure.coefficients import Free
from ddg_explorer.structure.dense import DissipativeMatrix, SkewMatrix

Numbers = Sequence[Any]
"""Numbers in lists within lists."""
FIRST_FRICTION = 0.1
"""Where a learned friction starts, in its units."""
IN_UNITS = (
    "learned_friction",
    "learned_matrix",
    "learned_skew_matrix",
    "learned_dissipative_matrix",
)
"""Kinds that take `units`, one for each component or channel, see `models.units`."""


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

    def sized(self, units: Numbers | None) -> Tensor | None:
        """`units` as they were given, one for every component; None for none.

        Raises
        ------
        ValueError
            For another number of them, or what is not positive and finite.
        """
        if units is None:
            return None
        found = torch.tensor(units, dtype=self.dtype)
        if found.shape != (self.size,) or not bool(((found > 0) & found.isfinite()).all()):
            raise ValueError(f"units={units}: needs {self.size} numbers, positive and finite")
        return found

    def products(self, units: Numbers | None) -> Tensor | None:
        """σσᵀ of `units`, exactly symmetric."""
        found = self.sized(units)
        return None if found is None else found[:, None] * found

    def stencil(self, width: int) -> tuple[int, ...]:
        """One width an axis; ValueError unless it is odd and positive."""
        whole = isinstance(width, Integral) and not isinstance(width, bool)
        if not whole or width < 1 or width % 2 == 0:
            raise ValueError(f"width={described(width)}: must be an odd integer ≥ 1")
        return (width,) * self.grid.ndim


def _symplectic(of: Draws) -> Structure:
    return Symplectic(of.any_grid, size=of.size)


def _damped(of: Draws, *, friction: float | Numbers) -> Structure:
    return DampedSymplectic(friction, of.any_grid, size=of.size)


def _kernel(of: Draws, *, weights: Numbers) -> Structure:
    return KernelStructure(of.grid, weights)


def _matrix(of: Draws, *, entries: Numbers) -> Structure:
    return MatrixStructure(entries, of.any_grid)


def _learned_friction(of: Draws, *, units: Numbers | None = None) -> Structure:
    start = torch.full((of.size // 2,), FIRST_FRICTION, dtype=of.dtype)
    sizes = of.sized(units)
    if sizes is not None:
        q, p = sizes.chunk(2)
        sizes = p / q
    # the inverse of softplus, which keeps the friction positive
    return DampedSymplectic(Friction(start.expm1().log(), sizes), of.any_grid, size=of.size)


def _learned_matrix(of: Draws, *, units: Numbers | None = None) -> Structure:
    entries = nn.Parameter(of.normal(of.size, of.size))
    return MatrixStructure(Free(entries, of.products(units)), of.any_grid)


def _learned_skew_matrix(of: Draws, *, units: Numbers | None = None) -> Structure:
    entries = of.normal(of.size, of.size)
    return MatrixStructure(SkewMatrix(entries, of.products(units)), of.any_grid)


def _learned_dissipative_matrix(of: Draws, *, units: Numbers | None = None) -> Structure:
    falling, skew = of.normal(of.size, of.size), of.normal(of.size, of.size)
    return MatrixStructure(DissipativeMatrix(falling, skew, of.products(units)), of.any_grid)


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
    half = tuple((w + 1) // 2 for w in of.stencil(width))
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
