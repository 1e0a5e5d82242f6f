"""Batched solvers for implicit steps. They know no physics: callables and tensors only."""

from ddg_explorer.solve.anderson import anderson
from ddg_explorer.solve.newton import Chord, jacobian, newton
from ddg_explorer.solve.progress import Progress, Solution, max_norm

__all__ = ["Chord", "Progress", "Solution", "anderson", "jacobian", "max_norm", "newton"]
