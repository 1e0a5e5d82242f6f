"""Ctrl-C between two steps of a command, which keeps what is complete.

The first one lets the step under way end, a second one breaks it off: that step alone is lost.
SIGTERM, and SIGHUP from a closed terminal, count as Ctrl-C (`cli.INTERRUPTS`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from ddg_explorer.cli import handling_interrupts

T = TypeVar("T")


class Interrupt:
    """Whether a command was asked to end.

    Attributes
    ----------
    asked
        True from the first signal on.
    """

    def __init__(self) -> None:
        self.asked = False
        self._step = ""
        self._divisible: Callable[..., Any] | None = None

    def until(
        self, steps: Iterable[T], what: str = "step", divisible: Callable[..., Any] | None = None
    ) -> Iterator[T]:
        """Pass `steps` on up to the one in which the first signal arrives, or the one before where
        a second breaks it off; on stderr the first one says so.

        Parameters
        ----------
        what
            Name of a step.
        divisible
            The function within a step in which it may be broken off, where not everywhere; a
            second signal elsewhere in it changes nothing.
        """
        iterator = iter(steps)
        while not self.asked:
            self._step, self._divisible = what, divisible
            try:
                step = next(iterator)
            except (StopIteration, KeyboardInterrupt):
                return
            finally:
                self._step = ""
            yield step

    def take(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; KeyboardInterrupt where it breaks off a step."""
        if self.asked:
            if self._step and (self._divisible is None or _within(frame, self._divisible)):
                raise KeyboardInterrupt
            return
        self.asked = True
        if self._step:
            start = "\n" if os.isatty(2) else ""  # below a bar
            line = f"stopping after this {self._step}; again to end at once, without it"
            # to sys.stderr something may be writing right now; the terminal may have been closed
            with suppress(OSError):
                os.write(2, f"{start}ddg-explorer: {line}\n".encode())


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """What Ctrl-C sets meanwhile, instead of raising KeyboardInterrupt."""
    interrupt = Interrupt()
    with handling_interrupts(interrupt.take):
        yield interrupt


def _within(frame: FrameType | None, function: Callable[..., Any]) -> bool:
    """Whether `frame` is one of `function`, or was called from one."""
    code = getattr(function, "__code__", None)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None
