"""Remembered moments of a session: the states of all lanes, with scene and clock, and a way back.

A moment holds frames, which are never written to, so going back is exact. At most `MOST` of them
are kept, of `LIMIT_BYTES` together; the oldest go first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ddg_explorer.app.miniatures import Miniature
from ddg_explorer.app.past import Past
from ddg_explorer.app.pictures import Picture
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import AppState
from ddg_explorer.app.turns import Mark, Recall

MOST = 6
LONGEST = 24
"""Characters of a moment's name."""
LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Moment:
    """One remembered moment; `keys` are those of the lanes' pasts, in their order.

    It is known by the letter `name`, and shown as its `title`.
    """

    name: str
    label: str
    state: AppState
    mark: Mark
    keys: tuple[object, ...]
    edited: bool
    title: str

    def recall(self, pasts: Sequence[Past]) -> Recall:
        """The way back for the same lanes, which may have been built anew."""
        kept = self.mark.moments
        pairs = zip(pasts, self.keys, strict=True)
        return Recall({new.key: kept[old] for new, old in pairs if old in kept}, self.edited)

    @property
    def size(self) -> int:
        """Bytes of its states."""
        states = [kept.frame.u for kept in list(self.mark.moments.values())]
        return sum(u.element_size() * u.nelement() for u in states)


class Moments:
    """The session's remembered moments, oldest first."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit, self._count = limit, 0
        self._kept: list[Moment] = []
        self._pictures: dict[str, Miniature] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def labels(self, dark: bool = False) -> list[list[str]]:
        """[name, title, label, picture] of each; "" for a picture that is not taken yet."""
        pictures = {name: picture.uri(dark) for name, picture in self._pictures.items()}
        return [[m.name, m.title, m.label, pictures.get(m.name, "")] for m in self._kept]

    def take_pictures(self, simulation: Simulation, picture: Picture) -> bool:
        """Picture the moments that this lane has kept by now; whether there is anything new.

        Only now are their states there to be counted: the oldest go if they are too many.
        """
        before = len(self._kept)
        self._keep_to_limit()
        self._pictures = {m.name: p for m in self._kept if (p := self._pictures.get(m.name))}
        count = len(self._pictures)
        for moment in self._kept:
            kept = moment.mark.moments.get(simulation.past.key)
            if kept is not None and moment.name not in self._pictures:
                self._pictures[moment.name] = Miniature.of(simulation, picture, kept.frame)
        return len(self._pictures) > count or len(self._kept) < before

    def add(self, label: str, state: AppState, pasts: Sequence[Past], edited: bool) -> Mark:
        """Make room for a moment; returns the command that fills it."""
        name, mark = _letters(self._count), Mark()
        self._count += 1
        keys = tuple(past.key for past in pasts)
        self._kept.append(Moment(name, label, state, mark, keys, edited, title=name))
        del self._kept[:-MOST]
        return mark

    def get(self, name: str) -> Moment | None:
        """The moment of that name, None where it has gone."""
        return next((m for m in self._kept if m.name == name), None)

    def rename(self, name: str, title: str) -> None:
        """Show a moment as `title`, up to `LONGEST` characters of it; "" gives back its letter."""
        title = " ".join(title.split())[:LONGEST]
        self._kept = [replace(m, title=title or name) if m.name == name else m for m in self._kept]

    def drop(self, name: str) -> None:
        """Forget a moment."""
        self._kept = [m for m in self._kept if m.name != name]

    def _keep_to_limit(self) -> None:
        while len(self._kept) > 1 and sum(m.size for m in self._kept) > self._limit:
            del self._kept[0]


def _letters(k: int) -> str:
    """A, B, …, Z, A2, …"""
    return chr(ord("A") + k % 26) + (str(k // 26 + 1) if k >= 26 else "")
