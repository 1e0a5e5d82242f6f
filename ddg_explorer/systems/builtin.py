"""Bases of the built-in systems: presets, parameters with ranges, a choice of G, exact solutions.

`PresetSystem` turns a preset's name and keywords into a system; `FieldSystem` adds what scalar and
two-channel fields on a periodic grid share. A subclass is declarative: class attributes, `energy`,
`build_structure`, and a method per initial state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ddg_explorer.dynamics import check_device
from ddg_explorer.grids import Grid, check_operator
from ddg_explorer.structure import Structure
from ddg_explorer.systems.base import Parameter, Preset, System, checked_dt
from ddg_explorer.systems.draw import draws
from ddg_explorer.systems.probing import check_structure, probe_states


class PresetSystem(System):
    """A system chosen by preset; keywords override the preset.

    Parameters
    ----------
    preset
        Name in `presets`; the first one by default.
    n, length, operator
        Points and side lengths of the grid (scalar or one per axis), and "finite_difference" or
        "spectral"; field systems only.
    dt
        Time step that rollouts use by default (nondimensional).
    structure
        The operator G: a key of `structures` or any `Structure`.
    dtype, device
        Of all states.
    **changes
        Physical parameters by name (`parameters`) and non-numeric choices (`choices`). A strength
        that acts through one G only (friction, viscosity) selects that G where none is named, and
        counts as 0 in `values` while another one is in use.

    Raises
    ------
    ValueError
        One line with the name, the value and what is allowed.
    """

    ndim: ClassVar[int] = 0
    structures: Mapping[str, str] = {}
    structure_symbols: Mapping[str, str] = {}

    def __init__(
        self,
        preset: str | None = None,
        *,
        n: int | tuple[int, ...] | None = None,
        length: float | tuple[float, ...] | None = None,
        operator: str | None = None,
        dt: float | None = None,
        structure: str | Structure | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        **changes: Any,
    ) -> None:
        self.preset = next(iter(self.presets)) if preset is None else preset
        good = self.presets[_known(self.name, "preset", self.preset, self.presets)]
        self._config = {
            "preset": self.preset,
            "n": n,
            "length": length,
            "operator": operator,
            "dt": dt,
            "structure": structure,
            "dtype": dtype,
            "device": device,
            **changes,
        }
        self.device = check_device(device, dtype)
        self.dtype = dtype
        self.about = good.about
        self.dt = checked_dt(good.dt if dt is None else dt)
        self._set_grid(good, n, length, operator)
        self._read_changes({**good.parameters, **good.choices, **changes}, structure)
        self.state_shape = self._shape()
        self._prepare()
        if isinstance(structure, Structure):
            self.structure = self._accept(structure)
        else:
            self.structure = self.build_structure(str(self.structure_key), self.values)

    def _read_changes(self, given: Mapping[str, Any], structure: str | Structure | None) -> None:
        for name in given:
            _known(self.name, "parameter", name, {**self.parameters, **self.choices})
        self._read_choices(given)
        values = {
            name: p.check(name, given.get(name, p.default)) for name, p in self.parameters.items()
        }
        self.structure_key = self._find_key(
            structure, {name: values[name] for name in given if name in values}
        )
        self.values = {
            name: value if self._acts(self.parameters[name]) else 0.0
            for name, value in values.items()
        }

    def _read_choices(self, given: Mapping[str, Any]) -> None:
        self.chosen = {}
        for name, options in self.choices.items():
            self.chosen[name] = given.get(name, options[0])
            if self.chosen[name] not in options:
                raise ValueError(f"{name}={given[name]!r}: use one of {', '.join(options)}")

    def _find_key(
        self, structure: str | Structure | None, given: Mapping[str, float]
    ) -> str | None:
        """The key asked for, else that through which a given strength acts, else the first."""
        if isinstance(structure, Structure):
            return None
        if structure is not None:
            return _known(self.name, "structure", structure, self.structures)
        for name, value in given.items():
            keys = [key for key in self.parameters[name].structures if key in self.structures]
            if value != 0 and keys:
                return keys[0]
        return next(iter(self.structures))

    def _acts(self, parameter: Parameter) -> bool:
        return not parameter.structures or self.structure_key in parameter.structures

    def _accept(self, structure: Structure) -> Structure:
        if structure.grid is not None and structure.grid != self.grid:
            raise ValueError(f"structure: made for {structure.grid}, this system has {self.grid}")
        check_structure(structure, probe_states(self.state_shape, self.dtype, self.device))
        return structure

    def _set_grid(self, good: Preset, n: Any, length: Any, operator: str | None) -> None:
        given = {"n": n, "length": length, "operator": operator}
        if self.ndim == 0:
            for name, value in given.items():
                if value is not None:
                    raise ValueError(f"{name}={value!r}: {self.name} has no grid")
            return
        n = good.n if n is None else n
        length = good.length if length is None else length
        self.operator = check_operator(good.operator if operator is None else operator)
        self.grid = Grid.of(n, length, self.ndim)

    def _shape(self) -> tuple[int, ...]:
        """Shape of one state: one channel on the grid; ODEs override."""
        if self.grid is None:
            raise TypeError(f"{type(self).__name__} does not define _shape(), that of one state")
        return (1, *self.grid.shape)

    def _prepare(self) -> None:
        """Compute constants of the grid once; called when grid and values are known."""

    def make_structure(self, key: str, **strengths: float) -> Structure:
        """The operator G of that key, on this system's grid.

        `strengths` are the parameters that act through it (friction, viscosity …); their defaults
        stand in for those not given.
        """
        _known(self.name, "structure", key, self.structures)
        own = {name: p for name, p in self.parameters.items() if key in p.structures}
        for name in strengths:
            _known(f"structure {key}", "parameter", name, own)
        values = {name: p.check(name, strengths.get(name, p.default)) for name, p in own.items()}
        return self.build_structure(key, {**self.values, **values})

    def build_structure(self, key: str, values: Mapping[str, float]) -> Structure:
        """The operator of a known key with these parameter values."""
        raise TypeError(f"{type(self).__name__} does not define build_structure")

    @property
    def active_parameters(self) -> dict[str, Parameter]:
        """The parameters that act with the current structure operator."""
        return {name: p for name, p in self.parameters.items() if self._acts(p)}

    @property
    def structure_symbol(self) -> str:
        """LaTeX of today's G, "G" where `structure_symbols` does not name it."""
        return self.structure_symbols.get(str(self.structure_key), "G")

    @property
    def equation(self) -> str:
        r"""LaTeX of the equation of motion, u̇ = G δH/δu with today's G."""
        gradient = r"\nabla H" if self.grid is None else r"\frac{\delta H}{\delta u}"
        return rf"\dot u = {self.structure_symbol}\,{gradient}"

    def initial(self, seed: int = 0, batch: int | None = None) -> Tensor:
        """Initial state of the preset, `state_shape` or `(batch, *state_shape)`.

        Seed 0 is the preset as titled, other seeds and the further trajectories of a batch are
        variations of it; trajectory i of a seed is the same in a batch of any size, on any device.
        """
        good = self.presets[str(self.preset)]
        if hasattr(self, f"exact_{good.initial}"):
            return self._states(f"exact_{good.initial}", seed, batch, t=0.0)
        return self._states(f"initial_{good.initial}", seed, batch)

    def _states(self, method: str, seed: int, batch: int | None, **t: float) -> Tensor:
        """States that a method makes of one `Draw` per trajectory, on the system's device."""
        options = self.presets[str(self.preset)].options
        rows = [getattr(self, method)(draw, **t, **options) for draw in draws(seed, batch)]
        u = torch.cat(rows).to(self.dtype).to(self.device)
        return u[0] if batch is None else u

    def exact_holds(self) -> bool:
        """Whether the exact solution is that of today's G and parameters."""
        return self.structure_key == next(iter(self.structures))

    @property
    def has_exact(self) -> bool:
        name = self.presets[str(self.preset)].initial
        return hasattr(self, f"exact_{name}") and self.exact_holds()

    def exact(self, t: float, seed: int = 0, batch: int | None = None) -> Tensor:
        if not self.has_exact:
            raise ValueError(
                f"{self.name}: no exact solution is known for preset {self.preset!r} "
                f"with structure {self.structure_key or 'given by the caller'}"
            )
        name = f"exact_{self.presets[str(self.preset)].initial}"
        return self._states(name, seed, batch, t=float(t))

    def with_(self, **changes: Any) -> PresetSystem:
        """A new system with some of the constructor's keywords changed.

        A new preset starts from its own good values: of the old keywords only dtype and device are
        kept.
        """
        keep = self._config
        if "preset" in changes:
            keep = {name: keep[name] for name in ("dtype", "device")}
        return type(self)(**{**keep, **changes})


def _known(owner: str, kind: str, name: Any, known: Mapping[str, Any]) -> str:
    if name not in known:
        raise ValueError(f"{kind}={name!r}: {owner} has {', '.join(known) or 'none'}")
    return name
