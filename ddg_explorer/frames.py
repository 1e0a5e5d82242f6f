"""One measured state of a simulation, and the checks every running state passes.

States are `(*batch, d)` or `(*batch, C, *grid)`; every number in a `Frame` has the batch's shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics


@dataclass(frozen=True, slots=True)
class Frame:
    """One state of a rollout and what was measured on the way to it; all nondimensional.

    Attributes
    ----------
    t, step
        Time, and steps taken since the start or the last reset.
    u
        The state, (*batch, *state_shape). Not to be written to.
    energy
        H of the true system, (*batch,); NaN where a model runs and no true system is known.
    own_energy
        H of the dynamics that is being run, the same tensor where that is the true system; NaN
        where it has none: a learned vector field.
    mass
        ∫u per channel, (*batch, C); None for an ODE.
    residual, iterations
        The largest of any step since the previous frame, (*batch,).
    converged
        False for the trajectories whose next step failed, (*batch,).
    reason
        "" or one line saying why the rollout stopped at this state.
    """

    t: float
    step: int
    u: Tensor
    energy: Tensor
    own_energy: Tensor
    mass: Tensor | None
    residual: Tensor
    iterations: Tensor
    converged: Tensor
    reason: str = ""


def measure(
    dynamics: Dynamics,
    truth: Dynamics | None,
    t: float,
    step: int,
    u: Tensor,
    residual: Tensor | None = None,
    iterations: Tensor | None = None,
) -> Frame:
    """Frame of state `u`: energies and mass, taken without recording gradients."""
    zeros = u.new_zeros(dynamics.batch_shape(u))
    unknown = torch.full_like(zeros, math.nan)
    with torch.no_grad():
        own = dynamics.energy(u) if dynamics.has_energy else unknown
        alone = unknown if dynamics.is_learned else own
        return Frame(
            t=t,
            step=step,
            u=u,
            energy=alone if truth is None else truth.energy(u),
            own_energy=own,
            mass=dynamics.mass(u),
            residual=zeros if residual is None else residual,
            iterations=zeros.to(torch.int64) if iterations is None else iterations,
            converged=torch.ones_like(zeros, dtype=torch.bool),
        )


def describe_failure(size: Tensor, bound: float, good: Tensor, reason: str) -> str:
    """Name the first trajectory of the batch that is not `good`, and say how it failed."""
    index = tuple(int(i) for i in torch.nonzero(~good)[0])
    worst = float(size[index])
    if not math.isfinite(worst):
        what = "the state is not finite"
    elif worst > bound:
        what = f"the state diverges (max |u| = {worst:.2g})"
    else:
        what = reason or "the step did not converge"
    if not index:
        return what
    others = int((~good).sum()) - 1
    name = index[0] if len(index) == 1 else index
    return f"trajectory {name}{f' and {others} more' if others else ''}: {what}"


def checked_state(dynamics: Dynamics, u: Tensor) -> Tensor:
    """`u` without autograd history; ValueError for a wrong shape, dtype or non-finite values."""
    if u.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"state has dtype {u.dtype}: needs float32 or float64")
    dynamics.batch_shape(u)
    if not bool(torch.isfinite(u).all()):
        raise ValueError("state has values that are not finite")
    return u.detach()


def checked_dt(dt: float) -> float:
    """`dt` as a float; ValueError unless it is finite and positive."""
    if not (isinstance(dt, Real) and math.isfinite(dt) and dt > 0):
        raise ValueError(f"dt={dt!r}: must be finite and positive")
    return float(dt)
