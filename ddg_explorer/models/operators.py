"""Structure operators of models from plain data, so that a checkpoint can name its G.

A specification is a dict with a `kind` and that kind's options: `{"kind": "laplacian", "operator":
"spectral"}`. Fixed kinds are operators of `ddg_explorer.structure`; the `learned_…` kinds start
from a random draw and are trained together with H. Data determine H and G only up to H → cH,
G → G/c.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.structure import (
    CentralDerivative,
    DampedSymplectic,
    FreeKernel,
    Friction,
    KernelStructure,
    Laplacian,
    MatrixStructure,
    MinusIdentity,
    StrainWave,
    Structure,
    Symplectic,
)

Draw = Callable[..., Tensor]


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
        For an unknown kind or option, or one that needs a grid, or an ODE, where there is none.
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

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    try:
        return make(draw, state_shape, grid, **options)
    except TypeError as error:
        raise ValueError(f"structure kind={kind!r}: {error}") from None


def _learned_kernel(
    draw: Draw,
    _: tuple[int, ...],
    grid: Grid,
    *,
    width: int = 3,
    zero_sum: bool = False,
    isotropic: bool = False,
) -> Structure:
    raw = draw(*[width] * grid.ndim) / width**grid.ndim
    return KernelStructure(grid, FreeKernel(raw, zero_sum=zero_sum, isotropic=isotropic))


def _learned_skew_kernel(
    draw: Draw, _: tuple[int, ...], grid: Grid, *, width: int = 3
) -> Structure:
    return KernelStructure.skew(grid, draw(*[width] * grid.ndim))


def _learned_dissipative_kernel(
    draw: Draw,
    _: tuple[int, ...],
    grid: Grid,
    *,
    width: int = 3,
    zero_sum: bool = False,
    isotropic: bool = False,
) -> Structure:
    half = [(width + 1) // 2] * grid.ndim
    rank = 1 if grid.ndim == 1 else half[0] * half[1]
    raw = draw(*half, rank)
    return KernelStructure.dissipative(grid, raw, zero_sum=zero_sum, isotropic=isotropic)


OPERATORS: dict[str, tuple[str, Callable[..., Structure]]] = {
    "symplectic": ("any", lambda _, s, grid: Symplectic(grid, size=s[0])),
    "damped_symplectic": (
        "any",
        lambda _, s, grid, friction: DampedSymplectic(friction, grid, size=s[0]),
    ),
    "d_dx": ("field", lambda _, s, grid, **o: CentralDerivative(grid, **o)),
    "laplacian": ("field", lambda _, s, grid, **o: Laplacian(grid, **o)),
    "minus_identity": ("any", lambda _, s, grid, **o: MinusIdentity(grid, **o)),
    "strain_wave": ("field", lambda _, s, grid, **o: StrainWave(grid, **o)),
    "learned_friction": (
        "any",
        lambda draw, s, grid: DampedSymplectic(Friction(0.1 * draw(s[0] // 2)), grid, size=s[0]),
    ),
    "learned_matrix": (
        "any",
        lambda draw, s, grid: MatrixStructure(nn.Parameter(draw(s[0], s[0])), grid),
    ),
    "learned_skew_matrix": (
        "any",
        lambda draw, s, grid: MatrixStructure.skew(draw(s[0], s[0]), grid),
    ),
    "learned_dissipative_matrix": (
        "any",
        lambda draw, s, grid: MatrixStructure.dissipative(draw(s[0], s[0]), draw(s[0], s[0]), grid),
    ),
    "learned_kernel": ("field", _learned_kernel),
    "learned_skew_kernel": ("field", _learned_skew_kernel),
    "learned_dissipative_kernel": ("field", _learned_dissipative_kernel),
}
"""Kind → where it lives ("field", "ode" or "any"), and what makes it."""
