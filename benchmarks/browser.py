"""A served explorer and a Chromium with the network cut, for benchmarks, pictures and tests."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
START_SECONDS = 60
WHOLE = "html[data-ready=true]"
"""Selector of what is there when a page of the explorer is complete."""
ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)
HARMLESS = re.compile(
    r"WebSocketClosedError|StreamClosedError"
    r"|exception GET \S+/ws\?[\s\S]+ in session\s+assert self\._session is not None"
)
"""What a closed tab leaves in the log while frames are still under way.

The last is Bokeh's, whose `WSHandler.on_close` finds its connection already detached.
"""


def chromium_path() -> str:
    """Path of a Chromium: $CHROMIUM, or the first found; "" if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), "")


@dataclass(frozen=True)
class Server:
    """A running `panel serve apps/explorer.py`."""

    url: str
    pid: int
    log: Path

    def tracebacks(self, start: int = 0) -> list[str]:
        """Log entries from byte `start` on that hold a traceback and are not `HARMLESS`."""
        text = self.log.read_bytes()[start:].decode(errors="replace")
        entries = re.split(r"(?m)^(?=\d{4}-\d\d-\d\d )", text)
        return [e for e in entries if "Traceback" in e and not HARMLESS.search(e)]


@contextmanager
def serve(app: str = "apps/explorer.py") -> Iterator[Server]:
    """A server of a script on a free port whose sessions end a few seconds after their page.

    Raises
    ------
    RuntimeError
        With the log, if it does not start.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "panel", "serve", app, "--port", str(port)]
    command += ["--unused-session-lifetime", "6000", "--check-unused-sessions", "1000"]
    with TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        with log.open("w") as out:
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        try:
            _await(f"http://localhost:{port}/", process, log)
            yield Server(f"http://localhost:{port}/{Path(app).stem}", process.pid, log)
        finally:
            process.terminate()
            process.wait(30)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=10)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")
