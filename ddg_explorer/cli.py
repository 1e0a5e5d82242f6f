"""The command line `ddg-explorer`, also `python -m ddg_explorer`: one command per file.

Exit codes: 0 done, 1 a run that ended early (its result and reason are reported all the same),
2 bad input, 130 interrupted. With `--json` the last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from ddg_explorer.commands import compare, inspect, listing, reproduce, serve, simulate, train
from ddg_explorer.commands.report import Report
from ddg_explorer.version import __version__

COMMANDS: dict[str, ModuleType] = {
    "list": listing,
    "simulate": simulate,
    "train": train,
    "compare": compare,
    "reproduce": reproduce,
    "inspect": inspect,
    "serve": serve,
}


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each command module fills its own part."""
    parser = Parser(
        prog="ddg-explorer",
        description="Energy-based, discrete-time physics with an exact discrete energy law.",
    )
    parser.add_argument("--version", action="version", version=f"ddg-explorer {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, module in COMMANDS.items():
        help_line = str(module.__doc__).partition("\n")[0].rstrip(".")
        command = commands.add_parser(name, help=help_line, description=help_line + ".")
        module.configure(command)
        command.add_argument("--json", action="store_true", help="print one JSON object, last")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = build_parser().parse_args(arguments)
    try:
        report: Report = COMMANDS[args.command].run(args)
    except (ValueError, OSError) as error:
        line = " ".join(str(error).split())
        sys.stderr.write(f"ddg-explorer {args.command}: error: {line}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"ddg-explorer {args.command}: interrupted\n")
        return 130
    _print(report, as_json=args.json)
    return report.code


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(_plain(report.figures), allow_nan=False) + "\n")
    else:
        sys.stdout.write(report.text + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    """`value` with null for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
