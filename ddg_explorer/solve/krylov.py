"""Krylov solvers for many small-to-large linear systems at once, (B, n) vectors.

* `gmres`: A x = b for any A given by its action; full orthogonalisation, one least-squares problem
  per trajectory.
* `pcg`: (B + E) x = b for symmetric B + E, where B⁻¹ is cheap to apply (a Fourier symbol) and E too
  (a pointwise factor). B x itself follows by recurrence, so one B⁻¹ per iteration is all it costs.

Every trajectory stops at its own accuracy and is left alone by the others.

Source: Y. Saad, Iterative Methods for Sparse Linear Systems (2003), §6.5 and §9.2,
doi 10.1137/1.9780898718003.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

LinearMap = Callable[[Tensor], Tensor]
CHUNK = 15
"""Krylov vectors first allocated; the room doubles when needed."""


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1)


class _Hessenberg:
    """min‖β e₁ − H y‖ per trajectory while H grows by columns: QR by Givens rotations."""

    def __init__(self, beta: np.ndarray) -> None:
        self._rotations: list[tuple[np.ndarray, np.ndarray]] = []
        self._columns: list[list[np.ndarray]] = []
        self._rhs = [beta]

    def append(self, column: np.ndarray) -> np.ndarray:
        """Take the next column, (B, k + 2), and return the residuals."""
        h = list(np.where(np.isfinite(column), column, 0.0).T)
        for j, (c, s) in enumerate(self._rotations):
            h[j], h[j + 1] = c * h[j] + s * h[j + 1], c * h[j + 1] - s * h[j]
        size = np.hypot(h[-2], h[-1])
        safe = np.where(size > 0, size, 1.0)
        c, s = np.where(size > 0, h[-2] / safe, 1.0), h[-1] / safe
        self._rotations.append((c, s))
        self._columns.append([*h[:-2], size])
        last = self._rhs[-1]
        self._rhs[-1:] = [c * last, -s * last]
        return np.abs(self._rhs[-1])

    def solve(self) -> np.ndarray:
        """y, (B, k)."""
        size = len(self._columns)
        pivots = np.stack([column[-1] for column in self._columns])
        # a vanishing pivot belongs to a trajectory that is solved already (or has b = 0)
        dead = pivots <= 1e-300 + 1e-15 * pivots.max(0)
        y = np.zeros_like(pivots)
        for i in reversed(range(size)):
            rest = self._rhs[i]
            for j in range(i + 1, size):
                rest = rest - self._columns[j][i] * y[j]
            y[i] = np.where(dead[i], 0.0, rest / np.where(dead[i], 1.0, pivots[i]))
        return y.T


def gmres(
    apply: LinearMap, b: Tensor, *, rtol: Tensor, max_iterations: int = 60
) -> tuple[Tensor, np.ndarray]:
    """Solve A x = b from x = 0, to ‖b − A x‖ ≤ rtol‖b‖ per trajectory.

    Returns x and the iterations used by each trajectory; the accuracy reached where
    `max_iterations` did not do is the best in the Krylov space. b = 0 gives x = 0.
    """
    beta = _norm(b)
    room = min(max_iterations, b.shape[1])
    basis = b.new_empty(b.shape[0], min(room, CHUNK) + 1, b.shape[1])
    basis[:, 0] = torch.where(beta[:, None] > 0, b / beta[:, None], 0.0)
    beta_host = beta.cpu().double().numpy()
    target = beta_host * rtol.cpu().double().numpy()
    small, residual = _Hessenberg(beta_host), beta_host
    used = np.zeros(b.shape[0], dtype=np.int64)
    for k in range(room):
        used += residual > target
        v = basis[:, : k + 1]
        w, h = _orthogonalise(apply(basis[:, k]), v)
        norm = _norm(w)
        column = torch.cat([h, norm[:, None]], 1).cpu().double().numpy()
        residual = small.append(column)
        if not (residual > target).any():
            break
        if k + 1 == basis.shape[1]:
            basis = torch.cat([basis, torch.empty_like(basis)], 1)
        basis[:, k + 1] = torch.where(norm[:, None] > 0, w / norm[:, None], 0.0)
    weights = torch.from_numpy(small.solve()).to(b)
    return (weights.unsqueeze(-2) @ basis[:, : weights.shape[1]]).squeeze(-2), used


def _orthogonalise(w: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """w made orthogonal to the rows of v, and its components along them.

    Classical Gram–Schmidt twice is as stable as the modified one and needs few, large products.
    """
    h = (v @ w.unsqueeze(-1)).squeeze(-1)
    w = w - (h.unsqueeze(-2) @ v).squeeze(-2)
    again = (v @ w.unsqueeze(-1)).squeeze(-1)
    return w - (again.unsqueeze(-2) @ v).squeeze(-2), h + again


def pcg(
    solve_b: LinearMap, perturbation: LinearMap, b: Tensor, *, rtol: Tensor, max_iterations: int
) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Solve (B + E) x = b by conjugate gradients preconditioned with B.

    `solve_b` is B⁻¹, symmetric positive semi-definite (its kernel is projected out of x),
    `perturbation` is E, symmetric, and `rtol`, (B,), the reduction of the residual's B⁻¹-norm.

    Returns x, the iterations, and which trajectories met a direction of non-positive curvature:
    their x is the last iterate before it, or that direction itself if it was the first.
    """
    x, r = torch.zeros_like(b), b
    z = solve_b(r)
    rho = torch.linalg.vecdot(r, z)
    goal = rho * rtol**2
    alive = rho > 0
    d, bd = z, r
    used = torch.zeros(b.shape[0], dtype=torch.int64, device=b.device)
    curved = torch.zeros_like(alive)
    for count in range(max_iterations):
        ad = bd + perturbation(d)
        curvature = torch.linalg.vecdot(d, ad)
        bent = alive & ~(curvature > 0)
        curved |= bent
        if count == 0:
            x = torch.where(bent[:, None], d, x)
        alive = alive & ~bent
        used += alive
        alpha = torch.where(alive, rho / curvature, 0.0).unsqueeze(-1)
        x = x + alpha * d
        r = r - alpha * ad
        z = solve_b(r)
        rho_new = torch.linalg.vecdot(r, z)
        beta = torch.where(alive, rho_new / rho, 0.0).unsqueeze(-1)
        alive = alive & (rho_new > goal)
        if not bool(alive.any()):
            break
        d, bd, rho = z + beta * d, r + beta * bd, rho_new
    return x, used.cpu().numpy(), curved.cpu().numpy()
