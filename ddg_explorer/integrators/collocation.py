"""Energy-preserving collocation HBVM(k, s): the energy law at order 2s.

    u(σ) = u + Σⱼ aⱼ ∫₀^σ Pⱼ,   aⱼ = Δt G ∫₀¹ Pⱼ(σ) ∇H(u(σ)) dσ,   v = u + a₀,   0 ≤ j < s

on s orthonormal shifted Legendre modes Pⱼ, the integrals by k Gauss nodes. H(v) − H(u) is
Δxᵈ Δt Σ γⱼᵀGγⱼ with γⱼ the modes of ∇H along the step: zero for skew G, never positive for
dissipative G. This is exact where the quadrature is: k = ⌈degree·s/2⌉ for polynomial H. For any
other H, k grows until the quadrature's own change of energy agrees with H to the tolerance. Where
no k does, because ∇H jumps along the step, v is moved along ∇H by the one number that restores the
law to rounding. A state-dependent G is taken at s Gauss nodes and keeps the law too. s = 1 is the
mean-value discrete gradient. Symmetric, but for steps across such kinks.

Δt is divided into substeps chosen by the error (`collocation_control`); the law holds for every one
of them, and they land on t + Δt. States are `(*batch, d)` or `(*batch, C, *grid)`.

Source: E. Hairer, JNAIAM 5 (2010) 73; L. Brugnano, F. Iavernaro, D. Trigiante, JNAIAM 5 (2010) 17.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.base import Integrator, Stepper
from ddg_explorer.integrators.collocation_stepper import CollocationStepper

DEFAULT_RTOL = {torch.float64: 1e-7, torch.float32: 1e-5}


class Collocation(Integrator):
    """Energy-preserving collocation; `collocation2` … `collocation8` fix the order.

    Parameters
    ----------
    tol
        Bound on max|δ|/max(1, max|u|) of the last update δ of the modes; one more iteration
        follows. Default 1e-12 in float64, 1e-6 in float32. Also bounds the error of the quadrature
        where H is no polynomial, relative to |H|: the law is restored where it is larger.
    adaptive
        Divide Δt into substeps by the error (default), or take every Δt in one step.
    rtol
        Error allowed in a substep, relative to max|u|: 1e-7 in float64, 1e-5 in float32 by
        default. It affects the accuracy only; the energy law holds at any value.
    max_iterations
        Bound on the iterations of one solve. Where it is met a substep is halved.
    scalar_polish
        Move the state along the energy's gradient by the one number that restores the law to
        rounding, after every solve that is converged to 1e-7, also where the quadrature is exact.

    Raises
    ------
    ValueError
        For values out of range, and for ODEs too large for the dense solver.
    """

    implicit = True
    modes: ClassVar[int]
    preserves = (
        "the energy law (conserved for skew G, never rising for dissipative G) and mass where G "
        "conserves it, at every substep and up to the reported residual, whatever the smoothness "
        "of H: it is restored to rounding where ∇H jumps along a substep"
    )

    def __init__(
        self,
        *,
        tol: float | None = None,
        adaptive: bool = True,
        rtol: float | None = None,
        max_iterations: int = 60,
        scalar_polish: bool = False,
    ) -> None:
        super().__init__(tol=tol)
        if rtol is not None and not 1e-15 <= rtol < 1:
            raise ValueError(f"rtol={rtol}: must lie in [1e-15, 1)")
        if max_iterations < 1:
            raise ValueError(f"max_iterations={max_iterations}: must be at least 1")
        self.adaptive = adaptive
        self.rtol = rtol
        self.max_iterations = max_iterations
        self.scalar_polish = scalar_polish

    def error_tolerance(self, dtype: torch.dtype) -> float:
        """The given `rtol`, or 1e-7 in float64 and 1e-5 in float32."""
        return DEFAULT_RTOL[dtype] if self.rtol is None else self.rtol

    def stepper(self, dynamics: Dynamics) -> Stepper:
        return CollocationStepper(dynamics, self.modes, self)


class Collocation2(Collocation):
    """One mode: the mean-value discrete gradient, of order 2."""

    name, title, order, modes = "collocation2", "Energy-preserving collocation, order 2", 2, 1


class Collocation4(Collocation):
    """Two modes, order 4."""

    name, title, order, modes = "collocation4", "Energy-preserving collocation, order 4", 4, 2


class Collocation6(Collocation):
    """Three modes, order 6."""

    name, title, order, modes = "collocation6", "Energy-preserving collocation, order 6", 6, 3


class Collocation8(Collocation):
    """Four modes, order 8."""

    name, title, order, modes = "collocation8", "Energy-preserving collocation, order 8", 8, 4
