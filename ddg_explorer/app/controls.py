"""The panels that change the scene: structure operator, time step, physics, grid and state.

Widgets write to the store and nothing else; `show` sets every widget from a scene that now holds,
so what they display is what runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app import equations, texts
from ddg_explorer.app.changes import put
from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.formulas import typeset
from ddg_explorer.app.gallery import Gallery
from ddg_explorer.app.grid_controls import GridControls
from ddg_explorer.app.layout import section
from ddg_explorer.app.numerals import number
from ddg_explorer.app.operator_editor import OperatorEditor
from ddg_explorer.app.parameters import ParameterControls
from ddg_explorer.app.state import STEP_SIZES, TOLERANCES, Scene
from ddg_explorer.app.store import Store
from ddg_explorer.app.turns import Setup, live_tol
from ddg_explorer.app.widgets import Choice, bounded_slider
from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.systems import SYSTEMS

DT_RANGE = 40.0
"""The Δt slider spans the preset's Δt divided and multiplied by this, and begins below the mark."""
EDITED = "edited"
"""The menu's option while an edited G runs."""


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
    shelf
        The models of the session, whose learned G the editor offers.
    restart
        Brings the run back to t = 0.
    """

    def __init__(
        self,
        store: Store,
        setup: Setup,
        report: Callable[[str], None],
        shelf: Shelf | None = None,
        restart: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._report, self._restart = report, restart
        self._make_choices()
        self._make_sliders()
        self._parameters = ParameterControls(store, self._change)
        self._equations = pn.pane.HTML(
            margin=(-10, 0, -6, 0),  # displayed formulas bring their own
            sizing_mode="stretch_width",
            styles={"font-size": "15px"},
        )
        self._about = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self.editor = OperatorEditor(store, self._change, shelf)
        self._promise = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self._honesty = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self.exact = pmui.Switch(
            label="Show the exact solution",
            size="small",
            margin=(2, 0),
            value=store.state.view.exact,
        )
        self.exact.param.watch(lambda event: store.change_view(exact=event.new), "value")
        self.grid = GridControls(store, self._change)
        self.reset = pmui.Button(
            label="Reset to preset",
            variant="outlined",
            size="small",
            margin=(10, 0),
            sizing_mode="stretch_width",
            on_click=lambda _: self._reset(),
        )
        physics = section("Physics", self._parameters.physics)
        self._physics = physics
        self.stepping = section(
            "Time stepping", self.dt, self.integrator.widget, self._promise, self.tol
        )
        self.panels = [
            section("Equation", self._equations, self._about, self.exact),
            section(
                "Structure operator",
                self.structure.widget,
                self._parameters.strengths,
                self.editor.view,
            ),
            self.stepping,
            section("Learned models", self.activation.widget, self._honesty),
            physics,
            section("Grid and initial state", *self.grid.objects, self.reset),
        ]
        self.show(setup)

    def _make_choices(self) -> None:
        systems = {cls.title: key for key, cls in SYSTEMS.items()}
        schemes = {texts.integrator_label(key): key for key in INTEGRATORS}
        self.system = Choice("System", systems, lambda key: self._store.put_scene(Scene(key)))
        self.preset = Choice("Preset", {}, self._to_preset)
        self.gallery = Gallery(lambda system, preset: self._store.put_scene(Scene(system, preset)))
        self.structure = Choice(
            "Structure operator G",
            {},
            self._to_structure,
            doc="What stands before δH/δu: it decides what happens to energy and mass.",
        )
        self.integrator = Choice(
            "Integrator",
            schemes,
            self._setter("integrator"),
            doc="Of the true system; every other lane has its own.",
        )
        self.activation = Choice(
            "Activation of the DGNets",
            {name: name for name in ACTIVATIONS},
            self._setter("activation"),
            doc="Picks the trained DGNet with this activation, where there is one.",
        )

    def _make_sliders(self) -> None:
        self.dt = bounded_slider(
            self._setter("dt"),
            "dt",
            "Time step Δt",
            "Acts on the next step. The mark is about where explicit schemes become unstable.",
            scale="log",
            typed=STEP_SIZES,
        )
        self.tol = bounded_slider(
            self._setter("tol"),
            "tol",
            "Solver tolerance",
            "Bounds the scaled size of the last update of implicit schemes. Two-dimensional fields "
            "begin with a loose one, to run live.",
            scale="log",
            span=(1e-14, 1e-4),
            typed=TOLERANCES,
        )

    def _setter(self, name: str) -> Callable[[Any], None]:
        return lambda value: self._change(**{name: value})

    def _change(self, **changes: Any) -> None:
        """What is refused leaves the widgets as they were; another form has its own operators."""
        if "choices" in changes:
            changes |= {"structure": None, "entries": None}
        try:
            self._store.change_scene(**changes)
        except ValueError as problem:
            self._report(str(problem))
            self.show(self._setup)

    def _to_structure(self, key: str) -> None:
        """A choice from the menu drops what was edited."""
        if key != EDITED:
            self._change(structure=key, entries=None)

    def _reset(self) -> None:
        """The preset as it opens, from its start, also where only the run has left it."""
        self._to_preset(self.preset.value)
        if self._restart is not None:
            self._restart()

    def _to_preset(self, preset: str) -> None:
        self._store.put_scene(Scene(self._store.state.scene.system, preset))

    def show(self, setup: Setup) -> None:
        """Set every widget from a scene that holds; nothing is written back to the store."""
        self._setup = setup
        self._show_choices(setup)
        self._show_numbers(setup)
        self._parameters.show(setup.scene, setup.system)
        self.grid.show(setup)
        self.exact.visible = setup.picture.kind == "profile" and setup.system.has_exact
        self._physics.visible = bool(self._parameters.physics.objects)
        self._show_texts(setup)

    def show_limits(self, limits: Sequence[tuple[str, str, float]]) -> None:
        """Title, colour and largest Δt of the lanes whose own schemes are explicit."""
        marks = [
            [limit, colour, f"{title}: about {number(limit, 2)}"] for title, colour, limit in limits
        ]
        lines = [self._limit_line, *(mark[2] for mark in marks)]
        put(self.dt, marks=marks, note=" · ".join(line for line in lines if line))

    def restyle(self, dark: bool) -> None:
        """Colours of the gallery's pictures; all else follows the page's CSS variables."""
        self.gallery.restyle(dark)

    def _show_choices(self, setup: Setup) -> None:
        scene, system = setup.scene, setup.system
        self.system.show(scene.system)
        titles = {p.title: key for key, p in system.presets.items()}
        self.preset.show(system.preset, options=titles)
        self.gallery.chosen = f"{scene.system}.{system.preset}"
        labels = {label: key for key, label in system.structures.items()}
        if scene.entries is not None:
            labels = {"G as edited below": EDITED, **labels}
        self.structure.show(system.structure_key or EDITED, options=labels)
        unsuited = [key for key in INTEGRATORS if key not in setup.schemes]
        self.integrator.show(scene.chosen_integrator, disabled_options=unsuited)
        self.activation.show(scene.activation)

    def _show_numbers(self, setup: Setup) -> None:
        scene, system = setup.scene, setup.system
        base, limit = system.presets[str(system.preset)].dt, setup.explicit_limit
        known = math.isfinite(limit)
        self._limit_line = f"explicit schemes: up to about {number(limit, 2)}" if known else ""
        put(
            self.dt,
            value=scene.dt or system.dt,
            start=min(base / DT_RANGE, max(limit / 2, STEP_SIZES[0])),
            end=base * DT_RANGE,
            mark=limit if known else None,
        )
        put(
            self.tol,
            value=scene.tol or live_tol(scene, system),
            disabled=not INTEGRATORS[scene.chosen_integrator].implicit,
        )

    def _show_texts(self, setup: Setup) -> None:
        system = setup.system
        lines = equations.lines(setup.scene, system)
        self._equations.object = typeset("".join(f"$${line}$$" for line in lines))
        self._about.object = texts.paragraph(system.about)
        self.editor.show(setup)
        preserves = INTEGRATORS[setup.scene.chosen_integrator].preserves
        self._promise.object = texts.paragraph(f"Keeps {preserves}.", small=True)
        self._honesty.object = texts.paragraph(texts.held_out(setup.scene), small=True)
