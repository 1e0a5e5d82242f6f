"""A button does what its label says, whatever runs by the time its click is heard."""

import pytest

from ddg_explorer.app.runner import Runner
from ddg_explorer.app.state import AppState
from ddg_explorer.app.store import Store
from ddg_explorer.app.transport import Transport


@pytest.fixture
def runner():
    made = Runner(
        AppState(),
        on_outcomes=lambda pairs: None,
        on_playing=lambda playing: transport.show(playing),
        on_ready=lambda: None,
    )
    transport = Transport(Store(), made)
    transport.show(made.playing)
    made.transport = transport
    return made


def click(transport, label):
    button = next(b for b in transport.play.object if b.label == label)
    button.clicks += 1


@pytest.mark.parametrize(("label", "plays"), [("Play", True), ("Pause", False)])
@pytest.mark.parametrize("before", [True, False])
def test_play_plays_and_pause_pauses(runner, label, plays, before):
    runner.play(before)
    click(runner.transport, label)
    assert runner.playing is plays
    seen = [button.label for button in runner.transport.play.object if button.visible]
    assert seen == ["Pause" if plays else "Play"]


def test_pause_after_step_does_not_play_again(runner):
    runner.play(True)
    runner.step()
    click(runner.transport, "Pause")
    assert not runner.playing
