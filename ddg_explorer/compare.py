"""Several models and the truth from one held-out initial state, each with its own integrator.

The truth is a known system's, or a trajectory of a person's own data; then there is no true energy.
Errors are means over time of the squared difference from the true trajectory, up to where a lane
diverges; drifts are |H − H₀|/max(|H₀|, H-scale), of the true energy along the lane and of the
model's own. States `(frames, *state_shape)`, everything nondimensional.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ddg_explorer.data import Dataset
from ddg_explorer.diagnostics import drift
from ddg_explorer.evaluation import Forecast, errors, own_drift, timed_forecast, true_drift
from ddg_explorer.models.base import Model
from ddg_explorer.models.own_step import step_note
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.models.stand_in import misplaced
from ddg_explorer.recipes import TEST_SEED, DataRecipe, make_test
from ddg_explorer.systems.base import System

if TYPE_CHECKING:
    import xarray as xr


@dataclass
class Lane:
    """One model's rollout beside the truth.

    Attributes
    ----------
    model, source
        Key of `MODELS`, and the checkpoint it came from ("" for none).
    misfit
        Why it was not run, one line; "" where it was.
    figures
        integrator, energy_mse, state_mse, max_energy_drift, max_own_energy_drift, diverged_at,
        ms_per_step, max_residual, reason; None in each of a lane that was not run. ms_per_step is
        of the steps after the first, which warms up; None where there are none.
    note
        Where the model belongs to another Δt than the truth's, one line (`models.own_step`); else
        "".
    found
        The rollout.
    """

    model: str
    source: str = ""
    misfit: str = ""
    figures: Mapping[str, Any] = field(default_factory=lambda: dict.fromkeys(FIGURES))
    note: str = ""
    found: Forecast | None = None

    def __repr__(self) -> str:
        names = ("misfit",) if self.misfit else ("integrator", "state_mse", "diverged_at")
        told = ", ".join(f"{name}={self.row()[name]!r}" for name in names)
        return f"{type(self).__name__}({self.model!r}, {told})"

    def row(self) -> dict[str, Any]:
        """Everything but the states, as plain values."""
        return {
            "model": self.model,
            **self.figures,
            "misfit": self.misfit,
            "note": self.note,
            "checkpoint": self.source or None,
        }


FIGURES = (
    "integrator",
    "energy_mse",
    "state_mse",
    "max_energy_drift",
    "max_own_energy_drift",
    "diverged_at",
    "ms_per_step",
    "max_residual",
    "reason",
)


@dataclass
class Contest:
    """A true trajectory that models are compared on.

    Attributes
    ----------
    truth
        One trajectory.
    system
        The true system, None where it is not known.
    """

    truth: Dataset
    system: System | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(truth={self.truth!r}, system={self.system!r})"

    @classmethod
    def of(
        cls,
        recipe: DataRecipe,
        *,
        dt: float | None = None,
        steps: int | None = None,
        seed: int = 0,
        learned: Collection[int] = (),
    ) -> Contest:
        """From a held-out initial state of a recipe, without noise; `seed` counts such states.

        `learned` are the seeds of the data that the models were trained on (`learned_seeds`).
        """
        if seed < 0:
            raise ValueError(f"seed={seed}: must not be negative")
        if steps is not None and steps < 1:
            raise ValueError(f"steps={steps}: must be at least 1")
        test = replace(recipe.for_test(), noise=0.0, dt=recipe.dt if dt is None else dt)
        drawn = held_out_seed(seed, learned)
        truth = make_test(test, seed=drawn, trajectories=1, steps=steps, cache=False)
        return cls(truth, test.make_system())

    @classmethod
    def of_data(
        cls,
        data: Dataset,
        trajectory: int,
        *,
        steps: int | None = None,
        system: System | None = None,
    ) -> Contest:
        """From the first state of a trajectory of `data`, over at most all of its steps."""
        if not 0 <= trajectory < data.trajectories:
            raise ValueError(f"trajectory={trajectory}: must lie in [0, {data.trajectories - 1}]")
        if steps is not None and not 1 <= steps < data.frames:
            raise ValueError(f"steps={steps}: must lie in [1, {data.frames - 1}], the data's steps")
        frames = data.frames if steps is None else steps + 1
        return cls(replace(data, u=data.u[trajectory : trajectory + 1, :frames]), system)

    def unsuited(self, key: str) -> str:
        """Why no model of this kind can describe the system, "" where one can."""
        try:
            ModelRecipe.fitting(key, self.truth, hidden=1).build()
        except ValueError as error:
            return str(error)
        return ""

    def run(self, models: Sequence[tuple[str, Model]]) -> Iterator[Lane]:
        """A lane for every (source, model), one after the other."""
        for source, model in models:
            yield self.lane(source, model)

    def lane(self, source: str, model: Model) -> Lane:
        """The model's rollout with its own integrator, or why it does not fit."""
        system = self.system
        misfit = misplaced(model, system) if system else model.misfit(self.truth)
        if misfit:
            return Lane(model.key, source, misfit)
        grid = self.truth.grid
        if grid is not None and grid != model.grid:
            model = model.on_grid(grid)
        dt, steps = self.truth.dt, self.truth.frames - 1
        found, ms_per_step = timed_forecast(model, self.truth.u[:, 0], dt, steps)
        energy, scale = (system.energy, system.energy_scale) if system else (None, 0.0)
        compared = errors(found, self.truth.u, energy)
        last = int(found.frames[0]) - 1
        figures = {
            "integrator": model.integrators[0],
            "energy_mse": compared.get("energy_mse"),
            "state_mse": compared["state_mse"],
            "max_energy_drift": None if energy is None else true_drift(found, energy, scale),
            "max_own_energy_drift": own_drift(found, scale),
            "diverged_at": last * dt if last < steps else None,
            "ms_per_step": ms_per_step,
            "max_residual": found.residual,
            "reason": found.reasons[0] if found.reasons else "",
        }
        note = step_note(model, dt, model.integrators[0])
        return Lane(model.key, source, "", figures, note, found)

    def truth_row(self) -> dict[str, Any]:
        """The true lane's figures, {} where its energy is not known."""
        if self.system is None:
            return {}
        energy = self.system.energy(self.truth.u[0])
        return {
            "integrator": self.truth.recipe.get("integrator"),
            "energy_start": float(energy[0]),
            "energy_end": float(energy[-1]),
            "max_energy_drift": float(drift(energy, self.system.energy_scale).max()),
        }

    def to_xarray(self, lanes: Sequence[Lane]) -> xr.Dataset:
        """Truth and all lanes that ran: u, energy (true H), own_energy over (lane, time); note.

        Energies that are not known are NaN; a lane without a note has "".
        """
        import xarray as xr

        named = zip(labels(lanes), lanes, strict=True)
        ran = {name: lane.found for name, lane in named if lane.found is not None}
        states = [self.truth.u[0], *(found.u[:, 0] for found in ran.values())]
        u = torch.stack([s.double() for s in states])
        energy = self.system.energy if self.system else lambda u: torch.full(u.shape[:2], torch.nan)
        true = energy(u)
        own = [true[0].double()]
        own += [found.own_energy[:, 0].double() for found in ran.values()]
        base = self.truth.to_xarray()
        dims = base["u"].dims[1:]
        variables = {
            "u": (("lane", *dims), u.numpy(), {"units": "1"}),
            "energy": (("lane", "time"), true.numpy(), {"units": "1"}),
            "own_energy": (("lane", "time"), torch.stack(own).numpy(), {"units": "1"}),
        }
        names = ["truth", *ran]
        notes = ("lane", ["", *(lane.note for lane in lanes if lane.found is not None)])
        coordinates = {**{str(k): c for k, c in base.coords.items()}, "lane": names, "note": notes}
        return xr.Dataset(variables, coordinates, base.attrs)


def labels(lanes: Sequence[Lane]) -> list[str]:
    """A name of its own for each lane: its model's, with the file where several are of one kind,
    with its number where files are of one name too."""
    names = [lane.model for lane in lanes]
    files = [Path(lane.source).stem for lane in lanes]
    for more in (files, map(str, range(1, len(lanes) + 1))):
        count = Counter(names)
        pairs = zip(names, more, strict=True)
        names = [f"{x} {y}" if count[x] > 1 and y else x for x, y in pairs]
    return names


def held_out_seed(number: int, learned: Collection[int] = ()) -> int:
    """Seed number `number` of those that test: `TEST_SEED` and up, without those learned from.

    Parameters
    ----------
    number
        Counted from 0.
    learned
        Seeds of the data that models were trained on.
    """
    seed = TEST_SEED + number
    for taken in sorted(set(learned)):
        seed += TEST_SEED <= taken <= seed
    return seed


def learned_seeds(cards: Iterable[Mapping[str, Any]]) -> set[int]:
    """The seeds of the data that models were trained on, as far as their cards tell."""
    seeds = (card.get("data", {}).get("recipe", {}).get("seed") for card in cards)
    return {seed for seed in seeds if type(seed) is int}


def unseen(data: Dataset, cards: Iterable[Mapping[str, Any]]) -> list[int]:
    """The trajectories of `data` that no model was trained on, as far as their cards tell.

    Of a model whose card does not name these data (`learned_from`) nothing is known.
    """
    rows = set(range(data.trajectories))
    for card in cards:
        if learned_from(data, card):
            rows &= set(data.order(card["seed"])[: card["data"]["validation"]].tolist())
    return sorted(rows)


def learned_from(data: Dataset, card: Mapping[str, Any]) -> bool:
    """Whether the card names these data, with or without noise, as what its model was trained on.

    They are as many trajectories of the same digest; or made in the same way or read from a file of
    the same name and shape, noise aside: then values may differ, as by a rounding.
    """
    known = card.get("data", {})
    if not {"trajectories", "validation"} <= known.keys() or "seed" not in card:
        return False
    if known["trajectories"] + known["validation"] != data.trajectories:
        return False
    recipe = known.get("recipe", {})
    own = {data.digest(), data.recipe.get("noiseless_digest")} - {None}
    if own & {known.get("digest"), recipe.get("noiseless_digest")}:
        return True
    return _origin(data.recipe) == _origin(recipe) != {}


def _origin(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe without what `Dataset.with_noise` notes."""
    noise = ("noiseless_digest", "relative_noise", "relative_noise_seed")
    return {key: value for key, value in recipe.items() if key not in noise}
