"""The process of one training job: `python -m ddg_explorer.app.training.worker FOLDER`.

It reads the specification, one line of JSON, from its standard input and writes one line of JSON an
event to its standard output; anything else that is printed goes to the log, its standard error.
Its input stays open as a lifeline: when the server goes away, however it does, the worker ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TextIO

from ddg_explorer.app.training.process import REFUSED

NICENESS = 10
"""A tenth of the weight of a server that paints frames, where both want the same core."""
GRACE = 1.5
"""Seconds to clean up in after the lifeline has broken."""


def main() -> NoReturn:
    """Run the job, and end the process with exit code 0, `process.REFUSED`, or 1 after an error."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    # Ctrl-C at the server's terminal reaches its children too: the server decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    events, source = _channels()
    specification = json.loads(source.readline())
    threading.Thread(target=_watch, args=(source,), daemon=True).start()

    def send(event: Mapping[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    code = _run(specification, Path(sys.argv[1]), send)
    # nothing is left to clean up, and a signal from here on would only garble the exit code
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stderr.flush()
    os._exit(code)


def _run(values: Mapping[str, Any], folder: Path, send: Callable[[Mapping[str, Any]], None]) -> int:
    try:
        # imported here, so that a missing library is told like any other error
        import torch

        from ddg_explorer.app.training.specification import JobSpec
        from ddg_explorer.app.training.work import work

        torch.set_num_threads(1)
        for event in work(JobSpec.from_dict(values), folder):
            send(event)
            if event["event"] == "refused":
                return REFUSED
    except ValueError as error:
        send({"event": "refused", "line": _line(error)})
        return REFUSED
    except Exception as error:
        traceback.print_exc()
        send({"event": "failed", "line": f"{type(error).__name__}: {_line(error)}"})
        return 1
    return 0


def _line(error: Exception) -> str:
    return " ".join(str(error).split("\n", 1)[0].split())[:300]


def _channels() -> tuple[TextIO, TextIO]:
    """Where events go and where the specification comes from; prints go to the log instead."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return events, sys.stdin


def _leave(number: int, frame: object) -> None:
    """End between two operations, so that half-written files are removed."""
    raise SystemExit(128 + number)


def _watch(source: TextIO) -> None:
    """Ends the process once nobody holds the other end of its input."""
    source.read()
    signal.raise_signal(signal.SIGTERM)
    threading.Event().wait(GRACE)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
