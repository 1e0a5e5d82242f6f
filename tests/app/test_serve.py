"""The served app's process: how it ends, and what it leaves behind."""

import asyncio
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from urllib.request import urlopen

import panel as pn
import pytest
from panel.io.server import get_server
from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

from ddg_explorer import cli
from ddg_explorer.app import serve
from ddg_explorer.commands import serve as command

SECONDS = 120
ENDINGS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@pytest.fixture
def served(monkeypatch):
    """`serve()`, with this function in place of the serving itself."""
    monkeypatch.setattr(serve, "configure", lambda: None)

    def run(during) -> None:
        monkeypatch.setattr(pn, "serve", lambda pages, **options: during())
        serve.serve()

    return run


def opened(url: str) -> str:
    end = time.monotonic() + SECONDS
    while True:
        try:
            with urlopen(url) as answer:
                return answer.read().decode()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.2)


@pytest.mark.skipif(sys.platform == "win32", reason="there, nothing can ask a process to end")
@pytest.mark.parametrize("number", ENDINGS[1:])
def test_a_server_that_is_ended_leaves_no_files(number, tmp_path):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests run under nohup, and so would the server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "ddg_explorer", "serve", "--port", str(port)]
    server = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        assert "<html" in opened(f"http://127.0.0.1:{port}/explorer?page=train")
        assert list(tmp_path.glob("ddg-explorer-*"))
        server.send_signal(number)
        assert server.wait(SECONDS) == 0
    finally:
        server.kill()
        server.wait()
    assert list(tmp_path.glob("ddg-explorer-*")) == []


def test_the_host_of_a_proxy_is_let_in(monkeypatch):
    found = {}
    monkeypatch.setattr(serve, "configure", lambda: None)
    monkeypatch.setattr(pn, "serve", lambda pages, **options: found.update(options))
    cli.main(["serve", "--port", "5999", "--allow-websocket-origin", "physics.school.edu"])
    assert found["websocket_origin"] == [
        *("localhost:5999", "127.0.0.1:5999", "physics.school.edu"),
    ]
    assert 60_000 < found["unused_session_lifetime_milliseconds"] < 600_000, "a closed lid"


@pytest.mark.parametrize("number", ENDINGS[1:])
def test_signals_are_the_callers_again_afterwards(number, served):
    """A signal that was ignored, as under nohup, stays ignored."""
    before = [signal.getsignal(one) for one in ENDINGS]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt):
            served(lambda: signal.raise_signal(number))
        assert signal.getsignal(number) == signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)
        served(lambda: signal.raise_signal(number))
        assert signal.getsignal(number) == signal.SIG_IGN
        served(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        for one, handler in zip(ENDINGS, before, strict=True):
            signal.signal(one, handler)


def test_a_thread_can_serve(served):
    done = []
    thread = threading.Thread(target=served, args=(lambda: done.append(True),))
    thread.start()
    thread.join()
    assert done == [True]


def test_the_app_is_imported_without_garbage_collections():
    code = """if True:
        import gc
        from ddg_explorer.commands.serve import import_app
        runs = []
        gc.callbacks.append(lambda phase, about: runs.append(phase))
        app = import_app()
        print(len(runs), gc.isenabled(), gc.get_freeze_count() > 100_000)
        kept = gc.get_freeze_count()
        more = [[] for _ in range(10_000)]
        print(len(runs) > 0, import_app() is app, gc.get_freeze_count() == kept)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["0 True True", "True True True"]


@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_is_collected_as_before_after_an_import_that_failed(collecting, monkeypatch):
    def missing(name):
        assert not gc.isenabled()
        raise ModuleNotFoundError(name)

    monkeypatch.delitem(sys.modules, command.APP)
    monkeypatch.setattr(command.importlib, "import_module", missing)
    kept = gc.get_freeze_count()
    (gc.enable if collecting else gc.disable)()
    try:
        with pytest.raises(ModuleNotFoundError):
            command.import_app()
        assert gc.isenabled() == collecting
    finally:
        gc.enable()
    assert gc.get_freeze_count() == kept


SCRIPT = str(Path(__file__).parents[2] / "apps" / "explorer.py")


@pytest.mark.parametrize(
    ("page", "lifetime", "unopened"),
    [
        pytest.param(serve.open_session, 1, 1000.0, id="command"),
        pytest.param(SCRIPT, 1, 1000.0, id="script"),
        pytest.param(serve.open_session, 10**6, 0.05, id="long kept"),
    ],
)
def test_pages_that_are_asked_for_and_never_opened_are_freed(page, lifetime, unopened, monkeypatch):
    """With all that Panel makes for them: documents, areas of notifications.

    However long a session is kept whose page has been opened.
    """
    monkeypatch.setattr(serve, "UNOPENED", unopened)
    made, documents = weakref.WeakSet(), weakref.WeakSet()
    real = serve.Explorer

    def recorded(*args, **options):
        explorer = real(*args, **options)
        made.add(explorer)
        documents.add(pn.state.curdoc)
        return explorer

    monkeypatch.setattr(serve, "Explorer", recorded)
    monkeypatch.setattr(serve, "prepare_process", lambda: None)
    for name in ("notifications", "reconnect", "exception_handler"):
        monkeypatch.setattr(pn.config, name, getattr(pn.config, name))
    serve.configure()

    async def visits(count):
        server = get_server(
            {"explorer": page},
            port=0,
            start=False,
            loop=IOLoop.current(),
            unused_session_lifetime_milliseconds=lifetime,
            check_unused_sessions_milliseconds=50,
        )
        server.start()
        url, client = f"http://localhost:{server.port}/explorer", AsyncHTTPClient()
        try:
            for _ in range(count):
                await client.fetch(f"{url}?system=pendulum&lanes=truth", request_timeout=SECONDS)
            end = time.monotonic() + SECONDS
            while server.get_sessions("/explorer"):
                assert time.monotonic() < end
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.1)
        finally:
            server.stop()

    asyncio.run(visits(10))
    gc.collect()
    assert (len(made), len(documents)) == (0, 0)


def raised(problem):
    try:
        raise problem
    except BaseException as caught:
        return type(caught), caught, caught.__traceback__


def session():
    raise AssertionError


def parted():
    try:
        session()
    except AssertionError as problem:
        return type(problem), problem, problem.__traceback__


@pytest.mark.parametrize(
    ("line", "problem", "kept"),
    [
        ("Task exception was never retrieved", raised(WebSocketClosedError()), False),
        ("Task exception was never retrieved", raised(StreamClosedError()), False),
        ("Task exception was never retrieved", raised(ValueError("dt")), True),
        ("Failed sending message as connection was closed", None, False),
        ("Uncaught exception GET /explorer/ws", parted(), False),
        ("Uncaught exception GET /explorer/ws", raised(AssertionError()), True),
        ("WebSocket connection opened", None, True),
    ],
)
def test_closed_tabs_do_not_fill_the_log(line, problem, kept):
    record = logging.LogRecord("asyncio", logging.ERROR, __file__, 1, line, None, problem)
    assert serve.ClosedTabs().filter(record) is kept
