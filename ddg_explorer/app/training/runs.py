"""The session's runs in a list: each one's state in a line; the one that is pressed is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app import texts
from ddg_explorer.app.numerals import scientific
from ddg_explorer.app.plotting import heading
from ddg_explorer.app.training.job import Job
from ddg_explorer.app.training.monitor import STATES, duration, ordinal


class RunList:
    """One button a run, the newest first.

    Parameters
    ----------
    on_choose
        Called with the run that a person wants to see.
    """

    def __init__(self, on_choose: Callable[[Job], None]) -> None:
        self._on_choose = on_choose
        self._buttons: dict[int, pmui.Button] = {}
        self._empty = pn.pane.HTML(
            texts.paragraph("Runs of this session appear here.", small=True), margin=0
        )
        self._list = pn.Column(self._empty, sizing_mode="stretch_width", styles={"gap": "6px"})
        title = pn.pane.HTML(heading("Runs"), margin=(0, 0, 6, 0), sizing_mode="stretch_width")
        self.panel = pn.Column(title, self._list, sizing_mode="stretch_width")

    def show(self, jobs: Sequence[Job], shown: Job | None, position: Callable[[Job], int]) -> None:
        """Bring the list up to date."""
        for job in jobs:
            if job.number not in self._buttons:
                self._buttons[job.number] = self._button(job)
                self._list.objects = list(reversed(self._buttons.values()))
            button = self._buttons[job.number]
            label = f"{job.spec.name}: {summary(job, position(job))}"
            variant = "outlined" if job is shown else "text"
            if (label, variant) != (button.label, button.variant):
                button.param.update(label=label, variant=variant)

    def _button(self, job: Job) -> pmui.Button:
        return pmui.Button(
            label=job.spec.name,
            variant="text",
            size="small",
            margin=0,
            sizing_mode="stretch_width",
            sx={
                "justifyContent": "flex-start",
                "textAlign": "left",
                "fontWeight": 400,
                "fontVariantNumeric": "tabular-nums",
            },
            on_click=lambda _: self._on_choose(job),
        )


def summary(job: Job, position: int) -> str:
    """Where a run stands, in a few words."""
    if position:
        return f"waiting, {ordinal(position)} in the queue"
    if job.state == "training":
        return f"{100 * job.progress['step'] / job.progress['steps']:.0f} %"
    if job.state == "finished":
        final = job.progress.get("validation_loss") or job.progress.get("loss")
        return f"finished in {duration(job.elapsed)}, error {scientific(final)}"
    return STATES[job.state].lower()
