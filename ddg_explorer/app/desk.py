"""What a session is steered with: controls of the scene, bar of lanes, transport, sharing."""

from __future__ import annotations

from ddg_explorer.app import session
from ddg_explorer.app.controls import Controls
from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.lanebar import LaneBar
from ddg_explorer.app.race import Race
from ddg_explorer.app.runner import Runner
from ddg_explorer.app.share.bar import ShareBar
from ddg_explorer.app.state import AppState
from ddg_explorer.app.store import Store
from ddg_explorer.app.transport import Transport
from ddg_explorer.app.turns import Setup


class Desk:
    """The parts, and what brings them all to a state that holds."""

    def __init__(
        self,
        store: Store,
        setup: Setup,
        shelf: Shelf,
        race: Race,
        runner: Runner,
        browser: session.Browser,
    ) -> None:
        self.controls = Controls(store, setup, session.notify, shelf, runner.reset)
        self.lanebar = LaneBar(store, shelf, session.notify)
        self.transport = Transport(store, runner)
        self.controls.stepping.insert(2, self.transport.speed)
        self.share = ShareBar(store, shelf, race, browser)
        self.transport.show(runner.playing)
        self.controls.show_limits(race.limits())
        self.show_bars(store.state, setup)
        self.restyle(bool(store.state.view.dark))

    def show_bars(self, state: AppState, setup: Setup) -> None:
        """Lanes and speed of a state."""
        self.lanebar.show(state, field=setup.system.grid is not None)
        self.transport.show_speed(state.speed)

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self.controls.restyle(dark)
