"""What a link and a recipe do not carry, and where a recipe begins, for whoever saves them."""

from __future__ import annotations

from ddg_explorer.app.numerals import number
from ddg_explorer.app.share.make import CHECKPOINTS, Shown


def of_link(shown: Shown) -> str:
    """What a link leaves out and what carries it; "" where it holds everything."""
    lines = [_models(shown, "link")]
    if shown.initial is not None:
        drawn = "The initial state that was drawn or opened"
        what = drawn if shown.painted is None else "What was painted"
        lines.insert(0, f"{what} is not in the link: a recipe file carries it.")
    return " ".join(filter(None, lines))


def of_recipe(shown: Shown) -> str:
    """Where a recipe begins if not at t = 0, and what it leaves out; "" for nothing to be said."""
    lines = [_models(shown, "recipe")]
    if shown.painted is not None:
        t = number(shown.painted.t, 4)
        lines.insert(0, f"It begins with the painted state of the true lane at t = {t}.")
    return " ".join(filter(None, lines))


def _models(shown: Shown, where: str) -> str:
    own = [lane.source for lane in shown.state.lanes if lane.source]
    if not own:
        return ""
    are, them = ("is", "it") if len(own) == 1 else ("are", "them")
    names = " and ".join(filter(None, [", ".join(own[:-1]), own[-1]]))
    missing = f"{names} of this session {are} not in the {where}"
    return f"{missing}: {CHECKPOINTS} in the Share menu saves {them}."
