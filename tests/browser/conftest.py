"""A served explorer and a Chromium with the network cut; both are watched for errors.

Without a Chromium the tests are skipped with the reason, except under CI=true, where they fail.
"""

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
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]
HARMLESS = re.compile(r"WebSocketClosedError|StreamClosedError")
"""What a closed tab leaves in the log while frames are still under way."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def _unavailable(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"browser tests cannot run: {reason}")
    pytest.skip(reason)


@dataclass(frozen=True)
class Server:
    """A running `panel serve apps/explorer.py`."""

    url: str
    log: Path

    def tracebacks(self, start: int = 0) -> list[str]:
        """Log entries from byte `start` on that hold a traceback and are not `HARMLESS`."""
        text = self.log.read_bytes()[start:].decode(errors="replace")
        entries = re.split(r"(?m)^(?=\d{4}-\d\d-\d\d )", text)
        return [e for e in entries if "Traceback" in e and not HARMLESS.search(e)]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "server.log"
    command = [sys.executable, "-m", "panel", "serve", "apps/explorer.py", "--port", str(port)]
    command += ["--unused-session-lifetime", "1000", "--check-unused-sessions", "500"]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
    try:
        _await_server(f"http://localhost:{port}/", process, log)
        yield Server(f"http://localhost:{port}/explorer", log)
    finally:
        process.terminate()
        process.wait(10)


def _await_server(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the server did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _unavailable("playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        _unavailable("no Chromium found (set CHROMIUM to its path)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, server: Server):
    """`open_page(query="", width=…, height=…)`: a page; any error on it fails the test."""
    start = server.log.stat().st_size
    origin = server.url.rsplit("/", 1)[0]
    allowed = (origin, origin.replace("http", "ws", 1), "data:", "blob:")
    problems: list[str] = []
    contexts = []

    def watch(page) -> None:
        page.on(
            "console",
            lambda m: problems.append(f"console: {m.text}") if m.type == "error" else None,
        )
        page.on("pageerror", lambda e: problems.append(f"page error: {e}"))
        page.on(
            "request",
            lambda r: None if r.url.startswith(allowed) else problems.append(f"outside: {r.url}"),
        )

    def open_(query: str = "", *, width: int = 1280, height: int = 900):
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        watch(page)
        page.goto(f"{server.url}?{query}")
        return page

    yield open_
    for context in contexts:
        context.close()
    time.sleep(0.3)  # let the server log what the closing of the tabs makes it log
    assert not problems, problems
    assert not server.tracebacks(start), server.tracebacks(start)
