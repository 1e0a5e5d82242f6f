"""DGNet: (v − u)/Δt = Ḡ ∇̄H_θ(v, u), the discrete gradient of a network by automatic discrete
differentiation.

Trained on the residual of that equation, without any time integration; predicted with it, the law
of G holds at every Δt whose equation is solved.

Source: T. Matsubara, A. Ishikawa and T. Yaguchi, NeurIPS 2020, arXiv:1905.08604.
"""

from __future__ import annotations

from ddg_explorer.models.base import EnergyModel


class DGNet(EnergyModel):
    """(v − u)/Δt = G((u + v)/2) ∇̄H_θ(v, u)/Δxᵈ."""

    key = "dgnet"
    title = "DGNet"
    schemes = ("dg",)
