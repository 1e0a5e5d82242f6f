"""A lane's past: the kept frames, edits that can be taken back, and the way to earlier times.

Frames are restored bit by bit, with what drifts were relative to. An implicit scheme that goes on
from one starts its solver afresh, so it repeats its steps to within its tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence

from ddg_explorer.app.edits import Edit, apply
from ddg_explorer.app.history import History, Moment
from ddg_explorer.app.measures import References
from ddg_explorer.app.stage import Stage, resume
from ddg_explorer.app.turns import Command, GoTo, Mark, Recall, Undo
from ddg_explorer.frames import Frame, measure
from ddg_explorer.rollout import Rollout

MOST_UNDO = 30
"""Edits that can be taken back."""


class Past:
    """`history` holds the kept frames, `undoable` counts the edits that can be taken back.

    `visiting` says that time was turned back or on: what came after is kept until a step, an edit
    or a way back ends it. What is to outlive the lane knows it by its `key`.
    """

    def __init__(self) -> None:
        self.history = History()
        self.key = object()
        self.visiting = False
        self._before: list[Moment] = []
        self._forgotten = False
        self._end: Moment | None = None

    @property
    def undoable(self) -> int:
        return len(self._before)

    @property
    def edited(self) -> bool:
        """Whether the present state has come about with edits."""
        return self._forgotten or bool(self._before)

    def begin(self, moment: Moment) -> None:
        """Time begins anew with this moment."""
        self._before.clear()
        self._forgotten, self._end, self.visiting = False, None, False
        self.history.clear()
        self.history.put(moment)

    def go_on(self, t: float) -> None:
        """Time goes on from t: edits made after it, before time was turned back, are no more."""
        self._end, self.visiting = None, False
        while self._before and self._before[-1].frame.t > t:
            self._before.pop()

    def lift(self) -> None:
        """Something else holds: the lane may go on from where it has stopped."""
        self._end = None

    def keep(self, frames: Sequence[Frame], stage: Stage) -> None:
        """Keep the frames that were reached of a run that goes on."""
        now = stage.moment
        for frame in frames:
            if frame.reason:
                self._end = now
            else:
                self.history.add(now._replace(frame=frame))

    def obey(self, command: Command, stage: Stage) -> str:
        """Turn time back or on again, edit, or take an edit back; one line if it cannot be."""
        rollout = stage.rollout
        assert rollout is not None
        if isinstance(command, Edit):
            return self._edit(command, stage, rollout)
        if isinstance(command, Mark):
            command.keep(self.key, stage.moment)
        elif isinstance(command, GoTo):
            ended = self._end is not None and command.t >= self._end.frame.t
            moment = self._end if ended else self.history.nearest(command.t)
            if moment is not None:
                _put_back(moment, stage, rollout)
                self.visiting = True
        elif isinstance(command, Recall):
            if (moment := command.moments.get(self.key)) is not None:
                _put_back(moment._replace(remade=stage.remade), stage, rollout)
                self.history.put(stage.moment)
                self._forgotten, self.visiting = command.edited, False
        elif isinstance(command, Undo) and self._before:
            _put_back(self._before.pop(), stage, rollout)
            self._end, self.visiting = None, False
            self.history.put(stage.moment)
        return ""

    def _edit(self, edit: Edit, stage: Stage, rollout: Rollout) -> str:
        """Drifts are taken from the edited state on; the mass shows the change."""
        before = stage.moment
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
        self.history.put(stage.moment)
        return ""


def _put_back(moment: Moment, stage: Stage, rollout: Rollout) -> None:
    """Go on from a moment; from one of other dynamics drifts are taken anew, as at their change."""
    frame, references, remade, bound = moment
    if remade != stage.remade:
        frame = measure(rollout.dynamics, rollout.truth, frame.t, frame.step, frame.u)
        references = References.of(frame, stage.system)
    resume(rollout, frame, bound)
    stage.references = references
