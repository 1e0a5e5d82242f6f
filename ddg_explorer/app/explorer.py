"""The explorer: the views of one session put together, the same class served and in a notebook.

    store (what is wanted) → runner (what runs) → outcomes → canvas, plots, controls

Views write to the store or drive the runner, and never talk to each other. Nothing here is shared
between sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.io.document import unlocked
from panel.util.parameters import edit_readonly
from panel.viewable import Viewer

from ddg_explorer.app import session, theme
from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.controls import Controls
from ddg_explorer.app.layout import card
from ddg_explorer.app.pictures import picture
from ddg_explorer.app.plots import RunningPlots
from ddg_explorer.app.runner import Runner
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import AppState, Scene, Store
from ddg_explorer.app.transport import Transport
from ddg_explorer.app.turns import Outcome, Setup, build, describe
from ddg_explorer.integrators import INTEGRATORS

TITLE = "Energy explorer"
NARROW = 600
"""Pixels below which the page's drawer lies over its content."""


class Explorer(Viewer):
    """A running system with its controls, pictures and plots.

    `page()` is the served page, `__panel__` a plain layout for notebooks. The loop begins when a
    browser shows the canvas and ends with the session or with `close()`.

    Parameters
    ----------
    state
        What to show; by default the KdV two-soliton.
    play
        Whether it runs as soon as it is shown.
    notice
        One line to show when the page opens.

    Raises
    ------
    ValueError
        If the state's scene cannot be built.
    """

    def __init__(
        self,
        state: AppState | None = None,
        *,
        play: bool = True,
        notice: str = "",
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self.store = Store(state)
        scene, lanes = self.store.state.scene, self.store.state.lanes
        setup = _first_setup(scene)
        self._dark = bool(self.store.state.view.dark)
        self._notice = notice
        self._page: pmui.Page | None = None
        self._setup = setup
        self.canvases = [LaneCanvas(lane=lane.model, title="True system") for lane in lanes]
        self.plots = [RunningPlots(self._dark) for _ in lanes]
        self.runner = Runner(
            [(Simulation(lane), c) for lane, c in zip(lanes, self.canvases, strict=True)],
            scene,
            on_outcomes=self._on_outcomes,
            on_playing=self._on_playing,
            on_ready=self._on_ready,
        )
        self.controls = Controls(self.store, setup, session.notify)
        self.transport = Transport(self.store, self.runner)
        self.browser = session.Browser(self._on_width)
        self._show(setup)
        self._restyle()
        self.runner.want(scene, self.store.state.view)
        self.store.subscribe(self._on_state)
        self.runner.play(play)

    def close(self) -> None:
        """End the loop and let go of the views."""
        self.runner.close()
        self.store.close()

    def page(self) -> pmui.Page:
        """The whole page; its theme toggle also themes canvases and plots."""
        page = pmui.Page(
            title=TITLE,
            sidebar=[*self.controls.panels],
            main=[self.main()],
            sidebar_width=340,
            theme_config=theme.material_theme(),
            sx=dict(theme.PAGE_SX),
            stylesheets=[theme.PAGE_CSS],
            dark_theme=self._dark,
            busy_indicator=None,
        )
        # The page follows `pn.state.busy`, which every acknowledged frame flips twice: two property
        # updates and a walk over all models each time, half of the server's time while playing.
        # The subscription would also keep the page, and all it holds, after the session.
        with edit_readonly(page):
            page.busy = page.param.loading
        page.param.watch(lambda event: self._set_dark(event.new), "dark_theme")
        self._page = page
        return page

    def __panel__(self) -> pn.viewable.Viewable:
        return pmui.Row(
            pn.Column(*self.controls.panels, width=340),
            self.main(),
            sizing_mode="stretch_width",
            theme_config=theme.material_theme(),
        )

    def main(self) -> pn.Column:
        """Transport, lanes and plots."""
        transport, controls = self.transport, self.controls
        bar = pn.FlexBox(
            pn.Row(
                controls.system.widget,
                controls.preset.widget,
                sizing_mode="stretch_width",
                styles={"flex": "3 1 320px", "gap": "12px", "min-width": "0"},
            ),
            pn.Row(transport.play, transport.step, transport.reset, styles={"gap": "8px"}),
            transport.speed,
            self.browser,
            sizing_mode="stretch_width",
            align_items="center",
            gap="12px 16px",
        )
        lanes = pn.FlexBox(
            *(card(canvas, styles={"flex": "1 1 360px"}) for canvas in self.canvases),
            sizing_mode="stretch_width",
            gap="16px",
            styles={"flex": "3 1 420px"},
        )
        plots = pn.Column(
            *(c for plots in self.plots for c in plots.cards.values()),
            styles={"flex": "2 1 340px", "gap": "16px"},
        )
        body = pn.FlexBox(lanes, plots, sizing_mode="stretch_width", gap="16px")
        return pn.Column(
            card(bar), body, sizing_mode="stretch_width", styles={"padding": "16px", "gap": "16px"}
        )

    def _on_ready(self) -> None:
        # Before the session counts as loaded, Panel cannot send outside the document's lock.
        pn.state.onload(self._on_loaded)

    def _on_loaded(self) -> None:
        session.disable_nagle(pn.state.curdoc)
        self.runner.start()
        if self._notice:
            session.notify(self._notice)
            self._notice = ""

    def _on_width(self, width: int) -> None:
        """On a phone the drawer would cover the picture: open with it closed."""
        if width < NARROW:
            pn.state.onload(self._close_drawer)

    def _close_drawer(self) -> None:
        if self._page is not None:
            self._page.sidebar_open = False

    def _on_playing(self, playing: bool) -> None:
        self.transport.show(playing)

    def _on_state(self, old: AppState, new: AppState) -> None:
        self.runner.want(new.scene, new.view)
        self.browser.write(new.to_flat())

    def _on_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        for canvas, plots, outcome in zip(self.canvases, self.plots, outcomes, strict=True):
            if outcome.setup is not None:
                self._show(outcome.setup)
            if outcome.error:
                session.notify(outcome.error)
                self.store.put_scene(self._setup.scene)
                self.controls.show(self._setup)
            if outcome.stopped != canvas.status:
                canvas.status = outcome.stopped
                if outcome.stopped:
                    session.notify(outcome.stopped)
            plots.push(outcome.sample, outcome.header.epoch, flush=not self.runner.playing)

    def _show(self, setup: Setup) -> None:
        """Bring titles, pictures and controls to a scene that holds."""
        rescaled = setup.picture.scale != self._setup.picture.scale
        self._setup = setup
        system = setup.system
        for canvas, lane in zip(self.canvases, self.store.state.lanes, strict=True):
            scheme = INTEGRATORS[lane.integrator or setup.scene.integrator]
            canvas.param.update(
                subtitle=f"{system.title} · {scheme.title}",
                device=str(system.device),
                spec=setup.picture.spec,
            )
        self.controls.show(setup)
        if rescaled:
            self._restyle()
        for plots in self.plots:
            plots.restyle(self._dark, has_mass=system.grid is not None)

    def _set_dark(self, dark: bool) -> None:
        if dark != self._dark:
            self._dark = dark
            self.store.change_view(dark=dark)
            # While frames are acknowledged, Panel may run this without the document's lock.
            with unlocked():
                self._restyle()

    def _restyle(self) -> None:
        has_mass = self._setup.system.grid is not None
        for index, (canvas, plots) in enumerate(zip(self.canvases, self.plots, strict=True)):
            canvas.restyle(self._dark, self._setup.picture.scale, index)
            plots.restyle(self._dark, has_mass=has_mass)
        self.controls.restyle(self._dark)


def _first_setup(scene: Scene) -> Setup:
    system = build(scene)
    return describe(scene, system, picture(system, system.initial(scene.seed)), restarted=True)
