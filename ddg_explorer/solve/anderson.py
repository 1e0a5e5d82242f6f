"""Anderson-accelerated fixed points, batched, one small least-squares problem per trajectory.

    x ← g(x) − Σⱼ θⱼ Δgⱼ,   θ = argmin ‖f − Σⱼ θⱼ Δfⱼ‖,   f = g(x) − x

with the last `depth` differences Δg, Δf. With g(x) = x − M⁻¹F(x) this solves F(x) = 0 without a
Jacobian, as fast as GMRES with the preconditioner M where F is nearly linear.

Shapes: x and g(x) are (B, n).

Source: D. G. Anderson, J. ACM 12 (1965) 547, doi 10.1145/321296.321305; H. F. Walker and P. Ni,
SIAM J. Numer. Anal. 49 (2011) 1715, doi 10.1137/10078356X.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ddg_explorer.solve.progress import Progress, max_norm


class _Mixer:
    """The last differences of one solve, and the accelerated iterate from them."""

    def __init__(self, depth: int, x: Tensor) -> None:
        self.depth = depth
        self.count = 0
        self.dg = x.new_empty(x.shape[0], depth, x.shape[1])
        self.df = torch.empty_like(self.dg)
        self.ridge = 10 * torch.finfo(x.dtype).eps

    def remember(self, g: Tensor, f: Tensor, g_old: Tensor, f_old: Tensor) -> None:
        slot = self.count % self.depth
        torch.sub(g, g_old, out=self.dg[:, slot])
        torch.sub(f, f_old, out=self.df[:, slot])
        self.count += 1

    def mix(self, g: Tensor, f: Tensor) -> Tensor:
        k = min(self.count, self.depth)
        df, dg = self.df[:, :k], self.dg[:, :k]
        if k == 1:
            d = df[:, 0]
            theta = (d * f).sum(-1, keepdim=True) / (d * d).sum(-1, keepdim=True).clamp_min_(
                torch.finfo(f.dtype).tiny
            )
            return torch.addcmul(g, theta, dg[:, 0], value=-1)
        gram = df @ df.mT
        # the differences span decades: scale the Gram matrix before its small ridge is added
        s = gram.diagonal(dim1=-2, dim2=-1).clamp_min(torch.finfo(f.dtype).tiny).rsqrt()
        gram = gram * s.unsqueeze(-1) * s.unsqueeze(-2)
        gram.diagonal(dim1=-2, dim2=-1).add_(self.ridge)
        rhs = (df @ f.unsqueeze(-1)).squeeze(-1) * s
        theta = torch.linalg.solve_ex(gram, rhs)[0] * s
        return g - (theta.unsqueeze(-2) @ dg).squeeze(-2)


def anderson(
    fixed_map: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    scale: Tensor,
    tol: float,
    depth: int = 3,
    max_iterations: int = 50,
    polish: int = 0,
    patience: float | None = None,
) -> tuple[Tensor, Tensor, Progress]:
    """Solve x = g(x) from the guess `x`, shape (B, n).

    Parameters
    ----------
    scale
        (B,); sizes are max|g(x) − x| / scale.
    tol, max_iterations, polish
        See `Progress`; the returned x itself meets |g(x) − x| ≤ tol·scale where converged.
    depth
        Number of differences kept; 0 is the plain fixed point.
    patience
        Give up early when after 8 iterations the slowest trajectory shrinks by less than this
        factor per iteration on average; None never gives up early.

    Returns
    -------
    x, g(x) − x, progress
        Trajectories that converged are frozen at the iterate that met the tolerance; those that
        diverged keep their last iterate of finite size.
    """
    progress = Progress(x.shape[0], x.dtype, tol, polish)
    mixer = _Mixer(depth, x) if depth else None
    g_old = f_old = frozen_f = None
    start = None
    for count in range(1, max_iterations + 1):
        g = fixed_map(x)
        f = g - x
        before = progress.active
        progress.record(max_norm(f) / scale)
        if frozen_f is not None:
            f = torch.where(progress.mask(before, f), f, frozen_f)
        if not progress.running:
            return x, f, progress
        if count == 1:
            start = progress.last
        if patience is not None and count >= 8 and start is not None:
            active = progress.active
            mean_rate = (progress.last[active] / start[active]) ** (1 / (count - 1))
            if (mean_rate > patience).any():
                return x, f, progress
        new = g
        if mixer is not None:
            if g_old is not None and f_old is not None:
                mixer.remember(g, f, g_old, f_old)
                new = mixer.mix(g, f)
            g_old, f_old = g, f
        if progress.active.all():
            x = new
        else:
            x = torch.where(progress.mask(progress.active, x), new, x)
            frozen_f = f
    return x, fixed_map(x) - x, progress
