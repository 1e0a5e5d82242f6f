"""An edited G beside the menu's: the entries of that one, the differences, and how large they are.

    gap = max|G − τ| / max_{j≠0}|τⱼ|,   τ the menu's entries, as both stand

For a learned G that was opened at the scale of the true one this is the distance that `inspect`
tells (`learned_structure.distance`).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ddg_explorer.app import entries, operator_marks, texts
from ddg_explorer.app.numerals import number
from ddg_explorer.app.state import Scene
from ddg_explorer.app.turns import build
from ddg_explorer.structure.comparison import gap
from ddg_explorer.systems.builtin import PresetSystem

SMALLEST = 1e-12
"""Differences below this fraction of the largest entry are rounding."""


@dataclass(frozen=True)
class Menu:
    """The operator of the menu in an edited scene.

    Attributes
    ----------
    name
        Of people's menu.
    values
        Its entries; of an operator without any, those of its finite differences.
    symbol
        Along the path of `operator_marks`; None for a matrix.
    exact
        Whether `values` are the operator itself.
    """

    name: str
    values: tuple[float, ...]
    symbol: operator_marks.Symbol | None
    exact: bool

    @classmethod
    def of(cls, scene: Scene, system: PresetSystem, key: str, form: entries.Form) -> Menu:
        """That of the scene, whose system is given, without its edit."""
        if scene.entries is not None:
            system = build(replace(scene, structure=key, entries=None))
        values = entries.started(system, key, form)
        exact = system.operator != "spectral" and key not in entries.TWINS
        symbol = None
        if form.kind == "kernel":
            whole = None if exact else operator_marks.grid_symbol(system.structure, form)
            symbol = operator_marks.kernel_symbol(values, form) if whole is None else whole
        return cls(system.structures[key].partition(":")[0], values, symbol, exact)


def comparison(
    values: Sequence[float], menu: Menu, form: entries.Form, *, learned: bool = False
) -> str:
    """Both tables and a line, as HTML; beside a learned G the menu's is the true one."""
    apart = [a - b for a, b in zip(values, menu.values, strict=True)]
    rounding = SMALLEST * max(map(abs, menu.values))
    apart = [x if abs(x) > rounding else 0.0 for x in apart]
    size = gap(entries.tensor(values, form), entries.tensor(menu.values, form))
    line = "No difference."
    if any(apart):
        line = (
            f"Largest difference {number(max(map(abs, apart)))}: distance {number(size)}, relative "
            f"to the largest entry{' beside the centre' if form.kind == 'kernel' else ''}."
        )
    if not menu.exact:
        line += " These are its finite differences."
    name = f"({menu.name})" if " " in menu.name else menu.name
    tables = _table(f"{'True' if learned else 'Menu'}: {menu.name}", menu.values, form)
    tables += _table(f"G − {name}", apart, form)
    note = texts.paragraph(line, small=True)
    return f'{_CSS}<div data-testid="comparison"><div class="pair">{tables}</div>{note}</div>'


def _table(title: str, values: Sequence[float], form: entries.Form) -> str:
    top = max(*map(abs, values), 1e-300)
    rows = ""
    for row in range(form.rows):
        cells = ""
        for x in values[row * form.columns : (row + 1) * form.columns]:
            share = round(34 * (abs(x) / top) ** 0.5)
            cells += f'<td class="{"minus" if x < 0 else ""}" style="--s:{share}%">{number(x)}</td>'
        rows += f"<tr>{cells}</tr>"
    return f"<figure><figcaption>{html.escape(title)}</figcaption><table>{rows}</table></figure>"


_CSS = """<style>
.pair { display: flex; flex-wrap: wrap; gap: 6px 8px; }
.pair figure { flex: 1 1 120px; min-width: 0; margin: 0; }
.pair figcaption { font-size: 11.5px; color: var(--ddg-muted, gray); padding: 2px 0 1px; }
.pair table { width: 100%; table-layout: fixed; border-collapse: separate; border-spacing: 1px;
  font-size: 11px; font-variant-numeric: tabular-nums; }
.pair td { text-align: center; padding: 3px 0; border-radius: 4px; white-space: nowrap;
  background: color-mix(in srgb, var(--ddg-positive, #e65036) var(--s), transparent); }
.pair td.minus { background: color-mix(in srgb, var(--ddg-negative, #247ffe) var(--s),
  transparent); }
</style>"""
