"""The state of a training run on disk: what an exact resumption needs.

One safetensors file, written under another name and renamed when complete, so that a run killed at
any point finds the last complete one: weights and buffers, the optimiser's tensors, the generator's
state, and in the metadata the step, its loss and the settings.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ddg_explorer.io import atomic, checked_path

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

    def write(self, path: str | Path) -> None:
        """Write to `path` (`.safetensors`), atomically."""
        tensors = {f"weights/{name}": t for name, t in self.weights.items()}
        tensors |= {f"optimiser/{name}": t for name, t in self.optimiser.items()}
        tensors["generator"] = self.generator
        tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
        content = json.dumps({"step": self.step, "loss": self.loss, "settings": self.settings})
        with atomic(checked_path(path, (SUFFIX,))) as file:
            save_file(tensors, file, metadata={"ddg_explorer_training": content})


def kept_settings(path: str | Path | None) -> dict[str, Any] | None:
    """Settings of the run in `path`; None where there is no such file."""
    found = _read(path)
    return None if found is None else found[0]["settings"]


def read_snapshot(path: str | Path | None, settings: dict[str, Any]) -> Snapshot | None:
    """The snapshot in `path`; None where there is no such file.

    Raises
    ------
    ValueError
        For a file that is no snapshot, or one of a run with other settings (named).
    """
    found = _read(path)
    if found is None:
        return None
    content, tensors = found
    wanted = json.loads(json.dumps(settings))
    for name in sorted(set(wanted) | set(content["settings"])):
        was, now = content["settings"].get(name), wanted.get(name)
        if was != now:
            raise ValueError(f"checkpoint={str(path)!r}: {name} was {was!r}, is now {now!r}")
    return Snapshot(
        content["step"],
        content["loss"],
        content["settings"],
        _part(tensors, "weights/"),
        _part(tensors, "optimiser/"),
        tensors["generator"].to(torch.uint8),
    )


def _read(path: str | Path | None) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    if path is None or not (source := checked_path(path, (SUFFIX,))).is_file():
        return None
    try:
        with safe_open(source, framework="pt") as file:
            content = json.loads((file.metadata() or {})["ddg_explorer_training"])
            # copies lie in memory as they did: products round by where their numbers begin
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ValueError(f"checkpoint={str(path)!r}: is no training run ({error})") from None
    return content, tensors


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
