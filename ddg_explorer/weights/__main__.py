"""Make the shipped models that are missing: `python -m ddg_explorer.weights [NAME …]`.

A name is that of a file without its suffix, or the beginning of some: `kdv`, `ch.dgnet`. A training
that was killed goes on where it was; files are complete or absent.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ddg_explorer.data_cache import user_cache
from ddg_explorer.evaluation import errors, forecast, one_step_error
from ddg_explorer.fitting import Fit
from ddg_explorer.io import atomic, checked_path
from ddg_explorer.recipes import make_dataset, make_test
from ddg_explorer.weights.cards import document
from ddg_explorer.weights.table import SHIPPED, Shipped


def chosen(names: Sequence[str]) -> list[Shipped]:
    """The rows whose names begin so, all for no names; ValueError for one that is in no row."""
    for name in names:
        if not any(row.name.startswith(name) for row in SHIPPED):
            known = ", ".join(row.name for row in SHIPPED)
            raise ValueError(f"name={name!r}: use some of {known}")
    return [row for row in SHIPPED if not names or row.name.startswith(tuple(names))]


def make(row: Shipped, work: Path, command: str) -> None:
    """Train one model, measure it on held-out rollouts, and write it with its card."""
    from tqdm import tqdm

    state = work / f"{row.name}.training.safetensors"
    data = make_dataset(row.recipe)
    options: dict[str, Any] = (
        {} if row.structure is None else {"structure": {"kind": row.structure}}
    )
    fit = Fit(row.model, data, row.budget, checkpoint=state, activation=row.activation, **options)
    with tqdm(unit="step", desc=row.name, file=sys.stderr, disable=None) as bar:
        for progress in fit:
            bar.total = progress.steps
            bar.update(progress.step - bar.n)
            bar.set_postfix_str(f"loss {progress.loss:.2e}")
    test = make_test(replace(row.recipe, test={**row.recipe.test, "noise": 0.0}))
    found = forecast(fit.model, test.u[:, 0], test.dt, test.frames - 1)
    metrics = {"one_step": one_step_error(fit.model, test)}
    metrics |= errors(found, test.u, row.recipe.make_system().energy)
    fit.model.save(row.path, fit.card(command, metrics=metrics))
    state.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is missing; exit code 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m ddg_explorer.weights", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (all)")
    parser.add_argument("--again", action="store_true", help="also those that are there")
    parser.add_argument("--list", action="store_true", help="only list what is there and missing")
    parser.add_argument("--cards", metavar="F", help="only write the table of cards to a .md file")
    args = parser.parse_args(arguments)
    try:
        rows = chosen(args.names)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    if args.cards is not None:
        return _write_cards(rows, args.cards, parser)
    work = user_cache() / "training" / "weights"
    work.mkdir(parents=True, exist_ok=True)
    for row in rows:
        there = row.path.is_file()
        if args.list:
            sys.stdout.write(f"{'made   ' if there else 'missing'}  {row.name}\n")
        elif args.again or not there:
            make(row, work, f"python -m ddg_explorer.weights {row.name}")
    return 0


def _write_cards(rows: Sequence[Shipped], path: str, parser: argparse.ArgumentParser) -> int:
    try:
        target = checked_path(path, (".md",))
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    with atomic(target) as file:
        file.write_text(document(rows, f"{parser.prog} --cards {path}"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
