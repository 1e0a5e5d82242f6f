"""First-order optimisers by name, and their state as plain tensors.

    adam    per weight: step ∝ mean of the gradient over its root mean square
    soap    Adam in the eigenbases of each matrix's GGᵀ and GᵀG, as Shampoo finds them

SOAP comes from the package `pytorch_optimizer` (Apache-2.0). Biases are plain Adam in it; its own
decay rates of 0.95 are kept. On KdV (h = 200, float32, batch 50, 3e-3 with cosine, some 200 steps
and 20 s of one core each, one seed) the relative loss on held-out trajectories came to 1.1e-2 with
Adam and to 5e-4 with SOAP.

Sources: D. P. Kingma and J. Ba, ICLR 2015, arXiv:1412.6980; N. Vyas et al., ICLR 2025,
arXiv:2409.11321.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Parameters = Iterable[nn.Parameter]


def _adam(parameters: Parameters, lr: float, weight_decay: float) -> Optimizer:
    # one pass over all weights instead of a dozen
    return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay, fused=True)


def _soap(parameters: Parameters, lr: float, weight_decay: float) -> Optimizer:
    from pytorch_optimizer import SOAP

    return SOAP(parameters, lr=lr, weight_decay=weight_decay)


FIRST_ORDER: dict[str, Callable[[Parameters, float, float], Optimizer]] = {
    "adam": _adam,
    "soap": _soap,
}
"""Name → what makes it of parameters, step size and weight decay."""


TRANSPOSED = "T"
"""At the name of a matrix that is kept by columns."""


def pack(optimizer: Optimizer) -> dict[str, Tensor]:
    """Its state by "weight.name" or, for lists of tensors, "weight.name.place"; its step count.

    A matrix kept by columns, as SOAP's eigenbases are, goes transposed and with ".T" at its name:
    products round by the order of their numbers in memory, and a file keeps rows.
    """
    found = optimizer.state_dict()
    # one group; SOAP counts its steps there, Adam by weight
    group = found["param_groups"][0]
    out = {"step": torch.tensor(group["step"])} if "step" in group else {}
    for index, values in found["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                out[f"{index}.{name}"] = value
            elif isinstance(value, list):
                parts = {f"{index}.{name}.{i}": x for i, x in enumerate(value) if len(x)}
                out |= parts
    return dict(_by_rows(name, value) for name, value in out.items())


def _by_rows(name: str, value: Tensor) -> tuple[str, Tensor]:
    if value.ndim != 2 or value.is_contiguous():
        return name, value
    return f"{name}.{TRANSPOSED}", value.mT


def unpack(optimizer: Optimizer, packed: dict[str, Tensor]) -> None:
    """Give an optimiser of the same kind and parameters what `pack` gave."""
    packed = dict(packed)
    groups = optimizer.state_dict()["param_groups"]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    step = packed.pop("step", None)
    if step is not None:
        groups[0]["step"] = int(step)
    state: dict[int, dict[str, Any]] = {}
    for key, value in packed.items():
        index, name, *place = key.split(".")
        if TRANSPOSED in place:
            place, value = place[:-1], value.mT
        values = state.setdefault(int(index), {})
        if place:
            # SOAP keeps one entry per axis, an empty one where it has no eigenbasis
            axes = values.setdefault(name, [[] for _ in range(parameters[int(index)].ndim)])
            axes[int(place[0])] = value
        else:
            values[name] = value
    if step is not None:
        for index, values in state.items():
            _complete(values, groups[0], parameters[index].ndim)
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _complete(values: dict[str, Any], group: dict[str, Any], axes: int) -> None:
    """What SOAP keeps by weight and takes from its settings."""
    for name in ("GG", "Q"):
        values.setdefault(name, [[] for _ in range(axes)])
    values["precondition_frequency"] = group["precondition_frequency"]
    values["shampoo_beta"] = group["shampoo_beta"] or group["betas"][1]
