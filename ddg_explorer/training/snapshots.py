"""The state of a training run on disk: what an exact resumption needs.

One safetensors file, written under another name and renamed when complete, so that a run killed at
any point finds the last complete one: weights and buffers, the optimiser's tensors, the generator's
state, and in the metadata the step, its loss and the settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ddg_explorer.io import checked_path, named
from ddg_explorer.models.files import RUN_ENTRY, write_tensors

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Snapshot:
    """A training run between two steps.

    Attributes
    ----------
    step, loss
        Steps taken, and the loss of the last one.
    settings
        What was trained on what, and how; a run resumes only with the same.
    weights, optimiser, generator
        Tensors of the model, of the optimiser, and the generator's state.
    """

    step: int
    loss: float
    settings: dict[str, Any]
    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    generator: Tensor

    def check(self, path: str | Path, settings: dict[str, Any]) -> None:
        """ValueError for a run in `path` with other settings than these, the first one named.

        Whether it is compiled may change: that changes it by rounding.
        """
        wanted = json.loads(json.dumps(settings))
        for name in sorted((set(wanted) | set(self.settings)) - {"compile"}):
            was, now = self.settings.get(name), wanted.get(name)
            if was != now:
                raise ValueError(f"checkpoint={str(path)!r}: {name} was {was!r}, is now {now!r}")

    def write(self, path: str | Path) -> None:
        """Write to `path` (`.safetensors`), atomically."""
        tensors = {f"weights/{name}": t for name, t in self.weights.items()}
        tensors |= {f"optimiser/{name}": t for name, t in self.optimiser.items()}
        tensors["generator"] = self.generator
        tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
        content = json.dumps({"step": self.step, "loss": self.loss, "settings": self.settings})
        write_tensors(tensors, checked_path(path, (SUFFIX,)), {RUN_ENTRY: content})


def kept_settings(path: str | Path | None) -> dict[str, Any] | None:
    """Settings of the run in `path`, whose tensors are left alone; None where there is no file.

    Raises
    ------
    ValueError
        For a file that is no snapshot.
    """
    with _opened(path) as file:
        return None if file is None else _content(file)["settings"]


def read_snapshot(path: str | Path | None) -> Snapshot | None:
    """The snapshot in `path`; None where there is no such file.

    Raises
    ------
    ValueError
        For a file that is no snapshot.
    """
    with _opened(path) as file:
        if file is None:
            return None
        content = _content(file)
        # copies lie in memory as they did: products round by where their numbers begin
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    return Snapshot(
        content["step"],
        content["loss"],
        content["settings"],
        _part(tensors, "weights/"),
        _part(tensors, "optimiser/"),
        tensors["generator"].to(torch.uint8),
    )


def check_writable(path: str | Path | None) -> None:
    """ValueError where a snapshot cannot be written to `path`; tried with an empty file beside."""
    if path is None:
        return
    try:
        checked_path(path, (SUFFIX,))
    except ValueError as error:
        raise named(error, path, f"checkpoint={str(path)!r}") from None


@contextmanager
def _opened(path: str | Path | None) -> Iterator[Any]:
    """The file of a snapshot, None where there is none."""
    if path is None or not Path(path).is_file():
        yield None
        return
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ValueError(f"checkpoint={str(path)!r}: is no training run ({error})") from None


def _content(file: Any) -> dict[str, Any]:
    return json.loads((file.metadata() or {})[RUN_ENTRY])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
