"""One measured state of a simulation, why one is the last, and the check every state passes.

States are `(*batch, d)` or `(*batch, C, *grid)`; every number in a `Frame` has the batch's shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.base import Step
from ddg_explorer.io import described


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a rollout stopped at a state; `str` is the line that tells it.

        stopped at t = 0.5: trajectory 1: the state diverges (max |u| = 3e+06); reduce dt (now 0.1)

    Attributes
    ----------
    t
        Time of the last good state.
    cause
        What was wrong with the step from there, or with that state; in a batch, of which
        trajectory.
    dt
        The Δt that may be too large, which a scheme of fixed steps cannot tell from a singularity;
        None where a smaller one is of no use.
    size
        max|u| of the state that was refused, where it had grown too large or is not finite; None
        where something else was wrong.
    """

    t: float
    cause: str
    dt: float | None = None
    size: float | None = None

    @property
    def advice(self) -> str:
        """What may help, "" where nothing is known to."""
        return "" if self.dt is None else f"reduce dt (now {self.dt:g})"

    def __str__(self) -> str:
        line = f"stopped at t = {self.t:.6g}: {self.cause}"
        return f"{line}; {self.advice}" if self.advice else line


@dataclass(frozen=True, slots=True, eq=False)
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
    stop
        Why the rollout stopped at this state, None while it can go on.
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
    stop: Stop | None = None

    @property
    def reason(self) -> str:
        """`stop` as one line, "" while the rollout can go on."""
        return "" if self.stop is None else str(self.stop)


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


def failed_step(t: float, step: Step, good: Tensor, bound: Tensor, dt: float | None) -> Stop:
    """The stop at a step from time t of which not all trajectories are `good`.

    `bound`, (*batch,), is the max|u| up to which a state has not diverged; `dt` is Δt where a
    smaller one may help.
    """
    index, name = _first(~good)
    size = float(largest(step.value, good.ndim)[index])
    if size <= float(bound[index]):
        return Stop(t, name + (step.reason or "the step did not converge"), dt)
    grown = f"the state diverges (max |u| = {size:.2g})"
    return Stop(t, name + (grown if math.isfinite(size) else "the state is not finite"), dt, size)


def singular_state(dynamics: Dynamics, frame: Frame, good: Tensor) -> Stop | None:
    """The stop at a frame where trajectories that are not `good` had no finite H or ∇H to step
    from; None where all had."""
    if not dynamics.has_energy:
        return None
    energy = frame.own_energy
    singular = ~good & ~torch.isfinite(energy)
    if bool(singular.any()):
        cause = f"the energy of the state is not finite ({float(energy[singular][0])})"
    else:
        slope = dynamics.gradient(frame.u).flatten(energy.ndim)
        singular = ~good & ~torch.isfinite(slope).all(-1)
        cause = "the gradient of the energy is not finite at this state: no time step helps"
    return Stop(frame.t, _first(singular)[1] + cause) if bool(singular.any()) else None


def largest(u: Tensor, batch_ndim: int) -> Tensor:
    """max|u| of every trajectory, (*batch,)."""
    return u.abs().flatten(batch_ndim).amax(-1)


def _first(bad: Tensor) -> tuple[tuple[int, ...], str]:
    """Index of the first trajectory that is `bad`, and its name before a cause: "trajectory 1 and
    2 more: ", or "" where there is no batch."""
    index = tuple(int(i) for i in torch.nonzero(bad)[0])
    if not index:
        return index, ""
    others = int(bad.sum()) - 1
    name = index[0] if len(index) == 1 else index
    return index, f"trajectory {name}{f' and {others} more' if others else ''}: "


def checked_state(dynamics: Dynamics, u: Any) -> Tensor:
    """`u` without autograd history; ValueError for what is no tensor, or one of wrong shape, dtype
    or with non-finite values."""
    if not isinstance(u, Tensor):
        raise ValueError(f"state={described(u)}: must be a tensor, float32 or float64")
    if u.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"state has dtype {u.dtype}: needs float32 or float64")
    dynamics.batch_shape(u)
    if not bool(torch.isfinite(u).all()):
        raise ValueError("state has values that are not finite")
    return u.detach()
