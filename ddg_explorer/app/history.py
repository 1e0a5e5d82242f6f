"""What a lane has run through, within a fixed memory: for the time slider, for files and clips.

Frames are kept as they are, in their own dtype, so that going back and on again is exact. When the
memory is full every second frame goes and from then on only every second one is added: the whole
run stays in view, ever more coarsely.
"""

from __future__ import annotations

import bisect

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.frames import Frame

LIMIT_BYTES = 16 << 20
"""States that one lane keeps."""
MOST_FRAMES = 4000


class History:
    """Frames of rising time; the first one added is always among them.

    Parameters
    ----------
    limit
        Bytes of states to keep, at least two frames.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self.clear()

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def times(self) -> np.ndarray:
        """(T,), rising."""
        return np.array(self._times)

    @property
    def states(self) -> Tensor:
        """(T, *state_shape)."""
        return torch.stack([frame.u for frame in self._frames])

    @property
    def span(self) -> tuple[float, float]:
        """First and last time."""
        return (self._times[0], self._times[-1]) if self._times else (0.0, 0.0)

    def clear(self) -> None:
        """Forget everything."""
        self._frames: list[Frame] = []
        self._times: list[float] = []
        self._stride, self._skipped = 1, 0

    def add(self, frame: Frame) -> None:
        """Keep a frame; those of its time and later, from before time was turned back, go."""
        cut = bisect.bisect_left(self._times, frame.t)
        del self._frames[cut:], self._times[cut:]
        self._skipped += 1
        if self._frames and self._skipped < self._stride:
            return
        self._skipped = 0
        self._frames.append(frame)
        self._times.append(frame.t)
        size = frame.u.element_size() * frame.u.nelement()
        if len(self._frames) > max(2, min(MOST_FRAMES, self.limit // size)):
            del self._frames[1::2], self._times[1::2]
            self._stride *= 2

    def nearest(self, t: float) -> Frame | None:
        """The kept frame nearest to time t, None where nothing is kept."""
        if not self._times:
            return None
        after = bisect.bisect_left(self._times, t)
        choices = [i for i in (after - 1, after) if 0 <= i < len(self._times)]
        return self._frames[min(choices, key=lambda i: abs(self._times[i] - t))]
