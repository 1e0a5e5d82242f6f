"""The canonical structure of Hamiltonian mechanics, with and without friction.

    S = [[0, I], [−I, 0]]          skew
    S − R = [[0, I], [−I, −r]]     dissipative, friction r ≥ 0

on (q, p): the first and second half of an ODE's components `(..., d)`, or of a field's channels
`(..., C, *grid)` (wave equation: u and v). The friction acts on p: q̇ = ∂H/∂p, ṗ = −∂H/∂q − r ∂H/∂p.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.structure.base import Structure
from ddg_explorer.structure.checks import check_optional_grid, check_strength
from ddg_explorer.structure.coefficients import (
    Coefficients,
    InUnits,
    Kept,
    Numbers,
    Source,
    check_raw,
)


class Symplectic(Structure):
    """S = [[0, I], [−I, 0]]: skew; isotropic on a grid, where it acts point by point.

    Parameters
    ----------
    grid
        Of a field, whose channels are paired; None for an ODE.
    size
        Number of components or channels, even. `apply` takes any even number where it is left out;
        `matrix` and `symbol` then assume 2.

    Raises
    ------
    ValueError
        If `size`, or the number of components met in `apply`, is odd or not as declared.
    """

    is_skew = True
    is_dissipative = True

    def __init__(self, grid: Grid | None = None, *, size: int | None = None) -> None:
        if size is not None and (size < 2 or size % 2):
            raise ValueError(f"size={size}: (q, p) needs an even number of components")
        self.grid = check_optional_grid(grid)
        self.size = size
        self.is_isotropic = grid is not None
        self._channel = -1 if grid is None else -1 - grid.ndim
        self._symbol = Kept()

    @property
    def state_shape(self) -> tuple[int, ...] | None:
        if self.grid is not None:
            return (self.size or 2, *self.grid.shape)
        return None if self.size is None else (self.size,)

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        g_q, g_p = self._halves(g)
        return torch.cat([g_p, -g_q], self._channel)

    def _halves(self, g: Tensor) -> tuple[Tensor, Tensor]:
        count = g.shape[self._channel]
        if count % 2 or count != (self.size or count):
            raise ValueError(
                f"g has {count} components: (q, p) needs " + str(self.size or "an even number")
            )
        half = count // 2
        return g.narrow(self._channel, 0, half), g.narrow(self._channel, half, half)

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor | None:
        if self.grid is None:
            return None
        return self._symbol(dtype, device, lambda: self._blocks(dtype, device))

    def _blocks(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        assert self.grid is not None
        size = self.size or 2
        units = torch.eye(size, dtype=dtype, device=device)
        # One site is enough: the operator acts point by point.
        block = self.apply(units[(..., *[None] * self.grid.ndim)]).reshape(size, size).T
        return block[(..., *[None] * self.grid.ndim)].expand(size, size, *self.grid.half_shape)


class DampedSymplectic(Symplectic):
    """S − R = [[0, I], [−I, −r]]: dissipative for every friction it accepts, skew for r = 0.

    Parameters
    ----------
    friction
        r: a number ≥ 0; a vector of one number ≥ 0 per momentum; a symmetric positive semi-definite
        matrix over the momenta; or a `Friction` module, which is so for all its parameters.
    grid, size
        As for `Symplectic`; a vector or matrix of m entries fixes the size to 2m.

    Raises
    ------
    ValueError
        If the friction is negative, not symmetric positive semi-definite, or does not fit the size.
    """

    is_skew = False

    def __init__(
        self,
        friction: float | Source = 0.1,
        grid: Grid | None = None,
        *,
        size: int | None = None,
    ) -> None:
        self._number: float | None = None
        self._friction: Coefficients | None = None
        if isinstance(friction, int | float):
            self._number = check_strength(friction, "friction")
        else:
            self._friction = Coefficients(friction, "friction")
            self.module = self._friction.module
            size = self._checked_size(self._friction, size)
        super().__init__(grid, size=size)
        self.is_skew = self._number == 0 or (self._friction is not None and self._friction.is_zero)

    @staticmethod
    def _checked_size(friction: Coefficients, size: int | None) -> int | None:
        if friction.module is None:
            check_positive(friction(torch.float64, "cpu"))
        elif "positive" not in friction.guarantees:
            raise ValueError("friction: what is learned must be a Friction module, which stays ≥ 0")
        if friction.shape in ((), (1,)):
            return size
        fitting = 2 * friction.shape[0]
        if size not in (None, fitting):
            raise ValueError(f"size={size}: friction of shape {friction.shape} fits {fitting}")
        return fitting

    @property
    def friction(self) -> Tensor:
        """Today's r, `()`, `(m,)` or `(m, m)`, in float64 on the CPU; a copy."""
        if self._friction is None:
            return torch.tensor(self._number, dtype=torch.float64)
        return self._friction.copy()

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        g_q, g_p = self._halves(g)
        if self._number is not None:
            lower = g_q.add(g_p, alpha=self._number).neg_()
        else:
            lower = -g_q - self._damp(g_p)
        return torch.cat([g_p, lower], self._channel)

    def _damp(self, g_p: Tensor) -> Tensor:
        """R g_p."""
        assert self._friction is not None
        friction = self._friction(g_p.dtype, g_p.device)
        if friction.ndim < 2:
            return friction.reshape(-1, *[1] * (-1 - self._channel)) * g_p
        moved = g_p.movedim(self._channel, -1)
        return (moved @ friction.T).movedim(-1, self._channel)

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor | None:
        if self.grid is not None and self.module is not None:
            return self._blocks(dtype, device)
        return super().symbol(dtype, device)


class Friction(InUnits):
    """Learnable friction, positive (semi-definite) for every value of its parameters.

        r = softplus(raw)      raw of shape () or (m,)
        R = raw rawᵀ           raw of shape (m, m)

    `units`, positive, of the shape of `raw` and for a matrix a product ssᵀ, multiply either.

    Raises
    ------
    ValueError
        If `raw` has another shape.
    """

    guarantees = frozenset({"positive"})

    def __init__(self, raw: Numbers, units: Tensor | None = None) -> None:
        super().__init__(units)
        raw = check_raw(raw, "raw")
        if raw.ndim > 2 or (raw.ndim == 2 and raw.shape[0] != raw.shape[1]):
            raise ValueError(f"raw has shape {tuple(raw.shape)}: use (), (m,) or (m, m)")
        self.raw = nn.Parameter(raw)

    def forward(self) -> Tensor:
        if self.raw.ndim == 2:
            return self.scaled(self.raw @ self.raw.T)
        return self.scaled(nn.functional.softplus(self.raw))


def check_positive(friction: Tensor) -> None:
    """ValueError unless every number is ≥ 0, or the matrix is symmetric positive semi-definite."""
    if friction.ndim < 2:
        if friction.numel() and float(friction.min()) < 0:
            raise ValueError(f"friction={friction.tolist()}: every entry must be ≥ 0")
        return
    if friction.ndim > 2 or friction.shape[0] != friction.shape[1]:
        raise ValueError(f"friction has shape {tuple(friction.shape)}: use (), (m,) or (m, m)")
    scale = float(friction.abs().max())
    if not torch.equal(friction, friction.T):
        raise ValueError("friction: a matrix must be symmetric")
    lowest = float(torch.linalg.eigvalsh(friction)[0])
    # An exactly singular matrix has eigenvalues of this size from rounding.
    if lowest < -1e-14 * friction.shape[0] * scale:
        raise ValueError(f"friction: smallest eigenvalue {lowest:.3g}, must be ≥ 0")
