"""Derivatives of the solution of an implicit equation by the implicit function theorem.

    F(v; θ) = 0   ⇒   dv = −(∂F/∂v)⁻¹ (∂F/∂θ) dθ

The backward pass solves one linear system with (∂F/∂v)ᵀ per solution, whatever the solver that
found v did. θ is everything that F's graph reaches: states, Δt, the parameters of a network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ddg_explorer.solve.dense import Residual, jacobian
from ddg_explorer.solve.krylov import gmres

DENSE_LIMIT = 64


class NoSolutionError(RuntimeError):
    """An implicit equation, or its adjoint system, was not solved."""


def attach_gradient(
    residual: Residual,
    v: Tensor,
    *,
    precondition: Callable[[Tensor], Tensor] | None = None,
    rtol: float | None = None,
) -> Tensor:
    """The solution `v` of F(v) = 0, made differentiable in all that F depends on.

    Parameters
    ----------
    residual
        F, (B, n) → (B, n), each trajectory on its own; evaluated once to record its graph.
    v
        The solution, (B, n); errors in it enter the derivatives to first order.
    precondition
        M⁻ᵀ for M ≈ ∂F/∂v. With it, or beyond `DENSE_LIMIT` unknowns, the adjoint system is solved
        by GMRES; else by a dense factorisation.
    rtol
        Relative accuracy of GMRES; default 1e-11 in float64 and 1e-5 in float32.

    Returns
    -------
    A tensor equal to `v`. Differentiable once: asking for a second derivative raises RuntimeError,
    an adjoint system that is singular, or that GMRES cannot solve, NoSolutionError.
    """
    v = v.detach()
    with torch.enable_grad():
        r = residual(v)
        if not r.requires_grad:
            return v
        zero = r - r.detach()
        accuracy = rtol or (1e-11 if v.dtype == torch.float64 else 1e-5)

        def pull_back(g: Tensor | None) -> Tensor | None:
            # autograd passes None where the output was not used
            return None if g is None else _adjoint(residual, v, g, precondition, accuracy)

        zero.register_hook(pull_back)
        return v - zero


def _adjoint(
    residual: Residual,
    v: Tensor,
    g: Tensor,
    precondition: Callable[[Tensor], Tensor] | None,
    rtol: float,
) -> Tensor:
    """(∂F/∂v)⁻ᵀ g."""
    if torch.is_grad_enabled():
        raise RuntimeError("a solution of an implicit equation is differentiable only once")
    if precondition is None and v.shape[-1] <= DENSE_LIMIT:
        found, info = torch.linalg.solve_ex(jacobian(residual, v).mT, g.unsqueeze(-1))
        if bool(info.any()):
            raise NoSolutionError("the adjoint system is singular: use a smaller time step")
        return found.squeeze(-1)
    with torch.enable_grad():
        x = v.detach().requires_grad_()
        r = residual(x)
    left = precondition or (lambda y: y)

    def transposed(w: Tensor) -> Tensor:
        return left(torch.autograd.grad(r, x, w, retain_graph=True)[0])

    right = left(g)
    out, _ = gmres(transposed, right, rtol=torch.full_like(g[:, 0], rtol), max_iterations=200)
    error = torch.linalg.vector_norm(transposed(out) - right, dim=-1)
    allowed = 100 * rtol * torch.linalg.vector_norm(right, dim=-1)
    if not bool((error <= allowed).all()):
        raise NoSolutionError("the adjoint system did not converge: use a smaller time step")
    return out
