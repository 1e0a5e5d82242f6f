"""Verdicts on an operator with their margins, as a table with a gauge."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ddg_explorer.app.numerals import number
from ddg_explorer.app.pages import markup
from ddg_explorer.app.pages.specimens import PUBLISHED_TOLERANCE, Specimen
from ddg_explorer.learned_structure import TOLERANCE as LEARNED_TOLERANCE
from ddg_explorer.models.margins import energy_law
from ddg_explorer.structure.base import TOLERANCE as ROUNDING

GAUGE = (-17.0, 0.5)
"""Decades that the gauge spans."""
REASONS = {
    ROUNDING: "a computed operator obeys a law to rounding",
    LEARNED_TOLERANCE: "a learned operator obeys a law to what training leaves over",
    PUBLISHED_TOLERANCE: "twice that of the other learned operators, since three decimals in print "
    "leave its sum of weights open by 3e−4",
}
"""Why verdicts allow at first what they do."""


@dataclass(frozen=True)
class Verdict:
    """One law: what the verdict is, and the measured defect it rests on.

    `kind` is "good", "warn" or "bad"; `defect` is relative to the largest weight, and negative
    where the law holds strictly.
    """

    law: str
    kind: str
    words: str
    defect: float
    what: str


def verdicts(specimen: Specimen, tolerance: float) -> list[Verdict]:
    """Energy, and for a field mass and isotropy, with this tolerance."""
    report, unit = specimen.judged(tolerance), specimen.report.scale or 1.0
    growth = ("largest eigenvalue of ½(G + Gᵀ)", report.symmetric_max / unit)
    law = energy_law(report, specimen.structure)
    if law == "conserved":
        skew = report.skew_defect / unit
        found = [Verdict("Energy", "good", "conserved", skew, "‖½(G + Gᵀ)‖")]
    elif law == "dissipated":
        found = [Verdict("Energy", "good", "dissipated", growth[1], growth[0])]
    else:
        found = [Verdict("Energy", "bad", "can rise", growth[1], growth[0])]
    if specimen.grid is None:
        return found
    kept = ("good", "conserved") if report.conserves_mass else ("warn", "not conserved")
    found.append(Verdict("Mass", *kept, report.mass_defect / unit, "largest column sum"))
    if report.anisotropy is not None:
        same = ("good", "isotropic") if report.is_isotropic else ("warn", "not isotropic")
        what = "difference under rotations and reflections"
        found.append(Verdict("Directions", *same, report.anisotropy / unit, what))
    return found


def verdict_table(specimen: Specimen, tolerance: float) -> str:
    """One row a law: verdict, measured defect, gauge."""
    rows = [
        [
            f"<b>{one.law}</b>",
            markup.badge(one.kind, one.words),
            f"{number(one.defect, 2)}<br>{gauge(one.defect, tolerance, one.kind)}"
            f"<small>{one.what}</small>",
        ]
        for one in verdicts(specimen, tolerance)
    ]
    unit = "weight" if specimen.kind == "kernel" else "entry"
    head = ["Law", "Verdict", f"Measured defect, relative to the largest {unit}"]
    drawn = markup.table(head, rows, label="Verdicts")
    if specimen.gap is None:
        return drawn
    other = specimen.beside_title[:1].lower() + specimen.beside_title[1:]
    several, beside = "entries", ""
    if specimen.kind == "kernel":
        several, beside = "weights", " beside the centre"
    return drawn + markup.caption(
        f"Differs from the {other} by {number(specimen.gap, 2)}: largest difference of {several}, "
        f"with the scale fitted, relative to the largest {unit}{beside}."
    )


def tolerance_note(specimen: Specimen) -> str:
    """What the verdicts of an operator allow before the slider is moved, and why."""
    allowed = number(specimen.tolerance, 1)
    return f"The bar in every gauge. {allowed} at first: {REASONS[specimen.tolerance]}."


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
        f'<svg class="gauge" viewBox="0 0 180 26" role="img" aria-label="{words}">'
        f"<title>{words}</title>"
        '<path d="M6 13H174" stroke="var(--ddg-border, #bbb)" stroke-width="3" '
        'stroke-linecap="round"/>'
        f'<path d="M{line:.1f} 3v20" stroke="var(--ddg-ink, #333)" stroke-width="1.5"/>'
        f'<circle cx="{dot:.1f}" cy="13" r="5.5" fill="currentColor" class="{kind}"/></svg>'
    )
