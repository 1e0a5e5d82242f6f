"""Why a lane has stopped, as the page says it: once, in its own numbers, with what to try."""

from __future__ import annotations

import math
import re

from ddg_explorer.app.numerals import number
from ddg_explorer.frames import Stop

_POWER = re.compile(r"(?<=\d)e([+-]?)0*(?=\d)")


def told(stop: Stop | None) -> str:
    """The line of a lane that has stopped, "" of one that goes on.

    A state that grew without bound has diverged.
    """
    if stop is None:
        return ""
    at = f"at t = {_plain(f'{stop.t:.6g}')}"
    if stop.size is None:
        line, joint = f"stopped {at}: {_plain(stop.cause)}", "; "
    else:
        grown = f" (max |u| = {number(stop.size, 2)})" if math.isfinite(stop.size) else ""
        line, joint = f"diverged {at}{grown}", ": "
    return line if stop.dt is None else f"{line}{joint}try a smaller Δt"


def _plain(text: str) -> str:
    """Powers of ten as the page writes them: 1e-05 → 1e−5, 1e+06 → 1e6."""
    return _POWER.sub(lambda match: "e−" if match[1] == "-" else "e", text)
