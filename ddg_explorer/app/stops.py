"""Why a lane has stopped, as the page says it: once, in its own numbers, with what to try."""

from __future__ import annotations

import re

from ddg_explorer.app.numerals import number

_STOPPED = re.compile(r"stopped at t = (?P<t>\S+): (?P<cause>.+)")
_REDUCE = re.compile(r"; reduce dt \(now \S+\)$")
_GROWN = re.compile(r"the state diverges \(max \|u\| = (?P<size>\S+)\)")
_POWER = re.compile(r"(?<=\d)e([+-]?)0*(?=\d)")
_ADVICE = "try a smaller Δt"


def told(reason: str) -> str:
    """The line of a `Rollout` that has stopped; a state that grew without bound has diverged.

    A line of another kind is returned as it is, "" of one that goes on.
    """
    if (match := _STOPPED.fullmatch(reason)) is None:
        return reason
    cause, advised = _REDUCE.subn("", match["cause"])
    at = f"at t = {_plain(match['t'])}"
    if grown := _GROWN.fullmatch(cause):
        return f"diverged {at} (max |u| = {number(float(grown['size']), 2)}): {_ADVICE}"
    if cause == "the state is not finite":
        return f"diverged {at}: {_ADVICE}"
    cause = _plain(cause).replace("no dt helps", "no Δt helps")
    return f"stopped {at}: {cause}; {_ADVICE}" if advised else f"stopped {at}: {cause}"


def _plain(text: str) -> str:
    """Powers of ten as the page writes them: 1e-05 → 1e−5, 1e+06 → 1e6."""
    return _POWER.sub(lambda match: "e−" if match[1] == "-" else "e", text)
