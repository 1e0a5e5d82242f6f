"""Where trained models can race: the scene they were trained for, and who stands at the start.

A race begins from an initial state that no shipped model was trained on: their data are drawn with
seed 0, so every other seed is held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ddg_explorer.systems import SYSTEMS


@dataclass(frozen=True)
class Race:
    """A scene for trained models.

    Attributes
    ----------
    preset
        The preset of the training data.
    seed
        A held-out initial state that shows something.
    models
        Keys of `MODELS` that race beside the true system.
    integrator
        That of the training data, for the true system.
    speed
        Steps per frame at first.
    """

    preset: str
    seed: int
    models: tuple[str, ...]
    integrator: str = "discrete_gradient"
    speed: int = 1


_FIELD = ("dgnet", "hnnpp", "node")
_ODE = ("dgnet", "hnn", "node")

RACES: Mapping[str, Race] = {
    "kdv": Race("published", 4, _FIELD, speed=5),
    "cahn_hilliard": Race("published", 1, _FIELD, speed=2),
    "cahn_hilliard_2d": Race("published", 1, _FIELD),
    "mass_spring": Race("published", 1, _ODE, "collocation8"),
    "pendulum": Race("published", 1, _ODE, "collocation8"),
    "two_body": Race("published", 1, _ODE, "collocation8", speed=2),
}
"""System → its race."""


def first_preset(system: str) -> str:
    """The preset a system opens with: that of its race where it has one."""
    return RACES[system].preset if system in RACES else next(iter(SYSTEMS[system].presets))


def race_of(system: str, preset: str) -> Race | None:
    """The race on this preset, None where no model was trained for it."""
    race = RACES.get(system)
    return race if race is not None and race.preset == preset else None
