"""Training on noisy observations of an ODE: weights and true states estimated together.

    min Σ |x − y|²/σ²   over states x and weights θ,   subject to   ρ(xₙ₊₁, xₙ; θ) = 0

y are the observed states, x the estimated ones, ρ the model's one-step residual and σ the noise of
each component. The one-step loss puts noise on both ends of a step and fits it; here every step
must hold exactly, and only the distance to the observations is made small: the maximum-likelihood
estimate for independent Gaussian noise. Linearised at (x, θ), with A = ∂ρ/∂x (block bidiagonal in
time) and R = ∂ρ/∂θ, the states are eliminated in closed form,

    g = ρ + A(y − x),   AΣAᵀ = LLᵀ,   min over δ of |L⁻¹(g + Rδ)|²,   x ← y − ΣAᵀ(LLᵀ)⁻¹(g + Rδ)

which is the Gauss–Helmert adjustment (F. R. Helmert 1872; W. Deming 1943). A damped normal equation
in δ alone remains, as in `levenberg_marquardt`. Weights get a Gaussian prior, `ridge`·|θ|², since a
few thousand noisy numbers do not determine a few hundred weights.

States are `(trajectories, frames, d)`; every trajectory is used whole in every iteration.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model
from ddg_explorer.training.jacobians import jacobian
from ddg_explorer.training.layout import Layout
from ddg_explorer.training.levenberg_marquardt import FIRST_DAMPING
from ddg_explorer.training.patches import STAGES

ORDER = 6
"""Order of the differences in time that hold the noise and hardly anything of a smooth state."""
RIDGE = 1.0
FIRST_SLACK = 100.0
"""Variance, in σ², with which steps may fail to hold at first; it falls to its inverse, then 0."""
SLACK_SHARE = 0.6
"""Share of the iterations that have slack."""


def noise_level(data: Dataset) -> Tensor:
    """Standard deviation of independent noise on every component, `(d,)`, from differences in time.

    An upper bound where the trajectories are not smooth over a few frames.
    """
    order = min(ORDER, data.frames - 1)
    differences = data.u.diff(order, 1)
    return (differences.square().mean((0, 1)) / comb(2 * order, order)).sqrt()


@dataclass(frozen=True)
class Linearised:
    """The problem at one point, whitened: r̃ `(rows,)`, and what gives the states back."""

    residual: Tensor
    factor: Tensor
    ends: Tensor


class ObservedStates:
    """The optimiser of the module's problem; `advance(step)` is one iteration.

    Parameters
    ----------
    model
        An ODE model trained with dg, rk2 or leapfrog, in float64; changed in place.
    data
        Observed trajectories.
    ridge
        Weight of the prior |θ|², in units of the noise; 0 for none.

    Raises
    ------
    ValueError
        For a field, a scheme that is none of these, or data without noise.
    """

    def __init__(self, model: Model, data: Dataset, *, steps: int, ridge: float = RIDGE) -> None:
        if data.grid is not None or model.scheme not in STAGES:
            raise ValueError(
                "noise='states': needs an ODE model that trains with dg, rk2 or leapfrog"
            )
        if ridge < 0:
            raise ValueError(f"ridge={ridge}: must not be negative")
        self.model, self.y, self.dt = model, data.u.double(), data.dt
        self.sigma = noise_level(data)
        if not bool((self.sigma > 0).all()):
            raise ValueError("noise='states': a component of the data is constant")
        self.steps, self.slack = steps, FIRST_SLACK
        self.x, self.damping = self.y.clone(), FIRST_DAMPING
        weights = {k: p for k, p in model.named_parameters() if p.requires_grad}
        self.layout = Layout(weights)
        self.ridge = ridge * self.layout.penalised()
        self.residuals = jacobian(model, data.dt, 1.0)
        ends = torch.func.jacfwd(self._step_defect, argnums=(1, 2))
        self._ends = torch.func.vmap(ends, (None, 0, 0))

    def _step_defect(self, state: dict[str, Tensor], v: Tensor, u: Tensor) -> Tensor:
        return self.dt * torch.func.functional_call(self.model, state, (v, u, self.dt))

    def state(self) -> dict[str, Tensor]:
        """Everything beside weights and generator that an exact resumption needs."""
        return {"damping": torch.tensor(self.damping, dtype=torch.float64), "x": self.x}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        self.damping, self.x = float(state["damping"]), state["x"].clone()

    @torch.no_grad()
    def advance(self, step: int) -> float:
        """One iteration: the loss before it, the mean of |x − y|²/σ² at the linearised optimum."""
        progress = min(1.0, step / (SLACK_SHARE * self.steps))
        self.slack = FIRST_SLACK ** (1 - 2 * progress) if progress < 1 else 0.0
        # with slack the data weigh less; a prior that did not would shrink the network to nothing
        prior = self.ridge / (1 + self.slack)
        now = self._linearise()
        j = self._whiten(now.factor, self._jacobian())
        rows = len(now.residual)
        theta = self.layout.values()
        matrix = j.mT @ j / rows
        gradient = j.mT @ now.residual / rows + prior / rows * theta
        matrix.diagonal().add_(prior / rows)
        diagonal = matrix.diagonal()
        damping = self.damping * (diagonal + self.layout.floor(diagonal, 1e-6))
        delta = -torch.linalg.solve(matrix + damping.diag(), gradient)
        before = self._objective(now, theta, prior)
        start, states = self.layout.snapshot(), self.x
        self.layout.move(start, delta, None)
        self.x = self._states(now, j @ delta)
        after = self._objective(self._linearise(), theta + delta, prior)
        predicted = -(2 * gradient @ delta + delta @ (matrix @ delta))
        gain = (before - after) / max(float(predicted), 1e-300)
        if not gain > 0.05:
            self.layout.move(start, torch.zeros_like(delta), None)
            self.x = states
            self._settle(now)
            self.damping *= 5
        elif gain > 0.7:
            self.damping = max(self.damping / 3, 1e-8)
        elif gain < 0.3:
            self.damping *= 2.5
        return float(now.residual.square().mean())

    def _objective(self, at: Linearised, theta: Tensor, prior: Tensor) -> float:
        r = at.residual
        return float(r.square().sum() + (prior * theta.square()).sum()) / len(r)

    def _settle(self, now: Linearised) -> None:
        """Take the states that belong to the present weights, if they are finite."""
        settled = self._states(now, torch.zeros_like(now.residual))
        if bool(torch.isfinite(settled).all()):
            self.x = settled

    def _linearise(self) -> Linearised:
        v, u = self.x[:, 1:].flatten(0, 1), self.x[:, :-1].flatten(0, 1)
        state = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        state = {name: value.detach() for name, value in state.items()}
        count, steps, d = self.y.shape[0], self.y.shape[1] - 1, self.y.shape[2]
        later, earlier = self._ends(state, v, u)
        a = torch.zeros(count, steps, d, steps + 1, d, dtype=torch.float64)
        n = torch.arange(steps)
        # advanced indices on both sides of a slice come first: (steps, trajectories, d, d)
        a[:, n, :, n + 1] = later.unflatten(0, (count, steps)).transpose(0, 1)
        a[:, n, :, n] = earlier.unflatten(0, (count, steps)).transpose(0, 1)
        a = a.reshape(count, steps * d, (steps + 1) * d)
        weighted = a * self.sigma.repeat(steps + 1)
        matrix = weighted @ weighted.mT
        matrix.diagonal(dim1=1, dim2=2).add_((self.slack * self.sigma.square()).repeat(steps))
        factor = torch.linalg.cholesky_ex(matrix)[0]
        rho = self.dt * self.residuals.residual(v, u).reshape(count, steps * d)
        g = rho + (a @ (self.y - self.x).flatten(1)[..., None])[..., 0]
        residual = torch.linalg.solve_triangular(factor, g[..., None], upper=False)
        return Linearised(residual.flatten(), factor, a)

    def _jacobian(self) -> Tensor:
        """R, `(trajectories, steps · d, weights)`."""
        v, u = self.x[:, 1:].flatten(0, 1), self.x[:, :-1].flatten(0, 1)
        _, blocks = self.residuals(v, u)
        columns = self.dt * self.layout.columns(blocks, None)
        return columns.reshape(self.y.shape[0], -1, columns.shape[-1])

    def _whiten(self, factor: Tensor, columns: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(factor, columns, upper=False).flatten(0, 1)

    def _states(self, now: Linearised, change: Tensor) -> Tensor:
        """x of the linearised problem whose whitened residual is r̃ + `change`."""
        r = (now.residual + change).reshape(len(now.factor), -1, 1)
        pulled = torch.linalg.solve_triangular(now.factor.mT, r, upper=True)
        correction = (now.ends.mT @ pulled).reshape(self.y.shape)
        return self.y - self.sigma.square() * correction
