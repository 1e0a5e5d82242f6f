"""Semi-implicit fixed point in Fourier space for constant-coefficient G and quadratic part Q.

With ḡ(v, u) = Q(u + v)/2 + N(v, u), a constant c and hats for Fourier coefficients,

    M (v̂ − û) = Δt Ĝ (Q̂ û + F[N(v, u) − c (v − u)/2]),      M = 1 − Δt/2 Ĝ (Q̂ + c)

has the scheme's solution as its fixed point for every c. Fastest is c/2 = the mean of N's slope
p = ∂N/∂v (Cahn–Hilliard: u³ is split as u³ − c u), so c follows the state.

Newton's method on it needs (1 − S(p − c/2)) δ = f with S = M⁻¹ΔtĜ: GMRES. Where G is symmetric
negative semi-definite and N pointwise, the same equation times (−G)⁺M reads

    ((−G)⁺ + Δt (p + Q/2)) δ = −(−G)⁺F(v),

symmetric, and positive definite as long as the step is unique: conjugate gradients with the mean of
p in Fourier space, one transform pair per iteration. The step is then a critical point of a
functional, which the line search can follow where the curvature turns negative.

û is transformed anew from the real state in every step: Fourier data carried along would let a
non-Hermitian mode grow. The increment is what is computed: symbols for v̂ itself would be off by the
same rounding in every step, and the energy would drift steadily.

The residual is F(v) evaluated anew, not −M (g(v) − v): where g hardly depends on v (linear waves)
it repeats its own rounding, which Δt Ĝ Q̂ enlarges in F, and g(v) − v says 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.fourier import FourierForm, fourier_form
from ddg_explorer.integrators.preconditioned import FixedPoint
from ddg_explorer.integrators.scheme import Scheme
from ddg_explorer.solve import gmres, linearize, pcg, symbols
from ddg_explorer.solve.inexact import Direction, Slope

MIN_PIVOT = 0.3
KRYLOV_LIMIT = 80
KEEP = 0.1
SLOW_STEP = 12
SLOW_AGE = 5
LOOK_EVERY = 20


class SemiImplicit(FixedPoint):
    """The fixed-point form of one scheme on one dynamics; keeps the symbols of the last Δt."""

    def __init__(self, dynamics: Dynamics, scheme: Scheme, form: FourierForm) -> None:
        super().__init__(dynamics, scheme)
        self.grid, self.g, self.q = form
        self.ndim = self.grid.ndim
        # G symmetric and ≤ 0, the same on every channel: the H⁻¹ form exists
        alike = not symbols.mixes(self.g, self.ndim) and not symbols.mixes(self.q, self.ndim)
        real = not self.q.is_complex() and not (self.g.is_complex() and bool(self.g.imag.any()))
        self.gradient_flow = alike and real and bool((self.g.real <= 0).all())
        self.pointwise: bool | None = None
        self.key: tuple[float, float] | None = None
        self.c: float | None = None
        self._age = 0
        self.term = self.at = self.solution = self.g

    @classmethod
    def of(cls, dynamics: Dynamics, scheme: Scheme) -> SemiImplicit | None:
        """None where G or the quadratic part of H has no symbol."""
        form = fourier_form(dynamics)
        return None if form is None else cls(dynamics, scheme, form)

    def reset(self) -> None:
        super().reset()
        self.c = None
        self.pointwise = None

    def _nonlinear_slope(self, v: Tensor, u: Tensor) -> Callable[[Tensor], Tensor]:
        """d ↦ ∂N/∂v d; all (B, *state)."""
        return linearize(lambda x: self.scheme.nonlinear(self.dynamics, x, u), v)

    def _split(self, u: Tensor, dt: float) -> float:
        """c, kept while the mean of N's slope moves by little; three digits of it are plenty."""
        h = torch.finfo(u.dtype).eps ** (1 / 3) * max(1.0, float(u.abs().max()))
        above = self.scheme.nonlinear(self.dynamics, u + h, u)
        p = (above - self.scheme.nonlinear(self.dynamics, u - h, u)) / (2 * h)
        p = p[torch.isfinite(p)]
        c = 2 * float(p.mean()) if p.numel() else 0.0
        if self.gradient_flow:
            # keep M ≥ MIN_PIVOT where the quadratic part alone is unstable
            rate = (dt * self.g.real.abs()).clamp_min(torch.finfo(self.q.dtype).tiny)
            c = max(c, float((-self.q - 2 * (1 - MIN_PIVOT) / rate).max()))
        if self.c is None or self.key is None or self.key[0] != dt:
            return c
        return self.c if abs(c - self.c) <= KEEP * float(p.abs().max()) else c

    def observe(self, v: Tensor, iterations: int) -> None:
        self.solution = v
        # F[N(v, u) − c (v − u)/2]: most of the stiff waves, which ring, have left it
        self.predictor.push(self.term)
        # a slow step is worth a look at the slope, a fast one is cheaper than the look
        self._age -= SLOW_AGE if iterations > SLOW_STEP else 1

    def _prepare(self, u: Tensor, dt: float) -> None:
        if self.c is None or self._age <= 0 or self.key is None or self.key[0] != dt:
            self.c = self._split(u, dt)
            self._age = LOOK_EVERY
        if self.key == (dt, self.c):
            return
        nd = self.ndim
        half = dt / 2 * symbols.product(self.g, self.q, nd)
        split = dt / 2 * self.c * self.g
        if symbols.mixes(half, nd) and not symbols.mixes(split, nd):
            split = split * symbols.identity(half, nd)
        self.m = symbols.one_minus(half + split, nd)
        parts = (half + split, half - split, dt * self.g)
        if symbols.mixes(half, nd):
            eye = symbols.identity(half, nd)
            parts = [p if symbols.mixes(p, nd) else p * eye for p in parts]
            # side by side, so that all three are one product
            parts = (torch.cat(torch.broadcast_tensors(*parts), 1),)
        self.parts = tuple(p.to(torch.promote_types(p.dtype, torch.complex64)) for p in parts)
        self.inverse = inverse = symbols.inverse(self.m, nd)
        self.slope_symbol = symbols.product(inverse, dt * self.g, nd)
        self.base_symbol = symbols.product(self.slope_symbol, self.q, nd)
        self.key = (dt, self.c)

    def start(self, u: Tensor, dt: float) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        c_old = self.c
        if self.key is not None and self.key[0] != dt:
            self.predictor.reset()
        self._prepare(u, dt)
        if self.c != c_old:
            self.predictor.reset()
        nd, slope, size = self.ndim, self.slope_symbol, self.grid.shape
        forward, backward, axes = torch.fft.rfftn, torch.fft.irfftn, self.grid.axes
        self.u_hat = u_hat = forward(u, dim=axes)
        base = symbols.apply(self.base_symbol, u_hat, nd)
        self.split = split = self.scheme.split(self.dynamics, u, self.c or 0.0)
        mixing = symbols.mixes(slope, nd)
        slope = slope.to(u_hat.dtype)

        def advance(w_hat: Tensor) -> Tensor:
            if mixing:
                step_hat = base + symbols.apply(slope, w_hat, nd)
            else:
                step_hat = torch.addcmul(base, slope, w_hat)
            return backward(step_hat, s=size, dim=axes).add_(u)

        def g(v: Tensor) -> Tensor:
            self.at = v
            self.term = forward(split(v), dim=axes)
            return advance(self.term)

        if not self.predictor.fits(u_hat):
            return g, u
        return g, advance(self.predictor.predict(u_hat))

    def _filter(self, symbol: Tensor, x: Tensor, shape: torch.Size) -> Tensor:
        """The symbol applied to real data (B, n)."""
        x_hat = self.grid.rfft(x.view(shape))
        return self.grid.irfft(symbols.apply(symbol, x_hat, self.ndim)).reshape(x.shape)

    def defect(self, f: Tensor, u: Tensor) -> Tensor:
        """F(v) at the solution last observed, in the shape of f."""
        nd, v = self.ndim, self.solution.view(u.shape)
        seen = self.at is self.solution
        term = self.term if seen else self.grid.rfft(self.split(v))
        spectra = (self.grid.rfft(v), self.u_hat, term)
        if len(self.parts) == 1:
            step_hat = symbols.apply(self.parts[0], torch.cat(spectra, 1), nd)
        else:
            ahead, behind, pushed = self.parts
            step_hat = (ahead * spectra[0]).addcmul_(behind, spectra[1])
            step_hat.addcmul_(pushed, spectra[2])
        return (v - u).sub_(self.grid.irfft(step_hat)).view(f.shape)

    def precondition_adjoint(self, x: Tensor, shape: torch.Size) -> Tensor:
        return self._filter(symbols.adjoint(self.inverse, self.ndim), x, shape)

    def newton(self, u: Tensor, dt: float) -> tuple[Direction, Slope | None]:
        if self.pointwise is None:
            self.pointwise = self._is_pointwise(u)
        if not (self.gradient_flow and self.pointwise):
            return self._gmres(u), None
        lift = -self.g.real
        lift = torch.where(lift > 0, 1 / lift, 0.0)
        weight = lift * self.m.real

        def slope(f: Tensor, delta: Tensor) -> Tensor:
            return -torch.linalg.vecdot(self._filter(weight, f, u.shape), delta)

        return self._conjugate(u, dt, lift, weight), slope

    def _is_pointwise(self, u: Tensor) -> bool:
        """Whether ∂N/∂v is diagonal: then a random sign pattern passes through it unchanged."""
        generator = torch.Generator().manual_seed(0)
        signs = torch.randint(0, 2, u.shape, generator=generator).to(u) * 2 - 1
        slope = self._nonlinear_slope(u, u)
        plain, signed = slope(torch.ones_like(u)), slope(signs) * signs
        error, size = (signed - plain).abs().amax(), plain.abs().amax()
        return bool(error <= 1e3 * torch.finfo(u.dtype).eps * size)

    def _gmres(self, u: Tensor) -> Direction:
        half_c = (self.c or 0.0) / 2

        def direction(v: Tensor, f: Tensor, eta: Tensor) -> Tensor:
            w = v.view(u.shape)
            bend = self._nonlinear_slope(w, u)
            p = bend(torch.ones_like(w)) if self.pointwise else None

            def apply(d: Tensor) -> Tensor:
                x = d.view(u.shape)
                slope = p * x if p is not None else bend(x)
                bent = (slope - half_c * x).reshape(d.shape)
                return d - self._filter(self.slope_symbol, bent, u.shape)

            return gmres(apply, f, rtol=eta, max_iterations=KRYLOV_LIMIT)[0]

        return direction

    def _conjugate(self, u: Tensor, dt: float, lift: Tensor, weight: Tensor) -> Direction:
        kernel = (lift == 0).to(lift.dtype)
        # the smallest mean coefficient for which the preconditioner stays positive
        least = torch.where(lift > 0, -(1 - MIN_PIVOT) * lift / dt - self.q / 2, -torch.inf).max()

        def direction(v: Tensor, f: Tensor, eta: Tensor) -> Tensor:
            w = v.view(u.shape)
            p = self._nonlinear_slope(w, u)(torch.ones_like(w))
            dims = tuple(range(1, p.ndim))
            mean = p.mean(dims, keepdim=True).clamp_min(least)
            b = lift + dt * (mean + self.q / 2)
            # a symbol for every trajectory, (B, 1, *half): no matrix over channels
            inverse = torch.where(lift > 0, 1 / b, 0.0)

            def solve(r: Tensor) -> Tensor:
                return self.grid.irfft(inverse * self.grid.rfft(r.view(u.shape))).reshape(r.shape)

            spread = (dt * (p - mean)).reshape(f.shape)
            delta, _, _ = pcg(
                solve,
                lambda d: spread * d,
                self._filter(weight, f, u.shape),
                rtol=eta,
                max_iterations=KRYLOV_LIMIT,
            )
            return delta + self._filter(kernel, f, u.shape)

        return direction
