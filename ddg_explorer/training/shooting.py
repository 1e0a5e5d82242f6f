"""Training on noisy observations of an ODE: weights and initial states fitted to trajectories.

    min over θ and x₀   Σₙ |xₙ(x₀, θ) − yₙ|²/σ² + `ridge` |θ|²,   ρ(xₙ₊₁, xₙ; θ) = 0 for every n

y are the observed states, ρ the model's own step and σ the noise of each component. The one-step
loss puts noise on both ends of a step and fits it; here every step holds exactly and only the
distance to the observations is made small: the maximum-likelihood estimate for independent Gaussian
noise, with a Gaussian prior on the network's weights, since a few thousand noisy numbers do not
determine a few hundred weights. The quadratic part of an energy and G are left free.

Trajectories are cut into stretches with an initial state each, short ones at first: over a short
time no phase is off by more than a part of a period, and the sum of squares has no false minima on
the way (multiple shooting, H. G. Bock 1983). The last iterations take trajectories whole. Before,
`START` of the iterations are Levenberg–Marquardt on the one-step residuals of smoothed data. If the
model then lacks a trajectory from one of the smoothed states, its network is shrunk towards the
prior's θ = 0 until it has one. A later step, or a cut into longer stretches, that leaves a state
without one is not taken.

With A = ∂ρ/∂xₙ₊₁, B = ∂ρ/∂xₙ and R = ∂ρ/∂θ the sensitivities follow the step,

    A dxₙ₊₁ = −B dxₙ − R dθ

and the initial states are eliminated, stretch by stretch, from the damped normal equations of
`levenberg_marquardt`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model
from ddg_explorer.training.jacobians import jacobian
from ddg_explorer.training.levenberg_marquardt import (
    FIRST_DAMPING,
    FLOOR,
    LEAST_GAIN,
    LevenbergMarquardt,
    steered,
)
from ddg_explorer.training.patches import STAGES
from ddg_explorer.training.smoothing import smooth
from ddg_explorer.training.stretches import Stretches, noise_level

RIDGE = 1.0
START = 0.6
STRETCHES = (12, 6, 3, 1)
"""Into how many stretches a trajectory is cut, one after the other."""
LEAST_DAMPING = 1e-8
SHRUNK, SHRINKINGS = 0.8, 30
"""Factor of the network's weights, and how often."""
NEWTON_STEPS = 20
RENEWED = 4
DIFFERENCE = 1e-4
"""Of the states, in σ, where a slope is a difference."""
NEWTON_TOL = 1e-10
"""Largest error of a step, relative to the RMS of the data."""


class Shooting:
    """The optimiser of the module's problem; `advance(step)` is one iteration.

    Parameters
    ----------
    model
        An ODE model trained with dg, rk2 or leapfrog, in float64; changed in place.
    data
        Observed trajectories.
    generator
        Draws the states of the first iterations.
    steps
        Iterations of the whole run.
    rows
        States an iteration of the first ones, see `LevenbergMarquardt`.
    ridge
        Weight of the prior |θ|², in units of the noise; 0 for none.
    weighted
        Of the first iterations, see `LevenbergMarquardt`: those after count in units of the noise.

    Raises
    ------
    ValueError
        For a field, a scheme that is none of these, or data without noise.
    """

    remedy = "the model has no trajectories near these data: smooth them instead, noise='smooth'"

    def __init__(
        self,
        model: Model,
        data: Dataset,
        generator: torch.Generator,
        *,
        steps: int,
        rows: tuple[int, int] | None = None,
        ridge: float = RIDGE,
        weighted: bool = False,
    ) -> None:
        if data.grid is not None or model.scheme not in STAGES:
            raise ValueError(
                "noise='states': needs an ODE model that trains with dg, rk2 or leapfrog"
            )
        self.model, self.y, self.dt, self.steps = model, data.u.double(), data.dt, steps
        self.sigma = noise_level(data)
        if not bool((self.sigma > 0).all()):
            raise ValueError("noise='states': a component of the data is constant")
        smoothed = smooth(data)
        self.start = max(1, round(START * steps))
        self.first = LevenbergMarquardt(
            model, smoothed, generator, steps=self.start, rows=rows, weighted=weighted
        )
        self.x, self.damping = smoothed.u.double(), FIRST_DAMPING
        self.run: Tensor | None = None
        self.slopes: tuple[Tensor, Tensor] | None = None
        self.layout = self.first.layout
        self.ridge = ridge * self.layout.penalised()
        self.residuals = jacobian(model, data.dt, 1.0)
        self.tol = NEWTON_TOL * float(self.y.square().mean().sqrt())
        self._ends = torch.func.vmap(torch.func.jacrev(self._defect, argnums=(1, 2)), (None, 0, 0))

    def state(self) -> dict[str, Tensor]:
        """Everything beside weights and generator that an exact resumption needs."""
        own = {"damping": torch.tensor(self.damping, dtype=torch.float64), "x": self.x}
        if self.run is not None:
            own["run"] = self.run
        return own | {f"first.{name}": value for name, value in self.first.state().items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        self.damping, self.x = float(state["damping"]), state["x"].clone()
        self.run, self.slopes = state.get("run"), None
        self.first.restore({"damping": state["first.damping"]})

    @torch.no_grad()
    def advance(self, step: int) -> float:
        """Iteration number `step`: the loss before it, the mean of |x − y|²/σ² over stretches.

        Infinite where no shrinking gives the model trajectories from the smoothed states.
        """
        if step < self.start:
            return self.first.advance(step)
        stage = (step - self.start) * len(STRETCHES) // (self.steps - self.start)
        stretches = self._begin(STRETCHES[stage])
        return math.inf if stretches is None else self._advance(stretches)

    def _begin(self, parts: int) -> Stretches | None:
        """Trajectories cut into `parts`, with `run` and `slopes` on them.

        Those of the cut before where the model has none on this one; None if there are none either.
        """
        cut = self._cut(parts)
        if self.run is None:
            left = SHRINKINGS
            while not self._take(cut):
                if not left:
                    return None
                left -= 1
                values = self.layout.values() * self.layout.penalised()
                self.layout.move(self.layout.snapshot(), (SHRUNK - 1) * values, None)
        elif len(self.run) != len(cut.frame) and not self._take(cut):
            cut = self._cut(len(self.run) // len(self.y))
        if self.slopes is None and self.run is not None:
            self.slopes = self._sensitivities(self.run)
        return cut

    def _cut(self, parts: int) -> Stretches:
        trajectories, frames, _ = self.y.shape
        return Stretches.cut(trajectories, frames - 1, parts)

    def _take(self, cut: Stretches) -> bool:
        """Begin at the estimated states of these stretches, if the model has trajectories there."""
        run = self._run(cut.of(self.x))
        slopes = None if run is None else self._sensitivities(run)
        if slopes is not None:
            self.run, self.slopes = run, slopes
        return slopes is not None

    def _advance(self, stretches: Stretches) -> float:
        run, slopes, observed = self.run, self.slopes, stretches.of(self.y)
        assert run is not None
        assert slopes is not None
        to_weights, to_start = slopes
        theta = self.layout.values()
        residual = self._misfit(run, observed)
        basis, triangle = torch.linalg.qr(to_start)
        rows = residual.numel()
        free = (to_weights - basis @ (basis.mT @ to_weights)).flatten(0, 1)
        left = residual - basis @ (basis.mT @ residual)
        matrix = free.mT @ free / rows
        matrix.diagonal().add_(self.ridge / rows)
        gradient = (free.mT @ left.flatten() + self.ridge * theta) / rows
        damping = self.damping * (matrix.diagonal() + self.layout.floor(matrix.diagonal(), FLOOR))
        delta = -torch.linalg.solve_ex(matrix + damping.diag(), gradient)[0]
        if not bool(torch.isfinite(delta).all()):
            self.damping *= 5
            return float(residual.square().mean())
        foreseen = residual + (to_weights @ delta)[..., None]
        start = -torch.linalg.solve_triangular(triangle, basis.mT @ foreseen, upper=True)[..., 0]
        now = self._objective(residual, theta)
        expected = now - self._objective(foreseen + to_start @ start[..., None], theta + delta)
        before, guess = self.layout.snapshot(), run.clone()
        guess[:, 0] += start
        self.layout.move(before, delta, None)
        trial, gain, slopes = self._run(guess), -math.inf, None
        if trial is not None:
            reached = self._objective(self._misfit(trial, observed), theta + delta)
            gain = (now - reached) / max(expected, 1e-300)
            slopes = self._sensitivities(trial) if gain > LEAST_GAIN else None
        if trial is not None and slopes is not None:
            run = self.run = trial
            self.slopes = slopes
        else:
            self.layout.move(before, torch.zeros_like(delta), None)
            gain = -math.inf
        self.x[stretches.trajectory[:, None], stretches.frame] = run
        self.damping = max(steered(self.damping, gain), LEAST_DAMPING)
        return float(residual.square().mean())

    def _misfit(self, run: Tensor, observed: Tensor) -> Tensor:
        """(x − y)/σ, `(stretches, frames · d, 1)`."""
        return ((run - observed) / self.sigma).flatten(1)[..., None]

    def _objective(self, misfit: Tensor, theta: Tensor) -> float:
        return float(misfit.square().sum() + (self.ridge * theta.square()).sum()) / misfit.numel()

    def _run(self, guess: Tensor) -> Tensor | None:
        """The model's trajectories from the first states of `guess`, None where it has none."""
        run = [guess[:, 0]]
        for near in guess[:, 1:].unbind(1):
            found = self._step(run[-1], near)
            if found is None:
                return None
            run.append(found)
        return torch.stack(run, 1)

    def _step(self, u: Tensor, v: Tensor) -> Tensor | None:
        """The solution of ρ(v, u) = 0 by Newton's method from v, A renewed every fourth time."""
        later = torch.empty(0)
        for k in range(NEWTON_STEPS):
            if k % RENEWED == 0:
                later = self._slope(v, u)
            change = torch.linalg.solve_ex(later, self._rho(v, u))[0]
            v = v - change
            size = float(change.abs().max())
            if size < self.tol:
                return v
            if not math.isfinite(size):
                return None
        return None

    def _rho(self, v: Tensor, u: Tensor) -> Tensor:
        return self.dt * self.residuals.residual(v, u).reshape(u.shape)

    def _slope(self, v: Tensor, u: Tensor) -> Tensor:
        """A by central differences: good enough for Newton's method, and one call."""
        count, d = v.shape
        size = DIFFERENCE * self.sigma
        off = torch.cat([size.diag(), -size.diag()])
        rho = self._rho((v[:, None] + off).flatten(0, 1), u.repeat_interleave(2 * d, 0))
        ahead, behind = rho.reshape(count, 2 * d, d).chunk(2, 1)
        return ((ahead - behind) / (2 * size[:, None])).mT

    def _sensitivities(self, run: Tensor) -> tuple[Tensor, Tensor] | None:
        """∂x/∂θ/σ and ∂x/∂x₀/σ of all frames, `(stretches, frames · d, …)`; None if not finite."""
        count, frames, d = run.shape
        v, u = run[:, 1:].flatten(0, 1), run[:, :-1].flatten(0, 1)
        with torch.enable_grad():  # see `AutomaticJacobian`
            later, earlier = self._ends(self._parameters(), v, u)
        _, blocks = self.residuals(v, u)
        pushed = self.dt * self.layout.columns(blocks, None).reshape(len(v), d, -1)
        step = torch.linalg.solve(later, torch.cat([pushed, earlier], -1)).neg()
        pushed, carried = step.unflatten(0, (count, frames - 1)).split([self.layout.size, d], -1)
        now = torch.zeros(count, d, self.layout.size + d, dtype=run.dtype)
        now[..., self.layout.size :] = torch.eye(d, dtype=run.dtype)
        out = [now]
        for n in range(frames - 1):
            now = carried[:, n] @ now
            now[..., : self.layout.size] += pushed[:, n]
            out.append(now)
        scaled = torch.stack(out, 1) / self.sigma[:, None]
        if not bool(torch.isfinite(scaled).all()):
            return None
        to_weights, to_start = scaled.flatten(1, 2).split([self.layout.size, d], -1)
        return to_weights, to_start

    def _parameters(self) -> dict[str, Tensor]:
        state = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        return {name: value.detach() for name, value in state.items()}

    def _defect(self, state: dict[str, Tensor], v: Tensor, u: Tensor) -> Tensor:
        return self.dt * torch.func.functional_call(self.model, state, (v, u, self.dt))
