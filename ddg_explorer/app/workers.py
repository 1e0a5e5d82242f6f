"""The threads of a server's process in which lanes are stepped, shared by all its sessions.

A thread has its own share of memory and of a core's cache: lanes that go from one to the other at
every turn take a third longer. So they stay with the thread they had, unless it is busy and another
is not. What a person waits for goes ahead of what waits in a thread.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Any


class Workers:
    """`count` threads, each with a queue of its own."""

    def __init__(self, count: int) -> None:
        self._threads = [
            ThreadPoolExecutor(1, thread_name_prefix=f"simulation-{i}") for i in range(count)
        ]
        self._calls: list[deque[Callable[[], None]]] = [deque() for _ in range(count)]
        self._waiting = [0] * count
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._threads)

    def choose(self, home: int | None = None) -> int:
        """The number of the thread with the fewest calls, `home` where it is one of those."""
        with self._lock:
            fewest = min(self._waiting)
            if home is not None and self._waiting[home] == fewest:
                return home
            return self._waiting.index(fewest)

    def submit(
        self,
        thread: int | None,
        function: Callable[..., Any],
        *args: Any,
        urgent: bool = False,
    ) -> Future[Any]:
        """Call `function(*args)` in this thread; None: in any.

        After what waits there, or before it where it is urgent.
        """
        thread = self.choose() if thread is None else thread
        future: Future[Any] = Future()
        future.add_done_callback(lambda _: self._done(thread))
        with self._lock:
            self._waiting[thread] += 1
        calls = self._calls[thread]
        add = calls.appendleft if urgent else calls.append
        add(lambda: _run(future, function, *args))
        self._threads[thread].submit(lambda: calls.popleft()())
        return future

    def _done(self, thread: int) -> None:
        with self._lock:
            self._waiting[thread] -= 1


def _run(future: Future[Any], function: Callable[..., Any], *args: Any) -> None:
    """Call it for a future that has not been cancelled, as an executor does."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function(*args))
    except BaseException as error:
        future.set_exception(error)


@cache
def workers() -> Workers:
    """The process's threads, made when first needed: about as many as cores."""
    return Workers(max(2, os.cpu_count() or 1))
