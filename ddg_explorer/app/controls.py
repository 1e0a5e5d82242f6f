"""The panels that change the scene: structure operator, time step, physics, grid and state.

Widgets write to the store and nothing else; `show` sets every widget from a scene that now holds,
so what they display is what runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app import texts
from ddg_explorer.app.layout import section
from ddg_explorer.app.parameters import ParameterControls
from ddg_explorer.app.state import POINTS, SEEDS, STEP_SIZES, TOLERANCES, Scene
from ddg_explorer.app.store import Store
from ddg_explorer.app.theme import PALETTES, mode
from ddg_explorer.app.turns import Setup
from ddg_explorer.app.widgets import Choice, NumberSlider
from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.base import DEFAULT_TOL
from ddg_explorer.systems import SYSTEMS

DT_RANGE = 40.0
"""The Δt slider spans the preset's Δt divided and multiplied by this."""


class Controls:
    """Widgets of the scene; `panels` are the sidebar's sections in reading order.

    Parameters
    ----------
    store
        What the widgets write to.
    setup
        What they show at first.
    report
        Called with one line where a choice is refused.
    """

    def __init__(self, store: Store, setup: Setup, report: Callable[[str], None]) -> None:
        self._store = store
        self._report = report
        self._lines: list[str] = []
        self._make_choices()
        self._make_sliders()
        self._parameters = ParameterControls(store, self._change)
        self._equations = pn.Column(sizing_mode="stretch_width", styles={"gap": "6px"})
        self._about = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self._badges = pn.pane.HTML("", margin=(4, 0, 0, 0), sizing_mode="stretch_width")
        self._promise = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self._honesty = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self.exact = pmui.Switch(
            label="Show the exact solution",
            size="small",
            margin=(2, 0),
            value=store.state.view.exact,
        )
        self.exact.param.watch(lambda event: store.change_view(exact=event.new), "value")
        self._grid = pn.Column(self.n, self.operator.widget, sizing_mode="stretch_width")
        self.reset = pmui.Button(
            label="Reset to preset",
            variant="outlined",
            size="small",
            margin=(10, 0),
            sizing_mode="stretch_width",
            on_click=lambda _: self._to_preset(self.preset.value),
        )
        physics = section("Physics", self._parameters.physics)
        self._physics = physics
        self.panels = [
            section("Equation", self._equations, self._about, self.exact),
            section(
                "Structure operator",
                self.structure.widget,
                self._parameters.strengths,
                self._badges,
            ),
            section("Time stepping", self.dt, self.integrator.widget, self._promise, self.tol),
            section("Learned models", self.activation.widget, self._honesty),
            physics,
            section("Grid and initial state", self._grid, self.seed, self.dtype.widget, self.reset),
        ]
        self.show(setup)

    def _make_choices(self) -> None:
        systems = {cls.title: key for key, cls in SYSTEMS.items()}
        schemes = {texts.integrator_label(key): key for key in INTEGRATORS}
        self.system = Choice("System", systems, lambda key: self._store.put_scene(Scene(key)))
        self.preset = Choice("Preset", {}, self._to_preset)
        self.structure = Choice("Structure operator G", {}, self._setter("structure"))
        self.integrator = Choice("Integrator", schemes, self._setter("integrator"))
        self.operator = Choice("Derivatives", texts.OPERATORS, self._setter("operator"))
        self.dtype = Choice("Number format", texts.DTYPES, self._setter("dtype"))
        self.activation = Choice(
            "Activation of the DGNets",
            {name: name for name in ACTIVATIONS},
            self._setter("activation"),
        )

    def _make_sliders(self) -> None:
        self.dt = self._slider(
            "dt",
            "Time step Δt",
            "Acts on the next step. The mark is about where explicit schemes become unstable.",
            scale="log",
            typed=STEP_SIZES,
        )
        self.tol = self._slider(
            "tol",
            "Solver tolerance",
            "Bounds the scaled size of the last update of implicit schemes.",
            scale="log",
            span=(1e-14, 1e-4),
            typed=TOLERANCES,
        )
        self.n = self._slider(
            "n",
            "Grid points per axis",
            "Starts again from the initial state.",
            scale="integer",
            span=(16, 512),
            typed=POINTS,
        )
        self.seed = self._slider(
            "seed",
            "Seed of the initial state",
            "Seed 0 is the preset as titled; others are variations of it.",
            scale="integer",
            span=(0, 50),
            typed=SEEDS,
        )

    def _slider(
        self,
        key: str,
        label: str,
        doc: str,
        *,
        scale: str,
        typed: tuple[float, float],
        span: tuple[float, float] = (0.0, 1.0),
    ) -> NumberSlider:
        return NumberSlider(
            self._setter(key),
            key=key,
            label=label,
            doc=doc,
            scale=scale,
            start=span[0],
            end=span[1],
            low=typed[0],
            high=typed[1],
        )

    def _setter(self, name: str) -> Callable[[Any], None]:
        return lambda value: self._change(**{name: value})

    def _change(self, **changes: Any) -> None:
        try:
            self._store.change_scene(**changes)
        except ValueError as problem:
            self._report(str(problem))

    def _to_preset(self, preset: str) -> None:
        self._store.put_scene(Scene(self._store.state.scene.system, preset))

    def show(self, setup: Setup) -> None:
        """Set every widget from a scene that holds; nothing is written back to the store."""
        self._show_choices(setup)
        self._show_numbers(setup)
        self._parameters.show(setup.scene, setup.system)
        self.exact.visible = setup.picture.kind == "profile" and setup.system.has_exact
        self._physics.visible = bool(self._parameters.physics.objects)
        self._show_texts(setup)

    def restyle(self, dark: bool) -> None:
        """Colours of the badges."""
        p = PALETTES[mode(dark)]
        colours = ";".join(f"--{name}:{p[name]}" for name in ("good", "warn", "bad"))
        self._badges.stylesheets = [f":host {{{colours}}}" + texts.BADGE_CSS]

    def _show_choices(self, setup: Setup) -> None:
        scene, system = setup.scene, setup.system
        self.system.show(scene.system)
        titles = {p.title: key for key, p in system.presets.items()}
        self.preset.show(system.preset, options=titles)
        labels = {label: key for key, label in system.structures.items()}
        self.structure.show(system.structure_key, options=labels)
        unsuited = [key for key in INTEGRATORS if key not in setup.schemes]
        self.integrator.show(scene.chosen_integrator, disabled_options=unsuited)
        self.dtype.show(scene.dtype)
        self.activation.show(scene.activation)
        self._grid.visible = system.grid is not None
        if system.operator is not None:
            self.operator.show(system.operator)

    def _show_numbers(self, setup: Setup) -> None:
        scene, system = setup.scene, setup.system
        base, limit = system.presets[str(system.preset)].dt, setup.explicit_limit
        known = math.isfinite(limit)
        self.dt.param.update(
            value=scene.dt or system.dt,
            start=base / DT_RANGE,
            end=base * DT_RANGE,
            mark=limit if known else None,
            note=f"explicit schemes: up to about {limit:.2g}" if known else "",
        )
        self.tol.param.update(
            value=scene.tol or DEFAULT_TOL[system.dtype],
            disabled=not INTEGRATORS[scene.chosen_integrator].implicit,
        )
        self.seed.value = scene.chosen_seed
        if system.grid is not None:
            self.n.value = system.grid.shape[0]

    def _show_texts(self, setup: Setup) -> None:
        system = setup.system
        lines = texts.latex(system)
        if lines != self._lines:
            self._lines = lines
            self._equations.objects = [_formula(line) for line in lines]
        self._about.object = texts.paragraph(system.about)
        self._badges.object = texts.badges(system.structure, has_mass=system.grid is not None)
        preserves = INTEGRATORS[setup.scene.chosen_integrator].preserves
        self._promise.object = texts.paragraph(f"Keeps {preserves}.", small=True)
        self._honesty.object = texts.paragraph(texts.held_out(setup.scene), small=True)


def _formula(line: str) -> pn.pane.LaTeX:
    return pn.pane.LaTeX(
        line, renderer="katex", sizing_mode="stretch_width", margin=0, styles={"font-size": "15px"}
    )
