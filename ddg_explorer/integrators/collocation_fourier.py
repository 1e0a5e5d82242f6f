"""Collocation steps of fields whose G and quadratic energy have Fourier symbols.

    a ← (1 − Δt G(Q + c) X)⁻¹ Δt G [Q e₀ u + ∫ Pⱼ N(u(σ)) dσ − c X a]

with ∇H = Qu + N(u): a Picard iteration in which the quadratic energy is implicit, exactly, and the
constant c stands for the slope of N (u³ is split as u³ − c u). X is diagonal in other coordinates,
a = T w, where the inverse is a number for each wave and eigenvalue, 1/(1 − λz), z = Δt Ĝ(Q̂ + c);
a pair of conjugate λ makes its two coordinates one complex field. An iteration takes one complex
transform and its inverse for every two modes and no Jacobian. Anderson mixing accelerates it.

û is transformed anew from the real state in every step: Fourier data carried along would let a
non-Hermitian mode grow. Shapes: u (B, C, *grid), modes (B, s·n).

Source: J. C. Butcher, BIT 16 (1976) 237, doi 10.1007/BF01932265 (diagonal form of implicit stages).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.collocation_modes import Effort, ModeEquation
from ddg_explorer.integrators.collocation_parts import Part, parts
from ddg_explorer.integrators.fourier import FourierForm
from ddg_explorer.solve import Progress, Solution, anderson, max_norm, symbols

DEPTH = 3
"""Differences mixed."""
FAST = 0.5
"""Plain iterations are mixed only where they converge more slowly: mixing costs half of one."""
KEPT = 6
"""Sets of symbols kept: step sizes in use at one time."""
LARGEST_GROWTH = 1.0
"""c is raised until no mode grows by more than this: z ≤ 1 keeps 1 − λz away from zero."""
SPLIT_EVERY = 6
SPLIT_SLACK = 0.1


def _picard(
    g: Callable[[Tensor], Tensor], x: Tensor, progress: Progress, limit: int
) -> tuple[Tensor, Tensor]:
    """Iterate x ← g(x) while that is fast: the last x and g(x) − x."""
    f = torch.empty_like(x)
    while True:
        new = g(x)
        torch.sub(new, x, out=f)
        progress.record(max_norm(f))
        count = int(progress.iterations.max())
        if not progress.running or count >= limit or (count > 1 and progress.slowest > FAST):
            return x, f
        x = new


def _modes(found: list[Part], w: list[list[Tensor]], like: Tensor) -> Tensor:
    """a = T w in the shape of `like`, (B, s·n)."""
    matrices = [matrix for part in found for matrix in part.to_modes]
    coordinates = [one for group in w for one in group]
    a = torch.mm(matrices[0], coordinates[0])
    for matrix, one in zip(matrices[1:], coordinates[1:], strict=True):
        a.addmm_(matrix, one)
    b = like.shape[0]
    return a.view(len(a), b, -1).transpose(0, 1).reshape(like.shape)


class FourierModes(ModeEquation):
    """Picard–Anderson iteration with the linear part implicit."""

    def __init__(self, dynamics: Dynamics, form: FourierForm, s: int, k: int) -> None:
        super().__init__(dynamics, s, k)
        self.form = form
        self.grid, self.g, self.q = form
        self.ndim = self.grid.ndim
        self.mixing = symbols.mixes(self.g, self.ndim) or symbols.mixes(self.q, self.ndim)
        self.real = not (self.g.is_complex() or self.q.is_complex())
        self.reset()

    def reset(self) -> None:
        self.c = 0.0
        self.age = 0
        self.kept: dict[float, list[Part]] = {}
        self.work: Tensor | None = None

    def solve(self, u: Tensor, guess: Tensor, dt: float, scale: Tensor, effort: Effort) -> Solution:
        found = self._parts(u, dt)
        progress = Progress(scale, effort.tol, effort.polish)
        g, limit = self._fixed_map(u, found), effort.max_iterations
        a, f = _picard(g, guess, progress, limit)
        left = limit - int(progress.iterations.max())
        if progress.running and left > 0:
            a, f = anderson(g, a, progress, depth=DEPTH, max_iterations=left)
        return progress.solution(a, max_norm(self._defect(f, u, found)), "collocation")

    def _fixed_map(self, u: Tensor, found: list[Part]) -> Callable[[Tensor], Tensor]:
        t, nonlinear, shape = self.table(u), self.dynamics.nonlinear_gradient, u.shape
        row, weights = u.view(1, -1), t.evaluate[:, 1:].contiguous()
        project = t.from_modes @ t.project
        shift = -self.c * (t.from_modes @ t.integral)
        starts = [part.from_state(u) for part in found]
        stages, moments = self._buffers(u)

        def g(x: Tensor) -> Tensor:
            a = self._rows(x)
            torch.addmm(row, weights, a, out=stages)
            forces = nonlinear(stages.view(t.k, *shape)).view(t.k, -1)
            torch.mm(project, forces, out=moments).addmm_(shift, a)
            pairs = zip(found, starts, strict=True)
            return _modes(found, [part.image(moments, start) for part, start in pairs], x)

        return g

    def _buffers(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Kept from step to step: the system takes back large blocks that are freed."""
        kept, rows = self.work, self.k + self.s
        if kept is None or kept.shape != (rows, u.numel()) or kept.dtype != u.dtype:
            kept = self.work = u.new_empty(rows, u.numel())
        return kept[: self.k], kept[self.k :]

    def _rows(self, x: Tensor) -> Tensor:
        """Modes as rows, (s, B·n)."""
        return x.view(x.shape[0], self.s, -1).transpose(0, 1).reshape(self.s, -1)

    def _defect(self, f: Tensor, u: Tensor, found: list[Part]) -> Tensor:
        """F(a) = −(1 − Δt G(Q + c) X) f from f = g(a) − a, (B, s·n)."""
        w = self.table(u).from_modes @ self._rows(f)
        return _modes(found, [part.apply(part.defect, w, u.shape) for part in found], f)

    def _parts(self, u: Tensor, dt: float) -> list[Part]:
        if self.age % SPLIT_EVERY == 0:
            self._split(u, dt)
        self.age += 1
        if dt not in self.kept:
            if len(self.kept) >= KEPT:
                self.kept.pop(next(iter(self.kept)))
            self.kept[dt] = parts(self.form, self.table(u), dt, self.c)
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
        if not self.kept or abs(c - self.c) > slack:
            self.c = c
            self.kept.clear()
