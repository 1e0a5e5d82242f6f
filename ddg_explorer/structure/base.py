"""The structure operator G of u̇ = G(u) δH/δu, and sums of such operators.

G acts linearly on the variational derivative g = ∇̄H/Δxᵈ, shape `(..., d)` for an ODE and
`(..., C, *grid)` for a field. With ΔH = Δxᵈ Δt gᵀGg it decides the law:

* skew, Gᵀ = −G: the energy is conserved;
* dissipative, ½(G + Gᵀ) ≤ 0 (so every skew G counts): the energy never rises;
* mass-conserving, 1ᵀG = 0 per channel: ∫u stays constant;
* isotropic: G commutes with the grid's rotations and reflections.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.structure.checks import check_number
from ddg_explorer.structure.report import Report, report_of_matrix, report_of_symbol

MATRIX_LIMIT = 4096
TOLERANCE = 1e-12
"""Defects up to this fraction of the largest entry count as rounding in computed flags."""


class Structure:
    """A linear operator G(u) with declared algebraic properties.

    A flag that is True is a guarantee: by construction, or computed to `TOLERANCE` where the
    coefficients are free. False means that there is none: the operator runs, `report` says by how
    much the law is broken. An ODE has no grid, so `is_isotropic` is False there.

    Attributes
    ----------
    is_skew, is_dissipative, conserves_mass, is_isotropic
        The laws above.
    state_dependent
        Whether G depends on u; `apply` then needs it.
    grid
        The periodic grid of a field operator, None for an ODE or an operator that needs none.
    state_shape
        Shape of one state where the operator knows it, else None.
    module
        The `nn.Module` that holds what can be learned, None for a constant operator. A model
        registers it as a submodule; the operator reads it at every use.
    """

    is_skew: bool = False
    is_dissipative: bool = False
    conserves_mass: bool = False
    is_isotropic: bool = False
    state_dependent: bool = False
    grid: Grid | None = None
    module: nn.Module | None = None
    _own_report: Report | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(state_shape={self.state_shape})"

    @property
    def state_shape(self) -> tuple[int, ...] | None:
        return None if self.grid is None else (1, *self.grid.shape)

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        """G(u) g, shape of g.

        `u` is the state at which a state-dependent G is taken (the midpoint of the step in every
        discrete scheme here); a constant G ignores it.
        """
        raise TypeError(f"{type(self).__name__} does not define apply(g, u)")

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor | None:
        """Fourier symbol Ĝ(k) of the half shape, `(C, C, *half)` where channels mix, None where G
        is no convolution. `dtype` is the field's real dtype; read-only."""
        return None

    def matrix(
        self,
        shape: tuple[int, ...] | None = None,
        *,
        u: Tensor | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Dense (N, N) matrix on flattened states of `shape`, N ≤ 4096.

        `shape` may be left out where the operator knows it or one state `u` is given.

        Raises
        ------
        ValueError
            If the shape is unknown or too large, or a state-dependent G gets no `u`.
        """
        shape = self._shape(shape, u)
        size = math.prod(shape)
        if size > MATRIX_LIMIT:
            raise ValueError(f"shape={shape}: a dense matrix needs at most {MATRIX_LIMIT} unknowns")
        units = torch.eye(size, dtype=dtype, device=device).reshape(size, *shape)
        state = None if u is None else u.to(units).expand(size, *shape)
        return self.apply(units, state).reshape(size, size).T

    def report(
        self,
        u: Tensor | None = None,
        *,
        shape: tuple[int, ...] | None = None,
        tolerance: float = TOLERANCE,
    ) -> Report:
        """Measure every law in float64, from the symbol where there is one, else the matrix.

        Parameters
        ----------
        u
            One state, `state_shape`: needed by a state-dependent G.
        shape
            State shape, where neither the operator nor `u` tells it.
        tolerance
            What verdicts allow, relative to the largest entry of G.
        """
        with torch.no_grad():
            symbol = self.symbol()
            if symbol is not None and self.grid is not None:
                return report_of_symbol(symbol, self._weights(symbol), self.grid, tolerance)
            shape = self._shape(shape, u)
            at = partial(self.matrix, shape)
            moved = (lambda move: at(u=move(u))) if self.state_dependent else None
            return report_of_matrix(at(u=u), shape, self.grid, tolerance, moved)

    @property
    def law(self) -> str:
        """What the flags promise, one line."""
        if self.is_skew:
            energy = "conserves energy"
        else:
            energy = "dissipates energy" if self.is_dissipative else "can create energy"
        return f"{energy}, conserves mass" if self.conserves_mass else energy

    def _on(self, grid: Grid | None) -> Structure:
        """This operator as part of a sum on `grid`."""
        return self

    def _measured(self, law: str) -> bool:
        """The flag `law` of `report()`, kept where nothing can change it.

        False where no guarantee can be computed: G depends on the state, or its matrix is unknown
        or too large.
        """
        shape = self.state_shape
        if self.state_dependent or shape is None:
            return False
        if math.prod(shape) > MATRIX_LIMIT and self.symbol() is None:
            return False
        if self.module is not None:
            return getattr(self.report(), law)
        if self._own_report is None:
            self._own_report = self.report()
        return getattr(self._own_report, law)

    def _weights(self, symbol: Tensor) -> Tensor:
        """κ(x) on the grid, from the symbol."""
        assert self.grid is not None
        return self.grid.irfft(symbol)

    def _shape(self, shape: tuple[int, ...] | None, u: Tensor | None) -> tuple[int, ...]:
        if self.state_dependent and u is None:
            raise ValueError("u=None: this operator depends on the state; pass one state")
        found = shape or (self.state_shape if u is None else tuple(u.shape))
        if found is None:
            raise ValueError(f"shape=None: {type(self).__name__} does not know its state's shape")
        return tuple(found)

    def __add__(self, other: Structure) -> Structure:
        return _combine((1.0, self), (1.0, other))

    def __radd__(self, other: int) -> Structure:
        if isinstance(other, int) and other == 0:
            return self  # what `sum` begins with
        return self + other  # pyright: ignore[reportOperatorIssue]

    def __sub__(self, other: Structure) -> Structure:
        return _combine((1.0, self), (-1.0, other))

    def __mul__(self, factor: float) -> Structure:
        return _combine((factor, self))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Structure:
        number = check_number(divisor, "divisor")
        if number == 0:
            raise ValueError(f"divisor={divisor}: must not be 0")
        return _combine((1 / number, self))

    def __neg__(self) -> Structure:
        return _combine((-1.0, self))


def _combine(*terms: tuple[float, Structure]) -> Structure:
    # The one place where the base needs a subclass.
    from ddg_explorer.structure.combination import Combination

    return Combination(*terms)
