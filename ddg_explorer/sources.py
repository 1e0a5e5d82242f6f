"""Which data a model of a system learns from, where the system alone is named.

The system's name asks for the published data; a preset, parameters or another grid make data of
their own, from initial states that the seed draws around the preset.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ddg_explorer.recipes import DATA_RECIPES, DataRecipe, system_of
from ddg_explorer.systems import SYSTEMS

BY_SYSTEM = {
    "kdv": "kdv",
    "cahn_hilliard": "ch",
    "cahn_hilliard_2d": "ch2d",
    "mass_spring": "spring",
    "pendulum": "pendulum",
    "two_body": "two-body",
}
"""The data recipe of a system that is given by its name only: the published one."""
TRAJECTORIES, STEPS, TESTS = 20, 200, 5
"""Size of a data set of any other system, preset or parameters, and of its test."""


def recipe_for(
    system: str, preset: str | None = None, *, dt: float | None = None, **options: Any
) -> DataRecipe:
    """The published recipe of a system, or one made of its preset and keywords.

    Parameters
    ----------
    system, preset
        Key of `SYSTEMS`, and its preset.
    dt
        Δt of the data; None: the recipe's or the preset's.
    **options
        Keywords of the system's constructor; see `DataRecipe.options`.

    Raises
    ------
    ValueError
        For an unknown system, or what its constructor refuses.
    """
    if system not in SYSTEMS:
        raise ValueError(f"system={system!r}: use one of {', '.join(SYSTEMS)}")
    if not options and preset is None and system in BY_SYSTEM:
        recipe = DATA_RECIPES[BY_SYSTEM[system]]
        return recipe if dt is None else replace(recipe, dt=dt)
    built = system_of(system, preset, dt=dt, **options)
    test = {"trajectories": TESTS}
    return DataRecipe(
        system, str(built.preset), built.dt, STEPS, TRAJECTORIES, options=options, test=test
    )
