"""What a structure operator promises and what its symbol looks like, as HTML.

The symbol of a kernel is Ĝ(θ) = Σⱼ kⱼ exp(i j·θ), θ = kΔx: its real part is how fast a wave of
δH/δu gains energy, its imaginary part moves it. In two dimensions it is drawn along the edges of
the triangle (0, 0), (π, 0), (π, π), (0, 0).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ddg_explorer.app import texts
from ddg_explorer.app.entries import Form, tensor
from ddg_explorer.app.numerals import number
from ddg_explorer.learned_structure import TOLERANCE
from ddg_explorer.structure import Report, Structure
from ddg_explorer.systems.builtin import PresetSystem

WIDTH, HEIGHT, PAD = 300, 64, 6
ONE_SIDED = 1e-3
"""Part of the largest value below which a symbol counts as having no other side of zero."""
SAMPLES = 64
"""Points of a drawn symbol along every edge."""

Symbol = np.ndarray
"""Complex, along the path."""


def badges(system: PresetSystem, report: Report | None) -> str:
    """The flags of the operator that runs; with a report, its margins below them."""
    structure = system.structure
    field = system.grid is not None and system.channels == 1
    found = texts.badges(structure, has_mass=system.grid is not None)
    if field:
        same = structure.is_isotropic
        kind, mark, text = ("good", "✓", "isotropic") if same else ("plain", "–", "has a direction")
        found += texts.badge(kind, mark, text)
    if report is not None:
        on_grid = system.grid is not None
        lines = margins(report, field=on_grid), nearly(report, field=on_grid)
        found += texts.paragraph(" ".join(filter(None, lines)), small=True)
    return f'<div data-testid="badges">{found}</div>'


def margins(report: Report, *, field: bool) -> str:
    """How far the laws hold: the range of growth rates, and the sum of the weights."""
    low, high = (signed(x, report.scale) for x in (report.symmetric_min, report.symmetric_max))
    line = f"Eigenvalues of ½(G + Gᵀ) from {low} to {high}"
    if low == high:
        line = f"Every eigenvalue of ½(G + Gᵀ) is {low}"
    return (
        f"{line}; column sums {signed(report.mass_defect, report.scale)}." if field else line + "."
    )


def nearly(report: Report, *, field: bool) -> str:
    """The laws that hold to the tolerance of a learned G only, "" for none."""
    loose = replace(report, tolerance=TOLERANCE)
    laws = list(zip(report.sentences(), loose.sentences(), strict=True))
    found = [b for a, b in laws[: None if field else 1] if a != b]
    return f"To within {TOLERANCE:g} of the largest entry: {'; '.join(found)}." if found else ""


def signed(x: float, scale: float) -> str:
    """Three digits; what is rounding of the scale counts as 0."""
    return "0" if abs(x) <= 1e-12 * scale else number(x)


def symbol(
    values: Sequence[float], form: Form, true: Symbol | None = None, true_name: str = "truth"
) -> str:
    """A drawing of the kernel's symbol; nothing for a matrix, whose eigenvalues say it all.

    `true` is drawn below it, as a broad line, and called `true_name`.
    """
    if form.kind == "matrix":
        return ""
    own = kernel_symbol(values, form)
    drawn = [own] if true is None else [own, true]
    parts = np.concatenate([part(s) for s in drawn for part in (np.real, np.imag)])
    low, high, top = float(parts.min()), float(parts.max()), max(1e-300, float(np.abs(parts).max()))
    low, high = (x if abs(x) > ONE_SIDED * top else 0.0 for x in (min(low, 0.0), max(high, 0.0)))
    height = HEIGHT if low < 0 < high else HEIGHT // 2 + PAD
    unit = (height - 2 * PAD) / max(high - low, 1e-300)
    middle = PAD + high * unit
    marks = "".join(
        f'<text x="{PAD + share * (WIDTH - 2 * PAD):.0f}" y="{height + 11}" text-anchor="{anchor}">'
        f"{html.escape(label)}</text>"
        for share, label, anchor in _ticks(2 if form.rows > 1 else 1)
    )
    lines = "" if true is None else _lines(true, middle, unit, "true")
    return _SVG.format(
        width=WIDTH,
        height=height + 14,
        left=PAD,
        right=WIDTH - PAD,
        middle=f"{middle:.1f}",
        lines=lines + _lines(own, middle, unit, "own"),
        marks=marks,
        growing="growth on" if float(np.real(own).max()) > 1e-12 * top else "growth off",
        key="" if true is None else f'<span><i class="true"></i>{html.escape(true_name)}</span>',
    )


def kernel_symbol(values: Sequence[float], form: Form) -> Symbol:
    """Ĝ along the path, in units of the form's factor."""
    kernel = tensor(values, form).numpy()
    path = _path(kernel.ndim, SAMPLES - 1)
    reach = [np.arange(w) - w // 2 for w in kernel.shape]
    offsets = np.stack(np.meshgrid(*reach, indexing="ij"), -1).reshape(-1, kernel.ndim)
    return np.exp(1j * (path @ offsets.T)) @ kernel.ravel()


def grid_symbol(structure: Structure, form: Form) -> Symbol | None:
    """Ĝ of an operator without a kernel at the wavenumbers of its grid along the path, in units of
    the form's factor; None where it has no symbol."""
    found, grid = structure.symbol(), structure.grid
    if found is None or grid is None or found.ndim != grid.ndim:
        return None
    shape = np.array(grid.shape)
    path = _path(grid.ndim, int(shape.min()) // 2)
    places = np.rint(path / (2 * np.pi) * shape).astype(int)
    return found.detach().cpu().numpy()[tuple(places.T)] / form.factor


def _lines(values: Symbol, middle: float, unit: float, kind: str) -> str:
    """Imaginary and real part about the zero line at `middle`, `unit` pixels for 1."""
    x = np.linspace(PAD, WIDTH - PAD, len(values))
    lines = ""
    for name, part in (("im", np.imag(values)), ("re", np.real(values))):
        y = middle - part * unit
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        lines += f'<polyline class="{kind} {name}" points="{points}"/>'
    return lines


def _path(ndim: int, steps: int) -> np.ndarray:
    """Angles (points, ndim), `steps` along every edge."""
    if ndim == 1:
        return np.linspace(0, np.pi, steps + 1)[:, None]
    corners = np.array([[0, 0], [np.pi, 0], [np.pi, np.pi], [0, 0]])
    return np.concatenate([np.linspace(a, b, steps + 1) for a, b in pairwise(corners)])


def _ticks(ndim: int) -> list[tuple[float, str, str]]:
    """(share of the width, label, anchor)."""
    if ndim == 1:
        return [(0.0, "k = 0", "start"), (1.0, "π/Δx", "end")]
    labels = ("k = 0", "(π, 0)", "(π, π)", "0")
    anchors = ("start", "middle", "middle", "end")
    return [(i / 3, label, anchors[i]) for i, label in enumerate(labels)]


_SVG = """<style>
svg.symbol {{ width: 100%; max-width: 340px; height: auto; display: block; }}
svg.symbol text {{ font-size: 10px; fill: var(--ddg-muted, gray); }}
svg.symbol polyline {{ fill: none; stroke-width: 1.75; stroke-linejoin: round; }}
svg.symbol .re {{ stroke: var(--ddg-accent, #0b6aa8); }}
svg.symbol .im {{ stroke: var(--ddg-muted, gray); stroke-dasharray: 4 3; }}
svg.symbol .true {{ stroke: var(--ddg-ink, gray); stroke-width: 5; stroke-dasharray: none;
  opacity: 0.2; }}
svg.symbol .growth {{ fill: var(--ddg-bad, #b3261e); opacity: 0; }}
svg.symbol .growth.on {{ opacity: 0.09; }}
p.legend {{ margin: 2px 0 0; font-size: 11.5px; line-height: 1.5; color: var(--ddg-muted, gray); }}
p.legend span {{ white-space: nowrap; margin-right: 6px; }}
p.legend i {{ display: inline-block; width: 16px; border-top: 2px solid var(--ddg-accent, #0b6aa8);
  vertical-align: middle; margin-right: 4px; }}
p.legend i.im {{ border-top: 2px dashed var(--ddg-muted, gray); }}
p.legend i.true {{ border-top: 5px solid var(--ddg-ink, gray); opacity: 0.2; }}
</style><svg class="symbol" viewBox="0 0 {width} {height}" role="img"
 aria-label="Fourier symbol of G">
<rect class="{growing}" x="{left}" y="0" width="288" height="{middle}" rx="3"/>
<line x1="{left}" x2="{right}" y1="{middle}" y2="{middle}" stroke="var(--ddg-border, gray)"/>
{lines}{marks}</svg>
<p class="legend"><span>Symbol Ĝ(k)</span> <span><i></i>real: energy</span>
<span><i class="im"></i>imaginary: waves</span> {key}</p>"""
