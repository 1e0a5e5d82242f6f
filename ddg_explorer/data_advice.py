"""What data tell of themselves before a model learns them.

    share of noise   ν = 2 Σσᵢ² / Σ⟨(v − u)ᵢ²⟩,   the part of the loss that noise alone leaves
    noise            σᵢ = median |D⁶uᵢ| / (0.6745 √924)

Each is looked for by what nothing else looks like, and without it nothing is said: white noise has
correlations −6/7, 15/28, −5/21 of sixth differences at lags 1, 2, 3 (smooth states have positive
ones, short waves of alternate sign ±1); an angle that was wrapped stays within one turn and jumps
by all of it; canonical pairs have Δq ∝ ∫p dt. States `(trajectories, frames, C, *grid)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.models.base import Model
from ddg_explorer.models.operators import PAIRED
from ddg_explorer.models.units import STILL, sizes, spread
from ddg_explorer.training.defaults import chosen_weights

TURNS = {"2π": 2 * math.pi, "360": 360.0}
ORDER, LAGS = 6, (1, 2, 3)
"""Of the differences that hold noise, and the lags at which they have to look like it."""
WHITE, ENOUGH = 0.15, 100
"""How far their correlations may be from those of white noise, and how many it takes to tell."""
NOISY = 1e-3
"""Share of noise in the loss from which it is told: 3 % of the changes, RMS."""
PAIR = 0.6
"""Correlation of Δq with ∫p dt from which p is the momentum of q."""
FEW = 20
"""States below which nothing is said of pairs."""
TOLD = 30.0
"""Ratio of the sizes of two components from which it is told."""
SAMPLE = 300_000
"""Values that scales, noise and pairs are judged on."""


def advice(
    data: Dataset,
    model: Model,
    *,
    optimizer: str = "lm",
    noise: str | None = None,
    weights: str | None = None,
) -> list[str]:
    """Lines on what in the data will spoil the training of this model, or is done about it; [] for
    good data.

    Parameters
    ----------
    data
        All trajectories, before any is held out.
    model
        Made for these data; its G and its number of weights are looked at.
    optimizer, noise, weights
        As for `train`. Noise is looked for where nothing was chosen against it, and the recipe of
        the data does not tell of any, which `train` would treat.
    """
    series = _series(data)
    change = series.diff(1, 1)
    still = change.abs().amax((0, 1)) <= STILL * series.abs().amax((0, 1))
    resting = [i for i in torch.nonzero(still).flatten().tolist() if _rests(data.u[:, :, i])]
    jumps = _jumps(data)
    lines = [*(_constant(data, i) for i in resting), *jumps]
    if not jumps:
        lines.append(_scales(data, weights))
        known = data.recipe.get("noise") or data.recipe.get("relative_noise")
        if noise is None and not known:
            lines.append(_noise(data, series, optimizer))
        lines.append(_pairs(data, series, model))
    lines.append(_alone(data, model))
    return [line for line in lines if line]


def kind_of(structure: Mapping[str, object] | None) -> object:
    """The kind of G of a specification, None where there is none."""
    return None if structure is None else structure.get("kind")


def _name(data: Dataset) -> str:
    return "component" if data.grid is None else "channel"


def _rests(values: Tensor) -> bool:
    return bool(values.diff(1, 1).abs().amax() <= STILL * values.abs().amax())


def _constant(data: Dataset, i: int) -> str:
    values = data.u[:, :, i]
    which = f"{_name(data)} {i} of 0 … {data.u.shape[2] - 1}"
    one = bool((values - values.flatten()[0]).abs().amax() <= STILL * values.abs().amax())
    if one and data.grid is None:
        return f"{which} never changes ({float(values.flatten()[0]):.6g}): leave it out"
    if one or data.grid is not None:
        return f"{which} never changes: leave it out"
    return (
        f"{which} never changes along a trajectory, so it is a parameter and no state: leave it "
        "out, and train on trajectories of one value"
    )


def _scales(data: Dataset, weights: str | None) -> str:
    found, name = sizes(data), _name(data)
    ratio = spread(found)
    if ratio < TOLD:
        return ""
    large, small = int(found.argmax()), int(torch.where(found > 0, found, torch.inf).argmin())
    times = f"{ratio:.0f}" if ratio < 1e6 else f"{ratio:.1e}"
    line = f"{name} {large} changes {times} times as much a step as {name} {small} (RMS)"
    if chosen_weights(weights, data) is None:
        return (
            f"{line}, and the loss, a mean over all, hardly sees the latter: --weights components "
            "counts each by its own size"
        )
    return f"{line}: each counts by its own size (--weights none: all by one)"


def _jumps(data: Dataset) -> list[str]:
    lines = []
    for i in range(data.u.shape[2] if data.grid is None else 0):
        values = data.u[:, :, i]
        reach = float(values.max() - values.min())
        for name, turn in TURNS.items():
            if not turn / 2 < reach <= 1.1 * turn:
                continue
            change = values.diff(1, 1).abs()
            leaps = change > turn / 2
            if not bool(leaps.any()) or bool(leaps.all()):
                continue
            usual, rest = float(change[~leaps].max()), float((change[leaps] - turn).abs().max())
            if usual <= turn / 4 and rest <= 2 * usual:
                how = "" if name == "2π" else ", period=360"
                lines.append(
                    f"component {i} jumps by {name} {int(leaps.sum())} times, as an angle kept "
                    f"within one turn does: unwrap it first (numpy.unwrap(angle{how}))"
                )
    return lines


def _series(data: Dataset) -> Tensor:
    """Values of components in time, `(series, frames, C)`, a sample of the points and rows."""
    u = data.u.flatten(3) if data.grid is not None else data.u[..., None]
    u = u[:, : max(data.frames // 8, SAMPLE // u.shape[2])]
    points = max(1, SAMPLE // u[..., 0].numel())
    # odd, so that no wave of the grid falls on the points that are taken
    u = u[..., :: -(-u.shape[3] // points) | 1]
    u = u[:: max(1, u.numel() // SAMPLE)]
    return u.movedim(3, 1).flatten(0, 1).double()


def _noise(data: Dataset, x: Tensor, optimizer: str) -> str:
    if x.shape[1] <= ORDER + max(LAGS):
        return ""
    change = x.diff(1, 1).square().mean((0, 1)).sum()
    variance = (x - x.mean((0, 1))).square().mean((0, 1)).sum()
    differences = x.diff(ORDER, 1)
    width = differences.abs().flatten(0, 1).median(0).values / 0.6745
    power = width.square().sum() / math.comb(2 * ORDER, ORDER)
    if differences[..., 0].numel() < ENOUGH or not 2 * power > NOISY * change:
        return ""
    # bursts count as much as the widest of noise: a kick or a wrapped angle is none
    seen = width > 0
    clipped = (differences / width)[..., seen].clamp(-5, 5)
    own = clipped.square().mean()
    for lag in LAGS:
        white = (-1) ** lag * math.comb(2 * ORDER, ORDER + lag) / math.comb(2 * ORDER, ORDER)
        found = (clipped[:, lag:] * clipped[:, :-lag]).mean() / own
        if abs(float(found) - white) > WHITE:
            return ""
    option = "states" if data.grid is None and optimizer == "lm" else "smooth"
    return (
        f"the data look noisy ({100 * float((power / variance).sqrt()):.2g} %, RMS), and one-step "
        f"training takes noise for motion: --denoise {option} (--denoise none, where it is none)"
    )


def _pairs(data: Dataset, series: Tensor, model: Model) -> str:
    kind = kind_of(None if model.recipe is None else model.recipe.structure)
    if kind not in PAIRED or kind == kind_of(data.context.get("structure")):
        return ""
    if series[..., 0].numel() < FEW:
        return ""
    together = _momenta(series)
    n, name = len(together) // 2, _name(data)
    half = list(range(n))

    def are(qs: list[int], ps: list[int]) -> bool:
        return bool((together[qs, ps] > PAIR).all())

    rest = [i + n for i in half]
    if are(half, rest):
        return ""
    if n == 1:
        taken = f"{name} 0 is taken as q, 1 as p"
    else:
        taken = f"{name}s 0 … {n - 1} are taken as q, {n} … {2 * n - 1} as p"
    even, odd = [2 * i for i in half], [2 * i + 1 for i in half]
    for qs, ps in ((even, odd), (odd, even), (rest, half)):
        if are(qs, ps):
            couples = ", ".join(f"{q} with {p}" for q, p in zip(qs, ps, strict=True))
            return (
                f"{taken}, but rates and values go together as q with p of {couples}: put all q "
                "first, then their p in the same order"
            )
    return (
        f"{taken}, though the rates of q do not go with p, as those of p = m dq/dt would: put all "
        "q first, then their p in the same order"
    )


def _momenta(x: Tensor) -> Tensor:
    """Correlation of Δuᵢ with ∫uⱼ dt over an eighth of the time, `(C, C)`; NaN of what rests."""
    lag = max(1, (x.shape[1] - 1) // 8)
    path = ((x[:, 1:] + x[:, :-1]) / 2).cumsum(1)
    path = torch.cat([torch.zeros_like(path[:, :1]), path], 1)
    ahead, along = ((y[:, lag:] - y[:, :-lag]).flatten(0, 1) for y in (x, path))
    ahead, along = (y - y.mean(0) for y in (ahead, along))
    ahead, along = (y / y.square().sum(0).sqrt() for y in (ahead, along))
    return ahead.mT @ along


def _alone(data: Dataset, model: Model) -> str:
    weights = sum(p.numel() for p in model.parameters())
    residuals = data.u[:, 1:].numel()
    if data.trajectories > 1 or weights <= residuals:
        return ""
    return (
        f"one trajectory, {residuals} residuals and {weights} weights: it is learned by heart, and "
        "nothing is held out to tell; give more trajectories, or a smaller --hidden"
    )
