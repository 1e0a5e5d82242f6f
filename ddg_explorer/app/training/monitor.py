"""How a job stands: state, progress, numbers, curves, rollout."""

from __future__ import annotations

import html
import math
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app.layout import card
from ddg_explorer.app.numerals import scientific
from ddg_explorer.app.theme import PALETTES, mode
from ddg_explorer.app.training.curves import LearningCurves
from ddg_explorer.app.training.job import Job
from ddg_explorer.app.training.preview_view import PreviewView
from ddg_explorer.app.training.reveal import Reveal

STATES = {
    "queued": "Waiting",
    "starting": "Starting",
    "data": "Making the data",
    "compiling": "Compiling the training step, a few seconds",
    "training": "Training",
    "finished": "Finished",
    "cancelled": "Cancelled",
    "failed": "Failed",
}
TONES = {"finished": "good", "failed": "bad", "cancelled": "warn"}
EMPTY = "Nothing has been trained yet: choose data and a model, and press Start."


class Monitor:
    """Cards on one job; `show` brings them up to date, and changes only what has changed."""

    def __init__(self, dark: bool) -> None:
        self._dark = dark
        self._state = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self.bar = pmui.LinearProgress(
            value=0, max=100, variant="determinate", sizing_mode="stretch_width", margin=(10, 0)
        )
        self._numbers = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self.curves = LearningCurves(dark)
        self.preview = PreviewView(dark)
        self.reveal = Reveal()
        self.head = card(self.reveal, self._state, self.bar, self._numbers)
        self.cards = [self.head, card(self.curves.panel), card(self.preview.panel)]
        self.show(None, 0)

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self._dark = dark
        self.curves.restyle(dark)
        self.preview.restyle(dark)

    def show(self, job: Job | None, position: int) -> None:
        """Show a job, which waits at `position` (0: it does not), or that there is none."""
        begun = job is not None and bool(job.points), job is not None and job.preview is not None
        for about_a_run, there in zip(self.cards[1:], begun, strict=True):
            about_a_run.visible = there
        _set(self._state, self._headline(job, position))
        _set(self._numbers, _numbers(job))
        value = _percent(job)
        waiting = job is not None and job.state in ("queued", "starting", "compiling")
        variant = "indeterminate" if waiting else "determinate"
        if (value, variant) != (self.bar.value, self.bar.variant):
            self.bar.param.update(value=value, variant=variant)
        self.curves.show(job)
        self.preview.show(
            None if job is None else job.preview, "dgnet" if job is None else job.spec.model
        )

    def _headline(self, job: Job | None, position: int) -> str:
        if job is None:
            return _line("No run", EMPTY, "muted", self._dark)
        what = STATES[job.state]
        if position:
            what = f"Waiting: {ordinal(position)} in the queue"
        if job.state == "data":
            done = job.data_done
            what = f"{what} ({100 * done:.0f} %)" if done < 1 else "Preparing the training"
        tail = job.line or ("It can go on with Resume." if job.state == "cancelled" else "")
        tone = TONES.get(job.state, "accent")
        return _line(what, job.spec.name + (f" — {tail}" if tail else ""), tone, self._dark)


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th …"""
    teen = 10 < n % 100 < 14
    return f"{n}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def duration(seconds: float | None) -> str:
    """Seconds as a person reads them; None: not known yet."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _percent(job: Job | None) -> float:
    if job is None:
        return 0
    if job.state == "data":
        return round(100 * job.data_done)
    if not job.progress:
        return 0
    return round(100 * job.progress["step"] / job.progress["steps"], 1)


def _numbers(job: Job | None) -> str:
    rows = dict.fromkeys(("Step", "Steps/s", "Elapsed", "Left", "Loss", "Held out"), "–")
    if job is not None and job.progress:
        now: Any = job.progress
        rows["Step"] = f"{now['step']} / {now['steps']}"
        rows["Elapsed"] = duration(job.elapsed)
        rows["Loss"], rows["Held out"] = scientific(now["loss"]), scientific(now["validation_loss"])
        if job.state == "training":
            rows["Steps/s"] = "–" if now["rate"] is None else f"{now['rate']:.3g}"
            rows["Left"] = duration(now["eta"])
    cells = "".join(
        f'<div style="flex:1 0 66px"><div style="font-size:11px;opacity:.72">{name}</div>'
        f'<div style="font-size:14px;font-variant-numeric:tabular-nums;white-space:nowrap">'
        f"{value}</div></div>"
        for name, value in rows.items()
    )
    style = "display:flex;flex-wrap:wrap;gap:6px 10px"
    return f'<div data-testid="train-numbers" style="{style}">{cells}</div>'


def _line(what: str, rest: str, tone: str, dark: bool) -> str:
    colour = PALETTES[mode(dark)][tone]
    return (
        '<div data-testid="train-state" style="font-size:14px;line-height:20px;min-height:40px">'
        f'<span style="font-weight:600;color:{colour}">{html.escape(what)}</span>'
        f'<div style="font-size:13px;opacity:.85;overflow-wrap:anywhere">{html.escape(rest)}</div>'
        "</div>"
    )


def _set(pane: pn.pane.HTML, text: str) -> None:
    if pane.object != text:
        pane.object = text
