"""Measures of a run: energy drift, energy rises, mass drift, order of convergence.

    drift = |H − H₀| / max(|H₀|, H-scale)

For a step v with residual r the discrete-gradient scheme changes the energy by
Δxᵈ (Δt gᵀḠg + g·r), g = ∇̄H/Δxᵈ: what the law does not allow is at most Δxᵈ ‖g‖₁ max|r|. Shapes:
energies are `(T, *batch)`, states `(*batch, *state_shape)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.frames import Frame
from ddg_explorer.rollout import Rollout

ROUNDING = 16
"""Units in the last place of max(|H|, H-scale) that evaluating H may be off by."""


def drift(energy: Tensor, scale: float = 0.0) -> Tensor:
    """|H − H₀| / max(|H₀|, scale) of a series (T, *batch), 0 where H never moves.

    Parameters
    ----------
    energy
        H over time, time first.
    scale
        H-scale of the system (`System.energy_scale`), against an H₀ near zero.
    """
    if not scale >= 0:
        raise ValueError(f"scale={scale}: must not be negative")
    floor = max(scale, torch.finfo(energy.dtype).tiny)
    return (energy - energy[0]).abs() / energy[0].abs().clamp_min(floor)


def law_defect(dynamics: Dynamics, v: Tensor, u: Tensor, dt: float) -> Tensor:
    """ΔH − Δxᵈ Δt gᵀḠg of the step u → v, (*batch,): zero, up to the residual, for a step that
    the discrete-gradient scheme took.
    """
    g = dynamics.discrete_gradient(v, u)
    power = (g * dynamics.structure.apply(g, (u + v) / 2)).flatten(len(dynamics.batch_shape(u)))
    change = dynamics.energy(v) - dynamics.energy(u)
    return change - dynamics.cell_volume * dt * power.sum(-1)


def law_bound(dynamics: Dynamics, u: Tensor, residual: Tensor) -> Tensor:
    """Δxᵈ ‖δH/δu‖₁ (residual + ε max|u|), (*batch,): the energy that one step may be off by.

    The second term is the rounding of the new state itself.
    """
    ndim = len(dynamics.batch_shape(u))
    norm = dynamics.gradient(u).flatten(ndim).abs().sum(-1) * dynamics.cell_volume
    rounding = torch.finfo(u.dtype).eps * u.flatten(ndim).abs().amax(-1)
    return norm * (residual + rounding)


def order_slope(dts: Sequence[float], errors: Sequence[float], floor: float = 0.0) -> float:
    """Order of convergence: the slope of log(error) over log(Δt), errors ≤ `floor` left out.

    Raises
    ------
    ValueError
        If the lengths differ, a Δt is not positive, fewer than three errors lie above the floor,
        or all of these have the same Δt.
    """
    x, y = np.asarray(dts, float), np.asarray(errors, float)
    if x.shape != y.shape:
        raise ValueError(f"errors: {y.size} for {x.size} dts, needs one each")
    if not (np.isfinite(x) & (x > 0)).all():
        raise ValueError(f"dts={x.tolist()}: must be finite and positive")
    keep = np.isfinite(y) & (y > floor)
    if keep.sum() < 3:
        raise ValueError(f"errors={y.tolist()}: fewer than three above floor={floor:g}")
    if len(set(x[keep])) == 1:
        raise ValueError(f"dts={x.tolist()}: all equal where the errors are above floor={floor:g}")
    return float(np.polyfit(np.log(x[keep]), np.log(y[keep]), 1)[0])


class Summary:
    """What a run amounts to, gathered frame by frame in constant memory.

    Parameters
    ----------
    rollout
        The rollout before its first step; its present frame is what drifts are taken against.
    """

    def __init__(self, rollout: Rollout) -> None:
        dynamics = rollout.dynamics
        true = rollout.truth or (None if dynamics.is_learned else dynamics)
        self._true = true if true is not None and true.has_energy else None
        self._own = dynamics if dynamics.has_energy else None
        self._scale = (rollout.truth or dynamics).energy_scale
        self._first = self._last = first = rollout.frame
        zero = self._residual = torch.zeros_like(first.residual)
        self._drift = self._larger(zero, first.energy, first.energy)
        self._own_drift = self._larger(zero, first.own_energy, first.own_energy)
        self._rises = self._own_rises = zero.to(torch.int64)
        self._mass = None if first.mass is None else torch.zeros_like(first.mass)

    def add(self, frame: Frame) -> None:
        """Take the next frame into account; a frame that only reports a stop changes nothing."""
        first, last = self._first, self._last
        self._drift = self._larger(self._drift, frame.energy, first.energy)
        self._own_drift = self._larger(self._own_drift, frame.own_energy, first.own_energy)
        self._residual = torch.maximum(self._residual, frame.residual)
        if self._mass is not None and frame.mass is not None and first.mass is not None:
            self._mass = torch.maximum(self._mass, (frame.mass - first.mass).abs())
        own = rose = self._rose(self._own, frame, frame.own_energy, last.own_energy)
        if self._true is not self._own:
            rose = self._rose(self._true, frame, frame.energy, last.energy)
        self._rises, self._own_rises = self._rises + rose, self._own_rises + own
        self._last = frame

    def _larger(self, known: Tensor, now: Tensor, start: Tensor) -> Tensor:
        return torch.maximum(known, drift(torch.stack([start, now]), self._scale)[1])

    def _rose(self, dynamics: Dynamics | None, frame: Frame, now: Tensor, before: Tensor) -> Tensor:
        """Where the energy of these dynamics rose since the last frame by more than residual and
        rounding explain; nowhere without one."""
        size = torch.maximum(now.abs(), before.abs()).clamp_min(self._scale)
        rise = now - before - ROUNDING * torch.finfo(size.dtype).eps * size
        if dynamics is None or not bool((rise > 0).any()):
            return rise > 0
        bounds = [law_bound(dynamics, u, frame.residual) for u in (self._last.u, frame.u)]
        return rise > (frame.step - self._last.step) * torch.maximum(*bounds)

    def figures(self) -> dict[str, float | int | None]:
        """The run in numbers: extremes over the frames and the batch, energies as batch means.

        `energy_…` are those of the true system along the run, `own_energy_…` those of the dynamics
        that is run: the same for a true system, a model's own H for a model. Rises count the frame
        intervals in which that energy rose beyond what the residual and rounding explain. Each is
        None where there is no such energy, or it is not known or NaN; `mass_drift` is
        max |∫u − ∫u₀|, None for an ODE.
        """
        first, last = self._first, self._last
        return {
            "steps": last.step - first.step,
            "t": last.t,
            "energy_start": _known(first.energy.mean()),
            "energy_end": _known(last.energy.mean()),
            "max_energy_drift": _known(self._drift.max()),
            "energy_rises": None if self._true is None else int(self._rises.sum()),
            "own_energy_start": _known(first.own_energy.mean()),
            "own_energy_end": _known(last.own_energy.mean()),
            "max_own_energy_drift": _known(self._own_drift.max()),
            "own_energy_rises": None if self._own is None else int(self._own_rises.sum()),
            "mass_drift": None if self._mass is None else float(self._mass.max()),
            "max_residual": float(self._residual.max()),
        }


def _known(value: Tensor) -> float | None:
    return None if bool(torch.isnan(value)) else float(value)
