"""The served app's process: how it ends, and what it leaves behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.request import urlopen

import panel as pn
import pytest

from ddg_explorer.app import serve

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
