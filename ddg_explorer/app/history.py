"""What a lane has run through, within a fixed memory: for the time slider, for files and clips.

Frames are kept as they are, in their own dtype, so that going back and on again is exact. When the
memory is full every second frame goes and from then on only every second one is added: the whole
run stays in view, ever more coarsely.
"""

from __future__ import annotations

import bisect
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.app.measures import References
from ddg_explorer.frames import Frame

LIMIT_BYTES = 16 << 20
"""States that one lane keeps."""
MOST_FRAMES = 4000


class Moment(NamedTuple):
    """A frame, what its drifts are relative to, and how often the dynamics had been changed."""

    frame: Frame
    references: References
    remade: int


class History:
    """Moments of rising time; the first one is always among them.

    Parameters
    ----------
    limit
        Bytes of states to keep, at least two frames.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self.clear()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def times(self) -> np.ndarray:
        """(T,), rising."""
        return np.array(self._times)

    @property
    def states(self) -> Tensor:
        """(T, *state_shape)."""
        return torch.stack([moment.frame.u for moment in self._kept])

    @property
    def span(self) -> tuple[float, float]:
        """First and last time."""
        return (self._times[0], self._times[-1]) if self._times else (0.0, 0.0)

    def clear(self) -> None:
        """Forget everything."""
        self._kept: list[Moment] = []
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
        return self._kept[min(choices, key=lambda i: abs(self._times[i] - t))]

    def _turn_back(self, t: float) -> None:
        """Drop what is of this time and later, from before time was turned back."""
        cut = bisect.bisect_left(self._times, t)
        del self._kept[cut:], self._times[cut:]

    def _append(self, moment: Moment) -> None:
        frame, self._skipped = moment.frame, 0
        self._kept.append(moment)
        self._times.append(frame.t)
        size = frame.u.element_size() * frame.u.nelement()
        # an even number: of one more, every second from the second on leaves first and last
        if len(self._kept) > 2 * max(1, min(MOST_FRAMES, self.limit // size) // 2):
            del self._kept[1::2], self._times[1::2]
            self._stride *= 2
