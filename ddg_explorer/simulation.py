"""`simulate()`: one call from a system or a model to its trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.base import Integrator
from ddg_explorer.io import described
from ddg_explorer.recording import MEMORY_LIMIT, Recording
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS, System
from ddg_explorer.trajectory import Trajectory


def simulate(
    system: Dynamics,
    u0: Any = None,
    *,
    dt: float | None = None,
    steps: int,
    integrator: str | Integrator | None = None,
    tol: float | None = None,
    save_every: int = 1,
    path: str | Path | None = None,
    seed: int = 0,
    truth: Dynamics | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Trajectory:
    """Integrate a system or a model, and return its trajectory.

    A step that fails ends the run: the trajectory then ends with the last good state, its `reason`
    says what happened and when, and `converged` which trajectories failed.

    Parameters
    ----------
    system
        A system or a learned model; `Trajectory.note` tells where a model belongs to another Δt or
        scheme.
    u0
        Initial state, (*batch, *state_shape): a tensor in the dtype and on the device of the system
        or model; anything else is moved there. None: `system.initial(seed)`.
    dt
        Δt > 0; None: the system's own.
    steps
        Steps to take, ≥ 0; an adaptive scheme reports at multiples of `dt` all the same.
    integrator, tol
        A key of `INTEGRATORS` with its tolerance, or an `Integrator`; None: a model's own scheme,
        for a system the discrete gradient.
    save_every
        Steps between frames. Frame 0 and the last are always saved.
    path
        A `.nc` file to stream the states to as they come; it appears when complete, also where
        the run ended early. `Trajectory.u` then reads that file.
    truth
        The true system, where `system` is a model of it: its energy is `Trajectory.energy`, which
        is NaN for a model without.
    memory_limit
        Bytes the recording may hold in memory.

    Raises
    ------
    ValueError
        For bad arguments, as the name of a system instead of one, or if the recording would exceed
        `memory_limit`.
    """
    check_dynamics("system", system)
    if truth is not None:
        check_dynamics("truth", truth)
    start = initial_state(system, u0, seed)
    integrator = own_scheme(system) if integrator is None else integrator
    rollout = Rollout(system, start, _default_dt(system, dt), integrator, tol=tol, truth=truth)
    recording = Recording(
        rollout,
        steps,
        save_every=save_every,
        path=path,
        seed=seed if u0 is None else None,
        memory_limit=memory_limit,
    )
    with recording:
        for _ in recording:
            pass
        return recording.finish()


def own_scheme(dynamics: Dynamics) -> str:
    """The scheme of a run that names none: the model's that it was trained for; of a system, and of
    any other dynamics, the discrete gradient."""
    published = getattr(dynamics, "integrators", ())
    return published[0] if published else "discrete_gradient"


def check_dynamics(name: str, value: object) -> None:
    """ValueError, with what to give, where `value` is no system or model: its name, its class."""
    if isinstance(value, Dynamics):
        return
    known = isinstance(value, str) and value in SYSTEMS
    instead = f"SYSTEMS[{value!r}]()" if known else ""
    if isinstance(value, type) and issubclass(value, Dynamics):
        instead = f"{value.__name__}()"
    line = f"{name}={described(value)}: must be a system or a model"
    raise ValueError(f"{line}, as {instead}" if instead else line)


def initial_state(system: Dynamics, u0: Any = None, seed: int = 0) -> Tensor:
    """`u0` as a tensor of the dtype and device of the system or model, or the system's own."""
    if isinstance(u0, Tensor):
        return u0
    if u0 is None and isinstance(system, System):
        return system.initial(seed)
    if u0 is None:
        raise ValueError("u0=None: a model has no initial state of its own, give one")
    dtype, device = getattr(system, "dtype", None), getattr(system, "device", None)
    if dtype is None:
        raise ValueError(f"u0={u0!r}: {type(system).__name__} has no dtype, give a tensor")
    try:
        return torch.as_tensor(u0, dtype=dtype, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"u0={u0!r}: must be a tensor, an array or a list of numbers") from None


def _default_dt(system: Dynamics, dt: float | None) -> float:
    if dt is None and isinstance(system, System):
        return system.dt
    if dt is None:
        raise ValueError("dt=None: a model has no time step of its own, give one")
    return dt
