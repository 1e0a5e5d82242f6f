"""The Train tab: form, buttons, the shown run, and the list of this session's runs.

    form → `Jobs.submit` → worker … → `Job` → pump → monitor

The page only reads jobs, on its session's event loop, at most four times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app import texts
from ddg_explorer.app.layout import card
from ddg_explorer.app.training.choices import in_words, scene_data
from ddg_explorer.app.training.form import TrainForm
from ddg_explorer.app.training.job import Job
from ddg_explorer.app.training.jobs import Jobs, shared_jobs
from ddg_explorer.app.training.monitor import Monitor
from ddg_explorer.app.training.pump import Pump
from ddg_explorer.app.training.runs import RunList

OnModel = Callable[[str, Path, Mapping[str, Any]], None]


class TrainPage:
    """Training for one session.

    Parameters
    ----------
    dark
        Theme.
    jobs
        Where trainings run; None: those that all sessions of this server share.
    on_model
        Called on the event loop with name, checkpoint and card of every model that is finished.
        The file is there until `close`.
    notify
        Called with one line where something cannot be.

    Attributes
    ----------
    view
        What a page shows; stretches to its width.
    """

    def __init__(
        self,
        dark: bool = False,
        *,
        jobs: Jobs | None = None,
        on_model: OnModel,
        notify: Callable[[str], None],
    ) -> None:
        self._jobs = shared_jobs() if jobs is None else jobs
        self._on_model, self._notify = on_model, notify
        self._shown: Job | None = None
        self._told: set[int] = set()
        self._mine: list[Job] = []
        self._pump = Pump(self.update)
        self.form = TrainForm()
        self.monitor = Monitor(dark)
        self.start = _button("Start", self._start, "contained")
        self.cancel = _button("Cancel", self._cancel, "outlined")
        self.resume = _button("Resume", self._resume, "outlined")
        self.download = pmui.FileDownload(
            callback=self._file,
            filename="model.safetensors",
            label="Download model",
            variant="outlined",
            auto=True,
            embed=False,
            height=40,
            margin=0,
        )
        self._capacity = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self.runs = RunList(self._choose)
        self.view = self._layout()
        self.update()

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self.monitor.restyle(dark)
        self.update()

    def prepare(self, system: str | None = None, model: str | None = None, **scene: Any) -> None:
        """Fill in the form: a model, and a system with its scene.

        Parameters
        ----------
        system, model
            Keys of `SYSTEMS` and `MODELS`; None: as it is.
        **scene
            preset, n, length, operator, structure, dt, parameters, choices of the system; see
            `choices.scene_data`.

        Raises
        ------
        ValueError
            For a system that cannot be built.
        """
        data = None if system is None else scene_data(system, **scene)
        if data is not None:
            data.resolved()
        self.form.prepare(data, model)

    def follow(self, system: str, **scene: Any) -> None:
        """Make a scene, as in `prepare`, the "Current system" of the form.

        It is chosen unless a person has chosen other data. ValueError as in `prepare`.
        """
        data = scene_data(system, **scene)
        data.resolved()
        self.form.follow(data)

    def close(self) -> None:
        """Cancel this session's runs and remove their files."""
        self._pump.close()
        self._jobs.release(self)
        self.form.close()

    def update(self) -> None:
        """Bring the page to what the jobs have reported, and hand over finished models."""
        job = self._shown
        self.monitor.show(job, 0 if job is None else self._jobs.position(job))
        self.runs.show(self._mine, job, self._jobs.position)
        self._show_buttons(job)
        text = texts.paragraph(self._occupation(), small=True)
        if self._capacity.object != text:
            self._capacity.object = text
        for done in self._mine:
            if done.state == "finished" and done.number not in self._told:
                self._told.add(done.number)
                assert done.checkpoint is not None
                self._on_model(done.spec.name, done.checkpoint, done.card)

    def _occupation(self) -> str:
        most, running, waiting = self._jobs.limit, self._jobs.running, self._jobs.waiting
        plural = "" if most == 1 else "s"
        return (
            f"This server trains {most} model{plural} at a time, beside the live lanes: "
            f"{running} running, {waiting} waiting."
        )

    def _show_buttons(self, job: Job | None) -> None:
        states = (
            (self.cancel, job is not None and job.active and job.wanted),
            (self.resume, job is not None and job.resumable),
            (self.download, job is not None and job.state == "finished"),
        )
        for button, enabled in states:
            if button.disabled == enabled:
                button.disabled = not enabled

    def _start(self) -> None:
        self._pump.start()
        try:
            spec = self.form.spec(len(self._mine) + 1)
            job = self._jobs.submit(spec, self, self._pump.wake)
        except ValueError as problem:
            self._notify(in_words(str(problem)))
            return
        self._mine.append(job)
        self._choose(job)
        self.monitor.reveal.bring()

    def _cancel(self) -> None:
        if self._shown is not None:
            self._jobs.cancel(self._shown)
            self.update()

    def _resume(self) -> None:
        if self._shown is None:
            return
        self._pump.start()
        try:
            self._jobs.resume(self._shown)
        except ValueError as problem:
            self._notify(str(problem))
        self.update()
        self.monitor.reveal.bring()

    def _choose(self, job: Job) -> None:
        self._shown = job
        self.download.filename = f"{job.spec.model}-{job.number}.safetensors"
        self.update()

    def _file(self) -> str | None:
        """The finished model's file, for the browser."""
        job = self._shown
        return None if job is None or job.checkpoint is None else str(job.checkpoint)

    def _layout(self) -> pn.FlexBox:
        buttons = pn.FlexBox(
            self.start, self.cancel, self.resume, gap="8px", sizing_mode="stretch_width"
        )
        foot = pn.Column(
            buttons,
            self._capacity,
            sizing_mode="stretch_width",
            styles={"padding": "10px 20px 12px", "box-sizing": "border-box", "gap": "6px"},
        )
        form = card(
            self.form.panel,
            foot,
            styles={"flex": "1 1 320px", "padding": "4px 0", "align-self": "flex-start"},
        )
        self.monitor.head.append(
            pn.Row(self.download, margin=(12, 0, 0, 0), sizing_mode="stretch_width")
        )
        right = pn.Column(
            *self.monitor.cards,
            card(self.runs.panel),
            styles={"flex": "3 1 420px", "gap": "16px", "min-width": "0"},
        )
        return pn.FlexBox(form, right, sizing_mode="stretch_width", gap="16px")


def _button(label: str, act: Callable[[], None], variant: str) -> pmui.Button:
    return pmui.Button(
        label=label,
        variant=variant,
        width=94,
        height=40,
        margin=0,
        on_click=lambda _: act(),
    )
