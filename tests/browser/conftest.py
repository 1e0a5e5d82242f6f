"""A served explorer and a Chromium with the network cut; both are watched for errors.

Without a Chromium the tests are skipped with the reason, except under CI=true, where they fail.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.browser import ARGS, WHOLE, Server, chromium_path, serve

PATIENCE = 30_000
"""Milliseconds that a page may take to show something: a busy machine is not a failure."""

FORGET = """() => {
  window.name = "";
  if (location.protocol === "http:") { localStorage.clear(); sessionStorage.clear(); }
}"""


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


@pytest.fixture(scope="session")
def tabs(browser) -> Iterator[list]:
    """Pages at rest that tests use one after the other, each the only one of its context.

    A tab that has shown the explorer before has its scripts at hand and compiled, which saves a
    third of the processor time of a visit.
    """
    resting: list = []
    yield resting
    for page in resting:
        page.context.close()


@pytest.fixture(scope="module")
def news(server: Server) -> Iterator[Callable[[], list[str]]]:
    """`news()`: the tracebacks that the server has logged since it was asked last."""
    told = len(server.tracebacks())

    def ask() -> list[str]:
        nonlocal told
        if len(server.tracebacks()) > told:
            time.sleep(0.3)  # what is being written is read whole
        since = server.tracebacks()[told:]
        told += len(since)
        return since

    yield ask
    time.sleep(0.3)  # let the server log what the closing of the last tab makes it log
    assert not (late := ask()), late


@pytest.fixture
def open_page(browser, server: Server, arrived: str, tabs: list, news):
    """`open_page(query="", width=…, height=…)`: a page; any error on it fails the test.

    It is complete, in a tab that earlier tests may have used, or with `whole=False` still arriving
    in a browser that has never seen it; with `touch` its pointer is a finger; with `calm` the
    system asks for less motion. Tracebacks that a page leaves behind in the server's log when it is
    closed fail this test or the next one.
    """
    origin = server.url.rsplit("/", 1)[0]
    allowed = (origin, origin.replace("http", "ws", 1), "data:", "blob:", "about:blank")
    problems: list[str] = []
    watched = {
        "console": lambda m: problems.append(f"console: {m.text}") if m.type == "error" else None,
        "pageerror": lambda e: problems.append(f"page error: {e}"),
        "request": lambda r: (
            None if r.url.startswith(allowed) else problems.append(f"outside: {r.url}")
        ),
    }
    borrowed, own = [], []

    def fresh(**options):
        page = browser.new_context(**options).new_page()
        page.set_default_timeout(PATIENCE)
        return page

    def open_(
        query: str = "",
        *,
        width: int = 1280,
        height: int = 900,
        whole: bool = True,
        touch: bool = False,
        calm: bool = False,
    ):
        size = {"width": width, "height": height}
        if touch or not whole:
            page = fresh(viewport=size, has_touch=touch)
            own.append(page)
        else:
            page = tabs.pop() if tabs else fresh()
            borrowed.append(page)
            page.set_viewport_size(size)
        page.emulate_media(reduced_motion="reduce" if calm else "no-preference")
        for event, hear in watched.items():
            page.on(event, hear)
        page.goto(f"{server.url}?{query}")
        if whole:
            page.locator(arrived).wait_for(state="attached")
        return page

    yield open_
    for page in own:
        page.context.close()
    for page in borrowed:
        if not page.is_closed():
            _leave(page, watched)
            tabs.append(page)
    assert not problems, problems
    assert not (logged := news()), logged


def _leave(page, watched: dict) -> None:
    """Close what a tab shows, and take from it what the next page could find."""
    page.evaluate(FORGET)
    page.goto("about:blank")
    page.mouse.up()
    page.mouse.move(-1, -1)
    for event, hear in watched.items():
        page.remove_listener(event, hear)
