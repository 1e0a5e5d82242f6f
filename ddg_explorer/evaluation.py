"""How well a model predicts: its slopes, and rollouts beside true ones.

    one-step error   mean ((v − u)/Δt − Φ(v, u, Δt))² over the pairs of a test set
    du/dt error      mean (f(u) − f̂(u + noise))², f the true right-hand side and f̂ the model's
    state MSE        mean (û − u)²,        energy MSE   mean (E(û) − E(u))²

û is the model's rollout from the first state of a true trajectory u, E the true energy (or another
number per state that a published table compares). A trajectory that diverges counts up to its last
good state, and is counted; one that fails in its first step predicts nothing, and counts not at
all. States are `(trajectories, frames, *state_shape)`, nondimensional.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.diagnostics import drift
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators import Integrator
from ddg_explorer.models.base import Model
from ddg_explorer.rollout import Rollout

CHUNK = 100_000
"""Values of u evaluated at once."""


@dataclass
class Forecast:
    """A model's rollouts of several trajectories.

    Attributes
    ----------
    u
        `(frames, trajectories, *state_shape)`; NaN after a trajectory has failed.
    own_energy
        The model's own H, `(frames, trajectories)`; NaN where it has none.
    frames
        Good frames of each trajectory, the initial one included, `(trajectories,)`.
    reasons
        Why trajectories failed, one line each.
    residual
        Largest residual of any implicit step.
    wall_s
        Seconds for all steps.
    """

    u: Tensor
    own_energy: Tensor
    frames: Tensor
    reasons: list[str]
    residual: float
    wall_s: float

    @property
    def diverged(self) -> Tensor:
        """Which trajectories failed."""
        return self.frames < len(self.u)

    @property
    def valid(self) -> Tensor:
        """Which frames are good, `(frames, trajectories)`."""
        return torch.arange(len(self.u))[:, None] < self.frames


def forecast(
    model: Model,
    u0: Tensor,
    dt: float,
    steps: int,
    integrator: str | Integrator | None = None,
    *,
    tol: float | None = None,
) -> Forecast:
    """Roll `model` out from every state of `u0`; see `advance_forecast`."""
    *_, found = advance_forecast(model, u0, dt, steps, integrator, tol=tol)
    assert found is not None
    return found


def advance_forecast(
    model: Model,
    u0: Tensor,
    dt: float,
    steps: int,
    integrator: str | Integrator | None = None,
    *,
    tol: float | None = None,
) -> Iterator[Forecast | None]:
    """Roll `model` out from every state of `u0`, all at once; the others go on where one fails.

    Parameters
    ----------
    u0
        `(trajectories, *state_shape)`; moved to the model's device, the forecast is on the CPU.
    dt, steps
        Δt and number of steps.
    integrator, tol
        None: the model's own, the first of `model.integrators`.

    Yields
    ------
    None after every step, and the `Forecast` at the end.
    """
    scheme = model.integrators[0] if integrator is None else integrator
    start = u0.to(model.dtype)
    alive = torch.arange(len(start))
    u = torch.full((steps + 1, *start.shape), torch.nan, dtype=model.dtype)
    own = torch.full((steps + 1, len(start)), torch.nan, dtype=model.dtype)
    frames = torch.full((len(start),), steps + 1)
    reasons: list[str] = []
    begin, residual, done = time.perf_counter(), 0.0, 0
    rollout = Rollout(model, start.to(model.device), dt, scheme, tol=tol)
    u[0], own[0] = start, rollout.frame.own_energy
    while done < steps and len(alive):
        frame = rollout.step()
        if frame.stop is not None:
            good = frame.converged.cpu()
            since = replace(frame.stop, t=done * dt)
            reasons.append(str(since).removeprefix("stopped at "))
            frames[alive[~good]] = done + 1
            alive = alive[good]
            if len(alive):
                rollout = Rollout(model, u[done, alive].to(model.device), dt, scheme, tol=tol)
            continue
        done += 1
        u[done, alive], own[done, alive] = frame.u.cpu(), frame.own_energy.cpu()
        residual = max(residual, float(frame.residual.max()))
        yield None
    wall = time.perf_counter() - begin
    yield Forecast(u, own, frames, reasons, residual, wall)


@torch.no_grad()
def one_step_error(model: Model, data: Dataset) -> float:
    """Mean square of the one-step residual over all pairs of `data`."""
    u, v = (x.to(model.device, model.dtype) for x in data.pairs())
    total = 0.0
    for one, other in zip(_chunks(v), _chunks(u), strict=True):
        total += float(model.residual(one, other, data.dt).double().square().sum())
    return total / u.numel()


@torch.no_grad()
def derivative_error(model: Model, true: Dynamics, data: Dataset, observed: Tensor) -> float:
    """Mean of (f(u) − f̂(y))² over states and components: the published error of du/dt.

    It compares continuous right-hand sides, whatever the scheme that the model is trained with, so
    a model that is exact in discrete time has one of the order of its scheme. Where the observed
    states are noisy, y = u + σξ, so is the published one, and the true f itself does not reach 0:
    f̂ = f has σ² mean |∂f/∂u|² over components, to leading order.

    Parameters
    ----------
    true
        The dynamics with f = `rhs`.
    data
        Noiseless states u, `(trajectories, frames, *state_shape)`.
    observed
        y, of the same shape; `data.u` itself where there is no noise.
    """
    total = 0.0
    states, seen = data.u.flatten(0, 1), observed.flatten(0, 1)
    for u, y in zip(_chunks(states), _chunks(seen), strict=True):
        found = model.rhs(y.to(model.device, model.dtype)).cpu().double()
        total += float((true.rhs(u.double()) - found).square().sum())
    return total / states.numel()


def _chunks(states: Tensor) -> tuple[Tensor, ...]:
    return states.split(max(1, CHUNK // states[0].numel()))


def errors(
    found: Forecast, truth: Tensor, energy: Callable[[Tensor], Tensor] | None
) -> dict[str, float | int]:
    """Means over frames and trajectories, and medians over trajectories of their means.

    NaN where no trajectory got beyond its first step, which says nothing of the model.

    Parameters
    ----------
    found
        A forecast from the first states of `truth`, of as many steps.
    truth
        `(trajectories, frames, *state_shape)`.
    energy
        States to one number each; None where no true energy is known, and none is compared.
    """
    valid, squares = _counted(found), {}
    if energy is not None:
        true = truth.transpose(0, 1).double()
        predicted = torch.where(_like(valid, found.u), found.u, 0.0).double()
        squares["energy_mse"] = (energy(predicted) - energy(true)).square()
    squares["state_mse"] = _state_squares(found, truth)
    out: dict[str, float | int] = {}
    some = valid.any(0)
    for name, square in squares.items():
        rows = (torch.where(valid, square, 0.0).sum(0) / valid.sum(0))[some]
        out[name] = float(square[valid].mean())
        out[f"{name}_median"] = float(rows.median()) if len(rows) else math.nan
    out["diverged"] = int(found.diverged.sum())
    return out


def _counted(found: Forecast) -> Tensor:
    """Which frames errors are taken of, `(frames, trajectories)`: the good ones, of a trajectory
    that did not fail in its first step and leave the state that it was given."""
    return found.valid & ~(found.diverged & (found.frames == 1))


def _state_squares(found: Forecast, truth: Tensor) -> Tensor:
    """Mean of (û − u)² over each state, `(frames, trajectories)`; NaN where û is not known."""
    return (found.u.double() - truth.transpose(0, 1).double()).flatten(2).square().mean(-1)


def departure(found: Forecast, truth: Tensor, share: float) -> int:
    """The first frame where the mean square error exceeds `share` of the variance of `truth`; the
    last one where none does."""
    counted = _counted(found)
    mean = torch.where(counted, _state_squares(found, truth), 0.0).sum(1) / counted.sum(1)
    beyond = torch.nonzero(mean > share * variance(truth))
    return int(beyond[0]) if len(beyond) else len(found.u) - 1


def variance(truth: Tensor) -> float:
    """The state MSE of guessing the mean: the mean variance of all components, or channels."""
    axes = [0, 1, *range(3, truth.ndim)]
    u = truth.double()
    return float((u - u.mean(axes, keepdim=True)).square().mean())


def timed_forecast(
    model: Model, u0: Tensor, dt: float, steps: int
) -> tuple[Forecast, float | None]:
    """The forecast, and the mean milliseconds of its steps after the first, which warms up; None
    where there are none."""
    ends: list[float] = []
    found = None
    for found in advance_forecast(model, u0, dt, steps):
        if found is None:
            ends.append(time.perf_counter())
    assert found is not None
    later = len(ends) - 1
    return found, 1e3 * (ends[-1] - ends[0]) / later if later > 0 else None


def true_drift(found: Forecast, energy: Callable[[Tensor], Tensor], scale: float) -> float:
    """Largest drift of the true energy along the forecast."""
    filled = torch.where(_like(found.valid, found.u), found.u, found.u[:1]).double()
    return float(drift(energy(filled), scale).max())


def own_drift(found: Forecast, scale: float) -> float | None:
    """Largest drift of the model's own energy along the forecast, None where it has none."""
    own = torch.where(found.valid, found.own_energy, found.own_energy[:1]).double()
    own = drift(own, scale)
    return None if torch.isnan(own).any() else float(own.max())


def _like(valid: Tensor, u: Tensor) -> Tensor:
    return valid.reshape(*valid.shape, *(1,) * (u.ndim - 2))
