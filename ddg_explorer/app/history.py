"""What a lane has run through, within a fixed memory: for the time slider, for files and clips.

Frames are kept as they are, in their own dtype, so that going back and on again is exact. When the
memory is full every second frame goes and from then on only every second one is added: the whole
run stays in view, ever more coarsely.

All are rows of a few arrays that are made when time begins. Small tensors of their own, long-lived
between the large ones that every step makes and drops, would tear the process's heap.
"""

from __future__ import annotations

import bisect
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ddg_explorer.app.measures import References
from ddg_explorer.frames import Frame, Stop

LIMIT_BYTES = 16 << 20
"""States that one lane keeps."""
MOST_FRAMES = 4000


class Moment(NamedTuple):
    """A frame, what its drifts are relative to, and how often the dynamics had been changed.

    Where max|u| exceeds `bound`, the run is taken as diverged; many moments share one.
    """

    frame: Frame
    references: References
    remade: int
    bound: Tensor


class _Note(NamedTuple):
    """What of a moment is not in the arrays."""

    step: int
    stop: Stop | None
    references: References
    remade: int
    bound: Tensor


class History:
    """Moments of rising time; the first one is always among them.

    All moments between two calls of `clear` have states of one shape, dtype and device.

    Parameters
    ----------
    limit
        Bytes of states to keep, at least two frames.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self.clear()

    def __len__(self) -> int:
        return len(self._times)

    @property
    def times(self) -> np.ndarray:
        """(T,), rising."""
        return np.array(self._times)

    @property
    def states(self) -> Tensor:
        """(T, *state_shape), a copy."""
        return self._rows["u"][: len(self)].clone()

    @property
    def span(self) -> tuple[float, float]:
        """First and last time."""
        return (self._times[0], self._times[-1]) if self._times else (0.0, 0.0)

    def clear(self) -> None:
        """Forget everything."""
        self._rows: dict[str, Tensor] = {}
        self._notes: list[_Note] = []
        self._times: list[float] = []
        self._stride, self._skipped = 1, 0

    def add(self, moment: Moment) -> None:
        """Keep a moment of a run that goes on, unless it comes too soon after the last one kept."""
        self._turn_back(moment.frame.t)
        self._skipped += 1
        if self._skipped >= self._stride:
            self._append(moment)

    def put(self, moment: Moment) -> None:
        """Keep a moment in any case: a start, an edit, a way back."""
        self._turn_back(moment.frame.t)
        self._append(moment)

    def nearest(self, t: float) -> Moment | None:
        """The kept moment nearest to time t, None where nothing is kept."""
        if not self._times:
            return None
        after = bisect.bisect_left(self._times, t)
        choices = [i for i in (after - 1, after) if 0 <= i < len(self._times)]
        return self._moment(min(choices, key=lambda i: abs(self._times[i] - t)))

    def _moment(self, index: int) -> Moment:
        step, stop, references, remade, bound = self._notes[index]
        tensors: dict[str, Any] = {"mass": None}
        tensors |= {name: rows[index].clone() for name, rows in self._rows.items()}
        frame = Frame(t=self._times[index], step=step, stop=stop, **tensors)
        return Moment(frame, references, remade, bound)

    def _turn_back(self, t: float) -> None:
        """Drop what is of this time and later, from before time was turned back."""
        cut = bisect.bisect_left(self._times, t)
        del self._notes[cut:], self._times[cut:]

    def _append(self, moment: Moment) -> None:
        frame, self._skipped = moment.frame, 0
        tensors = _tensors(frame)
        if not self._rows:
            # an odd number: of these, every second one leaves first and last
            count = 2 * (max(2, min(MOST_FRAMES, self._limit // frame.u.nbytes)) // 2) + 1
            self._rows = {
                name: value.new_empty((count, *value.shape)) for name, value in tensors.items()
            }
        for name, rows in self._rows.items():
            rows[len(self)] = tensors[name]
        self._times.append(frame.t)
        self._notes.append(_Note(frame.step, frame.stop, *moment[1:]))
        if len(self) == len(self._rows["u"]):
            self._halve()

    def _halve(self) -> None:
        """Drop every second moment, but the first and the last."""
        del self._notes[1::2], self._times[1::2]
        self._stride *= 2
        for rows in self._rows.values():
            rows[: len(self)] = rows[::2].clone()


def _tensors(frame: Frame) -> dict[str, Tensor]:
    """State and measures of a frame by name."""
    values = {field.name: getattr(frame, field.name) for field in fields(frame)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}
