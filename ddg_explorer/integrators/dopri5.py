"""Dormand–Prince 5(4) with adaptive steps inside every Δt, by torchdiffeq.

    u̇ = G(u) δH/δu,   local error ≤ tol · (1 + |u|) in every accepted substep

Explicit and of order 5; it preserves nothing but linear invariants, and what it loses is set by
`tol`. The error is measured per trajectory and the worst one of a batch sets the substep, so a
batch is solved at least as accurately as its members alone.

Source: J. R. Dormand, P. J. Prince, J. Comput. Appl. Math. 6 (1980) 19,
doi 10.1016/0771-050X(80)90013-3; R. T. Q. Chen, torchdiffeq (2018).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.dynamics import DOPRI5_TOL, Dynamics
from ddg_explorer.integrators.base import Integrator, Step, Stepper
from ddg_explorer.integrators.explicit import MASS_ONLY, explicit_result


class _Refused(Exception):
    """More evaluations than allowed."""


class _Field:
    """f(t, u) with a count of its evaluations; remembers the substep torchdiffeq settled on."""

    def __init__(self, dynamics: Dynamics, limit: int) -> None:
        self.dynamics = dynamics
        self.limit = limit
        self.evaluations = 0
        self.substep = 0.0

    def __call__(self, t: Tensor, u: Tensor) -> Tensor:
        self.evaluations += 1
        if self.evaluations > self.limit:
            raise _Refused
        return self.dynamics.rhs(u)

    def callback_accept_step(self, t: Tensor, u: Tensor, dt: Tensor) -> None:
        self.substep = max(self.substep, float(dt))


class Dopri5Stepper(Stepper):
    """Integrates [0, Δt] anew in every step, starting with the substep that worked before."""

    def __init__(self, dynamics: Dynamics, tol: dict[torch.dtype, float], limit: int) -> None:
        self.dynamics = dynamics
        self.tol = tol
        self.limit = limit
        self.substep: float | None = None

    def reset(self) -> None:
        self.substep = None

    @torch.no_grad()
    def step(self, u: Tensor, dt: float) -> Step:
        batch = self.dynamics.batch_shape(u)
        value, evaluations, reason = self._integrate(u, dt)
        if not reason or not batch:
            return _result(self.dynamics, value, evaluations, reason)
        # a batch shares its substeps: solve the members alone to tell which of them fail
        flat = u.reshape(-1, *self.dynamics.state_shape)
        self.reset()
        alone = [_result(self.dynamics, *self._integrate(member, dt)) for member in flat]
        return Step(
            torch.stack([one.value for one in alone]).reshape(u.shape),
            u.new_zeros(batch),
            torch.stack([one.iterations for one in alone]).reshape(batch),
            torch.stack([one.converged for one in alone]).reshape(batch),
            next((one.reason for one in alone if one.reason), ""),
        )

    def _integrate(self, u: Tensor, dt: float) -> tuple[Tensor, int, str]:
        """The state Δt later, or `u` itself with the reason why not."""
        from torchdiffeq import odeint  # takes half a second to import

        field = _Field(self.dynamics, self.limit)
        time = torch.tensor([0.0, dt], dtype=torch.float64, device=u.device)
        batch_ndim = u.ndim - len(self.dynamics.state_shape)
        options = {
            "norm": lambda e: e.square().flatten(batch_ndim).mean(-1).sqrt().max(),
            "step_t": time[1:],
        }
        if self.substep is not None:
            options["first_step"] = min(self.substep, abs(dt))
        tol = self.tol[u.dtype]
        try:
            states = odeint(field, u, time, rtol=tol, atol=tol, method="dopri5", options=options)
        except _Refused:
            reason = f"needs more than {self.limit} evaluations a step: raise the tolerance"
            return u, self.limit, f"Dormand–Prince {reason}"
        except AssertionError as error:
            return u, field.evaluations, f"Dormand–Prince {_readable(error)}"
        assert isinstance(states, Tensor)
        self.substep = field.substep or None
        return states[1], field.evaluations, ""


def _readable(error: AssertionError) -> str:
    """torchdiffeq reports by assertion; its messages may quote whole tensors."""
    text = str(error).splitlines()[0] if str(error) else "assertion failed"
    if text.startswith("underflow"):
        return "finds no substep that is small enough (a singularity?)"
    return f"gave up ({text.split(':')[0]})"


def _result(dynamics: Dynamics, value: Tensor, evaluations: int, reason: str) -> Step:
    step = explicit_result(dynamics, value, evaluations)
    if not reason:
        return step
    failed = torch.zeros_like(step.converged)
    return Step(value, step.residual, step.iterations, failed, reason)


class Dopri5(Integrator):
    """Order 5, explicit, adaptive.

    Parameters
    ----------
    tol
        Relative and absolute local error of a substep; 1e-9 in float64 and 1e-5 in float32 by
        default.
    max_evaluations
        Evaluations of the right-hand side allowed in one Δt.
    """

    name = "dopri5"
    title = "Dormand–Prince 5(4)"
    order = 5
    implicit = False
    adaptive = True
    preserves = MASS_ONLY

    def __init__(self, *, tol: float | None = None, max_evaluations: int = 20_000) -> None:
        super().__init__(tol=tol)
        if max_evaluations < 7:
            raise ValueError(f"max_evaluations={max_evaluations}: must be at least 7")
        self.max_evaluations = max_evaluations

    def tolerance(self, dtype: torch.dtype) -> float:
        """The given tolerance, or 1e-9 in float64 and 1e-5 in float32."""
        return DOPRI5_TOL[dtype] if self.tol is None else self.tol

    def stepper(self, dynamics: Dynamics) -> Stepper:
        tol = {dtype: self.tolerance(dtype) for dtype in DOPRI5_TOL}
        return Dopri5Stepper(dynamics, tol, self.max_evaluations)
