"""What a structure operator promises and what its symbol looks like, as HTML.

The symbol of a kernel is Ĝ(θ) = Σⱼ kⱼ exp(i j·θ), θ = kΔx: its real part is how fast a wave of
δH/δu gains energy, its imaginary part moves it. In two dimensions it is drawn along the edges of
the triangle (0, 0), (π, 0), (π, π), (0, 0).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ddg_explorer.app import texts
from ddg_explorer.app.entries import Form, tensor
from ddg_explorer.structure import Report
from ddg_explorer.systems.builtin import PresetSystem

WIDTH, HEIGHT, PAD = 300, 64, 6
SAMPLES = 64


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
        found += texts.paragraph(margins(report, field=system.grid is not None), small=True)
    return f'<div data-testid="badges">{found}</div>'


def margins(report: Report, *, field: bool) -> str:
    """How far the laws hold: the range of growth rates, and the sum of the weights."""
    low, high = (signed(x, report.scale) for x in (report.symmetric_min, report.symmetric_max))
    line = f"Eigenvalues of ½(G + Gᵀ) from {low} to {high}"
    return (
        f"{line}; column sums {signed(report.mass_defect, report.scale)}." if field else line + "."
    )


def signed(x: float, scale: float) -> str:
    """Three digits; what is rounding of the scale counts as 0."""
    return "0" if abs(x) <= 1e-12 * scale else f"{x:.3g}".replace("-", "−")


def symbol(entries: Sequence[float], form: Form) -> str:
    """A drawing of the kernel's symbol; nothing for a matrix, whose eigenvalues say it all."""
    if form.kind == "matrix":
        return ""
    kernel = tensor(entries, form).numpy()
    path, ticks = _path(kernel.ndim)
    reach = [np.arange(w) - w // 2 for w in kernel.shape]
    offsets = np.stack(np.meshgrid(*reach, indexing="ij"), -1).reshape(-1, kernel.ndim)
    values: np.ndarray = np.asarray(np.exp(1j * (path @ offsets.T)) @ kernel.ravel())
    real, imaginary = np.real(values), np.imag(values)
    top = max(float(np.abs(real).max()), float(np.abs(imaginary).max()), 1e-300)
    x = np.linspace(PAD, WIDTH - PAD, len(values))
    middle = HEIGHT / 2

    def curve(part: np.ndarray) -> str:
        y = middle - part / top * (middle - PAD)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))

    marks = "".join(
        f'<text x="{PAD + share * (WIDTH - 2 * PAD):.0f}" y="{HEIGHT + 11}" text-anchor="{anchor}">'
        f"{html.escape(label)}</text>"
        for share, label, anchor in ticks
    )
    growing = " ".join(("growth", "on" if float(real.max()) > 1e-12 * top else "off"))
    return _SVG.format(
        width=WIDTH,
        height=HEIGHT + 14,
        left=PAD,
        right=WIDTH - PAD,
        middle=middle,
        real=curve(real),
        imaginary=curve(imaginary),
        marks=marks,
        growing=growing,
    )


def _path(ndim: int) -> tuple[np.ndarray, list[tuple[float, str, str]]]:
    """Angles (points, ndim), and (share of the width, label, anchor) of the ticks."""
    if ndim == 1:
        ticks = [(0.0, "k = 0", "start"), (1.0, "π/Δx", "end")]
        return np.linspace(0, np.pi, SAMPLES)[:, None], ticks
    corners = np.array([[0, 0], [np.pi, 0], [np.pi, np.pi], [0, 0]])
    sides = [np.linspace(a, b, SAMPLES) for a, b in pairwise(corners)]
    labels = ("k = 0", "(π, 0)", "(π, π)", "0")
    anchors = ("start", "middle", "middle", "end")
    ticks = [(i / 3, label, anchors[i]) for i, label in enumerate(labels)]
    return np.concatenate(sides), ticks


_SVG = """<style>
svg.symbol {{ width: 100%; max-width: 340px; height: auto; display: block; }}
svg.symbol text {{ font-size: 10px; fill: var(--ddg-muted, gray); }}
svg.symbol polyline {{ fill: none; stroke-width: 1.75; stroke-linejoin: round; }}
svg.symbol .growth {{ fill: var(--ddg-bad, #b3261e); opacity: 0; }}
svg.symbol .growth.on {{ opacity: 0.09; }}
p.legend {{ margin: 2px 0 0; font-size: 11.5px; color: var(--ddg-muted, gray); }}
p.legend i {{ display: inline-block; width: 16px; border-top: 2px solid var(--ddg-accent, #0b6aa8);
  vertical-align: middle; margin: 0 3px 0 8px; }}
p.legend i.im {{ border-top: 2px dashed var(--ddg-muted, gray); }}
</style><svg class="symbol" viewBox="0 0 {width} {height}" role="img"
 aria-label="Fourier symbol of G">
<rect class="{growing}" x="{left}" y="0" width="288" height="{middle}" rx="3"/>
<line x1="{left}" x2="{right}" y1="{middle}" y2="{middle}" stroke="var(--ddg-border, gray)"/>
<polyline points="{imaginary}" stroke="var(--ddg-muted, gray)" stroke-dasharray="4 3"/>
<polyline points="{real}" stroke="var(--ddg-accent, #0b6aa8)"/>{marks}</svg>
<p class="legend">Symbol Ĝ(k)<i></i>real: energy<i class="im"></i>imaginary: waves</p>"""
