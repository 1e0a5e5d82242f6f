"""Training jobs of the whole server: a bounded number run, the others wait in order.

Every running job has a process (`process`) and a thread that starts it and listens to it. Listeners
of a job are called on such threads and must only wake their own event loop. All changes happen
under one lock.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from ddg_explorer.app.training.job import Job
from ddg_explorer.app.training.process import WorkerProcess
from ddg_explorer.app.training.specification import JobSpec

log = logging.getLogger(__name__)

WAITING = 20
"""Jobs that may wait; more are refused."""


class Jobs:
    """The jobs of a process.

    Parameters
    ----------
    limit
        Jobs that run at once; None: one for every core but one, at least one.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = max(1, (os.cpu_count() or 1) - 1) if limit is None else limit
        if self.limit < 1:
            raise ValueError(f"limit={limit}: must be at least 1")
        self._lock = threading.RLock()
        self._queue: deque[Job] = deque()
        self._running: list[Job] = []
        self._known: list[Job] = []
        self._count = 0
        self._folder = TemporaryDirectory(prefix="ddg-explorer-jobs-", ignore_cleanup_errors=True)

    @property
    def running(self) -> int:
        """Jobs that have a process, or are about to."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._queue)

    def submit(self, spec: JobSpec, owner: object, notify: Callable[[], None]) -> Job:
        """Queue a job; it starts when its turn comes, with a copy of its data file.

        `notify` is called, on some thread, after every change of the job or of its place.

        Raises
        ------
        ValueError
            For a specification that cannot be trained, or a full queue.
        """
        spec.checked()
        with self._lock:
            self._check_room()
            self._count += 1
            folder = Path(self._folder.name) / str(self._count)
            folder.mkdir()
            job = Job(self._count, spec.with_copy_in(folder), folder, owner, notify)
            self._known.append(job)
            self._enqueue(job)
        self._tell_all()
        return job

    def position(self, job: Job) -> int:
        """Place in the queue, 1 for the next one to start; 0 if it does not wait."""
        with self._lock:
            return self._queue.index(job) + 1 if job in self._queue else 0

    def cancel(self, job: Job) -> None:
        """End a job; its process is gone within about a second. `resume` can go on from there."""
        with self._lock:
            if not job.active:
                return
            job.wanted = False
            if job in self._queue:
                self._queue.remove(job)
                job.state = "cancelled"
            if job.process is not None:
                job.process.stop()
        self._tell_all()

    def resume(self, job: Job) -> None:
        """Queue a `resumable` job again: it goes on from its last snapshot. Others are left alone.

        Raises
        ------
        ValueError
            For a full queue.
        """
        with self._lock:
            if not job.resumable or job.process is not None:
                return
            self._check_room()
            job.line, job.wanted, job.before = "", True, job.elapsed
            self._enqueue(job)
        self._tell_all()

    def release(self, owner: object) -> None:
        """Cancel an owner's jobs and forget them, files included: the end of a session."""
        with self._lock:
            own = [job for job in self._known if job.owner is owner]
            self._known = [job for job in self._known if job.owner is not owner]
            for job in own:
                job.owner, job.notify = None, _nothing
                self.cancel(job)
                if job not in self._running:
                    shutil.rmtree(job.folder, ignore_errors=True)

    def _check_room(self) -> None:
        if len(self._queue) >= WAITING:
            raise ValueError(f"{WAITING} trainings are waiting already: try again later")

    def _enqueue(self, job: Job) -> None:
        job.state, job.data_done = "queued", 0.0
        self._queue.append(job)
        self._start_next()

    def _start_next(self) -> None:
        while self._queue and len(self._running) < self.limit:
            job = self._queue.popleft()
            job.state = "starting"
            self._running.append(job)
            name = f"training-{job.number}"
            threading.Thread(target=self._supervise, args=(job,), name=name, daemon=True).start()

    def _supervise(self, job: Job) -> None:
        """Start the job's process, listen until it ends, note how, and start the next job."""
        state, line = "failed", "internal error: the server's log has the details"
        try:
            process = WorkerProcess(job.spec.to_dict(), job.folder)
            with self._lock:
                job.process = process
                if not job.wanted:
                    process.stop()
            for event in process.events():
                with self._lock:
                    job.apply(event)
                job.notify()
            state, line = self._verdict(job, process)
        except Exception:
            log.exception("training job %d could not be supervised", job.number)
        with self._lock:
            job.process, job.state, job.line = None, state, line
            self._running.remove(job)
            if job not in self._known:
                shutil.rmtree(job.folder, ignore_errors=True)
            self._start_next()
        self._tell_all()

    def _verdict(self, job: Job, process: WorkerProcess) -> tuple[str, str]:
        """State and line of a job whose process has ended; a crash goes to the log with its trace.

        A job that finished before it could be cancelled has finished.
        """
        ended = process.verdict()
        if not ended and job.checkpoint is not None:
            return "finished", ""
        if not job.wanted:
            return "cancelled", ""
        if process.refused:
            job.refused = True
            return "failed", job.line
        log.error("training job %d failed: %s\n%s", job.number, ended, process.log())
        return "failed", job.line or ended or "the training process ended without a result"

    def _tell_all(self) -> None:
        """Wake everyone: the places in the queue have changed."""
        with self._lock:
            listeners = [job.notify for job in self._known]
        for notify in listeners:
            notify()


def _nothing() -> None:
    """In place of a listener that is gone."""


@cache
def shared_jobs() -> Jobs:
    """The jobs of this server, made when first needed."""
    return Jobs()
