"""The explorer: the views of one session put together, the same class served and in a notebook.

    store (what is wanted) → runner (what runs) → outcomes → race, controls

Views write to the store or drive the runner, and never talk to each other. Nothing here is shared
between sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewer

from ddg_explorer.app import makers, session, theme
from ddg_explorer.app.arrival import Arrival
from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.desk import Desk
from ddg_explorer.app.entrants import Misfit, Shelf, entrant
from ddg_explorer.app.explore_page import ExplorePage
from ddg_explorer.app.layout import TALL, Drawer, frame
from ddg_explorer.app.race import Race
from ddg_explorer.app.runner import Runner
from ddg_explorer.app.state import AppState, Lane
from ddg_explorer.app.store import Store
from ddg_explorer.app.tabs import Page, Tabs
from ddg_explorer.app.touch import Touch
from ddg_explorer.app.turns import Outcome
from ddg_explorer.models.files import load_model

TITLE = "Energy explorer"
STEERED = ("explore", "train")
"""Pages on which the drawer's controls act: the scene can be trained on."""
MOVING = 2
"""Painted frames after which the rest of the page may come."""


class Explorer(Viewer):
    """A running system with its controls, pictures and plots.

    `page()` is the served page, `__panel__` a plain layout for notebooks. The loop begins when a
    browser shows the canvas and ends with the session or with `close()`.

    Parameters
    ----------
    state
        What to show; by default the KdV two-soliton.
    play
        Whether it runs as soon as it is shown, unless the person's system asks for less motion.
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
        self._dark, self.opened = bool(self.store.state.view.dark), False
        self._notice = notice
        self._drawer: Drawer | None = None
        self._held = self.store.state
        self._desk: Desk | None = None
        self.shelf = Shelf()
        self.race = Race(self.store, self.shelf, self._train_for, session.notify)
        self.runner = Runner(
            self.store.state,
            on_outcomes=self._on_outcomes,
            on_playing=self._on_playing,
            on_ready=self._on_ready,
        )
        self.touch = Touch(self.store, self.runner, self.race, session.notify)
        self.browser = session.Browser(self._on_window)
        self.tabs = Tabs(self._makers(), lambda key: self.store.change_view(page=key))
        self._set_lanes(self.store.state.lanes)
        setup = self._setup = self.race.simulations[0].open(self.store.state.scene)
        self._explore = ExplorePage(
            self.race,
            self.touch,
            several=len(self.store.state.lanes) > 1,
            field=setup.system.grid is not None,
        )
        self._sidebar = pn.Column(sizing_mode="stretch_width", styles=TALL)
        self.arrival = Arrival(self._pieces(), self._moving)
        self.race.show_truth(setup)
        self.touch.show(setup)
        self.tabs.show(self.store.state.view.page)
        makers.follow_train(self.tabs, self.store.state.view.page, self._setup)
        self._restyle()
        self.store.subscribe(self._on_state)
        self.runner.play(play)

    def close(self) -> None:
        """End the loop, the session's trainings, and let go of the views."""
        self.runner.close()
        self.tabs.close()
        self.store.close()

    def page(self) -> pmui.Page:
        """The whole page; its theme toggle also themes canvases and plots."""
        page = frame(
            TITLE,
            header=[self.tabs.row],
            main=[self._main()],
            sidebar=[self._sidebar],
            dark_theme=self._dark,
        )
        page.param.watch(lambda event: self._set_dark(event.new), "dark_theme")
        self.touch.bar.keyboard = True
        self._drawer = Drawer(page, self.store.state.view.page in STEERED)
        return page

    def __panel__(self) -> pn.viewable.Viewable:
        self.arrival.complete()
        return pmui.Row(
            pn.Column(self._sidebar, width=340),
            self._main(self.tabs.row),
            sizing_mode="stretch_width",
            theme_config=theme.material_theme(),
        )

    def _main(self, *above: Any) -> pn.Column:
        """The tabs' pages, and what is to stand above them."""
        parts = (*above, self.browser, self.tabs.view, self.arrival)
        return pn.Column(*parts, sizing_mode="stretch_width", styles=TALL)

    @property
    def desk(self) -> Desk:
        """Controls, bars and buttons; made when first asked for."""
        if self._desk is None:
            self._desk = Desk(
                self.store, self._setup, self.shelf, self.race, self.runner, self.browser
            )
        return self._desk

    def _pieces(self) -> Iterator[None]:
        """What comes after the first frames, piece by piece."""
        self._explore.fill(self.desk)
        self.tabs.fill(self.store.state.view.page, skip=self._drawer is not None)
        yield
        self._sidebar[:] = self.desk.controls.panels
        yield
        self._explore.settle()
        yield

    def _moving(self) -> bool:
        """Whether the page's pictures, where it has some, have been seen to move."""
        seen = self.race.canvases[0].credits.painted
        return seen >= MOVING or self.store.state.view.page != "explore"

    def _makers(self) -> dict[str, Callable[[], Page]]:
        return {
            "explore": lambda: self._explore,
            "train": lambda: makers.make_train(self._dark, self._on_model),
            "results": lambda: makers.make_results(self._dark),
            "structure": lambda: makers.make_structure(self._dark, self.shelf),
            "theory": self._make_theory,
        }

    def _make_theory(self) -> Page:
        """The theory, in the language of the link, which follows it."""
        page: Any = makers.make_theory(self._dark)
        page.language.value = self.store.state.view.lang
        page.language.param.watch(lambda event: self.store.change_view(lang=event.new), "value")
        return page

    def _on_ready(self) -> None:
        # Before the session counts as loaded, Panel cannot send outside the document's lock.
        if self.opened:
            pn.state.onload(self._on_loaded)

    def _on_loaded(self) -> None:
        session.disable_nagle(pn.state.curdoc)
        self.runner.start()
        if self._notice:
            session.notify(self._notice)
            self._notice = ""

    def _on_window(self, width: int, still: bool) -> None:
        """Nothing moves before this; where the drawer covers the picture, it is closed."""
        self.opened = True
        if still:
            self.runner.play(False)
        pn.state.onload(self._on_loaded)
        drawer = self._drawer
        if drawer is not None:
            pn.state.onload(lambda: drawer.on_width(width >= session.NARROW))

    def _on_playing(self, playing: bool) -> None:
        self.browser.playing = playing
        if self._desk is not None:
            self._desk.transport.show(playing)

    def _on_state(self, old: AppState, new: AppState) -> None:
        if new.lanes != old.lanes:
            if _kinds(new.lanes) == _kinds(old.lanes):
                self.race.set_integrators(new.lanes)
            else:
                self._set_lanes(new.lanes)
        if new.view.show != old.view.show:
            self.race.show_mode()
        if new.view.page != old.view.page:
            if self._drawer is not None:
                self._drawer.on_page(new.view.page in STEERED)
            self.tabs.show(new.view.page)
            makers.follow_train(self.tabs, new.view.page, self._setup)
        self.runner.want(new)
        self._show_bars()
        self.browser.write(new.to_flat())

    def _set_lanes(self, lanes: Sequence[Lane]) -> None:
        self.runner.set_lanes(self.race.set_lanes(lanes))
        self.race.restyle(self._dark)
        self.touch.attach()
        self._show_bars()

    def _on_outcomes(self, outcomes: Sequence[tuple[LaneCanvas, Outcome]]) -> None:
        flush = not self.runner.playing
        for canvas, outcome in outcomes:
            setup = self.race.push(canvas, outcome, flush=flush)
            first = canvas.lane == theme.MODEL_ORDER[0]
            if setup is not None and first:
                self._setup = setup
                if setup.scene == self.store.state.scene:
                    self._held = self.store.state
                self.touch.show(setup)
                self._show_setup()
            if outcome.error and first:
                session.notify(outcome.error)
            if outcome.note:
                session.inform(outcome.note)
            if outcome.refused is not None and first:
                self.store.take_back(outcome.refused, self._held)
                self._show_setup()
        self.touch.follow(outcomes)
        if self._desk is not None and any(outcome.setup for _, outcome in outcomes):
            self._desk.controls.show_limits(self.race.limits())

    def _train_for(self, model: str) -> None:
        """Open the training page on the scene that runs."""
        page: Any = self.tabs.page("train")
        makers.prepare_train(page, model, self._setup)
        self.store.change_view(page="train")

    def _on_model(self, name: str, path: Path, card: Mapping[str, Any]) -> None:
        """A model has been trained here: keep it, and let it run where it can."""
        model = load_model(path)
        lane = Lane(model.key, source=self.shelf.put(name, model))
        try:
            entrant(lane, self._setup.scene, self._setup.system, self.shelf)
            self.store.put_lanes([*self.store.state.lanes, lane])
        except Misfit as why:
            session.tell(f"{lane.source} is trained. In this scene it cannot run: {why}.")
        except ValueError:
            session.tell(f"{lane.source} is trained: add it as a lane when there is room.")
        else:
            session.tell(f"{lane.source} is trained and runs as a lane.")
        self._show_bars()

    def _show_setup(self) -> None:
        makers.follow_train(self.tabs, self.store.state.view.page, self._setup)
        if self._desk is not None:
            self._desk.controls.show(self._setup)
        self._show_bars()

    def _show_bars(self) -> None:
        if self._desk is not None:
            self._desk.show_bars(self.store.state, self._setup)
            self._desk.controls.exact.value = self.store.state.view.exact

    def _set_dark(self, dark: bool) -> None:
        if dark != self._dark:
            self._dark = dark
            self.store.change_view(dark=dark)
            session.under_lock(pn.state.curdoc, self._restyle)

    def _restyle(self) -> None:
        self.tabs.restyle(self._dark)
        if self._desk is not None:
            self._desk.restyle(self._dark)
        self.touch.restyle(self._dark)


def _kinds(lanes: Sequence[Lane]) -> list[tuple[str, str]]:
    """What tells lanes apart that have to begin anew from those with another integrator only."""
    return [(lane.model, lane.source) for lane in lanes]
