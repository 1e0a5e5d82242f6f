"""HTML of the pages: headings, captions, keys, tables, verdict badges, and numbers as text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import panel as pn

STYLE = """
:host { color: var(--ddg-ink, inherit); font-size: 14px; line-height: 1.55; }
h2 { font-size: 20px; font-weight: 600; letter-spacing: -.005em; margin: 0 0 4px; }
h3 { font-size: 15px; font-weight: 600; margin: 0 0 4px; }
p { margin: 0 0 10px; max-width: 46em; text-wrap: pretty; }
p.lead { max-width: 64em; }
p:last-child { margin-bottom: 0; }
.muted, .caption { color: var(--ddg-muted, inherit); }
.caption { font-size: 12.5px; line-height: 1.5; max-width: 80em; text-wrap: pretty; }
a { color: var(--ddg-accent, inherit); }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 12.5px; align-items: center;
  color: var(--ddg-muted, inherit); }
.key span { display: inline-flex; gap: 6px; align-items: center; }
.key svg { flex: none; }
.scroll { overflow-x: auto; --surface: var(--ddg-surface, Canvas);
  background:
    linear-gradient(to left, var(--surface) 60%, transparent) right / 36px 100% local,
    linear-gradient(to left, rgba(128,128,128,.35), transparent) right / 18px 100% scroll;
  background-repeat: no-repeat; }
.scroll th:first-child, .scroll td:first-child { position: sticky; left: 0;
  background: var(--surface); }
table { border-collapse: collapse; font-size: 13px; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
table.wide { width: 100%; }
th { font-weight: 600; text-align: left; color: var(--ddg-muted, inherit); font-size: 12px;
  vertical-align: bottom; }
th, td { padding: 7px 14px 7px 0;
  border-bottom: 1px solid var(--ddg-border, rgba(128,128,128,.3)); }
tr:last-child td { border-bottom: none; }
td { vertical-align: top; white-space: nowrap; }
td.text { white-space: normal; min-width: 6.5em; }
td.number, th.number { text-align: right; white-space: nowrap; }
td .gauge { display: block; width: 100%; max-width: 180px; }
td small { display: block; color: var(--ddg-muted, inherit); font-size: 11.5px; }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 8px; }
.badge { display: inline-flex; gap: 6px; align-items: center; padding: 2px 10px;
  border-radius: 999px; font-size: 12.5px; line-height: 20px; border: 1px solid currentColor;
  white-space: nowrap; }
.good { color: var(--ddg-good, green); } .warn { color: var(--ddg-warn, #9a5b00); }
.bad { color: var(--ddg-bad, #b3261e); }
.down, .across { color: var(--ddg-muted, inherit); font-size: 12px; line-height: 1.5;
  white-space: nowrap; }
.down { writing-mode: vertical-rl; transform: rotate(180deg); }
.across { text-align: center; padding-left: 52px; }
.tiles { display: flex; flex-wrap: wrap; gap: 14px 40px; }
.tile b { display: block; font-size: 24px; font-weight: 600; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; font-size: 12.5px; color: var(--ddg-muted, inherit); }
"""


def text(content: str = "") -> pn.pane.HTML:
    """A pane for the markup of this module."""
    return pn.pane.HTML(content, margin=0, sizing_mode="stretch_width", stylesheets=[STYLE])


def heading(title: str, lead: str = "") -> str:
    """A page's or a card's title with one line below."""
    below = f'<p class="muted lead">{html.escape(lead)}</p>' if lead else ""
    return f"<h2>{html.escape(title)}</h2>{below}"


def caption(*lines: str) -> str:
    """Small quiet lines, one paragraph each; empty ones drop out."""
    return "".join(f'<p class="caption">{html.escape(line)}</p>' for line in lines if line)


def badge(kind: str, words: str) -> str:
    """A rounded label: kind "good", "warn" or "bad"; the mark says it beside the colour."""
    mark = {"good": "✓", "warn": "–", "bad": "!"}[kind]
    return f'<span class="badge {kind}"><b aria-hidden="true">{mark}</b>{html.escape(words)}</span>'


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[int] = (), label: str
) -> str:
    """A table of cells that are HTML already; columns `numbers` are right-aligned."""
    right = set(numbers)

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = ["number" if i in right else "text" for i in range(len(cells))]
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(
            f'<{tag} class="{kind}"{scope}>{cell}</{tag}>'
            for kind, cell in zip(kinds, cells, strict=True)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(label)}">'
        f'<table class="wide"><thead><tr>{line(head, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def mark(shape: str, colour: str, *, filled: bool = True) -> str:
    """A marker as it is drawn in the charts, for keys."""
    paths = {
        "circle": '<circle cx="7" cy="7" r="4.5"/>',
        "square": '<rect x="3" y="3" width="8" height="8"/>',
        "triangle": '<path d="M7 2.5 11.5 11h-9z"/>',
        "inverted_triangle": '<path d="M7 11.5 2.5 3h9z"/>',
        "hex": '<path d="M7 2 11.3 4.5v5L7 12 2.7 9.5v-5z"/>',
        "star": '<path d="m7 1.5 1.6 3.6 3.9.4-2.9 2.6.8 3.9L7 10l-3.4 2 .8-3.9L1.5 5.5l3.9-.4z"/>',
        "diamond": '<path d="M7 1.5 11 7l-4 5.5L3 7z"/>',
        "tick": '<path d="M7 1.5v11" stroke-width="3"/>',
        "line": '<path d="M0 7h14" stroke-width="2.5"/>',
        "dashed": '<path d="M0 7h14" stroke-width="2.5" stroke-dasharray="4 2.5"/>',
    }
    fill = colour if filled else "none"
    return (
        f'<svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true" fill="{fill}" '
        f'stroke="{colour}" stroke-width="1.4">{paths[shape]}</svg>'
    )


def key(*entries: tuple[str, str]) -> str:
    """What the marks of a chart mean: (mark, words) pairs."""
    items = "".join(f"<span>{drawn}{html.escape(words)}</span>" for drawn, words in entries)
    return f'<div class="key">{items}</div>'
