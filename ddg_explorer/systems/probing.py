"""What a function of states is tried on before a system takes it.

Trajectories of a batch must not mix: with energies H(u), (B, *state) → (B,),

    H(batch)ᵢ = H(batchᵢ),     (G g)(batch)  has the shape of the batch.

An energy that indexes or unpacks the batch where it means the state's components passes unseen
where B equals their number; so B equals no dimension of the state here, and no two states agree.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.structure import Structure


def probe_states(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A few states (B, *shape) of different positive numbers, B ≥ 2 equal to no dimension."""
    batch = next(n for n in itertools.count(2) if n not in shape)
    numbers = torch.linspace(0.5, 1.5, batch * math.prod(shape), dtype=dtype, device=device)
    return numbers.view(batch, *shape)


@torch.no_grad()
def check_structure(structure: Structure, states: Tensor) -> None:
    """ValueError where G does not act on such states, (B, *shape)."""
    try:
        found = tuple(structure.apply(states, states).shape)
        cause = f"gives shape {found[1:]}"
    except (RuntimeError, ValueError) as error:
        found, cause = None, str(error).partition("\n")[0]
    if found != states.shape:
        raise ValueError(
            f"structure=a {type(structure).__name__}: does not act on states of shape "
            f"{tuple(states.shape[1:])} ({cause})"
        )


@torch.no_grad()
def check_energy(energy: Callable[[Tensor], Tensor], states: Tensor) -> None:
    """ValueError where H does not give one number a state, whatever else is in the batch."""
    batch, shape = states.shape[0], tuple(states.shape[1:])
    together = _values(energy, states, (batch,), f"{batch} states of shape {shape}, batch first")
    alone = [_values(energy, state, (), f"one state of shape {shape}") for state in states]
    size = float(together[together.isfinite()].abs().sum())
    rounding = size * torch.finfo(states.dtype).eps ** 0.5
    if not torch.isclose(torch.stack(alone), together, 0.0, rounding, equal_nan=True).all():
        raise ValueError(
            f"energy: that of a state changes with what else is in the batch; {_advice(shape)}"
        )


def _values(
    energy: Callable[[Tensor], Tensor], u: Tensor, batch: tuple[int, ...], what: str
) -> Tensor:
    shape = tuple(u.shape[len(batch) :])
    try:
        value: Any = energy(u)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        cause = str(error).partition("\n")[0]
        raise ValueError(f"energy: fails for {what} ({cause}); {_advice(shape)}") from error
    if not isinstance(value, Tensor):
        raise ValueError(f"energy: gives {short(value)}, must give a tensor, one number a state")
    if tuple(value.shape) != batch:
        raise ValueError(
            f"energy: gives shape {tuple(value.shape)} for {what}, must give {batch}; "
            f"{_advice(shape)}"
        )
    return value


def _advice(shape: tuple[int, ...]) -> str:
    axes = "axis" if len(shape) == 1 else f"{len(shape)} axes"
    component = ", ".join(["...", "0", *":" * (len(shape) - 1)])
    return f"index and sum over the state only, the last {axes}, as u[{component}]"


def short(value: object) -> str:
    """What `value` is, in one line."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    return f"a {type(value).__name__}"
