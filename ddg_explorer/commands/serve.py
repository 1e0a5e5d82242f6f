"""Serve the live app to a browser (same as `panel serve apps/explorer.py`)."""

from __future__ import annotations

import argparse
import errno
import gc
import importlib
import os
import socket
import sys
from types import ModuleType

from ddg_explorer.commands.report import Report

APP = "ddg_explorer.app.serve"
"""The server of the page, imported when it is asked for."""
ELSEWHERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""What binding says to an address that this machine does not have."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Address, port, hosts of proxies, and whether to open a browser."""
    parser.add_argument("--address", default="localhost", help="where to listen (localhost)")
    parser.add_argument("--port", type=int, default=5006, help="port (5006)")
    parser.add_argument(
        "--allow-websocket-origin",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="where a proxy shows the page, if it does not pass on the host; may be repeated",
    )
    parser.add_argument("--open", action="store_true", help="open a browser on the page")


def run(args: argparse.Namespace) -> Report:
    """Serve until interrupted."""
    if not 1 <= args.port <= 65535:
        raise ValueError(f"port={args.port}: must lie in [1, 65535]")
    _check_listening(args.address, args.port)
    try:
        app = import_app()
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the app needs {error.name}, which is not installed: pip install 'ddg-explorer[app]'"
        ) from None
    origins = args.allow_websocket_origin
    app.serve(port=args.port, address=args.address, show=args.open, origins=origins)
    return Report({"address": args.address, "port": args.port}, "stopped")


def import_app() -> ModuleType:
    """`app.serve`, the first time without garbage collections; what is there then stays for good.

    A quarter of the time of such an import goes into looking for garbage, of which it makes next to
    none.
    """
    if APP in sys.modules:
        return importlib.import_module(APP)
    collecting = gc.isenabled()
    gc.disable()
    try:
        app = importlib.import_module(APP)
        gc.freeze()
    finally:
        if collecting:
            gc.enable()
    return app


def _check_listening(address: str, port: int) -> None:
    """ValueError for an address that is none of this machine's, or a port that is taken."""
    try:
        places = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise ValueError(f"address={address!r}: must be a name or number of this machine") from None
    free = 0
    for family, _, _, _, place in places:
        try:
            with socket.create_server(place, family=family):
                free += 1
        except OSError as error:
            if error.errno not in ELSEWHERE:
                raise ValueError(f"port={port}: {os.strerror(error.errno or 0)}") from None
    if not free:
        raise ValueError(f"address={address!r}: is not of this machine")
