"""Rows of another Jacobian averaged with ψ: residuals in weak form where they have no own form.

    r_ψ(x) = Σ_y ψ(y − x) r(y),   ∂r_ψ/∂θ likewise

The other one evaluates windows that are wider by 6 per axis, `(n, C, w + 6 + 2·reach, …)`; out come
`n·wᵈ·C` rows in the same order. In one dimension windows are long and this costs little.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ddg_explorer.models.base import Model
from ddg_explorer.training.midpoint_jacobian import MidpointJacobian
from ddg_explorer.training.patches import reach
from ddg_explorer.training.weak import averaged_inside


class AveragedJacobian:
    """The averages of `inner`'s residuals and rows."""

    def __init__(self, inner: MidpointJacobian, model: Model) -> None:
        self.inner, self.channels, self.radius = inner, model.state_shape[0], reach(model)

    def __call__(self, v: Tensor, u: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Scaled residuals `(rows,)` and the Jacobian's blocks by weight name, `(rows, …)`."""
        r, blocks = self.inner(v, u)
        average = self._average(u)
        return average(r), {name: average(block) for name, block in blocks.items()}

    def residual(self, v: Tensor, u: Tensor) -> Tensor:
        """Scaled residuals alone, in the same order."""
        return self._average(u)(self.inner.residual(v, u))

    def _average(self, u: Tensor):
        """From rows `(n · sites · C, …)` of the window to their averages."""
        widths = [n - 2 * self.radius for n in u.shape[2:]]
        sites = torch.eye(int(torch.tensor(widths).prod()), dtype=u.dtype).unflatten(1, widths)
        matrix = averaged_inside(sites[None])[0].flatten(1).mT

        def average(rows: Tensor) -> Tensor:
            by_site = rows.reshape(len(u), len(sites), -1)
            return (matrix @ by_site).reshape(-1, *rows.shape[1:])

        return average
