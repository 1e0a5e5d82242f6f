"""Collocation steps of fields whose G and quadratic energy have Fourier symbols.

    a ← A⁻¹ Δt G [(Q + c) e₀ u + ∫ Pⱼ (N(u(σ)) − c u(σ)) dσ],   A = 1 − Δt G(Q + c) X

with ∇H = Qu + N(u): a Picard iteration in which the quadratic energy is implicit, exactly, and the
constant c stands for the slope of N (u³ is split as u³ − c u). A is an s×s matrix per mode;
det A and adj A are polynomials in z = Δt Ĝ(Q̂ + c), so its inverse costs little for any Δt. Anderson
mixing accelerates it. An iteration takes s pairs of transforms and no Jacobian.

û is transformed anew from the real state in every step: Fourier data carried along would let a
non-Hermitian mode grow. Shapes: u (B, C, *grid), modes (B, s·n).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.collocation_modes import Effort, ModeEquation
from ddg_explorer.integrators.fourier import FourierForm
from ddg_explorer.solve import Mixer, Progress, Solution, anderson, max_norm, symbols

DEPTH = 3
"""Differences mixed."""
SMALL = 6000
"""Up to this many unknowns a mixed iteration costs two plain ones or more."""
FAST = 0.5
"""Rate of convergence down to which plain iterations are then preferred."""
KEPT = 6
"""Sets of symbols kept: step sizes in use at one time."""
LARGEST_GROWTH = 1.0
"""c is raised until no mode grows by more than this: z ≤ 1 keeps det A away from its zeros."""
SPLIT_EVERY = 6
SPLIT_SLACK = 0.1


def _picard(g: Callable[[Tensor], Tensor], x: Tensor, progress: Progress, limit: int) -> Tensor:
    """Iterate x ← g(x) while that is fast: the last x at which g was taken."""
    while True:
        new = g(x)
        f = new - x
        progress.record(max_norm(f))
        count = int(progress.iterations.max())
        if not progress.running or count >= limit or (count > 1 and progress.slowest > FAST):
            return x
        x = new


class StepSymbols(NamedTuple):
    """What one (Δt, c) needs: z, ΔtĜ, A⁻¹ΔtĜ and the first column of A⁻¹z."""

    z: Tensor
    step: Tensor
    inverse: Tensor
    first: Tensor


class FourierModes(ModeEquation):
    """Picard–Anderson iteration with the linear part implicit."""

    def __init__(self, dynamics: Dynamics, form: FourierForm, s: int, k: int) -> None:
        super().__init__(dynamics, s, k)
        self.grid, self.g, self.q = form
        self.ndim = self.grid.ndim
        self.mixing = symbols.mixes(self.g, self.ndim) or symbols.mixes(self.q, self.ndim)
        self.real = not (self.g.is_complex() or self.q.is_complex())
        self.reset()

    def reset(self) -> None:
        self.c: float | None = None
        self.age = 0
        self.kept: dict[float, StepSymbols] = {}
        self.mixer = Mixer(DEPTH)
        self.at = self.spectrum = self.g

    def solve(self, u: Tensor, guess: Tensor, dt: float, scale: Tensor, effort: Effort) -> Solution:
        kept = self._symbols(u, dt)
        progress = Progress(scale, effort.tol, effort.polish)
        g, limit = self._fixed_map(u, kept), effort.max_iterations
        a = guess
        if guess.shape[1] <= SMALL:
            a = _picard(g, guess, progress, limit)
        left = limit - int(progress.iterations.max())
        if progress.running and left > 0:
            a, _ = anderson(g, a, progress, mixer=self.mixer, max_iterations=left)
        if self.at is not a:
            g(a)
        return progress.solution(a, max_norm(self._defect(a, u, kept)), "collocation")

    def _fixed_map(self, u: Tensor, kept: StepSymbols) -> Callable[[Tensor], Tensor]:
        t, nonlinear = self.table(u), self.dynamics.nonlinear_gradient
        axes, size = self.grid.axes, self.grid.shape
        b, s, shape = u.shape[0], self.s, u.shape
        rows = u.new_empty(1 + s, u.numel())
        rows[0] = u.view(-1)
        modes = rows[1:].view(s, b, -1)
        shift = (-(self.c or 0.0)) * t.moments
        base = self._contract_first(kept.first, self.grid.rfft(u))

        def g(x: Tensor) -> Tensor:
            modes.copy_(x.view(b, s, -1).transpose(0, 1))
            stages = torch.mm(t.evaluate, rows)
            forces = nonlinear(stages.view(t.k, *shape)).view(t.k, -1)
            moments = torch.mm(shift, rows).addmm_(t.project, forces)
            spectrum = torch.fft.rfftn(moments.view(s, *shape), dim=axes)
            self.at, self.spectrum = x, spectrum
            image = self._contract(kept.inverse, spectrum).add_(base)
            new = torch.fft.irfftn(image, s=size, dim=axes)
            return new.view(s, b, -1).transpose(0, 1).reshape(b, -1)

        return g

    def _contract(self, inverse: Tensor, spectrum: Tensor) -> Tensor:
        """Σ_l Sⱼ_l x_l per mode; x and the result are (s, B, C, *half)."""
        if self.mixing:
            return (inverse * spectrum[:, :, None]).sum((1, 4))
        return (inverse * spectrum).sum(1)

    def _contract_first(self, first: Tensor, u_hat: Tensor) -> Tensor:
        """(A⁻¹z)ⱼ₀ û, (s, B, C, *half)."""
        if self.mixing:
            return (first * u_hat[:, None]).sum(3)
        return first * u_hat

    def _defect(self, a: Tensor, u: Tensor, kept: StepSymbols) -> Tensor:
        """F(a), (B, s·n), where the map was last taken at a.

        Evaluated anew, not from g(a) − a: where g hardly depends on a (linear waves) it repeats its
        own rounding, which A enlarges in F.
        """
        shape = (self.s, *u.shape)
        moments = self.grid.rfft((self.table(u).moments @ self.stack(u, a)).view(shape))
        image = self._filter(kept.z, moments).add_(self._filter(kept.step, self.spectrum))
        return a - self.grid.irfft(image).flatten(2).transpose(0, 1).reshape(a.shape)

    def _filter(self, symbol: Tensor, x: Tensor) -> Tensor:
        """The symbol applied to coefficients (s, B, C, *half)."""
        flat = symbols.apply(symbol, x.flatten(0, 1), self.ndim)
        return flat.view(x.shape)

    def _symbols(self, u: Tensor, dt: float) -> StepSymbols:
        if self.c is None or self.age % SPLIT_EVERY == 0:
            self._split(u, dt)
        self.age += 1
        if dt not in self.kept:
            if len(self.kept) >= KEPT:
                self.kept.pop(next(iter(self.kept)))
            self.kept[dt] = self._mixed(u, dt) if self.mixing else self._scalar(u, dt)
        return self.kept[dt]

    def _split(self, u: Tensor, dt: float) -> None:
        """Set c by the slopes of N at u, from central differences.

        Halfway between their mean, which serves the waves that fill the domain, and the middle of
        their range, which serves the peaks: measured on solitons and on phase boundaries.
        """
        step = u.abs().amax() * torch.finfo(u.dtype).eps ** (1 / 3) + torch.finfo(u.dtype).tiny
        n = self.dynamics.nonlinear_gradient
        slope = (n(u + step) - n(u - step)) / (2 * step)
        low, high = (float(x) for x in torch.aminmax(slope))
        c, slack = (low + high) / 4 + float(slope.mean()) / 2, SPLIT_SLACK * (high - low)
        if not abs(c) < float("inf"):
            c = slack = 0.0
        if self.real and not self.mixing:
            rate = abs(dt) * self.g.abs()
            room = torch.where(rate > 0, -self.q - LARGEST_GROWTH / rate, -torch.inf)
            c = max(c, float(room.max()))
        if self.c is None or abs(c - self.c) > slack:
            self.c = c
            self.kept.clear()

    def _scalar(self, u: Tensor, dt: float) -> StepSymbols:
        """Symbols of half shape, from the polynomials det A and adj A."""
        t = self.table(u)
        step = dt * self.g
        z = step * (self.q + (self.c or 0.0))
        powers = [torch.ones_like(z)]
        for _ in range(self.s):
            powers.append(powers[-1] * z)
        det = torch.stack([d * p for d, p in zip(t.determinant, powers, strict=True)]).sum(0)
        terms = [
            n.view(self.s, self.s, *(1,) * self.ndim) * (p / det)
            for n, p in zip(t.adjugates, powers[:-1], strict=True)
        ]
        inverse = torch.stack(terms).sum(0)
        # one broadcast dimension each for batch and channel; complex, so that nothing is converted
        # in the iteration
        inverse = inverse[:, :, None, None].to(torch.promote_types(z.dtype, torch.complex64))
        return StepSymbols(z, step, (inverse * step).contiguous(), (inverse[:, 0] * z).contiguous())

    def _mixed(self, u: Tensor, dt: float) -> StepSymbols:
        """Symbols of (C, C, *half) blocks where channels mix, by an sC×sC inverse per mode."""
        nd, s, c = self.ndim, self.s, u.shape[1]
        dtype = torch.promote_types(self.g.dtype, self.q.dtype)
        dtype = torch.promote_types(dtype, torch.complex64)
        eye = torch.eye(c, dtype=dtype, device=u.device)[(..., *(None,) * nd)]
        step = dt * (self.g if symbols.mixes(self.g, nd) else self.g * eye).to(dtype)
        q = (self.q if symbols.mixes(self.q, nd) else self.q * eye) + (self.c or 0.0) * eye
        z = symbols.product(step, q, nd)
        block = torch.einsum("ij,cd...->...icjd", self.table(u).integral.to(dtype), z)
        size = (*block.shape[:nd], s * c, s * c)
        one = torch.eye(s * c, dtype=dtype, device=u.device)
        inverse = symbols.matrix_inverse(one - block.reshape(size)).view(block.shape)
        full = torch.einsum("...icjd,de...->ijce...", inverse, step.expand_as(z))
        first = torch.einsum("...icd,de...->ice...", inverse[..., 0, :], z)
        return StepSymbols(z, step, full[:, :, None].contiguous(), first[:, None].contiguous())
