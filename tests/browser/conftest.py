"""A served explorer and a Chromium with the network cut; both are watched for errors.

Without a Chromium the tests are skipped with the reason, except under CI=true, where they fail.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.browser import ARGS, WHOLE, Server, chromium_path, serve

PATIENCE = 30_000
"""Milliseconds that a page may take to show something: a busy machine is not a failure."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


def _unavailable(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"browser tests cannot run: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def browser():
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        _unavailable("playwright is not installed")
    path = chromium_path()
    if not path:
        _unavailable("no Chromium found (set CHROMIUM to its path)")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(ARGS))
        yield chromium
        chromium.close()


@pytest.fixture
def arrived() -> str:
    """Selector of what is there when the page is complete."""
    return WHOLE


@pytest.fixture
def open_page(browser, server: Server, arrived: str):
    """`open_page(query="", width=…, height=…)`: a page; any error on it fails the test.

    It is complete, or with `whole=False` still arriving; with `touch` its pointer is a finger; with
    `calm` the system asks for less motion.
    """
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

    def open_(
        query: str = "",
        *,
        width: int = 1280,
        height: int = 900,
        whole: bool = True,
        touch: bool = False,
        calm: bool = False,
    ):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            has_touch=touch,
            reduced_motion="reduce" if calm else "no-preference",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        watch(page)
        page.goto(f"{server.url}?{query}")
        if whole:
            page.locator(arrived).wait_for(state="attached")
        return page

    yield open_
    for context in contexts:
        context.close()
    time.sleep(0.3)  # let the server log what the closing of the tabs makes it log
    assert not problems, problems
    assert not server.tracebacks(start), server.tracebacks(start)
