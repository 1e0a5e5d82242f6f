"""What a finished run tells of itself where it did not succeed, and what to try.

A loss is relative to that of no change, or with whole trajectories to the variance of the noise;
the error of rollouts from held-out states is relative to the variance of the data, so that 1 is
that of guessing the mean.
"""

from __future__ import annotations

from ddg_explorer.data import Dataset
from ddg_explorer.data_advice import kind_of
from ddg_explorer.evaluation import Forecast, departure, errors, variance
from ddg_explorer.models.base import Model
from ddg_explorer.models.operators import PAIRED

UNTRAINED = 0.5
"""Loss, relative to that of no change, above which a finished run has hardly learned anything."""
UNEXPLAINED = 2.0
"""Loss in units of the noise above which a finished fit of whole trajectories explains them not."""
BY_HEART = (0.05, 30.0)
"""Loss on held-out data, and its ratio to that in training, above which they were learned so."""
ASTRAY = 0.3
"""Error of held-out rollouts, relative to the variance of the data, from which it is told."""
KEEPING = ("symplectic", "learned_skew_matrix", "learned_skew_kernel")
"""Kinds of G that cannot lose energy."""


def verdict(
    loss: float,
    held_out: float | None,
    model: Model,
    treatment: str,
    rollouts: tuple[Forecast, Dataset] | None = None,
) -> list[str]:
    """Lines on a finished run that did not succeed, with what to try; [] for a good one.

    Parameters
    ----------
    loss, held_out
        Those of the last event of `train`, in training and in validation.
    model
        As it was trained.
    treatment
        What was done about noise, one of `training.defaults.NOISE`: with "states" the loss is in
        units of the noise, and that of held-out pairs, which keep theirs, tells nothing.
    rollouts
        From held-out initial states, and the true ones.
    """
    line = _loss_line(loss, held_out, treatment)
    lines = [line] if line else []
    if rollouts is None:
        return lines
    line = _failures(rollouts[0]) or ("" if lines else _astray(model, *rollouts))
    return [*lines, line] if line else lines


def _loss_line(loss: float, held_out: float | None, treatment: str) -> str:
    if treatment == "states":
        if loss > UNEXPLAINED:
            return (
                f"loss {loss:.2g} in units of the noise: the data are not explained; "
                "try more steps, another seed or fewer hidden units"
            )
        return ""
    if loss > UNTRAINED:
        return (
            f"loss {loss:.2g}: hardly better than no change; "
            "try more steps, another seed or more hidden units"
        )
    least, ratio = BY_HEART
    if held_out is not None and (held_out > UNTRAINED or held_out > max(least, ratio * loss)):
        return (
            f"validation loss {held_out:.2g}, in training {loss:.2g}: held-out trajectories are "
            "not predicted; try more trajectories, fewer hidden units or another --structure"
        )
    return ""


def _failures(found: Forecast) -> str:
    failed = int(found.diverged.sum())
    if not failed:
        return ""
    return (
        f"{failed} of {len(found.frames)} held-out rollouts failed, the first at "
        f"{found.reasons[0]}; try more steps or another seed"
    )


def _astray(model: Model, found: Forecast, truth: Dataset) -> str:
    error = errors(found, truth.u, None)["state_mse"] / variance(truth.u)
    if not error > ASTRAY:
        return ""
    since = truth.dt * departure(found, truth.u, ASTRAY)
    return (
        f"held-out rollouts leave the data at t = {since:.3g} (mean square error {error:.2g} of "
        f"the variance), though single steps fit; unless they are chaotic, {_remedy(model)}"
    )


def _remedy(model: Model) -> str:
    kind = kind_of(None if model.recipe is None else model.recipe.structure)
    if kind is None or kind == kind_of(model.context.get("structure")):
        return "try more steps, another seed or more hidden units"
    if kind in KEEPING:
        return (
            f"G = {kind} loses no energy: try --model dgnet --structure learned_friction, or "
            "learned_matrix"
        )
    if kind in PAIRED:
        return f"G = {kind} takes the first half as q: try --structure learned_matrix, or node"
    return "try another --structure, more steps or another seed"
