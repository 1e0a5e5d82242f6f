"""A lane's past: the kept frames, edits that can be taken back, and the way to earlier times."""

from __future__ import annotations

from ddg_explorer.app.edits import Edit, apply
from ddg_explorer.app.history import History
from ddg_explorer.app.stage import Stage
from ddg_explorer.app.turns import Command, GoTo, Undo
from ddg_explorer.frames import Frame
from ddg_explorer.rollout import Rollout, Snapshot

MOST_UNDO = 30
"""Edits that can be taken back."""


class Past:
    """`history` holds the kept frames, `undoable` counts the edits that can be taken back."""

    def __init__(self) -> None:
        self.history = History()
        self._before: list[Frame] = []

    @property
    def undoable(self) -> int:
        return len(self._before)

    def begin(self, frame: Frame) -> None:
        """Time begins anew with this frame."""
        self._before.clear()
        self.history.clear()
        self.history.add(frame)

    def obey(self, command: Command, stage: Stage) -> str:
        """Turn time back or on again, edit, or take an edit back; one line if it cannot be."""
        rollout = stage.rollout
        assert rollout is not None
        if isinstance(command, Edit):
            return self._edit(command, stage, rollout)
        if isinstance(command, GoTo):
            frame = self.history.nearest(command.t)
        else:
            frame = self._before.pop() if self._before else None
        if frame is not None:
            clock = (frame.t, 0, rollout.dt)
            rollout.restore(Snapshot(frame, clock, rollout.dynamics, rollout.integrator))
        if frame is not None and isinstance(command, Undo):
            stage.refer()
            self.history.add(frame)
        return ""

    def _edit(self, edit: Edit, stage: Stage, rollout: Rollout) -> str:
        """Drifts are taken from the edited state on; the mass shows the change."""
        before = rollout.frame
        try:
            rollout.replace(apply(edit, rollout.u, stage.system))
        except ValueError as problem:
            return str(problem)
        if not (edit.joined and self._before):
            self._before.append(before)
            del self._before[:-MOST_UNDO]
        stage.refer()
        self.history.add(rollout.frame)
        return ""
