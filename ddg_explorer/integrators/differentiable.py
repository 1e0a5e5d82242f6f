"""Training through an implicit step.

    F(v; u, Δt, θ) = v − u − Δt Ḡ ḡ(v, u) = 0

The step is solved as in a rollout; its derivatives in u, Δt and the parameters θ of the dynamics
follow from the implicit function theorem with one adjoint system, at the cost of no solver graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.measured import equation
from ddg_explorer.integrators.one_step import OneStep, OneStepStepper
from ddg_explorer.solve.implicit import NoSolutionError, attach_gradient


def differentiable_step(
    integrator: OneStep,
    dynamics: Dynamics,
    u: Tensor,
    dt: float | Tensor,
    *,
    stepper: OneStepStepper | None = None,
) -> Tensor:
    """The state at t + Δt of an implicit one-step scheme, differentiable once.

    `u` is (*batch, *state); a scalar tensor `dt` is differentiated too. `stepper` reuses predictor
    and preconditioner of an earlier step: pass one while the parameters of the dynamics change
    little, which enters the cost, not the result.

    Raises
    ------
    NoSolutionError
        If a trajectory did not converge: its derivatives would mean nothing.
    """
    running = OneStepStepper(dynamics, integrator) if stepper is None else stepper
    length = float(dt.detach()) if isinstance(dt, Tensor) else dt
    step = running.step(u, length)
    if not bool(step.converged.all()):
        raise NoSolutionError(f"{step.reason}: use a smaller time step")
    shape = (-1, *dynamics.state_shape)
    start = u.reshape(shape)
    residual = equation(integrator, dynamics, start, dt)
    flat = step.value.reshape(start.shape[0], -1)
    precondition = None
    if running.form is not None:
        form = running.form
        precondition = torch.no_grad()(lambda x: form.precondition_adjoint(x, start.shape))
    return attach_gradient(residual, flat, precondition=precondition).reshape(u.shape)
