"""`python -m benchmarks [--only ROW …] [--quick] [--strict] [--device D] [--threads N] | --table`.

Measures the rows, prints them and keeps each as JSON in `benchmarks/results/`. With --table it
measures nothing and writes what is kept into the table of `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

import torch

from benchmarks import table
from benchmarks.machine import Options, describe, pin
from benchmarks.report import Row, summary
from benchmarks.rows import CPU_ONLY, ROWS, measure


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=ROWS, help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="short runs, nothing is kept")
    parser.add_argument("--strict", action="store_true", help="exit 1 if a bound is missed")
    parser.add_argument("--device", default="cpu", help="where our side runs (default: cpu)")
    parser.add_argument("--threads", type=int, default=1, help="for both sides (default: 1)")
    parser.add_argument("--table", action="store_true", help="renew the table of the docs")
    arguments = parser.parse_args(argv)
    try:
        torch.zeros((), device=arguments.device, dtype=torch.float64)
    except (RuntimeError, AssertionError, TypeError) as error:
        parser.error(f"--device {arguments.device}: {str(error).splitlines()[0]}")
    return arguments


def main() -> int:
    arguments = parse()
    if arguments.table:
        table.write()
        return 0
    options = Options(arguments.device, arguments.threads, arguments.quick)
    pin(options.threads)
    machine = describe(options, " ".join(["python -m benchmarks", *sys.argv[1:]]))
    print(
        f"{machine['device_name']}, {machine['cores']} cores, {options.threads} thread(s); "
        f"torch {machine['versions']['torch']}, python {machine['python']}; {machine['date']}"
    )
    rows: list[Row] = []
    names = [name for name in ROWS if options.on_cpu or name not in CPU_ONLY]
    for name in arguments.only or names:
        start = time.perf_counter()
        try:
            row = measure(name, options)
        except Exception as error:
            traceback.print_exc()
            row = Row(name, "failed", {}, unavailable=f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - start
        row.print()
        print(f"    ({seconds:.0f} s)", flush=True)
        if row.figures and not options.quick:
            row.save(machine, seconds)
        rows.append(row)
    print(summary(rows))
    return int(arguments.strict and any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
