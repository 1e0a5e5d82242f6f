"""A page with the Train tab alone, served by `test_live_train`."""

from pathlib import Path

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app import session
from ddg_explorer.app.layout import TALL, frame
from ddg_explorer.app.training.view import TrainPage
from ddg_explorer.models import load_model


def open_session(panel, framed, tall, tab, load) -> pmui.Page:
    """The page; what it goes on using is passed, for a script's globals end with its session."""
    arrived = panel.pane.HTML('<div data-testid="arrived">no model</div>')

    def on_model(name: str, path: Path, card) -> None:
        weights = sum(p.numel() for p in load(path).parameters())
        text = f"{name}: {weights} weights, {card['steps']} steps"
        arrived.object = f'<div data-testid="arrived">{text}</div>'

    train = tab(on_model=on_model, notify=session.notify)
    column = panel.Column(
        train.view, arrived, sizing_mode="stretch_width", styles={"padding": "16px", **tall}
    )
    page = framed("Train", main=[column])
    page.param.watch(lambda event: train.restyle(event.new), "dark_theme")
    panel.state.on_session_destroyed(lambda _: train.close())
    return page


pn.extension(notifications=True, reconnect=True)
session.stay_offline(pn.state.curdoc)
open_session(pn, frame, TALL, TrainPage, load_model).servable()
