"""Semi-implicit fixed point in Fourier space for constant-coefficient G and quadratic part Q.

With ḡ(v, u) = Q(u + v)/2 + N(v, u), a constant c and hats for Fourier coefficients,

    M v̂ = (1 + Δt/2 Ĝ Q̂) û + Δt Ĝ F[N(v, u) − c v/2],   M = 1 − Δt/2 Ĝ(Q̂ + c)

has the scheme's solution as its fixed point for every c. The c in the middle of the range of N's
slope halves the contraction factor (Cahn–Hilliard: u³ is split as u³ − c u).

û is transformed anew from the real state in every step: Fourier data carried along would let a
non-Hermitian mode grow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.grids import Grid
from ddg_explorer.solve import Progress, Solution, anderson, max_norm

MIN_PIVOT = 0.3


def symbol_product(a: Tensor, b: Tensor, ndim: int) -> Tensor:
    """Product of two symbols, each (*half), (C, *half) (diagonal) or (C, C, *half)."""
    if a.ndim == ndim + 2 and b.ndim == ndim + 2:
        return torch.einsum("ij...,jk...->ik...", a, b)
    if a.ndim == ndim + 2:
        return a * b
    return a * b if b.ndim <= ndim + 1 else a.unsqueeze(1) * b if a.ndim == ndim + 1 else a * b


def symbol_apply(a: Tensor, x: Tensor, ndim: int) -> Tensor:
    """Symbol times Fourier coefficients x, (B, C, *half)."""
    if a.ndim == ndim + 2:
        return (a * x.unsqueeze(1)).sum(2)
    return a * x


def symbol_inverse(a: Tensor, ndim: int) -> Tensor:
    """Inverse of a symbol, mode by mode."""
    if a.ndim == ndim + 2:
        return torch.linalg.inv(a.movedim((0, 1), (-2, -1))).movedim((-2, -1), (0, 1))
    return 1 / a


class SemiImplicit:
    """The fixed-point form of one scheme on one dynamics; caches the symbols of the last Δt."""

    def __init__(self, dynamics: Dynamics, scheme: Any, g: Tensor, q: Tensor) -> None:
        assert dynamics.grid is not None
        self.dynamics = dynamics
        self.scheme = scheme
        self.grid: Grid = dynamics.grid
        self.g = g
        self.q = q
        self.key: tuple[float, float] | None = None
        self.c: float | None = None

    @classmethod
    def of(cls, dynamics: Dynamics, scheme: Any) -> SemiImplicit | None:
        """None where G or the quadratic part of H has no symbol."""
        if dynamics.grid is None or dynamics.structure.state_dependent:
            return None
        q = dynamics.quadratic_symbol()
        if q is None:
            return None
        g = dynamics.structure.symbol(q.dtype, q.device)
        return None if g is None else cls(dynamics, scheme, g, q)

    def reset(self) -> None:
        self.c = None

    def _slope_range(self, u: Tensor) -> tuple[float, float]:
        """Extremes of N's slope at v = u: where N is pointwise, exactly its derivative's range."""

        def nonlinear(v: Tensor) -> Tensor:
            return self.scheme.nonlinear(self.dynamics, v, u)

        p = torch.func.jvp(nonlinear, (u,), (torch.ones_like(u),))[1]
        return float(p.min()), float(p.max())

    def _split(self, u: Tensor, dt: float) -> float:
        low, high = self._slope_range(u)
        if not (abs(low) < float("inf") and abs(high) < float("inf")):
            return 0.0
        c = low + high
        if not self.g.is_complex() and self.g.ndim == self.grid.ndim:
            # keep M ≥ MIN_PIVOT where the quadratic part alone is unstable
            need = -self.q - 2 * (1 - MIN_PIVOT) / (dt * self.g.abs()).clamp_min(1e-300)
            c = max(c, float(need.max()))
        return c

    def _prepare(self, u: Tensor, dt: float) -> None:
        if self.c is None or self.key is None or self.key[0] != dt:
            self.c = self._split(u, dt)
        if self.key == (dt, self.c):
            return
        nd = self.grid.ndim
        half = dt / 2 * symbol_product(self.g, self.q, nd)
        split = dt / 2 * self.c * self.g
        one = torch.ones((), dtype=half.dtype, device=half.device)
        if half.ndim == nd + 2:
            eye = torch.eye(half.shape[0], dtype=half.dtype, device=half.device)
            one = eye.reshape(*eye.shape, *(1,) * nd)
        self.m = one - half - split
        inverse = symbol_inverse(self.m, nd)
        self.base_symbol = symbol_product(inverse, one + half, nd)
        self.slope_symbol = symbol_product(inverse, dt * self.g, nd)
        self.key = (dt, self.c)

    def fixed_map(self, u: Tensor, dt: float) -> Callable[[Tensor], Tensor]:
        """g with g(v) = v for the scheme's solution; (B, n) → (B, n)."""
        self._prepare(u, dt)
        nd, shape, axes = self.grid.ndim, u.shape, self.grid.axes
        size, half_c = self.grid.shape, -(self.c or 0.0) / 2
        base = symbol_apply(self.base_symbol, self.grid.rfft(u), nd)
        nonlinear, dynamics, slope = self.scheme.nonlinear, self.dynamics, self.slope_symbol
        flat = (shape[0], u[0].numel())
        mixing = slope.ndim == nd + 2

        def g(x: Tensor) -> Tensor:
            v = x.view(shape)
            w = torch.add(nonlinear(dynamics, v, u), v, alpha=half_c)
            w_hat = torch.fft.rfftn(w, dim=axes)
            if mixing:
                v_hat = base + symbol_apply(slope, w_hat, nd)
            else:
                v_hat = torch.addcmul(base, slope, w_hat)
            return torch.fft.irfftn(v_hat, s=size, dim=axes).view(flat)

        return g

    def solve(
        self, u: Tensor, guess: Tensor, dt: float, *, scale: Tensor, tol: float, max_iterations: int
    ) -> Solution:
        progress = Progress(scale, tol, polish=1)
        g = self.fixed_map(u, dt)
        v, f = anderson(g, guess, progress, max_iterations=max_iterations)
        f_hat = self.grid.rfft(f.view(u.shape))
        r = self.grid.irfft(symbol_apply(self.m, f_hat, self.grid.ndim)).reshape(f.shape)
        return progress.solution(v, max_norm(r), "the fixed point")
