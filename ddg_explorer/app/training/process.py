"""One worker process, seen from the server: start, events, end.

A `WorkerProcess` is used by one supervising thread; `stop` may be called from any. The process gets
one torch thread, lowers its own priority, and ends when the server does (`worker`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

GRACE = 1.0
"""Seconds between asking a process to end and killing it."""
LOG = "log.txt"
TAIL = 8000
"""Characters of a worker's log that go into the server's."""
REFUSED = 2
"""Exit code of a worker whose job cannot be trained."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerProcess:
    """A running worker.

    Parameters
    ----------
    specification
        Of the job, plain data.
    folder
        The job's own; holds the run, the model and the worker's log.
    """

    def __init__(self, specification: Mapping[str, Any], folder: Path) -> None:
        self._log = folder / LOG
        command = [sys.executable, "-m", "ddg_explorer.app.training.worker", str(folder)]
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        roots = [str(Path(__file__).parents[3]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, roots))
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
                encoding="utf-8",
            )
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(specification) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it is gone already; its exit tells

    @property
    def pid(self) -> int:
        return self._process.pid

    def events(self) -> Iterator[dict[str, Any]]:
        """The worker's events until it ends; then its exit is awaited and its pipes are closed."""
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        ended = False
        try:
            for line in self._process.stdout:
                yield json.loads(line)
            ended = True
        finally:
            if not ended:
                self.stop()
            self._process.wait()
            self._process.stdout.close()
            self._process.stdin.close()

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        if self._process.poll() is None:
            self._process.terminate()
            killer = threading.Timer(GRACE, self._process.kill)
            killer.daemon = True
            killer.start()

    @property
    def refused(self) -> bool:
        """Whether it ended because the job cannot be trained, and has said why."""
        return self._process.wait() == REFUSED

    def verdict(self) -> str:
        """One line on how an ended process ended, "" for exit code 0."""
        code = self._process.wait()
        if code == 0:
            return ""
        if code < 0:
            return f"the training process was ended by {signal.Signals(-code).name}"
        return f"the training process ended with exit code {code}"

    def log(self) -> str:
        """The end of what it wrote to its log."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-TAIL:]
