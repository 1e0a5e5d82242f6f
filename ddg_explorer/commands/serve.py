"""Serve the live app to a browser (same as `panel serve apps/explorer.py`)."""

from __future__ import annotations

import argparse
import importlib

from ddg_explorer.commands.report import Report


def configure(parser: argparse.ArgumentParser) -> None:
    """Address, port and whether to open a browser."""
    parser.add_argument("--address", default="localhost", help="where to listen (localhost)")
    parser.add_argument("--port", type=int, default=5006, help="port (5006)")
    parser.add_argument("--open", action="store_true", help="open a browser on the page")


def run(args: argparse.Namespace) -> Report:
    """Serve until interrupted."""
    if not 1 <= args.port <= 65535:
        raise ValueError(f"port={args.port}: must lie in [1, 65535]")
    try:
        app = importlib.import_module("ddg_explorer.app.serve")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the app needs {error.name}, which is not installed: pip install 'ddg-explorer[app]'"
        ) from None
    app.serve(port=args.port, address=args.address, show=args.open)
    return Report({"address": args.address, "port": args.port}, "stopped")
