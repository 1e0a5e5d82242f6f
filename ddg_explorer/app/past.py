"""A lane's past: the kept frames, edits that can be taken back, and the way to earlier times.

Frames are restored bit by bit, with what drifts were relative to. An implicit scheme that goes on
from one starts its solver afresh, so it repeats its steps to within its tolerance.
"""

from __future__ import annotations

from ddg_explorer.app.edits import Edit, apply
from ddg_explorer.app.history import History
from ddg_explorer.app.measures import References
from ddg_explorer.app.stage import Stage
from ddg_explorer.app.turns import Command, GoTo, Mark, Recall, Undo
from ddg_explorer.frames import Frame
from ddg_explorer.rollout import Rollout, Snapshot

MOST_UNDO = 30
"""Edits that can be taken back."""

Moment = tuple[Frame, References]


class Past:
    """`history` holds the kept frames, `undoable` counts the edits that can be taken back."""

    def __init__(self) -> None:
        self.history = History()
        self._before: list[Moment] = []
        self._forgotten = False

    @property
    def undoable(self) -> int:
        return len(self._before)

    @property
    def edited(self) -> bool:
        """Whether the present state has come about with edits."""
        return self._forgotten or bool(self._before)

    def begin(self, frame: Frame) -> None:
        """Time begins anew with this frame."""
        self._before.clear()
        self._forgotten = False
        self.history.clear()
        self.history.add(frame)

    def go_on(self, t: float) -> None:
        """Time goes on from t: edits made after it, before time was turned back, are no more."""
        while self._before and self._before[-1][0].t > t:
            self._before.pop()

    def obey(self, command: Command, stage: Stage) -> str:
        """Turn time back or on again, edit, or take an edit back; one line if it cannot be."""
        rollout = stage.rollout
        assert rollout is not None
        if isinstance(command, Edit):
            return self._edit(command, stage, rollout)
        if isinstance(command, Mark):
            command.keep(self, (rollout.frame, stage.references))
        elif isinstance(command, GoTo):
            if (frame := self.history.nearest(command.t)) is not None:
                _restore(rollout, frame)
        elif isinstance(command, Recall):
            if (moment := command.moments.get(self)) is not None:
                self._put_back(moment, stage, rollout)
                self._forgotten = command.edited
        elif isinstance(command, Undo) and self._before:
            self._put_back(self._before.pop(), stage, rollout)
        return ""

    def _put_back(self, moment: Moment, stage: Stage, rollout: Rollout) -> None:
        frame, stage.references = moment
        _restore(rollout, frame)
        self.history.add(frame)

    def _edit(self, edit: Edit, stage: Stage, rollout: Rollout) -> str:
        """Drifts are taken from the edited state on; the mass shows the change."""
        before = (rollout.frame, stage.references)
        try:
            rollout.replace(apply(edit, rollout.u, stage.system))
        except ValueError as problem:
            return str(problem)
        self.go_on(rollout.t)
        if not (edit.joined and self._before):
            self._before.append(before)
            self._forgotten = self._forgotten or len(self._before) > MOST_UNDO
            del self._before[:-MOST_UNDO]
        stage.refer()
        self.history.add(rollout.frame)
        return ""


def _restore(rollout: Rollout, frame: Frame) -> None:
    clock = (frame.t, 0, rollout.dt)
    rollout.restore(Snapshot(frame, clock, rollout.dynamics, rollout.integrator))
