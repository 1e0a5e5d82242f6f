"""Systems: a true energy H, its structure operator G, presets and initial states.

`System` takes any energy and G; `PresetSystem` is the base of the built-in ones, each of which is
one file with its equation, parameters and presets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.grids import Grid, check_operator
from ddg_explorer.structure import Structure


@dataclass(frozen=True)
class Parameter:
    """A physical parameter: default, allowed range (ends included), LaTeX symbol, meaning."""

    default: float
    bounds: tuple[float, float]
    symbol: str
    doc: str
    log: bool = False


@dataclass(frozen=True)
class Preset:
    """Good values: parameters, grid, Δt and initial state that give a picture worth watching.

    `initial` names a method `initial_<name>` of the system, `options` are its keyword arguments.
    """

    title: str
    about: str
    dt: float
    initial: str
    n: int | tuple[int, ...] | None = None
    length: float | tuple[float, ...] | None = None
    operator: str = "finite_difference"
    parameters: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


class System(Dynamics):
    """u̇ = G ∇H(u) from any energy and structure operator.

    Parameters
    ----------
    energy
        State with leading batch dimensions → (...) scalars, a torch program `discrete_grad` accepts.
    structure
        The operator G.
    state_shape
        Shape of one state: (d,) or (C, *grid).
    grid
        The periodic grid of a field, None for an ODE.
    initial
        `generator → state` for `initial(seed)`; a tensor stands for itself.
    dt
        The time step rollouts use by default (nondimensional).
    """

    name: str = "custom"
    title: str = "Custom system"
    equation: str = r"\dot u = G\,\nabla H(u)"
    presets: ClassVar[Mapping[str, Preset]] = {}
    parameters: ClassVar[Mapping[str, Parameter]] = {}

    def __init__(
        self,
        energy: Callable[[Tensor], Tensor],
        structure: Structure,
        *,
        state_shape: tuple[int, ...],
        grid: Grid | None = None,
        initial: Callable[[torch.Generator], Tensor] | Tensor | None = None,
        dt: float = 0.01,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self._energy = energy
        self._initial = initial
        self.structure = structure
        self.state_shape = tuple(state_shape)
        self.grid = grid
        self.dt = dt
        self.dtype = dtype
        self.device = torch.device(device)

    def energy(self, u: Tensor) -> Tensor:
        return self._energy(u)
