"""Closed-form Jacobian of the leapfrog residual of an SRNN.

    a = ∇T(p),  q′ = q + ½Δt a,  k = −∇V(q′),  p′ = p + Δt k,  b = ∇T(p′)
    r = (v − u)/Δt − ((a + b)/2, k)

The three gradients are evaluated in turn, so cotangents go back through them in turn: from b to k
through p′, from k to a through q′ (`points`). States are `(n, d)`, rows `n · d`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ddg_explorer.models.hnn import SRNN
from ddg_explorer.training.points import GradientPoints, blocks


class LeapfrogJacobian:
    """Residuals and Jacobian rows of one SRNN of depth 2.

    Parameters
    ----------
    model
        The SRNN.
    dt, scale
        Δt of the data, and the RMS of du/dt by which residuals are divided.
    """

    def __init__(self, model: SRNN, dt: float, scale: float) -> None:
        self.model, self.dt, self.scale = model, dt, scale
        self.kinetic, self.potential = (
            model.network.kinetic.density,
            model.network.potential.density,
        )
        half = model.state_shape[0] // 2
        identity = torch.eye(half, dtype=self.kinetic.whiten.dtype)
        zero = torch.zeros_like(identity)
        # rows: components of Φ; columns: the mean of a and b, and k
        self.mean = torch.cat([identity / 2, zero])
        self.kick = torch.cat([zero, identity])
        self.index = torch.zeros(2 * half, 1, dtype=torch.long)

    def __call__(self, v: Tensor, u: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Scaled residuals `(rows,)` and the Jacobian's blocks by weight name, `(rows, …)`."""
        slope, (a, k, b) = self._evaluate(u)
        last = b.rows(self._terms(self.mean, b), self.index)
        on_kick = self.kick + self.dt * self._back(last.pull, b)
        middle = k.rows(self._terms(-on_kick, k), self.index)
        on_drift = self.mean + (self.dt / 2) * self._back(middle.pull, k)
        first = a.rows(self._terms(on_drift, a), self.index)
        found = blocks([first, last]) | blocks([middle])
        flat = {name: block.flatten(0, 1) / -self.scale for name, block in found.items()}
        return self._difference(v, u, slope), flat

    def residual(self, v: Tensor, u: Tensor) -> Tensor:
        """Scaled residuals alone, in the same order."""
        return self._difference(v, u, self._evaluate(u)[0])

    def _difference(self, v: Tensor, u: Tensor, slope: Tensor) -> Tensor:
        return (((v - u) / self.dt - slope) / self.scale).flatten()

    def _evaluate(
        self, u: Tensor
    ) -> tuple[Tensor, tuple[GradientPoints, GradientPoints, GradientPoints]]:
        q, p = u.chunk(2, -1)
        a = self._points("kinetic", p)
        drift = self._gradient(a)
        k = self._points("potential", q + (self.dt / 2) * drift)
        kick = -self._gradient(k)
        b = self._points("kinetic", p + self.dt * kick)
        return torch.cat([(drift + self._gradient(b)) / 2, kick], -1), (a, k, b)

    def _points(self, name: str, x: Tensor) -> GradientPoints:
        part = self.kinetic if name == "kinetic" else self.potential
        whitened = ((x - part.mean) @ part.whiten)[:, None]
        return GradientPoints(part, f"network.{name}.density.", whitened)

    def _gradient(self, points: GradientPoints) -> Tensor:
        return points.output[:, 0] @ points.part.whiten.mT

    def _terms(self, on_gradient: Tensor, points: GradientPoints) -> Tensor:
        """Cotangents of a gradient as those of the whitened one, of the single term of a row."""
        return (on_gradient @ points.part.whiten)[..., None, :]

    def _back(self, pull: Tensor, points: GradientPoints) -> Tensor:
        """From whitened inputs to the inputs themselves."""
        return pull[..., 0, :] @ points.part.whiten.mT
