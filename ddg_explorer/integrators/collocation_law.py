"""How well a collocation step keeps the energy law, and what is done where it is not exact.

    H(v) − H(u) − Δxᵈ Σ γⱼ·aⱼ            error of the quadrature: zero where it is exact
    H(v) − H(u) − Δxᵈ Δt Σ γⱼ·𝒢(a)ⱼ      defect of the law: that and the residual of the solve

The first makes the number of nodes grow; the second can be removed by one scalar ε,
v ← v + ε d, along d = ∇H(v), without its mean where G conserves mass. Shapes: u (B, *state).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.collocation_modes import Effort, ModeEquation
from ddg_explorer.solve import Solution

MOST_NODES = 32
QUADRATURE = 0.01
"""Its error allowed in a step, relative to |H|, in units of the solver's tolerance."""
ROUNDING = 64.0
"""Differences of H below this many ulps say nothing about the quadrature."""


def settle_nodes(
    equation: ModeEquation, u: Tensor, dt: float, scale: Tensor, effort: Effort, found: Solution
) -> tuple[Solution, Tensor]:
    """Solve again with more nodes until the quadrature's change of energy is H's own.

    The nodes are kept for the steps that follow. At `MOST_NODES` the defect stays what it is and
    is reported. Returns the solution and H(v) − H(u), (B,).
    """
    energy = equation.dynamics.energy
    start = energy(u)
    bound = max(QUADRATURE * effort.tol, ROUNDING * torch.finfo(u.dtype).eps)
    while True:
        change = energy(end_state(u, found.value, equation.s)) - start
        if equation.k >= MOST_NODES or not bool(found.converged.all()):
            return found, change
        error = (change - equation.law(u, found.value, dt)[0]).abs()
        size = torch.maximum(start.abs(), (start + change).abs())
        if bool((error <= bound * size.clamp_min(torch.finfo(u.dtype).tiny)).all()):
            return found, change
        equation.set_nodes(min(MOST_NODES, equation.k + equation.s))
        again = equation.solve(u, found.value, dt, scale, effort)
        found = replace(again, iterations=again.iterations + found.iterations)


def end_state(u: Tensor, modes: Tensor, s: int) -> Tensor:
    """v = u + a₀."""
    return u + modes.view(u.shape[0], s, -1)[:, 0].view(u.shape)


def change_by_law(equation: ModeEquation, u: Tensor, modes: Tensor, dt: float) -> Tensor:
    """Δxᵈ Δt Σ γⱼ·𝒢(a)ⱼ, (B,); zero for skew G."""
    if equation.skew:
        return u.new_zeros(u.shape[0])
    return equation.law(u, modes, dt)[1]


def restore_law(dynamics: Dynamics, v: Tensor, defect: Tensor, where: Tensor) -> Tensor:
    """v + ε d with the law's defect gone to rounding, for the trajectories in `where`, (B,).

    One Newton step for ε: after a converged solve its own error is the square of the defect.
    """
    direction = dynamics.gradient(v)
    slope = direction
    if dynamics.grid is not None and dynamics.structure.conserves_mass:
        direction = direction - direction.mean(dynamics.grid.axes, keepdim=True)
    rate = dynamics.cell_volume * (slope * direction).flatten(1).sum(1)
    able = where & (rate > torch.finfo(v.dtype).tiny)
    epsilon = torch.where(able, -defect / rate, 0.0)
    return v + epsilon.view(-1, *(1,) * (v.ndim - 1)) * direction
