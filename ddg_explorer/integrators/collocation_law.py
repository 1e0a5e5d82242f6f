"""How well a collocation step keeps the energy law, and what is done where it is not exact.

    H(v) − H(u) − Δxᵈ Σ γⱼ·aⱼ            error of the quadrature: zero where it is exact
    H(v) − H(u) − Δxᵈ Δt Σ γⱼ·𝒢(a)ⱼ      defect of the law: that and the residual of the solve

The first makes the number of nodes grow. Where no number of them does, because ∇H jumps along the
step, the second is removed by one scalar ε, v ← v + ε d, along d = ∇H(v), without its mean where G
conserves mass: whatever the smoothness of H, the law then holds to rounding. Shapes: u (B, *state).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.collocation_modes import Effort, ModeEquation
from ddg_explorer.solve import Solution, max_norm

MOST_NODES = 32
QUADRATURE = 0.01
"""Its error allowed in a step, relative to |H|, in units of the solver's tolerance."""
ROUNDING = 64.0
"""Differences of H below this many ulps say nothing about the quadrature."""
CANCELLED = 8.0
"""As many ulps of the terms that cancel in H."""
SECANTS = 16
"""Evaluations of H that the search for ε may take."""
RESTORED = 2.0
"""The search ends below this many ulps of H."""


class Balance(NamedTuple):
    """The energy's account of one solve; everything is (B,).

    Attributes
    ----------
    defect
        Of the law, see the module.
    lever
        Energy per unit of residual; 0 where the residual of the solve says it all.
    size
        Terms that may cancel in H: its rounding is relative to them.
    settled
        Whether the quadrature's change of energy is that of H.
    """

    defect: Tensor
    lever: Tensor
    size: Tensor
    settled: Tensor


class Held(NamedTuple):
    """The end of a solve: its solution, the state v, the law's defect before v was moved, and by
    how much it was, (B,); None where it was not.
    """

    found: Solution
    value: Tensor
    defect: Tensor | None
    shift: Tensor | None


def settle_nodes(
    equation: ModeEquation, u: Tensor, dt: float, scale: Tensor, effort: Effort, found: Solution
) -> tuple[Solution, Balance]:
    """Solve again with more nodes until the quadrature's change of energy is H's own.

    The nodes, at most `MOST_NODES`, are kept for the steps that follow.
    """
    energy = equation.dynamics.energy
    start, volume = energy(u), equation.dynamics.cell_volume
    bound = max(QUADRATURE * effort.tol, _ulps(u, ROUNDING))
    while True:
        v = end_state(u, found.value, equation.s)
        change = energy(v) - start
        work = equation.work(u, found.value, dt)
        size = torch.maximum(start.abs(), (start + change).abs())
        error = (change - work.by_quadrature).abs()
        settled = error <= bound * size
        if not bool(settled.all()):
            terms = volume * (work.mean_gradient * v.flatten(1)).abs().sum(1)
            size = torch.maximum(size, terms)
            settled = settled | (error <= _ulps(u, CANCELLED) * size)
        failed = equation.k >= MOST_NODES or not bool(found.converged.all())
        if failed or bool(settled.all()):
            lever = volume * work.mean_gradient.abs().sum(1)
            return found, Balance(change - work.by_law, lever, size, settled)
        equation.set_nodes(min(MOST_NODES, equation.k + equation.s))
        again = equation.solve(u, found.value, dt, scale, effort)
        found = replace(again, iterations=again.iterations + found.iterations)


def exact_balance(equation: ModeEquation, u: Tensor, modes: Tensor, dt: float) -> Balance:
    """The account where the quadrature is exact: what is off is what the residual explains."""
    energy = equation.dynamics.energy
    defect = energy(end_state(u, modes, equation.s)) - energy(u)
    if not equation.skew:
        defect = defect - equation.work(u, modes, dt).by_law
    zero = torch.zeros_like(defect)
    return Balance(defect, zero, zero, torch.ones_like(zero, dtype=torch.bool))


def end_state(u: Tensor, modes: Tensor, s: int) -> Tensor:
    """v = u + a₀."""
    return u + modes.view(u.shape[0], s, -1)[:, 0].view(u.shape)


def restore_law(
    dynamics: Dynamics, v: Tensor, defect: Tensor, where: Tensor
) -> tuple[Tensor, Tensor]:
    """v + ε d and the law's defect there, gone to rounding for the trajectories in `where`, (B,).

    ε by the secant method, Newton's step first: after a converged solve of a smooth H that one is
    enough. Kinks on the way cost a few more. Of all ε seen the best one is taken, so the defect
    never grows.
    """
    direction = slope = dynamics.gradient(v)
    if dynamics.grid is not None and dynamics.structure.conserves_mass:
        direction = direction - direction.mean(dynamics.grid.axes, keepdim=True)
    rate = dynamics.cell_volume * (slope * direction).flatten(1).sum(1)
    reached = dynamics.energy(v)
    able = where & (rate > torch.finfo(v.dtype).tiny) & torch.isfinite(rate)
    enough = _ulps(v, RESTORED) * reached.abs()
    shape = (-1, *(1,) * (v.ndim - 1))
    direction = torch.where(able.view(shape), direction, 0.0)
    best, left = v, defect
    epsilon, value = torch.zeros_like(defect), defect
    for _ in range(SECANTS):
        move = torch.where(able, -value / rate, 0.0)
        epsilon = epsilon + move
        moved = v + epsilon.view(shape) * direction
        new = dynamics.energy(moved) - reached + defect
        better = able & (new.abs() < left.abs())
        best = torch.where(better.view(shape), moved, best)
        left = torch.where(better, new, left)
        able = able & ~(new.abs() <= enough) & (move != 0)
        if not bool(able.any()):
            break
        secant = (new - value) / move
        rate = torch.where((secant > 0) & torch.isfinite(secant), secant, rate)
        value = new
    return best, left


def hold_law(
    dynamics: Dynamics, v: Tensor, balance: Balance, polished: Tensor, found: Solution, tol: float
) -> Held:
    """The end state v with the law restored where the quadrature failed.

    Also for the trajectories in `polished`, (B,). The residual is raised to what would explain the
    defect that is left; a trajectory that misses the law by more than the tolerance has not
    converged.
    """
    broken = found.converged & ~balance.settled
    moved, left, shift = v, balance.defect, None
    if bool((broken | polished).any()):
        moved, left = restore_law(dynamics, v, left, broken | polished)
        shift = max_norm(moved - v)
        found = _judged(found, left, broken, max(tol, _ulps(v, ROUNDING)) * balance.size)
    explained = torch.where(balance.lever > 0, left.abs() / balance.lever, 0.0)
    found = replace(found, residual=torch.maximum(found.residual, explained))
    return Held(found, moved, balance.defect, shift)


def _judged(found: Solution, left: Tensor, broken: Tensor, allowed: Tensor) -> Solution:
    """With the trajectories in `broken` unconverged that miss the law by more than is allowed."""
    missed = broken & ~(left.abs() <= allowed)
    if not bool(missed.any()):
        return found
    reason = found.reason or (
        f"the energy law is missed by {float(left[missed].abs().max()):.1e}: "
        "∇H does not integrate to H along the step"
    )
    return replace(found, converged=found.converged & ~missed, reason=reason)


def _ulps(like: Tensor, count: float) -> float:
    return count * torch.finfo(like.dtype).eps
