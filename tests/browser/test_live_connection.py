"""A page whose connection is cut says so, cannot be used meanwhile, and goes on by itself."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from benchmarks.browser import WHOLE, Server
from tests.browser.conftest import PATIENCE
from tests.browser.test_live import field, number, press, settle, typed, wait

HEADER = re.compile(rb'"msgtype":\s*"PATCH-DOC"[^}]*}')
LINE = "#ddg-connection span"
EXPIRY = 6.0
"""Seconds after which the server ends a session that nobody is connected to, and looks for it."""


class Wire:
    """A way to a server that can be cut, and that `refuses` connections or `swallows` all answers.

    Pages are told apart by the port that they come from, so it speaks of the server's.
    """

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("localhost", 0))
        self.port = self._listener.getsockname()[1]
        self._here, self._there = b"localhost:%d" % self.port, b"localhost:%d" % port
        self._target = port
        self._ends: list[socket.socket] = []
        self._within = False
        self.refuses = self.swallows = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, within: bool = False, refuse: bool = True) -> None:
        """Cut all connections, or the next that is in the middle of a message and then all."""
        self.refuses, self.swallows = refuse, False
        if within:
            self._within = True
            wait(lambda: not self._within, "a message to cut in two")
        ends, self._ends = self._ends, []
        for end in ends:
            _abort(end)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                if self.refuses:
                    _abort(near)
                    continue
                far = socket.create_connection(("localhost", self._target))
                self._ends += [near, far]
                for pump in (self._up, self._down):
                    threading.Thread(target=pump, args=(near, far), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(1 << 16):
                far.sendall(data.replace(self._here, self._there))
            far.shutdown(socket.SHUT_WR)

    def _down(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(1 << 16):
                header = HEADER.search(data)
                if self._within and header:
                    near.sendall(data[: header.end()])
                    time.sleep(0.05)
                    self._within = False
                    return
                if not self.swallows:
                    near.sendall(data)
            near.shutdown(socket.SHUT_WR)


def _abort(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    made = Wire(urlsplit(server.url).port or 0)
    yield made
    made.close()


@pytest.fixture
def page(browser, server: Server, wire: Wire) -> Iterator[Page]:
    """A page over the wire; none of its scripts may fail, nor the server."""
    start = server.log.stat().st_size
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.goto(f"http://localhost:{wire.port}/explorer?system=pendulum&lanes=truth")
    page.locator(WHOLE).wait_for(state="attached")
    yield page
    context.close()
    assert not problems
    assert not server.tracebacks(start)


def test_a_run_goes_on_where_its_connection_was_cut_in_a_message(page: Page, wire: Wire):
    canvas = field(page)
    wait(lambda: number(canvas, "t") > 0.3, "some time")
    wire.cut(within=True)
    expect(page.locator(LINE)).to_have_text("Connection lost. Trying again…")
    t = number(canvas, "t")
    with pytest.raises(Exception, match="Timeout"):
        page.get_by_role("button", name="Pause", exact=True).click(timeout=500)
    page.keyboard.press("r")
    wire.refuses = False
    expect(page.locator(LINE)).to_have_count(0)
    wait(lambda: number(field(page), "t") > t, "frames", 20)
    press(page, "Pause")
    seq = settle(field(page))
    press(page, "Step")
    wait(lambda: number(canvas, "seq") > seq, "a step")
    assert number(canvas, "t") > t


def test_what_the_browser_was_not_told_is_shown_when_it_is_back(page: Page, wire: Wire):
    """On pages with binary data, too, and without loading the page anew."""
    page.evaluate("window.same = true")
    canvas = field(page)
    wire.swallows = True
    press(page, "Pause")
    settle(canvas)
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()
    t = number(canvas, "t")
    wire.cut(refuse=False)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    expect(page.locator(LINE)).to_have_count(0)
    assert number(field(page), "t") >= t
    page.get_by_role("tab", name="Results").click()
    expect(page.get_by_role("tab", name="Results")).to_have_attribute("aria-selected", "true")
    page.locator(".bk-Figure").first.wait_for()
    wire.cut(refuse=False)
    expect(page.locator(LINE)).to_be_visible()
    expect(page.locator(LINE)).to_have_count(0)
    page.locator(".bk-Figure").first.wait_for()
    assert page.evaluate("window.same")


def test_a_page_whose_session_has_ended_is_loaded_from_its_address(page: Page, wire: Wire):
    typed(page, "dt").fill("0.07")
    typed(page, "dt").press("Enter")
    wait(lambda: number(field(page), "dt") == 0.07, "the time step")
    wire.cut()
    expect(page.locator(LINE)).to_be_visible()
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 40000; }")
    expect(page.locator(LINE)).to_contain_text("The server does not answer.")
    page.wait_for_timeout(1000 * EXPIRY + 2500)
    wire.refuses = False
    expect(page.get_by_text("The connection was lost for too long")).to_be_visible()
    wait(lambda: number(field(page), "dt") == 0.07, "the same time step", 20)
    expect(page.locator(LINE)).to_have_count(0)
