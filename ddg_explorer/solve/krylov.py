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


def _least_squares(columns: list[np.ndarray], beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """min‖β e₁ − H y‖ per trajectory for the Hessenberg H of these columns: y and the residual."""
    k = len(columns)
    h = np.zeros((beta.shape[0], k + 1, k))
    for j, column in enumerate(columns):
        h[:, : j + 2, j] = column
    rhs = np.zeros((beta.shape[0], k + 1))
    rhs[:, 0] = beta
    q, r = np.linalg.qr(h, mode="complete")
    rotated = np.einsum("bji,bj->bi", q, rhs)
    r = r[:, :k]
    # a vanishing pivot belongs to a trajectory that is solved already (or has b = 0)
    diagonal = np.abs(np.einsum("bii->bi", r))
    dead = diagonal <= 1e-300 + 1e-15 * diagonal.max(axis=1, keepdims=True)
    index = np.arange(k)
    r[:, index, index] = np.where(dead, 1.0, r[:, index, index])
    y = np.linalg.solve(r, np.where(dead, 0.0, rotated[:, :k])[..., None])[..., 0]
    return np.where(dead, 0.0, y), np.abs(rotated[:, k])


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
    columns: list[np.ndarray] = []
    y, residual = np.zeros((b.shape[0], 0)), beta_host
    used = np.zeros(b.shape[0], dtype=np.int64)
    for k in range(room):
        used += residual > target
        v = basis[:, : k + 1]
        w, h = _orthogonalise(apply(basis[:, k]), v)
        norm = _norm(w)
        column = torch.cat([h, norm[:, None]], 1).cpu().double().numpy()
        columns.append(np.where(np.isfinite(column), column, 0.0))
        y, residual = _least_squares(columns, beta_host)
        if not (residual > target).any():
            break
        if k + 1 == basis.shape[1]:
            basis = torch.cat([basis, torch.empty_like(basis)], 1)
        basis[:, k + 1] = torch.where(norm[:, None] > 0, w / norm[:, None], 0.0)
    weights = torch.from_numpy(y).to(b)
    return (weights.unsqueeze(-2) @ basis[:, : y.shape[1]]).squeeze(-2), used


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
