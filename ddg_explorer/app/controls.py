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
from ddg_explorer.app.simulation import Setup
from ddg_explorer.app.state import POINTS, SEEDS, STEP_SIZES, TOLERANCES, Scene, Store
from ddg_explorer.app.theme import PALETTES, mode
from ddg_explorer.app.widgets import NumberSlider
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.base import DEFAULT_TOL
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.base import Parameter, System

DT_RANGE = 40.0
"""The Δt slider spans the preset's Δt divided and multiplied by this."""


class Controls:
    """Widgets of the scene; `panels` are the sidebar's sections in reading order."""

    def __init__(self, store: Store, setup: Setup, report: Callable[[str], None]) -> None:
        self._store = store
        self._report = report
        self._showing = False
        self._shape: tuple[str, tuple[str, ...]] | None = None
        self._sliders: dict[str, NumberSlider] = {}
        self._make_selects()
        self._make_sliders()
        self._equations = pn.Column(sizing_mode="stretch_width", styles={"gap": "6px"})
        self._about = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self._badges = pn.pane.HTML("", margin=(4, 0, 0, 0), sizing_mode="stretch_width")
        self._promise = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self._strengths = pn.Column(sizing_mode="stretch_width")
        self._physics = pn.Column(sizing_mode="stretch_width")
        self._grid = pn.Column(self.n, self.operator, sizing_mode="stretch_width")
        self._reset = pmui.Button(
            label="Reset to preset",
            variant="outlined",
            size="small",
            sizing_mode="stretch_width",
            on_click=lambda _: self._to_preset(),
        )
        self.panels = self._layout()
        self.show(setup)

    def _make_selects(self) -> None:
        self.system = self._select(
            "System", {SYSTEMS[k].title: k for k in SYSTEMS}, self._pick_system
        )
        self.preset = self._select("Preset", {}, lambda v: self._to_preset(v))
        self.structure = self._select("Structure operator G", {}, self._setter("structure"))
        self.integrator = self._select(
            "Integrator",
            {texts.integrator_label(k): k for k in INTEGRATORS},
            self._setter("integrator"),
        )
        self.operator = self._select("Derivatives", texts.OPERATORS, self._setter("operator"))
        self.dtype = self._select("Number format", texts.DTYPES, self._setter("dtype"))

    def _make_sliders(self) -> None:
        self.dt = NumberSlider(
            self._setter("dt"),
            key="dt",
            label="Time step Δt",
            scale="log",
            low=STEP_SIZES[0],
            high=STEP_SIZES[1],
            doc="Acts on the next step. The mark is about where explicit schemes become unstable.",
        )
        self.tol = NumberSlider(
            self._setter("tol"),
            key="tol",
            label="Solver tolerance",
            scale="log",
            start=1e-14,
            end=1e-4,
            low=TOLERANCES[0],
            high=TOLERANCES[1],
            doc="Bounds the scaled size of the last update of implicit schemes.",
        )
        self.n = NumberSlider(
            self._setter("n"),
            key="n",
            label="Grid points per axis",
            scale="integer",
            start=16,
            end=512,
            low=POINTS[0],
            high=POINTS[1],
            doc="Starts again from the initial state.",
        )
        self.seed = NumberSlider(
            self._setter("seed"),
            key="seed",
            label="Seed of the initial state",
            scale="integer",
            start=0,
            end=50,
            low=SEEDS[0],
            high=SEEDS[1],
            doc="Seed 0 is the preset as titled; others are variations of it.",
        )

    def _select(
        self, label: str, options: dict[str, str], react: Callable[[str], None]
    ) -> pmui.Select:
        widget = pmui.Select(
            label=label,
            options=options,
            value=next(iter(options.values()), None),
            size="small",
            variant="outlined",
            sizing_mode="stretch_width",
            margin=(6, 0),
            sx={"& .MuiSelect-select": {"fontSize": 14}},
        )

        def changed(event: Any) -> None:
            if not self._showing and event.new is not None:
                react(event.new)

        widget.param.watch(changed, "value")
        return widget

    def _setter(self, name: str) -> Callable[[Any], None]:
        return lambda value: self._change(**{name: value})

    def _change(self, **changes: Any) -> None:
        try:
            self._store.change_scene(**changes)
        except ValueError as problem:
            self._report(str(problem))

    def _pick_system(self, key: str) -> None:
        self._store.put_scene(Scene(key))

    def _to_preset(self, preset: str | None = None) -> None:
        scene = self._store.state.scene
        self._store.put_scene(Scene(scene.system, preset or scene.preset))

    def _layout(self) -> list[pn.viewable.Viewable]:
        return [
            section("Equation", self._equations, self._about),
            section("Structure operator", self.structure, self._strengths, self._badges),
            section("Time stepping", self.dt, self.integrator, self._promise, self.tol),
            section("Physics", self._physics),
            section("Grid and initial state", self._grid, self.seed, self.dtype, self._reset),
        ]

    def show(self, setup: Setup) -> None:
        """Set every widget from a scene that holds; nothing is written back to the store."""
        self._showing = True
        try:
            self._show_choices(setup)
            self._show_numbers(setup)
            self._show_parameters(setup.scene, setup.system)
            self._show_texts(setup)
        finally:
            self._showing = False

    def restyle(self, dark: bool) -> None:
        """Colours of the badges."""
        p = PALETTES[mode(dark)]
        colours = ";".join(f"--{name}:{p[name]}" for name in ("good", "warn", "bad"))
        self._badges.stylesheets = [f":host {{{colours}}}" + texts.BADGE_CSS]

    def _show_choices(self, setup: Setup) -> None:
        scene, system = setup.scene, setup.system
        self.system.value = scene.system
        titles = {p.title: key for key, p in system.presets.items()}
        self.preset.param.update(options=titles, value=system.preset)
        labels = {label: key for key, label in system.structures.items()}
        self.structure.param.update(options=labels, value=system.structure_key)
        self.integrator.param.update(
            value=scene.integrator,
            disabled_options=[k for k in INTEGRATORS if k not in setup.schemes],
        )
        self.dtype.value = scene.dtype
        self._grid.visible = system.grid is not None
        if system.operator is not None:
            self.operator.value = system.operator

    def _show_numbers(self, setup: Setup) -> None:
        scene, system = setup.scene, setup.system
        base = system.presets[str(system.preset)].dt
        limit = setup.explicit_limit
        known = math.isfinite(limit)
        self.dt.param.update(
            value=scene.dt or system.dt,
            start=base / DT_RANGE,
            end=base * DT_RANGE,
            mark=limit if known else None,
            note=f"explicit schemes: up to about {limit:.2g}" if known else "",
        )
        implicit = INTEGRATORS[scene.integrator].implicit
        dtype_tol = DEFAULT_TOL[system.dtype]
        self.tol.param.update(value=scene.tol or dtype_tol, disabled=not implicit)
        self.seed.param.update(value=scene.seed)
        if system.grid is not None:
            self.n.param.update(value=system.grid.shape[0])

    def _show_parameters(self, scene: Scene, system: System) -> None:
        active = system.active_parameters
        shape = (scene.system, (*active, *system.choices))
        if shape != self._shape:
            self._shape = shape
            self._sliders = {name: self._parameter(name, p, system) for name, p in active.items()}
            own = [self._sliders[k] for k, p in active.items() if p.structures]
            rest = [self._sliders[k] for k, p in active.items() if not p.structures]
            self._strengths.objects = own
            self._physics.objects = [*rest, *self._choices(scene, system)]
            self.panels[3].visible = bool(self._physics.objects)
        for name, slider in self._sliders.items():
            slider.value = system.values[name]

    def _parameter(self, name: str, p: Parameter, system: System) -> NumberSlider:
        def change(value: float) -> None:
            known = self._store.state.scene.parameters
            self._change(parameters={**known, name: value})

        low, high = p.bounds
        return NumberSlider(
            change,
            key=name,
            label=texts.parameter_label(name, p.symbol),
            doc=p.doc,
            start=low,
            end=high,
            value=system.values[name],
            scale="log" if p.log else "linear",
        )

    def _choices(self, scene: Scene, system: System) -> list[pmui.Select]:
        def setter(name: str) -> Callable[[str], None]:
            return lambda value: self._change(
                choices={**self._store.state.scene.choices, name: value}
            )

        made = []
        for name, options in system.choices.items():
            widget = self._select(
                name.capitalize(), {o.replace("_", " "): o for o in options}, setter(name)
            )
            widget.value = scene.choices.get(name, system.chosen[name])
            made.append(widget)
        return made

    def _show_texts(self, setup: Setup) -> None:
        system = setup.system
        lines = texts.latex(system)
        if [pane.object for pane in self._equations] != lines:
            self._equations.objects = [_formula(line) for line in lines]
        self._about.object = texts.paragraph(system.about)
        self._badges.object = texts.badges(system.structure, has_mass=system.grid is not None)
        preserves = INTEGRATORS[setup.scene.integrator].preserves
        self._promise.object = texts.paragraph(
            f"Keeps {preserves}." if preserves else "", small=True
        )


def _formula(line: str) -> pn.pane.LaTeX:
    return pn.pane.LaTeX(
        line, renderer="katex", sizing_mode="stretch_width", margin=0, styles={"font-size": "15px"}
    )


def section(title: str, *objects: Any) -> pn.Column:
    """A titled group of the sidebar."""
    heading = pn.pane.HTML(
        f'<h2 style="font-size:13px;font-weight:600;margin:0;letter-spacing:.01em">{title}</h2>',
        margin=(0, 0, 4, 0),
        sizing_mode="stretch_width",
    )
    return pn.Column(
        heading,
        *objects,
        sizing_mode="stretch_width",
        styles={"padding": "14px 20px 10px", "box-sizing": "border-box", "gap": "4px"},
    )
