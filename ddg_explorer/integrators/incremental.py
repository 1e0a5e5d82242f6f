"""The one-step equation in increments, with a stencil energy's linearisation kept across steps.

    F(w) = w − Δt Ĝ ∇̄H(u + w, u)/Δxᵈ,      f = −M⁻¹F,      M = 1 − Δt Ĝ Ĵ

For energies that evaluate their discrete gradient from one start u (`Dynamics.increments`: learned
stencil networks). J = ½ δ²H/δu² is a stencil with other weights at every point: its product costs a
small fraction of an evaluation of the energy, and it changes little from step to step. So a step
takes two to four evaluations, each followed by GMRES with J in float32, preconditioned with the
mean Ĵ. J is renewed when steps begin to need more; where even a fresh J does not do, the exact
Newton–Krylov method of `measured` solves the same equation.

Live tolerance: from `LIVE` on, a float64 state is advanced by increments computed in float32. The
residual then reported is that of the float32 evaluation plus how far a float64 evaluation was seen
to differ from it, the noise. It is looked at in the first step with a Δt, and then at the end of
every carry, where it is largest. A carry has up to `CARRIED` steps, and at most twice as many as
the one before: rounding that adds up over it exceeds what was seen by a factor of two at most, and
so does the true residual the reported one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics, Increments
from ddg_explorer.integrators.measured import Measured
from ddg_explorer.integrators.predictor import Predictor
from ddg_explorer.integrators.scheme import Scheme
from ddg_explorer.integrators.semi_implicit import MIN_PIVOT
from ddg_explorer.solve import Mixer, Progress, Solution, chord_krylov, gmres, max_norm, symbols
from ddg_explorer.solve.chord import MIXED
from ddg_explorer.stencils import LocalOperator

LIVE = 1e-7
"""Tolerance from which on float32 increments do."""
CARRIED = 16
"""Steps that live increments are carried along, at most, before they are computed anew."""
KRYLOV_LIMIT = 40


class Incremental(Measured):
    """The increment form of one scheme on one dynamics; keeps J, its mean symbol and M."""

    def __init__(self, dynamics: Dynamics, scheme: Scheme, work: Increments) -> None:
        super().__init__(dynamics, scheme)
        self.work = work
        self.polish = 1
        self.waves = Waves()
        self.local: LocalOperator | None = None
        self._memory = Mixer(MIXED)
        self._filters: dict[torch.dtype, tuple[Tensor, Tensor]] = {}
        self._forget()

    @classmethod
    def of(cls, dynamics: Dynamics, scheme: Scheme) -> Incremental | None:
        """None where G has no constant symbol, or there are no increments or no smooth ones."""
        if dynamics.grid is None or scheme.solver != "auto" or dynamics.structure.state_dependent:
            return None
        if dynamics.structure.symbol() is None:
            return None
        work = scheme.increments(dynamics)
        return cls(dynamics, scheme, work) if work is not None and work.smooth else None

    def reset(self) -> None:
        super().reset()
        self._forget()

    def _forget(self) -> None:
        self.local = None
        self.waves.reset()
        self._live = True
        self._end: Tensor | None = None
        self._noise = torch.zeros(())
        self._carry, self._left = 1, 0

    def solve(self, u: Tensor, dt: float, scale: Tensor) -> Solution:
        tol = self.scheme.tolerance(u.dtype)
        found = None
        if self._live and u.dtype == torch.float64 and tol >= LIVE:
            found = self._attempt(u, dt, scale, torch.float32)
            # where float32 does not resolve a step to the tolerance, the run goes on in float64
            self._live = found is not None
        if found is None:
            found = self._attempt(u, dt, scale, u.dtype)
        if found is None:
            self.waves.reset()
            found = super().solve(u, dt, scale)
        return found

    def _attempt(self, u: Tensor, dt: float, scale: Tensor, dtype: torch.dtype) -> Solution | None:
        """The step by increments in `dtype`; None where it does not converge."""
        live, goes_on = dtype != u.dtype, self._end is not None and torch.equal(u, self._end)
        if not goes_on or self.dt != dt:
            self.waves.reset()
            self._carry, self._left = 1, 0
        if live and self._left > 0:
            self.work.advance(u)
        else:
            self.work.start(u, dtype)
            self._left = self._carry
        self._left -= 1
        self._end = None
        u_hat = self._transform(u)
        guess = self.waves.guess(u_hat)
        w = torch.zeros_like(u) if guess is None else self._field(guess)
        self._prepare(u, u + w, dt)
        progress = Progress(scale, self.scheme.tolerance(u.dtype), 0 if live else self.polish)
        w, f = chord_krylov(
            lambda x: self._update(x.view(u.shape)).flatten(1),
            w.flatten(1),
            progress,
            lambda r, eta: self._direction(r.view(u.shape), eta),
            lambda x: self._renew(u + x.view(u.shape) / 2),
            mixer=self._memory,
        )
        if not progress.converged.all():
            return None
        self.waves.observe(u_hat, *self._transformed)
        v = u + w.view(u.shape)
        residual = max_norm(self.defect(f, u))
        if live:
            residual = residual + self._seen_noise(u, w.view(u.shape), f)
        self._end = v
        self._count(progress.most_iterations)
        return progress.solution(v, residual, "the implicit solve")

    def _count(self, iterations: int) -> None:
        """Let J be renewed where steps begin to need more iterations."""
        if self.fewest is None or iterations < self.fewest:
            self.fewest = iterations
        elif iterations > self.fewest + 1:
            self.local = self.rate = self.fewest = None

    def _renew(self, u: Tensor) -> None:
        self.local = self.work.curvature(u, torch.float32)

    def _measure(self, u: Tensor, guess: Tensor) -> Tensor:
        if self.local is None:
            self._renew((u + guess) / 2)
        assert self.local is not None
        assert self.grid is not None
        g = self._symbol_of_g(u)
        return symbols.product(g, self.local.symbol().to(g), self.grid.ndim)

    def _symbol_of_g(self, u: Tensor) -> Tensor:
        g = self.dynamics.structure.symbol(u.dtype, u.device)
        assert g is not None
        return g.to(torch.complex128 if u.dtype == torch.float64 else torch.complex64)

    def _prepare(self, u: Tensor, guess: Tensor, dt: float) -> None:
        if self.rate is not None and self.dt == dt and self.waves.q is not None:
            return
        super()._prepare(u, guess, dt)
        self.dt = dt
        assert self.local is not None
        assert self.inverse is not None
        assert self.grid is not None
        nd, g = self.grid.ndim, self._symbol_of_g(u)
        slope = symbols.product(self.inverse, dt * g, nd)
        low = self.inverse.to(torch.complex64), slope.to(torch.complex64)
        self._filters = {torch.float32: low, u.dtype: (self.inverse, slope)}
        self.waves.prepare(g, self.local.symbol().to(g), dt, nd)

    def _transform(self, u: Tensor) -> Tensor:
        assert self.grid is not None
        return self.grid.rfft(u)

    def _field(self, u_hat: Tensor) -> Tensor:
        assert self.grid is not None
        return self.grid.irfft(u_hat)

    def _update(self, w: Tensor) -> Tensor:
        """f(w); the transforms of w and of the gradient there are kept."""
        self._transformed = self._transform(w), self._transform(self.work(w))
        return self._field(self._filtered(*self._transformed, w.dtype))

    def _filtered(self, w_hat: Tensor, g_hat: Tensor, dtype: torch.dtype) -> Tensor:
        """M⁻¹(Δt Ĝ ĝ − ŵ)."""
        assert self.grid is not None
        inverse, slope = self._filters[dtype]
        nd = self.grid.ndim
        return symbols.apply(slope, g_hat, nd).sub_(symbols.apply(inverse, w_hat, nd))

    def _direction(self, f: Tensor, eta: Tensor) -> Tensor:
        """δ with M⁻¹(1 − Δt Ĝ J) δ = f, by GMRES in float32."""
        local, low = self.local, torch.float32
        assert local is not None

        def apply(d: Tensor) -> Tensor:
            x = d.view(f.shape)
            both = self._transform(x), self._transform(local.apply(x))
            return self._field(self._filtered(*both, low)).neg_().view(d.shape)

        right = f.flatten(1).to(low)
        delta, _ = gmres(apply, right, rtol=eta.to(low), max_iterations=KRYLOV_LIMIT)
        return delta.to(f.dtype)

    def _seen_noise(self, u: Tensor, w: Tensor, f: Tensor) -> Tensor:
        """How far F in the dtype of u is from its live evaluation f, as last seen, (B,)."""
        if self._left == 0:
            self.work.start(u, u.dtype)
            self._noise = max_norm(self.defect(self._update(w).flatten(1) - f, u))
            self._carry = min(CARRIED, 2 * self._carry)
        return self._noise


class Waves:
    """Extrapolation of what a fixed linear part leaves of the gradient.

        ∇̄H(u + w, u)/Δxᵈ = Q(2u + w) + N,     ŵ = (1 − Δt Ĝ Q)⁻¹ Δt Ĝ (2Qû + N̂)

    The scheme damps stiff waves slowly and turns them over at every step, which no polynomial
    follows; they have left N, which goes on smoothly.
    """

    def __init__(self) -> None:
        self.history = Predictor()
        self.q: Tensor | None = None

    def reset(self) -> None:
        self.history.reset()
        self.q = None

    def prepare(self, g: Tensor, q: Tensor, dt: float, ndim: int) -> None:
        """Take the symbols of G and of the mean of J; Q is kept as long as the history lasts."""
        self.ndim = ndim
        self.q = q if self.q is None else self.q
        pushed = dt * g
        m = symbols.one_minus(symbols.product(pushed, self.q, ndim), ndim)
        self.step = symbols.product(symbols.safe_inverse(m, ndim, MIN_PIVOT), pushed, ndim)

    def observe(self, u_hat: Tensor, w_hat: Tensor, g_hat: Tensor) -> None:
        """Take note of a step taken."""
        assert self.q is not None
        self.history.push(g_hat - symbols.apply(self.q, 2 * u_hat + w_hat, self.ndim))

    def guess(self, u_hat: Tensor) -> Tensor | None:
        """ŵ of the step from û, None without a history."""
        if self.q is None or not self.history.fits(u_hat):
            return None
        rest = symbols.apply(self.q, 2 * u_hat, self.ndim) + self.history.predict(u_hat)
        return symbols.apply(self.step, rest, self.ndim)
