"""Batched solvers for implicit steps. They know no physics: callables and tensors only."""

from ddg_explorer.solve.chord import chord_krylov
from ddg_explorer.solve.dense import Chord, jacobian, newton
from ddg_explorer.solve.implicit import NoSolutionError, attach_gradient
from ddg_explorer.solve.inexact import newton_krylov
from ddg_explorer.solve.krylov import gmres, pcg
from ddg_explorer.solve.linearize import linearize
from ddg_explorer.solve.mixing import Mixer, anderson
from ddg_explorer.solve.progress import Progress, Solution, max_norm
from ddg_explorer.solve.symbols import measured_symbol

__all__ = [
    "Chord",
    "Mixer",
    "NoSolutionError",
    "Progress",
    "Solution",
    "anderson",
    "attach_gradient",
    "chord_krylov",
    "gmres",
    "jacobian",
    "linearize",
    "max_norm",
    "measured_symbol",
    "newton",
    "newton_krylov",
    "pcg",
]
