"""The controls of grid, initial state, number format and device: what begins time anew."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui
import torch

from ddg_explorer.app import texts
from ddg_explorer.app.changes import put
from ddg_explorer.app.state import LENGTHS, POINTS, SEEDS
from ddg_explorer.app.store import Store
from ddg_explorer.app.turns import Setup
from ddg_explorer.app.widgets import ICONS, Choice, bounded_slider

LENGTH_RANGE = 4.0
"""The slider of the length spans the preset's length divided and multiplied by this."""
SEED_RANGE = (0, 999)
"""Of the seed's slider, and of what Randomise draws."""


class GridControls:
    """Widgets of the scene's grid and start; `objects` in reading order.

    Parameters
    ----------
    store
        Read for the seed that is being changed.
    change
        Called with the changed fields of the scene.
    """

    def __init__(self, store: Store, change: Callable[..., None]) -> None:
        self._store, self._change = store, change
        self._make_sliders()
        self.operator = Choice(
            "Derivatives",
            texts.OPERATORS,
            self._setter("operator"),
            doc="How ∂x and Δ in G and H are discretised. Starts again.",
        )
        self.dtype = Choice(
            "Number format",
            texts.DTYPES,
            self._setter("dtype"),
            doc="Of all states and models. Starts again.",
        )
        self.device = Choice(
            "Device",
            devices(),
            self._setter("device"),
            doc="Where states live and steps are computed. Starts again.",
        )
        self.device.widget.visible = len(self.device.widget.options) > 1
        self.randomise = pmui.Button(
            label="Randomise",
            icon=ICONS["dice"],
            variant="outlined",
            size="small",
            margin=(2, 0, 6, 0),
            sizing_mode="stretch_width",
            description="Randomise the initial state: draws a new seed.",
            on_click=lambda _: self._randomise(),
        )
        self._grid = pn.Column(
            self.n, self.length, self.operator.widget, sizing_mode="stretch_width"
        )
        self.objects = (
            self._grid,
            self.seed,
            self.randomise,
            self.dtype.widget,
            self.device.widget,
        )

    def show(self, setup: Setup) -> None:
        """Set every widget from a scene that holds."""
        scene, system = setup.scene, setup.system
        self.dtype.show(scene.dtype)
        self.device.show(scene.device)
        self.seed.value = scene.chosen_seed
        self._grid.visible = system.grid is not None
        if system.operator is not None:
            self.operator.show(system.operator)
        if system.grid is not None:
            self.n.value = system.grid.shape[0]
            side = system.grid.length[0]
            good = system.presets[str(system.preset)].length
            usual = good if isinstance(good, int | float) else side
            put(
                self.length,
                value=side,
                start=usual / LENGTH_RANGE,
                end=usual * LENGTH_RANGE,
                note=f"Δx = {system.grid.spacing[0]:.4g}",
            )

    def _make_sliders(self) -> None:
        self.n = bounded_slider(
            self._setter("n"),
            "n",
            "Grid points per axis",
            "Starts again from the initial state.",
            scale="integer",
            span=(16, 512),
            typed=POINTS,
        )
        self.length = bounded_slider(
            self._setter("length"),
            "length",
            "Length of the domain",
            "Of every side, nondimensional; Δx changes with it. Starts again.",
            scale="log",
            typed=LENGTHS,
        )
        self.seed = bounded_slider(
            self._setter("seed"),
            "seed",
            "Seed of the initial state",
            "Seed 0 is the preset as titled; others are variations of it.",
            scale="integer",
            span=SEED_RANGE,
            typed=SEEDS,
        )

    def _setter(self, name: str) -> Callable[[Any], None]:
        return lambda value: self._change(**{name: value})

    def _randomise(self) -> None:
        """Another seed: not the present one, nor 0, which is the preset as titled."""
        seed = present = self._store.state.scene.chosen_seed
        while seed in (present, 0):
            seed = secrets.randbelow(SEED_RANGE[1]) + 1
        self._change(seed=seed)


def devices() -> dict[str, str]:
    """Label → device, of those that are here."""
    here = {"CPU": "cpu"}
    if torch.cuda.is_available():
        here[f"GPU ({torch.cuda.get_device_name()})"] = "cuda"
    return here
