"""One training run from data and a budget to a model with its card.

The same for `ddg-explorer train`, the published experiments and the shipped weights: build the
model, hold out trajectories, train, and note on the card what anyone needs to judge or repeat it.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from ddg_explorer.budgets import HELD_OUT, Budget
from ddg_explorer.data import Dataset
from ddg_explorer.io import versions
from ddg_explorer.models.base import Model
from ddg_explorer.models.recipe import ModelRecipe, check_dataset
from ddg_explorer.training import Progress, train
from ddg_explorer.training.defaults import chosen_compile, chosen_weights


class Fit:
    """A training run; iterate over it for its progress, then take `model` and `card()`.

    Parameters
    ----------
    key
        Key of `MODELS`.
    data
        All trajectories; every tenth of them is held out for validation where there are ten, one
        where there are fewer, none of a single one.
    budget
        Network and training options.
    seed
        Of initial weights, split and batches.
    device
        Where the model lives and is trained.
    checkpoint
        A file that holds the run after every event; an interrupted one goes on from it.
    network
        Options of `ModelRecipe.fitting` instead of the budget's: structure, activation, …

    Attributes
    ----------
    weights
        "components" where they are weighted, by choice or by the data (`train`), else None.

    Raises
    ------
    ValueError
        For what is no data set, or options that do not suit the model or the data.
    """

    def __init__(
        self,
        key: str,
        data: Dataset,
        budget: Budget,
        *,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: str | Path | None = None,
        **network: Any,
    ) -> None:
        check_dataset("data", data)
        self.data, self.budget, self.seed, self.checkpoint = data, budget, seed, checkpoint
        held_out = min(data.trajectories - 1, max(1, round(HELD_OUT * data.trajectories)))
        self.training, self.validation = data, None
        if held_out:
            self.training, self.validation = data.split(held_out, seed)
        options = {**budget.network, **network}
        self.model: Model = ModelRecipe.fitting(key, self.training, seed=seed, **options).build()
        self.model.to(device)
        self.options = budget.options(self.model)
        self.weights = chosen_weights(self.options.get("weights"), self.training)
        self.last: Progress | None = None
        self.cpu_s = 0.0
        self.resumed = checkpoint is not None and Path(checkpoint).is_file()

    def __iter__(self) -> Iterator[Progress]:
        start = time.process_time()
        for progress in train(
            self.model,
            self.training,
            validation=self.validation,
            seed=self.seed,
            checkpoint=self.checkpoint,
            **self.options,
        ):
            self.last, self.cpu_s = progress, time.process_time() - start
            yield progress

    @property
    def compiles(self) -> bool:
        """Whether training compiles its loss first; tried, where that is not told."""
        return chosen_compile(self.model, self.checkpoint, **self.options)

    def card(self, command: str, **more: Any) -> dict[str, Any]:
        """What the run was, as plain data, which the model keeps; `more` (metrics …) is added."""
        last = self.last
        weights = {} if self.weights is None else {"weights": self.weights}
        self.model.card = {
            "budget": self.budget.name,
            "training": {**self.options, **weights},
            "device": device_name(self.model.device),
            "data": {
                "recipe": dict(self.data.recipe),
                "digest": self.data.digest(),
                "dt": self.data.dt,
                "trajectories": self.training.trajectories,
                "validation": 0 if self.validation is None else self.validation.trajectories,
            },
            "seed": self.seed,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "steps": None if last is None else last.step,
            "loss": None if last is None else last.loss,
            "validation_loss": None if last is None else last.validation_loss,
            "wall_s": None if last is None else last.elapsed,
            "cpu_s": self.cpu_s,
            "resumed": self.resumed,
            **surroundings(command),
            **more,
        }
        return dict(self.model.card)


def device_name(device: torch.device) -> str:
    """The device, with the name of a GPU."""
    if device.type != "cuda":
        return str(device)
    return f"{device} ({torch.cuda.get_device_name(device)})"


def surroundings(command: str) -> Mapping[str, Any]:
    """When, with what and on what something was computed."""
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
    }
