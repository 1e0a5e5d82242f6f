"""The lanes side by side: one live canvas each, their running plots, and a table that sums up.

The true system comes first. A lane is added and removed, and its integrator chosen, here; the scene
that they share is the sidebar's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import panel as pn
import torch

from ddg_explorer.app import standings, texts
from ddg_explorer.app.cadence import Cadence
from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.changes import put
from ddg_explorer.app.entrants import Shelf, suits
from ddg_explorer.app.layout import card
from ddg_explorer.app.looks import Look, lane_looks
from ddg_explorer.app.pages.palette import model_title
from ddg_explorer.app.plots import RunningPlots
from ddg_explorer.app.scales import Scales
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import TRUTH, Lane
from ddg_explorer.app.store import Store
from ddg_explorer.app.turns import Outcome, Setup
from ddg_explorer.integrators import INTEGRATORS

TABLE_PERIOD = 0.4
"""Seconds between two updates of the table where frames come fast."""
GAP = 16
"""Pixels between the lanes."""


class Race:
    """Canvases, plots and table of the lanes.

    Parameters
    ----------
    store
        Read for lanes and view, written to where a lane is removed or changes its integrator.
    shelf
        The models of the session.
    on_train
        Called with the model's key where training for this scene is asked for.
    notify
        Shows one line.
    """

    def __init__(
        self,
        store: Store,
        shelf: Shelf,
        on_train: Callable[[str], None] | None,
        notify: Callable[[str], None],
    ) -> None:
        self._store, self._shelf = store, shelf
        self._on_train, self._notify = on_train, notify
        self._dark = bool(store.state.view.dark)
        self._cadence = Cadence(TABLE_PERIOD)
        self.canvases: list[LaneCanvas] = []
        self.simulations: list[Simulation] = []
        self.setups: list[Setup | None] = []
        self._last: list[Outcome | None] = []
        self.table = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self.view = pn.FlexBox(sizing_mode="stretch_width", gap="16px")
        self.plots: RunningPlots

    def set_lanes(self, lanes: Sequence[Lane]) -> list[tuple[Simulation, LaneCanvas]]:
        """Build the lanes anew; returns what a runner drives."""
        scales = Scales()
        self.simulations = [Simulation(lane, self._shelf, scales) for lane in lanes]
        self.canvases = [self._canvas(lane) for lane in lanes]
        self.setups, self._last = [None] * len(lanes), [None] * len(lanes)
        self._call()
        self.plots = RunningPlots([lane.model for lane in lanes], self._dark)
        self.table.object = ""
        self._arrange()
        return list(zip(self.simulations, self.canvases, strict=True))

    def show_truth(self, setup: Setup) -> None:
        """Bring the true lane to a scene before its first frame; the others' pictures are alike."""
        self._show(0, setup)
        for canvas in self.canvases[1:]:
            canvas.spec = {**setup.picture.spec, "show": self._store.state.view.show}

    def set_integrators(self, lanes: Sequence[Lane]) -> None:
        """The same lanes with other integrators."""
        for simulation, lane in zip(self.simulations, lanes, strict=True):
            simulation.lane = lane

    def push(self, canvas: LaneCanvas, outcome: Outcome, *, flush: bool) -> Setup | None:
        """Show a lane's outcome; returns its setup where that has changed.

        An outcome of a lane that has been removed meanwhile is dropped.
        """
        if canvas not in self.canvases:
            return None
        index = self.canvases.index(canvas)
        self._last[index] = outcome
        if outcome.setup is not None:
            self._show(index, outcome.setup)
        if outcome.stopped != canvas.status:
            canvas.status = outcome.stopped
        if outcome.header is not None and outcome.sample is not None and not outcome.visiting:
            self.plots.push(index, outcome.sample, outcome.header.epoch, flush=flush)
        self._tabulate(flush)
        return outcome.setup

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self._dark = dark
        for canvas, look, setup in zip(self.canvases, self._looks(), self.setups, strict=True):
            scale = "sequential" if setup is None else setup.picture.scale
            if self._differs(setup) and canvas.lane != TRUTH:
                scale = "diverging"
            canvas.restyle(dark, scale, look)
        first = self.setups[0] if self.setups else None
        if first is None:
            self.plots.restyle(dark, mass="u", dtype=torch.float64)
        else:
            self.plots.restyle(dark, mass=_mass(first), dtype=first.system.dtype)
        self._tabulate(True)

    def limits(self) -> list[tuple[str, str, float]]:
        """Name, colour and explicit limit of the models' lanes that have one."""
        lanes = zip(self.canvases, self._looks(), self.setups, strict=True)
        return [
            (canvas.title, look.colour(self._dark), setup.explicit_limit)
            for canvas, look, setup in lanes
            if setup and canvas.lane != TRUTH and math.isfinite(setup.explicit_limit)
        ]

    def _looks(self) -> list[Look]:
        return lane_looks([simulation.lane.model for simulation in self.simulations])

    def _call(self) -> None:
        """Let every lane be called what tells it from the others."""
        keys = ["" if setup is None else setup.integrator for setup in self.setups]
        schemes = [key and texts.short_scheme(key) for key in keys]
        titles = [_title(simulation.lane) for simulation in self.simulations]
        for canvas, name in zip(self.canvases, standings.names(titles, schemes), strict=True):
            put(canvas, title=name.whole, heading=name.heading)

    def show_mode(self) -> None:
        """Bring the canvases to the view's choice of state or difference."""
        for canvas in self.canvases:
            show = self._store.state.view.show
            canvas.spec = {**canvas.spec, "show": "state" if canvas.lane == TRUTH else show}
        self.restyle(self._dark)

    def _differs(self, setup: Setup | None) -> bool:
        phase = setup is not None and setup.picture.kind == "phase"
        return self._store.state.view.show == "difference" and not phase

    def _canvas(self, lane: Lane) -> LaneCanvas:
        canvas = LaneCanvas(
            lane=lane.model,
            title=_title(lane),
            compact=len(self.simulations) > 1,
            removable=lane.model != TRUTH,
        )
        canvas.on_choice = lambda key, value: self._on_choice(canvas, key, value)
        return canvas

    def _on_choice(self, canvas: LaneCanvas, key: str, value: object) -> None:
        if canvas not in self.canvases:
            return
        index, lanes = self.canvases.index(canvas), list(self._store.state.lanes)
        if key == "remove":
            del lanes[index]
        elif key == "integrator" and index == 0:
            self._store.change_scene(integrator=str(value))
        elif key == "integrator":
            lanes[index] = replace(lanes[index], integrator=str(value))
        elif self._on_train is not None:
            self._on_train(lanes[index].model)
        self._store.put_lanes(lanes)

    def _arrange(self) -> None:
        """One lane stands beside its plots, several in a row above them."""
        plots, count = self.plots, len(self.canvases)
        if count == 1:
            plots.param.update(stacked=True, styles={"flex": "2 1 340px"})
            lane = card(self.canvases[0], styles={"flex": "3 1 420px"})
            self.view[:] = [lane, plots]
            return
        # the charts wrap in one row with the table
        plots.styles = {"display": "contents"}
        lanes = [card(canvas, styles={"padding": "12px 12px 10px"}) for canvas in self.canvases]
        row = pn.Row(
            *lanes,
            sizing_mode="stretch_width",
            styles={"display": "grid", "gap": f"{GAP}px", "grid-template-columns": columns(count)},
        )
        grid = pn.FlexBox(
            plots,
            card(self.table, styles={"flex": "1 1 340px", "padding": "14px 12px 12px"}),
            sizing_mode="stretch_width",
            gap="16px",
            styles={"flex": "1 1 100%"},
        )
        self.view[:] = [row, grid]

    def _show(self, index: int, setup: Setup) -> None:
        """Bring a lane's title, picture and choices to a scene that holds."""
        canvas, old = self.canvases[index], self.setups[index]
        self.setups[index] = setup
        scheme = f" · {INTEGRATORS[setup.integrator].title}" if setup.integrator else ""
        show = self._store.state.view.show if canvas.lane != TRUTH else "state"
        suited = suits(canvas.lane, field=setup.system.grid is not None)
        put(
            canvas,
            subtitle=f"{setup.system.title}{scheme}" if canvas.lane == TRUTH else "",
            device=str(setup.system.device),
            spec={**setup.picture.spec, "show": show},
            misfit=setup.misfit,
            note=setup.note,
            reason=setup.reason,
            trainable=suited and self._on_train is not None,
            scheme=setup.integrator,
            schemes=[[key, texts.short_scheme(key)] for key in setup.schemes]
            if len(self.canvases) > 1
            else [],
        )
        self._call()
        if old is None or _tint(old) != _tint(setup):
            self.restyle(self._dark)

    def _tabulate(self, now: bool) -> None:
        """Rewrite the table when it is time."""
        if len(self.canvases) < 2 or not self._cadence.due(now=now):
            return
        rows = [
            standings.row(canvas.title, look.swatch(self._dark), outcome)
            for canvas, look, outcome in zip(self.canvases, self._looks(), self._last, strict=True)
        ]
        first = self.setups[0]
        conserves = first is None or first.system.structure.is_skew
        self.table.object = standings.table(rows, conserves=conserves)


def columns(count: int) -> str:
    """CSS columns for so many lanes, all equally wide, so that their pictures compare.

    Four stand in a row or two by two; five and six in rows of three.
    """
    most, least = {2: (2, 420), 3: (3, 300), 4: (4, 240)}.get(count, (3, 240))
    share = _share(most)
    if count == 4:
        room = most * least + (most - 1) * GAP
        share = f"clamp({share}, ({room}px - 100%) * 999, {_share(2)})"
    return f"repeat(auto-fit, minmax(min(100%, max({least}px, {share})), 1fr))"


def _share(parts: int) -> str:
    """Width of one of so many equal columns."""
    return f"(100% - {(parts - 1) * GAP}px) / {parts}"


def _mass(setup: Setup) -> str:
    """Letter of a field's first channel, "" for an ODE."""
    return "" if setup.system.grid is None else setup.picture.spec["names"][0]


def _title(lane: Lane) -> str:
    """Of a model of the session its name, else its kind."""
    return lane.source or model_title(lane.model)


def _tint(setup: Setup) -> tuple[str, str, torch.dtype]:
    """What colours and plots depend on."""
    return setup.picture.scale, _mass(setup), setup.system.dtype
