"""ETDRK4: exponential time differencing of order 4, the fast scheme without an energy law.

    u_t = L u + N(u),   L̂ = Ĝ Q̂,   N(u) = G (δH/δu − Q u)

The linear part is integrated exactly, mode by mode, the rest by a Runge–Kutta scheme whose weights
combine φ₀(z) = eᶻ and φⱼ₊₁(z) = (φⱼ(z) − 1/j!)/z at z = Δt L̂. These cancel near z = 0 and are means
over a circle in the complex plane there. L̂ of a dispersive equation is imaginary (KdV): its weights
are complex, and stay so. Fields `(*batch, C, *grid)` only.

The energy drifts at the rate of the error (KdV) and may rise (Cahn–Hilliard); mass is kept exactly.
Where Δt L̂ is large, real and negative in excited modes (Cahn–Hilliard on fine grids) order 3 is
seen instead of 4, as the theory of stiff order predicts.

Source: S. M. Cox, P. C. Matthews, J. Comput. Phys. 176 (2002) 430, doi 10.1006/jcph.2002.6995;
A.-K. Kassam, L. N. Trefethen, SIAM J. Sci. Comput. 26 (2005) 1214, doi 10.1137/S1064827502410633;
M. Hochbruck, A. Ostermann, SIAM J. Numer. Anal. 43 (2005) 1069, doi 10.1137/040611434.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.base import Integrator, Step, Stepper
from ddg_explorer.integrators.explicit import explicit_result
from ddg_explorer.integrators.fourier import fourier_form
from ddg_explorer.solve import symbols

RADIUS = 2.0
POINTS = 32


def phi_functions(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """φ₀ … φ₃ of every entry of `z`, real or complex, to a few ulps of the largest of them.

    |z| < 1: mean over 32 points of a circle of radius 2 around z, which stays ≥ 1 away from 0.
    Otherwise the recurrence itself, which does not cancel there.
    """
    complex_z = z.to(torch.complex128)
    angles = math.tau * (torch.arange(POINTS, dtype=torch.float64, device=z.device) + 0.5) / POINTS
    circle = torch.polar(torch.full_like(angles, RADIUS), angles)
    near = complex_z.abs() < 1
    small = torch.where(near, complex_z, 0.0)
    large = torch.where(near, 1.0, complex_z)
    mean = [f.mean(-1) for f in _recurrence(small.unsqueeze(-1) + circle)]
    out = [torch.where(near, m, f) for m, f in zip(mean, _recurrence(large), strict=True)]
    out[0] = torch.exp(complex_z)
    if not z.is_complex():
        out = [f.real for f in out]
    return out[0], out[1], out[2], out[3]


def _recurrence(z: Tensor) -> list[Tensor]:
    phi = [torch.exp(z)]
    for j in range(3):
        phi.append((phi[-1] - 1 / math.factorial(j)) / z)
    return phi


def phi_matrices(z: Tensor, ndim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """φ₀ … φ₃ of the C×C matrix of every mode; z and the results are (C, C, *half).

    One exponential of a block matrix holds them all: the first block row of
    exp [[z, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    (A. H. Al-Mohy, N. J. Higham, SIAM J. Sci. Comput. 33 (2011) 488, doi 10.1137/100788860).
    """
    c = z.shape[0]
    matrix = z.movedim((0, 1), (-2, -1))
    block = matrix.new_zeros(*matrix.shape[:-2], 4 * c, 4 * c)
    block[..., :c, :c] = matrix
    one = torch.eye(c, dtype=z.dtype, device=z.device)
    for j in range(3):
        block[..., j * c : (j + 1) * c, (j + 1) * c : (j + 2) * c] = one
    row = torch.linalg.matrix_exp(block)[..., :c, :]
    phi = [part.movedim((-2, -1), (0, 1)) for part in row.split(c, -1)]
    return phi[0], phi[1], phi[2], phi[3]


def _missing(dynamics: Dynamics) -> str:
    """What the scheme needs and these dynamics do not tell."""
    name, structure = type(dynamics).__name__, dynamics.structure
    if dynamics.grid is None:
        return f"needs a field on a periodic grid; {name} has none"
    if dynamics.quadratic_symbol() is None:
        return (
            f"{name} does not declare `quadratic_symbol()`, the Fourier symbol of the quadratic "
            "part of its energy"
        )
    return f"needs a G that is a convolution; {type(structure).__name__} declares no `symbol()`"


class ETDRK4Stepper(Stepper):
    """Four evaluations of N and nine transforms a step; the weights of the last Δt are kept."""

    def __init__(self, dynamics: Dynamics) -> None:
        form = fourier_form(dynamics)
        if form is None:
            raise ValueError(f"integrator='etdrk4': {_missing(dynamics)}")
        self.dynamics = dynamics
        self.grid, self.g, q = form
        self.linear = symbols.product(self.g, q, self.grid.ndim)
        self.dt: float | None = None

    def _prepare(self, dt: float) -> None:
        """exp(z), exp(z/2), and what multiplies N̂: Q φ₁(z/2)/2 and f₁ … f₃, each times Δt Ĝ."""
        if self.dt == dt:
            return
        nd = self.grid.ndim
        # complex, so that no product with û converts them
        dtype = torch.promote_types(self.linear.dtype, torch.complex64)
        mixing = symbols.mixes(self.linear, nd)
        # weights are computed in double precision and rounded once
        z = dt * self.linear.to(torch.complex128 if self.linear.is_complex() else torch.float64)
        g = dt * self.g.to(torch.complex128 if self.g.is_complex() else torch.float64)

        def phi(x: Tensor) -> tuple[Tensor, ...]:
            return phi_matrices(x, nd) if mixing else phi_functions(x)

        def weight(f: Tensor) -> Tensor:
            return symbols.product(f, g, nd).to(dtype)

        e, p1, p2, p3 = phi(z)
        half, h1, _, _ = phi(z / 2)
        self.exp, self.exp_half = e.to(dtype), half.to(dtype)
        self.stage = weight(h1 / 2)
        self.first = weight(p1 - 3 * p2 + 4 * p3)
        self.middle = weight(2 * p2 - 4 * p3)
        self.last = weight(4 * p3 - p2)
        self.dt = dt

    @torch.no_grad()
    def step(self, u: Tensor, dt: float) -> Step:
        self._prepare(dt)
        nd, grid, shape = self.grid.ndim, self.grid, u.shape
        self.dynamics.batch_shape(u)
        u = u.detach().reshape(-1, *self.dynamics.state_shape)

        def nonlinear(u_hat: Tensor) -> Tensor:
            return grid.rfft(self.dynamics.nonlinear_gradient(grid.irfft(u_hat)))

        # transformed anew every step: carried along, a non-Hermitian mode would grow
        u_hat = grid.rfft(u)
        n_u = grid.rfft(self.dynamics.nonlinear_gradient(u))
        half = symbols.apply(self.exp_half, u_hat, nd)
        a = self._plus(half, self.stage, n_u)
        n_a = nonlinear(a)
        n_b = nonlinear(self._plus(half, self.stage, n_a))
        c = symbols.apply(self.exp_half, a, nd)
        n_c = nonlinear(self._plus(c, self.stage, 2 * n_b - n_u))
        v_hat = self._plus(symbols.apply(self.exp, u_hat, nd), self.first, n_u)
        v_hat = self._plus(v_hat, self.middle, n_a.add_(n_b))
        v_hat = self._plus(v_hat, self.last, n_c)
        return explicit_result(self.dynamics, grid.irfft(v_hat).view(shape), 4)

    def _plus(self, x: Tensor, symbol: Tensor, y: Tensor) -> Tensor:
        """x + Sy, in one pass where channels do not mix."""
        nd = self.grid.ndim
        if symbols.mixes(symbol, nd):
            return x + symbols.apply(symbol, y, nd)
        return torch.addcmul(x, symbol, y)


class ETDRK4(Integrator):
    """Order 4, exponential; see the module's equation. Systems with Fourier symbols only."""

    name = "etdrk4"
    title = "ETDRK4"
    order = 4
    implicit = False
    preserves = (
        "mass, where G conserves it; a quadratic H exactly, any other energy only as far as the "
        "error of the step goes"
    )

    def stepper(self, dynamics: Dynamics) -> Stepper:
        return ETDRK4Stepper(dynamics)
