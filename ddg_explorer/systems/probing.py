"""What a function of states is tried on before a system takes it.

Trajectories of a batch must not mix: with (B, *state) → (B,) and (B, *state) → (B, *state),

    H(batch)ᵢ = H(batchᵢ),     (G g)(batch)ᵢ = (G g)(batchᵢ).

A function that indexes or unpacks the batch where it means the state's components passes unseen
where B equals their number; so B equals no dimension of the state here, and no two states agree.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.discrete import UnsupportedOperation, discrete_grad
from ddg_explorer.io import described
from ddg_explorer.structure import Structure

FAILURES = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, TypeError, ValueError),
)
"""What a function raises that is given states it does not expect."""


class UnrecordedEnergy(UnsupportedOperation, ValueError):
    """A discrete gradient was asked of a system whose energy `discrete_grad` cannot record."""


def probe_states(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A few states (B, *shape) of different positive numbers, B ≥ 2 equal to no dimension."""
    batch = next(n for n in itertools.count(2) if n not in shape)
    numbers = torch.linspace(0.5, 1.5, batch * math.prod(shape), dtype=dtype, device=device)
    return numbers.view(batch, *shape)


@torch.no_grad()
def check_structure(structure: Structure, states: Tensor) -> None:
    """ValueError where G does not act on such states, (B, *shape), each by itself.

    G acts on gradients g ≠ u: brackets vanish on g = ∇H of a Casimir, as |u|² often is.
    """
    shape = tuple(states.shape[1:])
    gradients = states.flatten().flip(0).view_as(states)
    together = _image(structure, gradients, states, f"states of shape {shape}")
    pairs = zip(gradients, states, strict=True)
    alone = [_image(structure, g, u, f"one state of shape {shape}") for g, u in pairs]
    if not _agree(torch.stack(alone), together):
        raise ValueError(
            f"structure=a {type(structure).__name__}: what it does to a state changes with what "
            f"else is in the batch; {_advice(shape)}"
        )


@torch.no_grad()
def check_energy(energy: Callable[[Tensor], Tensor], states: Tensor) -> None:
    """ValueError where H does not give one number a state, whatever else is in the batch."""
    batch, shape = states.shape[0], tuple(states.shape[1:])
    together = _values(energy, states, (batch,), f"{batch} states of shape {shape}, batch first")
    alone = [_values(energy, state, (), f"one state of shape {shape}") for state in states]
    if not _agree(torch.stack(alone), together):
        raise ValueError(
            f"energy: that of a state changes with what else is in the batch; {_advice(shape)}"
        )


@torch.no_grad()
def why_unrecorded(energy: Callable[[Tensor], Tensor], states: Tensor) -> str:
    """The line that refuses a discrete gradient of H, "" where it has one. Records H once.

    It is no reason to refuse the energy: other schemes take its gradient, or its values.
    """
    other = states.flatten().flip(0).view_as(states)
    try:
        discrete_grad(energy)(other, states)
    except FAILURES as error:
        return (
            f"energy: 'discrete_gradient' has to record it, which fails ({_first_line(error)}); "
            "collocation, implicit_midpoint and the explicit schemes do not need to"
        )
    return ""


def check_initial(state: Tensor, shape: tuple[int, ...]) -> None:
    """ValueError where an initial state has another shape than that of one state."""
    if tuple(state.shape) != shape:
        raise ValueError(f"initial has shape {tuple(state.shape)}, not {shape}")


def checked_initial(
    initial: Callable[[torch.Generator], Tensor] | Tensor | Sequence[Any] | None,
) -> Callable[[torch.Generator], Tensor] | Tensor | None:
    """A list as a tensor, all else as it is."""
    if initial is None or isinstance(initial, Tensor) or callable(initial):
        return initial
    try:
        state = torch.as_tensor(initial, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        state = None
    if state is None or state.ndim == 0:
        raise ValueError(
            f"initial={described(initial)}: must be one state, its numbers, or a function of a "
            "torch.Generator"
        )
    return state


def _agree(alone: Tensor, together: Tensor) -> bool:
    """Whether two results for the probe states, which are of size 1, are one up to rounding."""
    eps = torch.finfo(together.dtype).eps
    size = float(together.nan_to_num(0.0, 0.0, 0.0).abs().max())
    rounding = eps**0.5 * size + 10 * eps
    return bool(torch.isclose(alone, together, 0.0, rounding, equal_nan=True).all())


def _image(structure: Structure, g: Tensor, u: Tensor, what: str) -> Tensor:
    try:
        value: Any = structure.apply(g, u)
    except FAILURES as error:
        raise _unfit(structure, what, _first_line(error)) from error
    if not isinstance(value, Tensor):
        raise _unfit(structure, what, f"gives {described(value)}")
    if not value.is_floating_point():
        raise _unfit(structure, what, f"gives {value.dtype}, must give real numbers")
    if value.shape != u.shape:
        raise _unfit(structure, what, f"gives shape {tuple(value.shape)} for {tuple(u.shape)}")
    return value


def _unfit(structure: Structure, what: str, cause: str) -> ValueError:
    name = type(structure).__name__
    return ValueError(f"structure=a {name}: does not act on {what} ({cause})")


def _values(
    energy: Callable[[Tensor], Tensor], u: Tensor, batch: tuple[int, ...], what: str
) -> Tensor:
    shape = tuple(u.shape[len(batch) :])
    try:
        value: Any = energy(u)
    except FAILURES as error:
        cause = _first_line(error)
        raise ValueError(f"energy: fails for {what} ({cause}); {_advice(shape)}") from error
    if not isinstance(value, Tensor):
        raise ValueError(
            f"energy: gives {described(value)}, must give a tensor, one number a state"
        )
    if not value.is_floating_point():
        raise ValueError(f"energy: gives {value.dtype}, must give real numbers")
    if tuple(value.shape) != batch:
        raise ValueError(
            f"energy: gives shape {tuple(value.shape)} for {what}, must give {batch}; "
            f"{_advice(shape)}"
        )
    return value


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _advice(shape: tuple[int, ...]) -> str:
    axes = "axis" if len(shape) == 1 else f"{len(shape)} axes"
    component = ", ".join(["...", "0", *":" * (len(shape) - 1)])
    return f"index and sum over the state only, the last {axes}, as u[{component}]"
