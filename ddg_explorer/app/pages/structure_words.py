"""Verdicts on an operator with their margins, as a table with a gauge."""

from __future__ import annotations

import math

from ddg_explorer.app.pages import markup
from ddg_explorer.app.pages.markup import number
from ddg_explorer.app.pages.specimens import Specimen

GAUGE = (-17.0, 0.5)
"""Decades that the gauge spans."""


def verdict_table(specimen: Specimen, tolerance: float) -> str:
    """One row a law: verdict, measured defect relative to the largest weight, gauge."""
    report, field = specimen.judged(tolerance), specimen.grid is not None
    unit = report.scale or 1.0
    growth = report.symmetric_max / unit
    if report.is_skew:
        energy = ("good", "conserved", report.skew_defect / unit, "‖½(G + Gᵀ)‖")
    elif report.is_dissipative:
        energy = ("good", "dissipated", growth, "largest eigenvalue of ½(G + Gᵀ)")
    else:
        energy = ("bad", "can rise", growth, "largest eigenvalue of ½(G + Gᵀ)")
    found = [("Energy", *energy)]
    if field:
        kept = report.conserves_mass
        words = ("good", "conserved") if kept else ("warn", "not conserved")
        found.append(("Mass", *words, report.mass_defect / unit, "largest column sum"))
    if field and report.anisotropy is not None:
        same = report.is_isotropic
        words = ("good", "isotropic") if same else ("warn", "not isotropic")
        what = "difference under rotations and reflections"
        found.append(("Directions", *words, report.anisotropy / unit, what))
    rows = [
        [
            f"<b>{law}</b>",
            markup.badge(kind, words),
            f"{number(defect, 2)}<small>{what}</small>",
            gauge(defect, tolerance, kind),
        ]
        for law, kind, words, defect, what in found
    ]
    head = ["Law", "Verdict", "Measured, relative to the largest weight", "Margin"]
    drawn = markup.table(head, rows, label="Verdicts")
    if specimen.gap is None:
        return drawn
    other = specimen.beside_title[:1].lower() + specimen.beside_title[1:]
    line = f"Differs from the {other} by {number(specimen.gap, 2)}: "
    what = "largest difference of weights, over the largest weight beside the centre."
    return drawn + markup.caption(line + what)


def gauge(defect: float, tolerance: float, kind: str) -> str:
    """A log scale from rounding to 1: the defect as a dot, the tolerance as a line.

    `kind` is that of the verdict's badge.

    A defect below zero or below the scale sits at the left end.
    """
    low, high = GAUGE

    def place(value: float) -> float:
        decades = math.log10(value) if value > 0 else low
        return 6 + 168 * (min(max(decades, low), high) - low) / (high - low)

    line, dot = place(tolerance), place(defect)
    words = f"{number(defect, 2)}, allowed {number(tolerance, 2)}"
    return (
        f'<svg width="180" height="26" viewBox="0 0 180 26" role="img" aria-label="{words}">'
        f"<title>{words}</title>"
        '<path d="M6 13H174" stroke="var(--ddg-border, #bbb)" stroke-width="3" '
        'stroke-linecap="round"/>'
        f'<path d="M{line:.1f} 3v20" stroke="var(--ddg-ink, #333)" stroke-width="1.5"/>'
        f'<circle cx="{dot:.1f}" cy="13" r="5.5" fill="currentColor" class="{kind}"/></svg>'
    )
