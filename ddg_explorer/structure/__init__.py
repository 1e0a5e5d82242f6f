"""Structure operators G of u̇ = G(u) δH/δu: they decide the law."""

from __future__ import annotations

from ddg_explorer.structure.base import Structure
from ddg_explorer.structure.combination import Combination
from ddg_explorer.structure.constrained import DissipativeKernel, FreeKernel, SkewKernel
from ddg_explorer.structure.dense import DissipativeMatrix, MatrixStructure, SkewMatrix
from ddg_explorer.structure.fields import CentralDerivative, Laplacian, MinusIdentity, StrainWave
from ddg_explorer.structure.kernel import KernelStructure
from ddg_explorer.structure.report import Report
from ddg_explorer.structure.state_dependent import MobilityStructure, StateDependent, StateMatrix
from ddg_explorer.structure.symplectic import DampedSymplectic, Friction, Symplectic

STRUCTURES = {
    "symplectic": Symplectic,
    "damped_symplectic": DampedSymplectic,
    "d_dx": CentralDerivative,
    "laplacian": Laplacian,
    "minus_identity": MinusIdentity,
    "strain_wave": StrainWave,
    "matrix": MatrixStructure,
    "learned_skew_matrix": MatrixStructure.skew,
    "learned_dissipative_matrix": MatrixStructure.dissipative,
    "kernel": KernelStructure,
    "learned_skew_kernel": KernelStructure.skew,
    "learned_dissipative_kernel": KernelStructure.dissipative,
    "mobility": MobilityStructure,
    "state_matrix": StateMatrix,
    "state_dependent": StateDependent,
    "combination": Combination,
}
"""Name → class or constructor; what models take by name has that name here."""

__all__ = [
    "STRUCTURES",
    "CentralDerivative",
    "Combination",
    "DampedSymplectic",
    "DissipativeKernel",
    "DissipativeMatrix",
    "FreeKernel",
    "Friction",
    "KernelStructure",
    "Laplacian",
    "MatrixStructure",
    "MinusIdentity",
    "MobilityStructure",
    "Report",
    "SkewKernel",
    "SkewMatrix",
    "StateDependent",
    "StateMatrix",
    "StrainWave",
    "Structure",
    "Symplectic",
]
