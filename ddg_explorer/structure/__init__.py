"""Structure operators G of u̇ = G(u) δH/δu: they decide the law."""

from __future__ import annotations

from ddg_explorer.structure.base import Structure
from ddg_explorer.structure.combination import Combination
from ddg_explorer.structure.fields import CentralDerivative, Laplacian, MinusIdentity, StrainWave
from ddg_explorer.structure.report import Report
from ddg_explorer.structure.symplectic import DampedSymplectic, Friction, Symplectic

STRUCTURES = {
    "symplectic": Symplectic,
    "damped_symplectic": DampedSymplectic,
    "d_dx": CentralDerivative,
    "laplacian": Laplacian,
    "minus_identity": MinusIdentity,
    "strain_wave": StrainWave,
}
"""Name → class or constructor."""

__all__ = [
    "STRUCTURES",
    "CentralDerivative",
    "Combination",
    "DampedSymplectic",
    "Friction",
    "Laplacian",
    "MinusIdentity",
    "Report",
    "StrainWave",
    "Structure",
    "Symplectic",
]
