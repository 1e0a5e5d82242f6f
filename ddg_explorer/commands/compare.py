"""Compare models with the truth from one held-out initial state.

Takes shipped weights unless checkpoints are given; a model that does not fit the system says why.
The truth is a system's, or a trajectory of a file, of those that no model was trained on.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from typing import Any

from ddg_explorer.commands.data_options import (
    add_data_options,
    data_recipe,
    names_file,
    own_data,
)
from ddg_explorer.commands.interruption import interruptible
from ddg_explorer.commands.options import at_least, naming
from ddg_explorer.commands.report import Report, columns
from ddg_explorer.compare import Contest, Lane, labels, learned_from, learned_seeds, unseen
from ddg_explorer.io import atomic, checked_path, plain
from ddg_explorer.models import MODELS, Model, load_model
from ddg_explorer.weights import find_weights

SHOWN = (
    *("model", "integrator", "energy_mse", "state_mse", "max_energy_drift"),
    *("max_own_energy_drift", "diverged_at", "ms_per_step"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `compare`."""
    add_data_options(parser)
    add = parser.add_argument
    add("--data", metavar="F", help="a file of trajectories, or the name of a data recipe")
    add("--models", metavar="A,B,…", help="shipped models by name (all that there are)")
    add(
        "--checkpoint", action="append", default=[], metavar="F", help="a trained model, repeatable"
    )
    add("--activation", default="tanh", metavar="A", help="of the shipped models (tanh)")
    add("--steps", type=int, metavar="K", help="steps of the rollout (the data's)")
    add("--seed", type=int, default=0, help="which held-out initial state (0)")
    add("--save", metavar="F", help="write all lanes to a .nc file, or the table to a .json file")


def run(args: argparse.Namespace) -> Report:
    """One lane per model; exit code 1 where none of them could be run, 130 after Ctrl-C, with the
    lanes that were complete."""
    at_least(args, 1, "steps")
    with naming(path="save"):
        target = None if args.save is None else checked_path(args.save, (".nc", ".json"))
    field = _on_file(args) if names_file(args.data) else _on_recipe(args)
    contest, notes = field.contest, list(field.notes)
    lanes, interrupted = _progress(field)
    if interrupted and not lanes:
        raise KeyboardInterrupt
    lanes += [_absent(args, contest, name) for name in field.missing]
    figures: dict[str, Any] = {
        "system": None if contest.system is None else contest.system.name,
        "dt": contest.truth.dt,
        "steps": contest.truth.frames - 1,
        "seed": args.seed,
        "truth": contest.truth_row(),
        "lanes": [lane.row() for lane in lanes],
    }
    if target is not None:
        with atomic(target) as file:
            if target.suffix == ".nc":
                contest.to_xarray(lanes).to_netcdf(file, engine="h5netcdf")
            else:
                file.write_text(json.dumps(plain(figures), indent=2) + "\n", encoding="utf-8")
    ran = [lane for lane in lanes if not lane.misfit]
    named = list(zip(labels(lanes), lanes, strict=True))
    rows = [{**lane.row(), "model": name} for name, lane in named if not lane.misfit]
    text = columns([{name: row[name] for name in SHOWN} for row in rows]) if ran else ""
    for told in ("misfit", "reason", "note"):
        notes += [f"{name}: {lane.row()[told]}" for name, lane in named if lane.row()[told]]
    if not ran:
        sys.stderr.write(f"ddg-explorer compare: no model was run: {'; '.join(notes)}\n")
    if interrupted:
        sys.stderr.write("ddg-explorer compare: interrupted\n")
    code = 130 if interrupted else int(not ran)
    return Report(figures, "\n".join([text, *notes] if text else notes), code)


Models = list[tuple[str, Model]]


@dataclass(frozen=True)
class Field:
    """Who takes part: the models with their files, names of models without one, and notes."""

    contest: Contest
    models: Models
    missing: list[str]
    notes: tuple[str, ...] = ()


def _on_recipe(args: argparse.Namespace) -> Field:
    """The shipped or given models on a recipe's held-out initial state."""
    recipe = data_recipe(args, args.data)
    models, missing = _models(args, recipe.system, args.data)
    learned = learned_seeds(model.card for _, model in models)
    contest = Contest.of(recipe, dt=args.dt, steps=args.steps, seed=args.seed, learned=learned)
    return Field(contest, models, missing)


def _on_file(args: argparse.Namespace) -> Field:
    """The same on a trajectory of a file, which the models have not learned if there is such."""
    if args.system is None and (args.models or not args.checkpoint):
        raise ValueError("checkpoint=None: give trained models of these data, or their --system")
    data, system = own_data(args)
    models, missing = _models(args, "" if system is None else system.name)
    held_out = unseen(data, [model.card for _, model in models])
    rows = held_out or list(range(data.trajectories))
    if not 0 <= args.seed < len(rows):
        raise ValueError(f"seed={args.seed}: must lie in [0, {len(rows) - 1}], one held-out each")
    contest = Contest.of_data(data, rows[args.seed], steps=args.steps, system=system)
    learned = "" if held_out else ", which a model has learned: no other is left"
    if held_out and not all(learned_from(data, model.card) for _, model in models):
        learned = "; whether a model learned it is not known"
    note = f"truth: trajectory {rows[args.seed]} of the file{learned}"
    return Field(contest, models, missing, (note,))


def _models(
    args: argparse.Namespace, system: str, data: str | None = None
) -> tuple[Models, list[str]]:
    """The models with their files, checkpoints before shipped ones, and names without either."""
    with naming(path="checkpoint"):
        models = [(path, load_model(path)) for path in args.checkpoint]
    given = {model.key for _, model in models}
    names = args.models.split(",") if args.models else [] if models else list(MODELS)
    missing = []
    for name in names:
        if name not in MODELS:
            raise ValueError(f"models={name!r}: use some of {', '.join(MODELS)}")
        path = find_weights(system, name, args.activation, data=data)
        if name not in given and path is not None:
            models.append((str(path), load_model(path)))
        elif name not in given and args.models:
            missing.append(name)
    if not models and not missing:
        raise ValueError(f"models=None: no {args.activation} weights of {system} are shipped")
    return models, missing


def _absent(args: argparse.Namespace, contest: Contest, name: str) -> Lane:
    """The lane of a model without weights: it cannot have any, or how to get some."""
    assert contest.system is not None
    system = contest.system.name
    how = f"train one with `ddg-explorer train --system {system} --model {name} --save F`"
    line = (
        f"no {args.activation} weights of {system} are shipped: {how} and give it as --checkpoint"
    )
    return Lane(name, misfit=contest.unsuited(name) or line)


def _progress(field: Field) -> tuple[list[Lane], bool]:
    """The lanes, with a bar on a terminal, and whether Ctrl-C kept some from being run."""
    from tqdm import tqdm

    total, lanes = len(field.models), []
    with (
        interruptible() as interrupt,
        tqdm(total=total, unit="lane", file=sys.stderr, disable=None, leave=False) as bar,
    ):
        for lane in interrupt.until(field.contest.run(field.models), "lane"):
            lanes.append(lane)
            bar.update()
    return lanes, len(lanes) < total
