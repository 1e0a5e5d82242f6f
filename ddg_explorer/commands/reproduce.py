"""Reproduce the published tables, with their training recipe or ours; resumable.

Every training run has a result file of its own: what is there is not run again, and a run that was
killed goes on where it was.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ddg_explorer.budgets import BUDGETS
from ddg_explorer.commands.interruption import Interrupt, interruptible
from ddg_explorer.commands.options import at_least, naming
from ddg_explorer.commands.report import Report
from ddg_explorer.data_cache import user_cache
from ddg_explorer.dynamics import check_device
from ddg_explorer.io import atomic, checked_path
from ddg_explorer.paper import (
    COMMITTED,
    PUBLISHED,
    TESTS,
    Cell,
    Study,
    cells,
    check_experiment,
    markdown,
    summarise,
    write_json,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `reproduce`."""
    add = parser.add_argument
    add("experiments", nargs="*", metavar="EXPERIMENT", help=f"{', '.join(PUBLISHED)} (all)")
    add("--seeds", type=int, default=1, metavar="N", help="training runs of each row (1)")
    add("--budget", default="ours", metavar="B,…", help=f"some of {', '.join(BUDGETS)} (ours)")
    add("--models", metavar="A,B,…", help="models, or model/train for one training scheme (all)")
    add("--tests", default="test", metavar="T,…", help=f"test sets: {', '.join(TESTS)} (test)")
    add("--steps", type=int, metavar="K", help="optimiser steps instead of the budget's")
    add("--device", default="cpu", help="cpu, cuda, … (cpu); Levenberg–Marquardt stays on the CPU")
    add("--results", metavar="DIR", help="folder of the results (in the user's cache)")
    add("--show", action="store_true", help="show the results that are there, run nothing")
    add("--save", metavar="F", help="write the tables to a .md or .json file")


def run(args: argparse.Namespace) -> Report:
    """Run what is missing, and show the tables; exit code 130 where it was interrupted."""
    with naming(path="save"):
        target = None if args.save is None else checked_path(args.save, (".md", ".json"))
    at_least(args, 1, "seeds", "steps")
    names = [check_experiment(name) for name in args.experiments] or list(PUBLISHED)
    _check_rows(args.models.split(",") if args.models else [], names)
    folder = _folder(args)
    interrupted = not args.show and _run(args, names, folder)
    tables = summarise(folder, names)
    text = markdown(tables)
    if target is not None and target.suffix == ".json":
        write_json(tables, target)
    elif target is not None:
        with atomic(target) as file:
            file.write_text(_document(args, tables), encoding="utf-8")
    return Report(tables, text, 130 if interrupted else 0)


def _document(args: argparse.Namespace, tables: Mapping[str, Any]) -> str:
    """All tables with every seed, and the command that wrote them."""
    command = shlex.join(["ddg-explorer", *sys.argv[1:]])
    about = (
        "Means over seeds beside the published means over 15 trials. `test` is the published test "
        "set, `fresh` another draw of it, `long` five rollouts of 5000 steps. du/dt is the mean "
        "square error of the continuous right-hand side, as published, and a dash in results older "
        "than its measurement; `one step` is the residual of the trained step, which was not "
        "published; energy and state are mean square errors of the rollouts. `4 of 5` seeds: one "
        "of five trained models did not run that test set. Wall and CPU time are of one training, "
        "on one thread of a machine that did other work too, or on a GPU: every result file names "
        "its device."
    )
    parts = ["# Results", f"Written by `{command}`.", about, markdown(tables, seeds=True)]
    return "\n\n".join(parts) + "\n"


def _folder(args: argparse.Namespace) -> Path:
    """The results: those of the package to show, a folder of one's own to add to."""
    if args.results is not None:
        folder = Path(args.results)
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not nearest.is_dir():
            raise ValueError(f"results={args.results!r}: must be a folder, {nearest} is none")
        return folder
    return COMMITTED if args.show else user_cache() / "results"


def _run(args: argparse.Namespace, names: list[str], folder: Path) -> bool:
    """Run all cells with a bar each; True where that was interrupted."""
    check_device(args.device, torch.float64)
    tests = args.tests.split(",")
    for test in tests:
        if test not in TESTS:
            raise ValueError(f"tests={test!r}: use some of {', '.join(TESTS)}")
    budgets = args.budget.split(",")
    models = None if args.models is None else args.models.split(",")
    wanted = list(cells(names, models=models, budgets=budgets, seeds=args.seeds, steps=args.steps))
    command = shlex.join(["ddg-explorer", *sys.argv[1:]])
    study = Study(folder, user_cache() / "training", command, device=args.device)
    with interruptible() as interrupt:
        for number, cell in enumerate(wanted, 1):
            _follow(study, cell, tests, interrupt, f"{number}/{len(wanted)}")
        return interrupt.asked


def _check_rows(models: list[str], names: list[str]) -> None:
    """ValueError for a model, or model/train, that no row of these tables has."""
    rows = dict.fromkeys(row.rpartition("/")[0] for name in names for row in PUBLISHED[name])
    for model in models:
        if not any(model in (row, row.partition("/")[0]) for row in rows):
            raise ValueError(f"models={model!r}: no such row; use some of {', '.join(rows)}")


def _follow(study: Study, cell: Cell, tests: list[str], interrupt: Interrupt, place: str) -> None:
    """Run a cell with a bar that tells its place among all, until interrupted."""
    from tqdm import tqdm

    how = f"{cell.model}@{cell.how.name}/{cell.train} seed {cell.seed}"
    with tqdm(unit="step", file=sys.stderr, disable=None, leave=False) as bar:
        what = ""
        for event in interrupt.until(study.run(cell, tests)):
            if event.what != what:
                bar.reset(event.total)
                what = event.what
            bar.set_description_str(f"{place} {cell.experiment} {how}: {event.what}")
            bar.set_postfix_str(event.note)
            bar.update(event.done - bar.n)
