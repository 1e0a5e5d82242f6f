"""What a collocation step reports, and the account of its substeps.

Shapes: everything has the batch's shape, except the state and the modes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ddg_explorer.integrators.base import Step
from ddg_explorer.solve import max_norm


@dataclass(frozen=True, slots=True)
class CollocationStep(Step):
    """A `Step` of a collocation scheme; `iterations` are those of its accepted substeps.

    `residual` is the larger of the defect of the mode equations and, where H is no polynomial, of
    the one that would explain what the energy law is missed by: |defect| / Δxᵈ‖γ₀‖₁.

    Attributes
    ----------
    substeps
        Accepted substeps.
    nodes
        Quadrature nodes k.
    error
        Largest error estimate of a substep, relative to max|u|; no less than what restoring the law
        moved it by. Batch shape.
    law_defect
        Change of H over the step minus the change by the law, before the law is restored; measured
        where H is no polynomial or the polish is on, else None. Batch shape.
    """

    substeps: int = 1
    nodes: int = 0
    error: Tensor | None = None
    law_defect: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Substep:
    """What one solve led to; every tensor has shape (B,) but `value` and `modes`."""

    value: Tensor
    modes: Tensor
    residual: Tensor
    iterations: Tensor
    converged: Tensor
    reason: str
    error: Tensor
    law_defect: Tensor | None

    def after(self, earlier: Substep | None) -> Substep:
        """With the account of the accepted substeps before it in the same step."""
        if earlier is None:
            return self
        defect = self.law_defect
        if defect is not None and earlier.law_defect is not None:
            defect = defect + earlier.law_defect
        return replace(
            self,
            residual=torch.maximum(self.residual, earlier.residual),
            iterations=self.iterations + earlier.iterations,
            error=torch.maximum(self.error, earlier.error),
            law_defect=defect,
        )

    def refused(self, u: Tensor, size: float) -> Substep:
        """As the end of a step that could not go on from `u` with substeps down to `size`."""
        reason = self.reason or "the error tolerance was not met"
        return replace(
            self,
            value=u,
            converged=torch.zeros_like(self.converged),
            reason=f"{reason}; smallest substep tried {size:.1e}",
        )

    def diverged(self, bound: Tensor) -> Substep:
        """As the end of a step in which a trajectory grew beyond its `bound`, (B,)."""
        largest = max_norm(self.value)
        return replace(
            self,
            converged=largest <= bound,
            reason=f"the state diverges (max |u| = {float(largest.max()):.2g})",
        )


def gathered(members: list[Substep]) -> Substep:
    """One batch from trajectories that were advanced alone."""

    def join(name: str) -> Tensor:
        return torch.cat([getattr(member, name) for member in members])

    return Substep(
        value=join("value"),
        modes=join("modes"),
        residual=join("residual"),
        iterations=join("iterations"),
        converged=join("converged"),
        reason=next((member.reason for member in members if member.reason), ""),
        error=join("error"),
        law_defect=None if members[0].law_defect is None else join("law_defect"),
    )
