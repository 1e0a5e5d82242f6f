"""Small dynamics and the runs over them that the tests of the one-step schemes share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.discrete_gradient import DiscreteGradient
from ddg_explorer.structure import Structure

F64 = torch.float64


class Canonical(Structure):
    """S − diag(0, r), and a rotation rate that may depend on the state."""

    is_skew = is_dissipative = True

    def __init__(self, friction: float | Tensor = 0.0, twist: float = 0.0) -> None:
        self.friction = friction
        self.twist = twist
        self.state_dependent = twist != 0

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        speed = 1.0
        if self.twist and u is not None:
            speed = 1 + self.twist * u.square().sum(-1, keepdim=True)
        q, p = g.unbind(-1)
        return speed * torch.stack([p, -q - self.friction * p], -1)


class Pendulum(Dynamics):
    """H = 3(1 − cos q) + p²."""

    state_shape = (2,)

    def __init__(self, friction: float | Tensor = 0.0, twist: float = 0.0) -> None:
        self.structure = Canonical(friction, twist)

    def energy(self, u: Tensor) -> Tensor:
        return 3 * (1 - torch.cos(u[..., 0])) + u[..., 1] ** 2

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """(3 sin(q̄) sinc(Δq/2), p_u + p_v)."""
        a, b = u[..., 0], v[..., 0]
        slope = 3 * torch.sin((a + b) / 2) * torch.sinc((b - a) / (2 * math.pi))
        return torch.stack([slope, u[..., 1] + v[..., 1]], -1)


class Blind(Dynamics):
    """A field system that hides its symbols: only energy and G are left."""

    def __init__(self, system: Dynamics) -> None:
        self.system = system
        self.grid, self.structure = system.grid, system.structure
        self.state_shape = system.state_shape

    def energy(self, u: Tensor) -> Tensor:
        return self.system.energy(u)

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        return self.system.discrete_gradient(v, u)


def run(dynamics: Dynamics, u: Tensor, dt: float, steps: int, **options):
    """States and steps of a run, all of which must converge."""
    stepper = DiscreteGradient(**options).stepper(dynamics)
    states, results = [u], []
    for _ in range(steps):
        step = stepper.step(states[-1], dt)
        assert bool(step.converged.all()), step.reason
        states.append(step.value)
        results.append(step)
    return torch.stack(states), results


def law_defect(dynamics: Dynamics, v: Tensor, u: Tensor, dt: float) -> tuple[Tensor, Tensor]:
    """|ΔH − Δxᵈ Δt ḡᵀḠḡ| and the bound Δxᵈ‖ḡ‖₁ per unit of residual."""
    dims = tuple(range(-len(dynamics.state_shape), 0))
    g = dynamics.discrete_gradient(v, u)
    work = (g * dynamics.structure.apply(g, (u + v) / 2)).sum(dims) * dynamics.cell_volume * dt
    change = dynamics.energy(v) - dynamics.energy(u)
    return (change - work).abs(), g.abs().sum(dims) * dynamics.cell_volume


def pendulum_states(count: int = 8) -> Tensor:
    q = torch.linspace(-2.5, 2.5, count, dtype=F64)
    return torch.stack([q, 0.4 + 0.3 * torch.cos(3 * q)], -1)
