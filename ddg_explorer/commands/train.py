"""Train a model on the data of a system or on a file, and save it with a card.

With the system's name alone the data are those of the published experiments; a preset or other
parameters make data of their own.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ddg_explorer.budgets import BUDGETS, Budget, budget
from ddg_explorer.commands.data_options import add_data_options, training_data
from ddg_explorer.commands.held_out import held_out, measured, roll_out
from ddg_explorer.commands.interruption import Interrupt, interruptible
from ddg_explorer.commands.options import at_least, choose_dtype, naming, refuse_given
from ddg_explorer.commands.report import Report, table
from ddg_explorer.data import Dataset
from ddg_explorer.data_advice import advice
from ddg_explorer.dynamics import check_device
from ddg_explorer.fitting import Fit
from ddg_explorer.io import checked_path, plain
from ddg_explorer.models import MODELS
from ddg_explorer.models.operators import operators_of
from ddg_explorer.models.recipe import DTYPES, PRIORS
from ddg_explorer.training.defaults import NOISE, OPTIMISERS, default_noise
from ddg_explorer.training.first_order import SCHEDULES
from ddg_explorer.training.prepare import WEIGHTS
from ddg_explorer.training.smoothing import ORDER
from ddg_explorer.verdict import verdict

INTERRUPTED = "interrupted"
NOISE_UNIT, CHANGE_UNIT = "variance of the noise", "loss of no change"
FIRST_ORDER_ONLY = ("lr", "batch", "schedule", "unroll")
"""Options that Levenberg–Marquardt has not."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    add_data_options(parser)
    add = parser.add_argument
    add("--model", required=True, metavar="M", help=", ".join(MODELS))
    add("--data", metavar="F", help="a file of trajectories, or the name of a data recipe")
    add("--trajectories", type=int, metavar="N", help="how many of the recipe's trajectories")
    add("--frames", type=int, metavar="K", help="steps of each trajectory of the data")
    add("--data-seed", type=int, default=0, metavar="N", help="of the data's initial states (0)")
    add("--noise", type=float, default=0.0, metavar="X", help="noise to add, in units of the RMS")
    what = f"against noise in the data: {', '.join(NOISE)} (by the data)"
    add("--denoise", choices=NOISE, help=what)
    what = "what residuals count by: their own component's size, or one (by the data)"
    add("--weights", choices=WEIGHTS, help=what)
    add("--prior", choices=PRIORS, help="local: an energy ∫ e(u) + ½κ|∇u|² of a field")
    _add_model_options(parser)
    add("--optimizer", choices=OPTIMISERS, help="the best for the model unless given")
    add("--steps", type=int, metavar="K", help="iterations of the optimiser")
    add("--lr", type=float, metavar="X", help="step size of adam and soap (the budget's)")
    add("--batch", type=int, metavar="N", help="pairs a step of adam and soap (the budget's)")
    what = "step size of adam and soap over the run (the budget's)"
    add("--schedule", choices=SCHEDULES, help=what)
    what = "steps in a row that adam and soap train on, through the implicit equation (1)"
    add("--unroll", type=int, metavar="K", help=what)
    add("--budget", choices=BUDGETS, default="ours", help="recipe to start from (ours)")
    add("--test", action="store_true", help="also roll out from held-out states afterwards")
    add("--save", metavar="F", help="write the model to a .safetensors file")
    add("--resume", metavar="F", help="keep the run in this .safetensors file, and go on from it")
    add("--device", default="cpu", help="cpu, cuda, cuda:1, … (cpu)")
    add("--dtype", choices=DTYPES, help="of the weights (float64 where the device has it)")
    add("--seed", type=int, default=0, help="of weights, validation split and batches (0)")


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--scheme", metavar="X", help="training scheme: rk2, dopri5, … (the model's first)")
    add("--activation", metavar="A", help="see `list` (tanh)")
    add(
        "--structure",
        dest="operator_kind",
        metavar="G",
        help="the model's G: symplectic, laplacian, learned_kernel, …",
    )
    add("--hidden", type=int, metavar="H", help="width of the hidden layers")
    add("--depth", type=int, metavar="D", help="number of hidden layers (2)")


def run(args: argparse.Namespace) -> Report:
    """Train, save, test, report; exit code 1 for a run that diverged, 130 for an interrupted one.

    A training that is interrupted is saved as far as it came, and not tested; an interrupted test
    leaves the model saved without its metrics.
    """
    _check(args)
    data, recipe = training_data(args)
    if args.test and recipe is None and data.trajectories < 2:
        raise ValueError("test=True: the file has one trajectory, and none is held out")
    kinds = operators_of(field=data.grid is not None)
    if args.operator_kind not in (None, *kinds):
        raise ValueError(f"structure={args.operator_kind!r}: use one of {', '.join(kinds)}")
    if args.noise:
        data = data.with_noise(args.noise, args.data_seed)
    chosen = _budget(args, data)
    with naming(noise="denoise", checkpoint="resume"):
        fit = Fit(
            args.model,
            data,
            chosen,
            seed=args.seed,
            device=args.device,
            checkpoint=args.resume,
            **_network(args),
        )
        _check_frames(args, fit)
        if fit.options["optimizer"] == "lm":
            refuse_given(
                args, FIRST_ORDER_ONLY, "needs --optimizer adam or soap, this run takes lm"
            )
        hints = advice(
            data,
            fit.model,
            optimizer=fit.options["optimizer"],
            noise=args.denoise,
            weights=fit.weights or "none",
        )
        _tell(hints)
        with interruptible() as interrupt:
            reason = _follow(fit, interrupt)
            _save(args, fit, {})
    rollouts, tested = None, {}
    if not reason and (args.test or (recipe is None and fit.validation is not None)):
        try:
            if interrupt.asked:
                raise KeyboardInterrupt
            test = held_out(args, fit, recipe)
            rollouts = roll_out(fit.model, test), test
            if args.test:
                tested = plain(measured(fit.model, *rollouts, recipe))
                _save(args, fit, tested)
        except KeyboardInterrupt:
            reason = f"test {INTERRUPTED}" + ("" if args.save is None else "; model saved")
    if fit.last is not None and not (reason or fit.last.reason):
        losses = fit.last.loss, fit.last.validation_loss
        found = verdict(*losses, fit.model, _treatment(args, fit), rollouts)
        _tell(found)
        hints += found
    return _report(args, fit, data.context, {**tested, "hints": hints}, reason)


def _save(args: argparse.Namespace, fit: Fit, tested: Mapping[str, Any]) -> None:
    """Write the model's card, and the model to a file if one was asked for."""
    fit.card(shlex.join(["ddg-explorer", *sys.argv[1:]]), metrics=tested)
    if args.save is not None and fit.last is not None:
        fit.model.save(args.save)


def _tell(lines: Sequence[str]) -> None:
    for line in lines:
        sys.stderr.write(f"ddg-explorer train: {line}\n")


def _check(args: argparse.Namespace) -> None:
    """ValueError for an option that no data would suit."""
    for option in ("save", "resume"):
        path = getattr(args, option)
        if path is not None:
            with naming(path=option):
                checked_path(path, (".safetensors",))
    if args.model not in MODELS:
        raise ValueError(f"model={args.model!r}: use one of {', '.join(MODELS)}")
    at_least(args, 1, "trajectories", "frames", "steps", "hidden", "depth", "batch", "unroll")
    if args.lr is not None and not 0 < args.lr < math.inf:
        raise ValueError(f"lr={args.lr}: must be positive and finite")
    if not 0 <= args.noise < math.inf:
        raise ValueError(f"noise={args.noise}: must be finite and not negative")
    check_device(args.device, DTYPES["float32"])


def _treatment(args: argparse.Namespace, fit: Fit) -> str:
    """What is done against noise in the data."""
    return args.denoise or default_noise(fit.options["optimizer"], fit.training)


def _check_frames(args: argparse.Namespace, fit: Fit) -> None:
    """ValueError for fewer frames than smoothing needs, which every treatment starts with."""
    least = 2 * ORDER - 1
    if _treatment(args, fit) != "none" and args.frames is not None and args.frames < least:
        raise ValueError(f"frames={args.frames}: must be at least {least}, or --denoise none")


def _budget(args: argparse.Namespace, data: Dataset) -> Budget:
    """The budget with the optimiser and steps of the command line."""
    system = str(data.context.get("system", ""))
    noisy = (args.denoise or default_noise(args.optimizer or "lm", data)) == "states"
    chosen = budget(args.budget, system, args.model, ode=data.grid is None, noisy=noisy)
    chosen = chosen.with_optimizer(args.optimizer).with_steps(args.steps)
    settings = {name: getattr(args, name) for name in FIRST_ORDER_ONLY}
    return chosen.with_options(noise=args.denoise, weights=args.weights, **settings)


def _network(args: argparse.Namespace) -> dict[str, Any]:
    names = ("scheme", "activation", "hidden", "depth", "prior")
    options = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.operator_kind is not None:
        options["structure"] = {"kind": args.operator_kind}
    if args.dtype is not None or args.device != "cpu":
        dtype = choose_dtype(args.device, args.dtype)
        options["dtype"] = str(dtype).removeprefix("torch.")
    return options


def _follow(fit: Fit, interrupt: Interrupt) -> str:
    """Run the training with a bar on a terminal; `INTERRUPTED` where it was, else "".

    A model whose last step was broken off goes back to the event before it.
    """
    from tqdm import tqdm

    last, weights = None, {}
    with tqdm(unit="step", file=sys.stderr, disable=None, leave=False) as bar:
        for last in interrupt.until(fit):
            weights = {name: tensor.clone() for name, tensor in fit.model.state_dict().items()}
            bar.total = last.steps
            bar.update(last.step - bar.n)
            bar.set_postfix_str(f"loss {last.loss:.2e}")
    if last is not None and last.done:
        return ""
    fit.last = last
    if last is not None:
        fit.model.load_state_dict(weights)
    return INTERRUPTED


def _report(
    args: argparse.Namespace,
    fit: Fit,
    context: Mapping[str, Any],
    tested: Mapping[str, Any],
    interrupted: str,
) -> Report:
    last, card = fit.last, fit.model.card
    reason = interrupted or ("" if last is None else last.reason)
    figures = {
        "system": context.get("system"),
        "model": args.model,
        "optimizer": fit.options["optimizer"],
        "steps": card["steps"],
        "parameters": card["parameters"],
        "loss": card["loss"],
        "validation_loss": card["validation_loss"],
        "loss_unit": NOISE_UNIT if _treatment(args, fit) == "states" else CHANGE_UNIT,
        "validation_loss_unit": CHANGE_UNIT,
        "wall_s": card["wall_s"],
        "checkpoint": None if last is None else args.save,
        **tested,
        "data": card["data"]["digest"],
        "seed": args.seed,
        "dtype": str(fit.model.dtype).removeprefix("torch."),
        "device": args.device,
        "reason": reason,
    }
    code = 130 if interrupted else int(bool(reason))
    if code:
        _tell([reason])
    shown = {name: value for name, value in figures.items() if name not in ("rollouts", "hints")}
    if "diverged" in tested:
        shown["diverged"] = f"{tested['diverged']} of {tested['rollouts']}"
    return Report(figures, table(shown), code)
