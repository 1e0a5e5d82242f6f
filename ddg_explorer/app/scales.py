"""The limits that all lanes of a session share: one for states, one for differences.

The lane of the true system sets those of the states, so that a lane that diverges does not spoil
the picture of the others.
"""

from __future__ import annotations

from ddg_explorer.app.limits import Limits
from ddg_explorer.app.pictures import Picture
from ddg_explorer.app.turns import Turn

FIRST_DIFFERENCE = 0.01
"""Limits of differences at first, relative to those of the states."""


class Scales:
    """`state` and `difference`; written by one lane of a group that keeps step."""

    def __init__(self) -> None:
        self.state = Limits((-1.0, 1.0), signed=True)
        self.difference = Limits((-1.0, 1.0), signed=True)

    def start(self, picture: Picture) -> None:
        """Begin with a picture's limits."""
        low, high = picture.limits
        half = FIRST_DIFFERENCE * max(abs(low), abs(high))
        self.state = Limits(picture.limits, picture.signed)
        self.difference = Limits((-half, half), signed=True)

    def obey(self, turn: Turn, span: tuple[float, float]) -> str:
        """Follow a typed or "auto" command, then the data; one line if it is refused."""
        chosen = self.difference if turn.show == "difference" else self.state
        if turn.limits == "auto":
            chosen.snap(span if chosen is self.state else chosen.seen)
        elif turn.limits is not None:
            try:
                chosen.pin(*turn.limits)
            except ValueError as problem:
                return str(problem)
        self.state.follow(span)
        return ""
