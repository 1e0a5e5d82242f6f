"""Levenberg–Marquardt for small networks: damped Gauss–Newton on sampled one-step residuals.

    (JᵀJ + λ D) δ = −Jᵀr,   D = diag(JᵀJ) + 10⁻⁶ mean diag(JᵀJ),   θ ← θ + δ

r holds the residuals of randomly drawn sites (`patches`), J their exact Jacobian with respect to
all weights, one row each. The gain ratio of true to predicted decrease steers λ; a step that gains
too little is not taken. For networks of a few hundred weights this reaches errors that first-order
methods do not, in a minute.

Residuals are divided by the RMS of du/dt, or each by that of its component, so the loss is a
relative mean square.

Sources: K. Levenberg, Q. Appl. Math. 2 (1944) 164; D. W. Marquardt, SIAM J. Appl. Math. 11 (1963)
431, doi 10.1137/0111030.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.symplectic_form import SymplecticForm
from ddg_explorer.structure import FreeKernel
from ddg_explorer.training.first_friction import friction_ends, usable_friction
from ddg_explorer.training.first_matrix import usable_matrix
from ddg_explorer.training.jacobians import jacobian, single_sites
from ddg_explorer.training.layout import Held, Layout
from ddg_explorer.training.patches import Windows, reach
from ddg_explorer.training.prepare import loss_unit, root
from ddg_explorer.training.weak import RADIUS

FIRST_DAMPING = 1e-2
FLOOR = 1e-6
LEAST_GAIN = 0.05
"""Of a step that is taken."""
CHUNK_ELEMENTS = 400_000
"""Rows of J are computed in chunks of about this many elements, so that they stay in the cache."""
BLOCKS = 6
"""Block rows of JᵀJ."""
WINDOWS = {0: 1, 1: 25, 2: 3}
"""Residual sites per axis of a window, by the grid's dimension: in 2-D sharing the work on stencils
counts for less than independent sites."""
ROWS = {0: (1500, 20_000), 1: (1500, 20_000), 2: (1000, 1300)}
HELD_STEPS = 60
CONSERVED = 1e-3
"""Change of the mean, relative to that of the values, up to which data count as conserving it."""


@dataclass(frozen=True)
class Normal:
    """JᵀJ and Jᵀr per row, and the loss, the mean square of r, of one batch."""

    matrix: Tensor
    gradient: Tensor
    loss: float


class LevenbergMarquardt:
    """One optimiser on one model and data set; `advance(step)` is one iteration.

    Parameters
    ----------
    model
        A model with a recipe, in float64; its weights are changed in place.
    data
        Training trajectories.
    generator
        Draws the sites.
    steps
        Iterations of the whole run.
    rows
        Residuals an iteration: at the start, and from two thirds on; they grow geometrically. None:
        by the grid's dimension.
    weak
        Average residuals with ψ (`weak`); fields only.
    weighted
        Divide every component's residuals by the RMS of its own du/dt (`prepare.loss_unit`).

    Attributes
    ----------
    damping
        λ of the next iteration; with the model's weights and the generator's state it is all that
        an exact resumption needs.

    Raises
    ------
    ValueError
        If the model's scheme or operator has no finite reach, or the grid is too small for it.
    """

    remedy = "try another seed or fewer hidden units"

    def __init__(
        self,
        model: Model,
        data: Dataset,
        generator: torch.Generator,
        *,
        steps: int,
        rows: tuple[int, int] | None = None,
        weak: bool = False,
        weighted: bool = False,
    ) -> None:
        if weak and data.grid is None:
            raise ValueError("noise='weak': needs a field; for an ODE use 'states'")
        dimensions = 0 if data.grid is None else data.grid.ndim
        self.steps, self.rows = steps, rows or ROWS[dimensions]
        learned = {k: p for k, p in model.named_parameters() if p.requires_grad}
        friction = usable_friction(model, data)
        self.layout = Layout(learned, friction_ends(model, friction))
        self.generator = generator
        self.damping = FIRST_DAMPING
        self.held: Held | None
        self.held, self.held_steps = held(model, data, steps, told=friction is not None)
        scale = root(loss_unit(data, weak=weak, weighted=weighted))
        radius = reach(model) + RADIUS * weak
        self.residuals = jacobian(model, data.dt, scale, weak=weak)
        single = single_sites(self.residuals)
        self.windows = Windows(data, radius, 1 if single else WINDOWS[dimensions])

    def advance(self, step: int) -> float:
        """Iteration number `step`, counted from 0, on a batch that grows: the loss before it."""
        if step >= self.held_steps:
            self.held = None
        first, last = self.rows
        growth = min(1.0, 1.5 * step / self.steps)
        return self.step(round(first * (last / first) ** growth))[0]

    def state(self) -> dict[str, Tensor]:
        """Everything beside weights and generator that an exact resumption needs."""
        return {"damping": torch.tensor(self.damping, dtype=torch.float64)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        self.damping = float(state["damping"])

    @torch.no_grad()
    def step(self, rows: int) -> tuple[float, bool]:
        """One iteration on about `rows` fresh residuals: the loss before it, was it taken?"""
        count = max(1, round(rows / self.windows.sites))
        chunks = self._chunks(*self.windows.draw(count, self.generator))
        normal = self._linearise(chunks)
        diagonal = normal.matrix.diagonal()
        damping = self.damping * (diagonal + self.layout.floor(diagonal, FLOOR))
        factor, failed = torch.linalg.cholesky_ex(normal.matrix + damping.diag())
        if failed:
            self.damping *= 5
            return normal.loss, False
        delta = -torch.cholesky_solve(normal.gradient[:, None], factor)[:, 0]
        start = self.layout.snapshot()
        self.layout.move(start, delta, self.held)
        predicted = -(2 * normal.gradient @ delta + delta @ (normal.matrix @ delta))
        gain = (normal.loss - self._loss(chunks)) / max(float(predicted), 1e-300)
        taken = gain > LEAST_GAIN
        if not taken:
            self.layout.move(start, torch.zeros_like(delta), None)
        self.damping = steered(self.damping, gain)
        return normal.loss, taken

    def _chunks(self, v: Tensor, u: Tensor) -> list[tuple[Tensor, Tensor]]:
        count = max(1, CHUNK_ELEMENTS // (self.layout.size * self.windows.sites))
        return list(zip(v.split(count), u.split(count), strict=True))

    def _linearise(self, chunks: list[tuple[Tensor, Tensor]]) -> Normal:
        size = self.layout.size
        matrix = torch.zeros(size, size, dtype=torch.float64)
        gradient = torch.zeros(size, dtype=torch.float64)
        total, rows = 0.0, 0
        for v, u in chunks:
            r, blocks = self.residuals(v, u)
            j = self.layout.columns(blocks, self.held)
            add_square(matrix, j)
            gradient.addmv_(j.mT, r)
            total, rows = total + float(r @ r), rows + len(r)
        matrix = (matrix.triu() + matrix.triu(1).mT) / rows
        return Normal(matrix, gradient / rows, total / rows)

    def _loss(self, chunks: list[tuple[Tensor, Tensor]]) -> float:
        parts = [self.residuals.residual(v, u) for v, u in chunks]
        return float(torch.cat(parts).square().mean())


def add_square(matrix: Tensor, j: Tensor) -> None:
    """Add jᵀj to the upper triangle of `matrix`, block row by block row: a third less work."""
    step = -(-len(matrix) // BLOCKS)
    for i in range(0, len(matrix), step):
        matrix[i : i + step, i:].addmm_(j[:, i : i + step].mT, j[:, i:])


def steered(damping: float, gain: float) -> float:
    """λ of the next iteration, from the ratio of true to predicted decrease."""
    if not gain > LEAST_GAIN:
        return 5 * damping
    if gain > 0.7:
        return damping / 3
    return 2.5 * damping if gain < 0.3 else damping


def held(model: Model, data: Dataset, steps: int, *, told: bool) -> tuple[Held | None, int]:
    """What of G is held, and for how many iterations, while H finds its shape; `told`: the data
    gave its friction.

    The sum of a free kernel where the data keep the mean; all of a matrix or friction that the data
    gave, or of a symplectic form, which starts near the canonical one: freed at once it runs, from
    two seeds of three, to where W is nearly singular and the loss stays at tenths.
    """
    if free_kernel(model) and conserves_mean(data):
        return "sum", HELD_STEPS
    given = told or isinstance(model, SymplecticForm)
    if given or usable_matrix(model, data) is not None:
        return "all", steps // 2
    return None, 0


def free_kernel(model: Model) -> bool:
    """Whether G is a kernel learned without any constraint."""
    if not isinstance(model, EnergyModel):
        return False
    module = model.structure.module
    return isinstance(module, FreeKernel) and not module.zero_sum


def conserves_mean(data: Dataset) -> bool:
    """Whether the data keep the mean of every channel."""
    axes = list(range(3, data.u.ndim))
    means = data.u.mean(axes)
    drift = (means - means[:, :1]).square().mean().sqrt()
    change = (data.u - data.u[:, :1]).square().mean().sqrt()
    return bool(drift <= CONSERVED * change)
