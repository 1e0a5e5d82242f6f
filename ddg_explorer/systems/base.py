"""Systems: a true energy H, its structure operator G, and initial states.

    u̇ = G(u) δH/δu

`System` takes any energy and any G; everything in the package accepts it. The built-in systems
derive from `ddg_explorer.systems.builtin.PresetSystem`, one file each. States are `(..., d)` for an
ODE and `(..., C, *grid)` for a field; all quantities are nondimensional.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics, check_device
from ddg_explorer.grids import Grid
from ddg_explorer.io import described
from ddg_explorer.structure import Structure
from ddg_explorer.systems.draw import draws
from ddg_explorer.systems.presets import Parameter, Preset
from ddg_explorer.systems.probing import (
    FAILURES,
    UnrecordedEnergy,
    check_energy,
    check_initial,
    check_structure,
    checked_initial,
    probe_states,
    why_unrecorded,
)
from ddg_explorer.systems.stability import explicit_limit


class System(Dynamics):
    """u̇ = G δH/δu from any energy and structure operator.

    Parameters
    ----------
    energy
        State with leading batch dimensions `(..., *state_shape)` → `(...)` scalars that include the
        cell volume; a torch program. It is tried once, here, on a few states together and one by
        one, and recorded once by `discrete_grad`. An energy that this cannot record, as for an
        operation without a rule, is taken: only the scheme `discrete_gradient` needs it to be.
    structure
        The operator G. It is tried once, here.
    state_shape
        Shape of one state: `(d,)` of an ODE, `(C, *grid)` of a field. Inferred where the initial
        state, the structure or the grid (one channel) tells it.
    grid
        The periodic grid of a field; taken from the structure where that has one, None for an ODE.
    initial
        One state, a tensor or a list of its numbers, or `generator → state`; drawn in float64 on
        the CPU, then moved.
    dt
        The time step rollouts use by default (nondimensional).
    name, title, equation
        What lists and pages show; `equation` is LaTeX.

    Raises
    ------
    ValueError
        If an argument is of another kind, the shape cannot be inferred or is that of no state, the
        structure does not act on such states or the energy does not give one number a state, each
        state by itself, or the device lacks the dtype.
    """

    name: str = "custom"
    title: str = "Custom system"
    about: str = ""
    presets: Mapping[str, Preset] = {}
    parameters: Mapping[str, Parameter] = {}
    structures: Mapping[str, str] = {}
    choices: Mapping[str, tuple[str, ...]] = {}
    chosen: Mapping[str, str] = {}
    preset: str | None = None
    operator: str | None = None
    structure_key: str | None = None
    has_initial: bool = True
    """Whether `initial` gives states."""
    unrecorded: str = ""
    """What refuses the scheme `discrete_gradient`: the energy cannot be recorded; else ""."""

    def __init__(
        self,
        energy: Callable[[Tensor], Tensor],
        structure: Structure,
        *,
        state_shape: tuple[int, ...] | None = None,
        grid: Grid | None = None,
        initial: Callable[[torch.Generator], Tensor] | Tensor | Sequence[Any] | None = None,
        dt: float = 0.01,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        name: str = "custom",
        title: str = "Custom system",
        equation: str = r"\dot u = G\,\nabla H(u)",
    ) -> None:
        self._config: dict[str, Any] = {
            "energy": energy,
            "structure": structure,
            "state_shape": state_shape,
            "grid": grid,
            "initial": initial,
            "name": name,
            "title": title,
            "equation": equation,
        }
        self.name, self.title, self._equation = name, title, equation
        if not callable(energy):
            raise ValueError(f"energy={described(energy)}: must be a function of a batch of states")
        if not isinstance(structure, Structure):
            raise ValueError(
                f"structure={described(structure)}: must be a structure operator, as Symplectic() "
                "or MatrixStructure(matrix)"
            )
        self._energy = energy
        self.structure = structure
        if None not in (grid, structure.grid) and grid != structure.grid:
            raise ValueError(f"structure: made for {structure.grid}, this system has {grid}")
        self.grid = structure.grid if grid is None else grid
        self.device = check_device(device, dtype)
        self.dtype = dtype
        self.dt = checked_dt(dt)
        self.values: dict[str, float] = {}
        self._initial = checked_initial(initial)
        self.has_initial = initial is not None
        self.state_shape = self._infer_shape(state_shape)
        states = probe_states(self.state_shape, self.dtype, self.device)
        check_structure(structure, states)
        check_energy(energy, states)
        self.unrecorded = why_unrecorded(energy, states)

    def _infer_shape(self, given: tuple[int, ...] | None) -> tuple[int, ...]:
        if given is not None:
            try:
                shape = tuple(operator.index(n) for n in given)
            except TypeError:
                raise ValueError(
                    f"state_shape={given!r}: must be integers, (d,) or (C, *grid)"
                ) from None
            self._check_shape(f"state_shape={shape}", shape)
        elif self._initial is not None:
            shape = tuple(self._draw_state(draws(0, None)[0].generator).shape)
            self._check_shape(f"initial has shape {shape}", shape)
        elif self.structure.state_shape is not None:
            shape = self.structure.state_shape
            self._check_shape(f"structure acts on states of shape {shape}", shape)
        elif self.grid is not None:
            shape = (1, *self.grid.shape)
        else:
            raise ValueError("state_shape=None: give it, or an initial state, or a grid")
        if isinstance(self._initial, Tensor):
            check_initial(self._initial, shape)
        return shape

    def _check_shape(self, what: str, shape: tuple[int, ...]) -> None:
        """ValueError unless it is that of one state: (d,), or (C, *grid) on this system's grid."""
        own = () if self.grid is None else self.grid.shape
        if len(shape) == 1 + len(own) and shape[0] >= 1 and shape[1:] == own:
            return
        if self.grid is None:
            raise ValueError(f"{what}: without a grid one state has one axis, (d,) with d ≥ 1")
        raise ValueError(f"{what}: a field on this grid has (C, *{own})")

    def energy(self, u: Tensor) -> Tensor:
        return self._energy(u)

    def discrete_gradient(self, v: Tensor, u: Tensor) -> Tensor:
        """∇̄H(v, u)/Δxᵈ by automatic discrete differentiation.

        UnrecordedEnergy, a ValueError, with the line `unrecorded` where there is one.
        """
        try:
            return super().discrete_gradient(v, u)
        except FAILURES as error:
            if not self.unrecorded:
                raise
            raise UnrecordedEnergy(self.unrecorded) from error

    def batch_shape(self, u: Tensor) -> tuple[int, ...]:
        """Leading dimensions of `u`; ValueError if the rest is not `state_shape`, or the dtype
        not that of the system."""
        if u.dtype != self.dtype:
            raise ValueError(
                f"state has dtype {u.dtype}: this system computes in {self.dtype}; take "
                f"u.to({self.dtype}) or system.with_(dtype={u.dtype})"
            )
        return super().batch_shape(u)

    @property
    def equation(self) -> str:
        """LaTeX of the equation of motion."""
        return self._equation

    @property
    def active_parameters(self) -> dict[str, Parameter]:
        """The parameters that act with the current structure operator."""
        return {}

    @property
    def channels(self) -> int:
        """Channels of a field, 1 for an ODE."""
        return 1 if self.grid is None else self.state_shape[0]

    def initial(self, seed: int = 0, batch: int | None = None) -> Tensor:
        """Initial state `state_shape`, or `(batch, *state_shape)`.

        Trajectory i of a seed is the same state in a batch of any size, on any device.

        Raises
        ------
        ValueError
            If the system was made without an initial state.
        """
        found = [self._draw_state(draw.generator) for draw in draws(seed, batch)]
        for state in found:
            check_initial(state, self.state_shape)
        states = torch.stack(found).to(self.dtype).to(self.device)
        return states[0] if batch is None else states

    def _draw_state(self, generator: torch.Generator) -> Tensor:
        if self._initial is None:
            raise ValueError("initial=None: this system has no initial state; pass a state instead")
        if isinstance(self._initial, Tensor):
            return self._initial
        state: Any = self._initial(generator)
        if not isinstance(state, Tensor):
            raise ValueError(f"initial: gives {described(state)}, must give one state, a tensor")
        return state

    @property
    def has_exact(self) -> bool:
        """Whether `exact` is known for this preset, structure operator and these parameters."""
        return False

    def exact(self, t: float, seed: int = 0, batch: int | None = None) -> Tensor:
        """Exact solution at time t from `initial(seed, batch)`; ValueError where none is known."""
        raise ValueError(f"{self.name}: no exact solution is known")

    @property
    def energy_scale(self) -> float:
        """H-scale: relative drift is |H − H₀| / max(|H₀|, H-scale).

        Here |H| of the initial state, or 1 where that is unknown, zero or not finite.
        """
        if not self.has_initial:
            return 1.0
        with torch.no_grad():
            scale = abs(float(self.energy(self.initial())))
        return scale if 0 < scale < math.inf else 1.0

    def explicit_limit(self) -> float:
        """Rough largest stable Δt of an explicit Runge–Kutta scheme of order 4 (nondimensional).

        2.8/ρ, ρ the spectral radius of the equation linearised about `stiffest_state` (see
        `systems.stability`); a mark on a slider, not a guarantee.
        """
        return explicit_limit(self, self.stiffest_state())

    def stiffest_state(self) -> Tensor:
        """The state about which `explicit_limit` linearises: the initial state where nothing better
        is known."""
        return self.initial()

    def __repr__(self) -> str:
        which = f"name={self.name!r}" if self.preset is None else f"preset={self.preset!r}"
        return (
            f"{type(self).__name__}({which}, state_shape={self.state_shape}, "
            f"structure={type(self.structure).__name__}, dt={self.dt:g})"
        )

    def with_(self, **changes: Any) -> Self:
        """A new system with some of the constructor's keywords changed."""
        config = {**self._config, "dt": self.dt, "dtype": self.dtype, "device": self.device}
        return type(self)(**{**config, **changes})


def checked_dt(dt: Any) -> float:
    """Δt as a float, of a real number or a tensor or array that is one (no axes), as NumPy's too.

    ValueError unless it is finite and positive; a bool is no number.
    """
    value = dt.item() if isinstance(dt, Tensor | np.ndarray) and dt.ndim == 0 else dt
    real = isinstance(value, Real) and not isinstance(value, bool)
    try:
        step = float(value) if real else math.nan
    except OverflowError:
        step = math.inf
    if not 0 < step < math.inf:
        raise ValueError(f"dt={value if real else described(dt)}: must be finite and positive")
    return step
