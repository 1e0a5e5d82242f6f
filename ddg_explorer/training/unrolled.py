"""Multi-step training: the loss of several steps in a row, through the implicit equation.

    û₀ = u₀,   ûₖ₊₁ = ûₖ + Δt Φ(ûₖ₊₁, ûₖ, Δt),   L = mean over k ≤ K of |(ûₖ − uₖ)/(kΔt)|²

The discrete-gradient step is solved as in a rollout and differentiated by the implicit function
theorem; the other schemes are explicit. The error after k steps is divided by kΔt, so that a
constant error of the slope counts alike in each of them, and by the σ of its component where
these are weighted. K = 1 is the one-step loss up to the
factor between the residual and the error it causes.
"""

from __future__ import annotations

from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.integrators import DiscreteGradient
from ddg_explorer.integrators.differentiable import differentiable_step
from ddg_explorer.models.base import Model


def windows(data: Dataset, unroll: int) -> Tensor:
    """All runs of `unroll` + 1 frames, `(windows, unroll + 1, *state_shape)`.

    Raises
    ------
    ValueError
        If the trajectories are too short.
    """
    if not 1 <= unroll < data.frames:
        raise ValueError(f"unroll={unroll}: must lie in [1, {data.frames - 1}] for these data")
    runs = data.u.unfold(1, unroll + 1, 1).movedim(-1, 2)
    return runs.flatten(0, 1)


def unrolled_loss(model: Model, frames: Tensor, dt: float, scale: Tensor | None = None) -> Tensor:
    """L of the module's equation for windows `(n, K + 1, *state_shape)`; `scale` is σ, `(C, 1, …)`.

    Raises
    ------
    NoSolutionError
        If an implicit step does not converge.
    """
    integrator = DiscreteGradient()
    u = frames[:, 0]
    total = u.new_zeros(())
    steps = frames.shape[1] - 1
    for k in range(1, steps + 1):
        if model.scheme == "dg":
            u = differentiable_step(integrator, model, u, dt)
        else:
            u = u + dt * model.slope(u, u, dt)
        error = (u - frames[:, k]) / (k * dt)
        total = total + (error if scale is None else error / scale).square().mean()
    return total / steps
