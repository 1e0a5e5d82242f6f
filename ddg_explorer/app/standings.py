"""The table that sums up the lanes of a race: energies, distance, residual, cost, as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

from ddg_explorer.app.numerals import number
from ddg_explorer.app.turns import Outcome


def table(rows: list[str], *, conserves: bool) -> str:
    """The whole table; a G that conserves H lets it drift at most, another one has it change."""
    return _TABLE.format(rows="".join(rows), what="Drift of" if conserves else "Change of")


class Name(NamedTuple):
    """What a lane is called, `whole` where lanes are told of together, and in its own `heading`."""

    whole: str
    heading: str


def names(titles: Sequence[str], schemes: Sequence[str]) -> list[Name]:
    """What tells lanes apart: of lanes with one title their scheme too, and a count if need be.

    The heading has no scheme, which is chosen beside it.
    """
    found: list[Name] = []
    for title, scheme in zip(titles, schemes, strict=True):
        whole = f"{title} · {scheme}" if scheme and titles.count(title) > 1 else title
        name, count = Name(whole, title), 1
        while name.whole in [other.whole for other in found]:
            count += 1
            name = Name(f"{whole} ({count})", f"{title} ({count})")
        found.append(name)
    return found


def row(title: str, swatch: str, outcome: Outcome | None) -> str:
    """A lane's row; of a lane where nobody runs, that it does not, or what has stopped it.

    `swatch` is the CSS background of its mark.
    """
    name = f'<td><i style="background:{swatch}"></i>{html.escape(title)}</td>'
    if outcome is None or outcome.header is None or outcome.sample is None:
        reason = (outcome and outcome.stopped) or "does not run in this scene"
        return f'<tr>{name}<td colspan="5" class="note">{html.escape(reason)}</td></tr>'
    header, sample = outcome.header, outcome.sample
    state = (
        "diverged"
        if outcome.stopped.startswith("diverged")
        else f"{header.ms:.{1 if header.ms >= 10 else 2}f}"
    )
    cells = (
        _figure(sample.drift),
        "no H" if math.isnan(sample.own_drift) else _figure(sample.own_drift),
        _figure(sample.error),
        _figure(sample.residual),
        state,
    )
    return f"<tr>{name}{''.join(f'<td>{c}</td>' for c in cells)}</tr>"


def _figure(value: float) -> str:
    """As the lanes' read-outs have it (`formatFigure` of js/draw.js)."""
    return number(value, 2, keep=True) if math.isfinite(value) else "–"


_TABLE = """<style>
table.lanes {{ width: 100%; border-collapse: collapse; font-size: 11.5px;
  font-variant-numeric: tabular-nums; }}
table.lanes th {{ font-size: 11px; font-weight: 400; color: var(--ddg-muted, inherit);
  text-align: right; vertical-align: bottom; padding: 0 0 4px 6px; white-space: nowrap; }}
table.lanes thead tr + tr th, table.lanes th.number {{ min-width: 44px; }}
table.lanes th[colspan] {{ text-align: center; padding-bottom: 0; }}
table.lanes td {{ text-align: right; padding: 4px 0 4px 6px; white-space: nowrap;
  border-top: 1px solid var(--ddg-grid, rgba(128,128,128,.2)); }}
table.lanes th[rowspan]:first-child, table.lanes td:first-child {{ text-align: left;
  padding-left: 0; width: 100%; }}
table.lanes td:first-child {{ padding-left: 27px; text-indent: -27px; white-space: normal;
  overflow-wrap: anywhere; }}
table.lanes td.note {{ text-align: left; color: var(--ddg-muted, inherit); white-space: normal; }}
table.lanes i {{ display: inline-block; width: 22px; height: 3px; margin-right: 5px;
  vertical-align: middle; }}
</style><table class="lanes"><thead><tr><th rowspan="2">Lane</th><th colspan="2">{what}</th>
<th rowspan="2" class="number">distance</th><th rowspan="2" class="number">residual</th>
<th rowspan="2">ms</th></tr>
<tr><th>true H</th><th>own H</th></tr></thead><tbody>{rows}</tbody></table>"""
