"""The running equation with today's G and H in it, as lines of LaTeX.

dynamics,   energy,   what the letters in G stand for
"""

from __future__ import annotations

from ddg_explorer.app import entries
from ddg_explorer.app.state import Scene
from ddg_explorer.systems.builtin import PresetSystem
from ddg_explorer.systems.latex import number

_S = r"S = \begin{pmatrix} 0 & 1 \\ -1 & 0 \end{pmatrix}"
_R = r"R = \begin{pmatrix} 0 & 0 \\ 0 & r \end{pmatrix}"


def lines(scene: Scene, system: PresetSystem) -> list[str]:
    """The running equation."""
    found = system.equation.split(r",\quad ")
    letters = _edited(scene, system) if scene.entries is not None else _letters(system)
    return [*found, *([letters] if letters else [])]


def _letters(system: PresetSystem) -> str:
    """S, R and the strengths that act through G, where they stand in the equation."""
    symbol = system.structure_symbol
    parts = [table for letter, table in (("S", _S), ("R", _R)) if letter in symbol]
    strengths = (p for p in system.active_parameters.items() if p[1].structures)
    parts += [f"{p.symbol} = {number(system.values[name])}" for name, p in strengths]
    return r",\;\; ".join(parts)


def _edited(scene: Scene, system: PresetSystem) -> str:
    """G = factor · entries."""
    form = entries.form_of(system, entries.base_key(scene.structure, system))
    assert form is not None
    assert scene.entries is not None
    rows = [scene.entries[i : i + form.columns] for i in range(0, form.count, form.columns)]
    factor = ""
    if form.factor_text:
        power = "^2" if form.factor_text.endswith("²") else ""
        factor = rf"\frac{{1}}{{\Delta x{power}}}\;"
    if len(rows) == 1:
        weights = r",\; ".join(number(x) for x in rows[0])
        return rf"G = {factor}[{weights}]"
    table = r" \\ ".join(" & ".join(number(x) for x in row) for row in rows)
    return rf"G = {factor}\begin{{pmatrix}} {table} \end{{pmatrix}}"
