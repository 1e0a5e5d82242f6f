"""The Fourier symbols of u_t = G(Qu + N(u)), where a dynamics has them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.grids import Grid


class FourierForm(NamedTuple):
    """Grid and symbols Ĝ, Q̂ of half shape, or (C, C, *half) where channels mix."""

    grid: Grid
    g: Tensor
    q: Tensor


def fourier_form(dynamics: Dynamics) -> FourierForm | None:
    """None where G depends on the state, or G or the quadratic part of H has no symbol."""
    if dynamics.grid is None or dynamics.structure.state_dependent:
        return None
    q = dynamics.quadratic_symbol()
    if q is None:
        return None
    g = dynamics.structure.symbol(q.real.dtype, q.device)
    return None if g is None else FourierForm(dynamics.grid, g, q)
