"""The command line `ddg-explorer`, also `python -m ddg_explorer`: one command per file.

Exit codes: 0 done, 1 a run that ended early (its result and reason are reported all the same),
2 bad input, 130 interrupted. With `--json` the last line on stdout is one JSON object. torch comes
with the command that needs it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, NoReturn

from ddg_explorer.version import __version__

if TYPE_CHECKING:
    from types import FrameType

    from ddg_explorer.commands.report import Report

COMMANDS = {
    "list": ("listing", "List the names that the other commands take"),
    "simulate": ("simulate", "Integrate a system, or a trained model; report drifts and residuals"),
    "train": ("train", "Train a model on the data of a system or on a file; save it with a card"),
    "compare": ("compare", "Compare models with the truth from one held-out initial state"),
    "reproduce": ("reproduce", "Reproduce the published tables, with their recipe or ours"),
    "inspect": ("inspect", "Inspect a checkpoint: its card, and what its G turned out to be"),
    "serve": ("serve", "Serve the live app to a browser"),
}
"""Name → module in `commands`, imported when the command is asked for, and a line of help."""
ONE_THREAD = ("train", "compare", "reproduce", "inspect")
"""Commands that compute on the CPU with one thread, see `takes_one_thread`; in `simulate` the
Fourier transforms of a large field gain from more."""
INTERRUPTS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Signals that end a command alike: Ctrl-C, one from a service manager, one from a closed
terminal."""
OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory")
"""What torch's RuntimeError says where an allocation fails, on the CPU and on other devices."""


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors."""

    def error(self, message: str) -> NoReturn:
        if message.endswith("expected one argument"):
            option = message.removeprefix("argument ").partition(":")[0]
            message += f"; a value that begins with - is written {option}=-1,2"
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class CommandParser(Parser):
    """The parser of one command, whose module fills it when it is needed."""

    module = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        command = import_module(f"ddg_explorer.commands.{self.module}")
        command.configure(self)
        self.add_argument("--json", action="store_true", help="print one JSON object, last")
        self.set_defaults(run=command.run)
        return super().parse_known_args(args, namespace)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each fills its own part when it is asked for."""
    parser = Parser(
        prog="ddg-explorer",
        description="Energy-based, discrete-time physics with an exact discrete energy law.",
    )
    parser.add_argument("--version", action="version", version=f"ddg-explorer {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="command", parser_class=CommandParser
    )
    for name, (module, line) in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=line + ".")
        command.module = module
        if name in ONE_THREAD:
            command.epilog = "On a CPU it takes one thread unless OMP_NUM_THREADS is set."
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    who = "ddg-explorer"
    _print_what_can_be()
    with handling_interrupts(signal.default_int_handler):
        try:
            with handling_interrupts(_end_process):
                args = build_parser().parse_args(arguments)
            who += f" {args.command}"
            with _threads(args):
                report: Report = args.run(args)
            _print(report, as_json=args.json)
        except (ValueError, OSError) as error:
            _tell(f"{who}: error: {' '.join(str(error).split())}")
            return 2
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            _tell(f"{who}: error: out of memory: use fewer points, frames or states")
            return 2
        except KeyboardInterrupt:
            _tell(f"{who}: interrupted")
            return 130
    return report.code


@contextmanager
def handling_interrupts(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Let `handler` take `INTERRUPTS`; in the end all are as before.

    A signal that is ignored stays so, as SIGHUP under nohup. Nothing happens in another thread
    than the main one, which alone receives signals.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in INTERRUPTS if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}
    taken = {n: old for n, old in before.items() if old not in (signal.SIG_IGN, None)}
    try:
        for number in taken:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in taken.items():
            signal.signal(number, old)


def _end_process(number: int, frame: FrameType | None) -> None:
    """End at once while a command is imported, with nothing to tidy up: an exception is lost, or
    ends in a traceback of another, in the libraries that it passes through."""
    with suppress(OSError):
        os.write(2, b"ddg-explorer: interrupted\n")
    os._exit(130)


def _tell(line: str) -> None:
    """A line on stderr, if that can still be written: the terminal may have been closed."""
    with suppress(OSError):
        sys.stderr.write(line + "\n")


def takes_one_thread(command: str, device: str, environ: Mapping[str, str]) -> bool:
    """Whether torch is to use one thread: unless OMP_NUM_THREADS tells how many, or on a GPU.

    The arrays here are small, so more threads hardly gain; beside other processes they wait for
    each other, and a training step of 0.3 s with one took 5 s with two on two busy cores.
    """
    on_cpu = device.partition(":")[0] == "cpu"
    return command in ONE_THREAD and on_cpu and "OMP_NUM_THREADS" not in environ


@contextmanager
def _threads(args: argparse.Namespace) -> Iterator[None]:
    """torch's threads while a command runs that takes one; as before afterwards."""
    if not takes_one_thread(args.command, getattr(args, "device", "cpu"), os.environ):
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)


def _print_what_can_be() -> None:
    """Let the terminal show ? for characters that its encoding has not."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _print(report: Report, *, as_json: bool) -> None:
    """Write the result to stdout; OSError where that cannot be written, which is then closed: what
    is left in it would fail once more when Python ends."""
    from ddg_explorer.io import plain

    text = json.dumps(plain(report.figures), allow_nan=False) if as_json else report.text
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError:
        with suppress(OSError):
            sys.stdout.close()
        raise
