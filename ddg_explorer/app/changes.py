"""Bringing widgets to a state that most of them already show."""

from __future__ import annotations

from typing import Any

import param


def put(target: param.Parameterized, **values: Any) -> None:
    """Set the parameters of `target` that differ from these values, in one update.

    `target.param.update` takes a millisecond even where nothing changes, and a moved slider brings
    twenty widgets up to date.
    """
    changed = {name: value for name, value in values.items() if getattr(target, name) != value}
    if changed:
        target.param.update(**changed)
