"""One training job as the server sees it.

queued → starting → data → (compiling →) training → finished
   └────────┴────────┴──────────┴────────────┴────→ cancelled, failed

A cancelled or failed one is queued again by `Jobs.resume`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddg_explorer.app.training.process import WorkerProcess
from ddg_explorer.app.training.specification import JobSpec

ACTIVE = ("queued", "starting", "data", "compiling", "training")


@dataclass(frozen=True)
class Point:
    """One point of the learning curves; `validation` is None without held-out data."""

    step: int
    loss: float
    validation: float | None


@dataclass(eq=False)
class Job:
    """One training run. Fields are replaced, lists only grow; `Jobs` alone changes them.

    Attributes
    ----------
    number, spec, folder, owner
        Its number on this server, what it is, its own folder, and whose it is.
    state, line
        See the module; `line` says why it failed or was cancelled, or what is to know of it.
    refused
        Whether it cannot be trained, however often it is tried.
    data_done
        Fraction of the trajectories that is made.
    points, progress, preview
        Learning curves, the latest progress event, and the latest picture.
    elapsed
        Seconds of training in all processes so far.
    checkpoint, card
        Of the finished model.
    process, wanted
        Its process while there is one, and False once it is to end.
    before
        Seconds before the present process.
    """

    number: int
    spec: JobSpec
    folder: Path
    owner: object
    notify: Callable[[], None]
    state: str = "queued"
    line: str = ""
    refused: bool = False
    data_done: float = 0.0
    points: list[Point] = field(default_factory=list)
    progress: Mapping[str, Any] = field(default_factory=dict)
    preview: Mapping[str, Any] | None = None
    elapsed: float = 0.0
    checkpoint: Path | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    process: WorkerProcess | None = None
    wanted: bool = True
    before: float = 0.0

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def resumable(self) -> bool:
        """Whether it can go on from its last snapshot."""
        return self.state in ("cancelled", "failed") and not self.refused

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take in an event of the worker."""
        kind = event["event"]
        if kind == "data":
            self.state, self.data_done = "data", event["done"]
        elif kind == "compiling":
            self.state = "compiling"
        elif kind == "progress":
            self._advance(event)
        elif kind == "preview":
            self.preview = event
        elif kind == "done":
            self.checkpoint, self.card = Path(event["checkpoint"]), event["card"]
        else:
            self.line = event["line"]

    def _advance(self, event: Mapping[str, Any]) -> None:
        self.progress = event
        self.state = "training"
        self.elapsed = self.before + event["elapsed"]
        if not self.points or event["step"] > self.points[-1].step:
            self.points.append(Point(event["step"], event["loss"], event["validation_loss"]))
