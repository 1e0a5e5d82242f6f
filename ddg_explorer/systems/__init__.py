"""The built-in true systems, by the names that the command line and the page use."""

from __future__ import annotations

from ddg_explorer.systems.base import Parameter, Preset, System
from ddg_explorer.systems.builtin import PresetSystem
from ddg_explorer.systems.cahn_hilliard import CahnHilliard
from ddg_explorer.systems.cahn_hilliard_2d import CahnHilliard2D
from ddg_explorer.systems.kdv import KdV
from ddg_explorer.systems.mass_spring import MassSpring
from ddg_explorer.systems.pendulum import Pendulum
from ddg_explorer.systems.two_body import TwoBody
from ddg_explorer.systems.wave import Wave

SYSTEMS: dict[str, type[PresetSystem]] = {
    "mass_spring": MassSpring,
    "pendulum": Pendulum,
    "two_body": TwoBody,
    "wave": Wave,
    "kdv": KdV,
    "cahn_hilliard": CahnHilliard,
    "cahn_hilliard_2d": CahnHilliard2D,
}

__all__ = ["SYSTEMS", "Parameter", "Preset", "PresetSystem", "System"]
