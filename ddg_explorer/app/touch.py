"""Touching the lanes: painting, drawing, dragging, undo, time travel and remembered moments.

Gestures come from any lane's canvas in data units, become one `Edit`, and go to every lane. What is
drawn before the first step is the initial state from then on, for all lanes, until another preset,
grid or seed is chosen; a later edit belongs to the run and ends with Reset.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import panel as pn
import torch

from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.changes import put
from ddg_explorer.app.edits import LARGEST, Edit
from ddg_explorer.app.marks import Moments
from ddg_explorer.app.numerals import clock
from ddg_explorer.app.race import Race
from ddg_explorer.app.runner import Runner
from ddg_explorer.app.state import AppState, Start
from ddg_explorer.app.store import Store
from ddg_explorer.app.timebar import TimeBar
from ddg_explorer.app.turns import GoTo, Outcome, Setup, Undo
from ddg_explorer.app.widgets import NumberSlider

TOOLS = {
    "field": ("paint", "Paint", "Paint on any picture: every lane gets the same."),
    "profile": (
        "draw",
        "Draw",
        "Click to add a {bump} of that height, drag to draw the profile: every lane gets the same.",
    ),
    "phase": ("drag", "Set start", "Press in the plane to start all lanes from there."),
}
"""Kind of picture → tool, its label, what it does."""
AFTER = " Energies and masses are compared with the edited state from then on."
RADIUS = 0.06
"""Of the brush at first, relative to the domain."""
MOST_STARTS = 30


class Touch:
    """What acts on the running states; `view` is its bar.

    Parameters
    ----------
    store
        Read for the scene; written to where an initial state is set.
    runner
        Hands the commands to the lanes.
    race
        Whose canvases are touched.
    report
        Shows one line where a gesture is refused.
    """

    def __init__(
        self, store: Store, runner: Runner, race: Race, report: Callable[[str], None]
    ) -> None:
        self._store, self._runner, self._race, self._report = store, runner, race, report
        self._moments = Moments()
        self._starts: list[tuple[Start, Start | None]] = []
        self._lifted, self._dark = False, bool(store.state.view.dark)
        self._outcome: Outcome | None = None
        self._setup: Setup | None = None
        self._radius, self._value = 0.05, 1.0
        self.bar = TimeBar(self._act, styles={"flex": "1 1 300px", "min-width": "0"})
        self._sliders = {
            name: NumberSlider(
                self._set_brush(name), key=f"brush-{name}", label=label, doc=doc, compact=True,
                styles={"flex": "1 0 130px", "max-width": "200px"},
            )
            for name, label, doc in (
                ("value", "Brush value", "What is painted: the value of u inside the disk."),
                ("radius", "Radius", "Of the disk, in the units of x and y; the edge is smooth."),
            )
        }  # fmt: skip
        self._brush = pn.Row(
            *self._sliders.values(),
            visible=False,
            sizing_mode="stretch_width",
            styles={"flex": "0 1 320px", "gap": "16px", "min-width": "0"},
        )
        self.view = pn.FlexBox(
            self.bar,
            self._brush,
            sizing_mode="stretch_width",
            align_items="center",
            gap="8px 16px",
        )

    def attach(self) -> None:
        """Listen to the canvases, after the lanes have been built anew."""
        for canvas in self._race.canvases:
            canvas.on_touch = self._on_touch
        self._equip()

    def show(self, setup: Setup) -> None:
        """Bring tool and brush to a scene that holds."""
        old, self._setup = self._setup, setup
        grid = setup.system.grid
        if setup.picture.kind == "field" and grid is not None and not _alike(old, setup):
            low, high = setup.picture.limits
            length = min(grid.length)
            self._value, self._radius = high, RADIUS * length
            reach = 1.5 * max(abs(low), abs(high))
            put(
                self._sliders["value"],
                start=-reach,
                end=reach,
                low=-LARGEST,
                high=LARGEST,
                value=high,
            )
            put(
                self._sliders["radius"],
                start=2 * max(grid.spacing), end=length / 4, low=0.0, high=length / 2,
                value=self._radius,
            )  # fmt: skip
        self._equip()

    def follow(self, outcomes: Sequence[tuple[LaneCanvas, Outcome]]) -> None:
        """Show the clock of the true lane; keep what was drawn before the first step."""
        for canvas, outcome in outcomes:
            if not self._race.canvases or canvas is not self._race.canvases[0]:
                continue
            self._outcome = outcome
            if outcome.header is not None:
                playing = self._runner.playing
                self.bar.show_clock(outcome.header.t, outcome.span, now=not playing)
                self._keep_start(outcome)
                self._picture_moments()
            self._show_undo()

    def restyle(self, dark: bool) -> None:
        """Pictures of the remembered moments in the colours of the theme."""
        if dark != self._dark:
            self._dark = dark
            self.bar.moments = self._moments.labels(dark)

    def _picture_moments(self) -> None:
        truth, setup = self._race.simulations[0], self._setup
        if len(self._moments) and setup and self._moments.take_pictures(truth, setup.picture):
            self.bar.moments = self._moments.labels(self._dark)

    @property
    def _kind(self) -> str:
        """Kind of picture that can be touched, "" for none."""
        if self._setup is None:
            return ""
        spec = self._setup.picture.spec
        return "" if spec["kind"] == "phase" and len(spec["names"]) != 2 else spec["kind"]

    def _equip(self) -> None:
        kind = self._kind
        tool, label, hint = TOOLS.get(kind, ("", "", ""))
        bump = "soliton" if self._setup and self._setup.system.name == "kdv" else "bump"
        after = "" if kind == "phase" else AFTER
        put(self.bar, tool=label, hint=hint.format(bump=bump) + after if hint else "")
        self._brush.visible = kind == "field" and self.bar.touching
        touch = {"tool": tool if self.bar.touching else "", "radius": self._radius}
        for canvas in self._race.canvases:
            if canvas.touch != touch:
                canvas.touch = touch

    def _set_brush(self, name: str) -> Callable[[float], None]:
        def set_(value: float) -> None:
            setattr(self, f"_{name}", value)
            self._equip()

        return set_

    def _on_touch(self, name: str, data: Any) -> None:
        if name == "lift":
            self._lifted = True
            self._runner.want(self._store.state)
            return
        try:
            if name == "start":
                self._start(Start(_point(data), "dragged initial point"))
            else:
                self._runner.order(self._edit(data))
        except (ValueError, TypeError, KeyError) as problem:
            self._report(str(problem))

    def _edit(self, data: Any) -> Edit:
        self._lifted = False
        points = tuple((float(x), float(y)) for x, y in data["points"])
        brush = (self._value, self._radius) if data["kind"] == "disk" else ()
        return Edit(str(data["kind"]), points, *brush, joined=bool(data["joined"]))

    def _keep_start(self, outcome: Outcome) -> None:
        """After a stroke before the first step: the edited state is the initial one."""
        frame = self._race.simulations[0].frame
        if not self._lifted or frame is None:
            return
        if frame.t == 0 and outcome.undoable and not self._runner.playing:
            self._lifted = False
            self._start(Start(frame.u.detach().to("cpu", torch.float64), "drawn initial state"))
        elif frame.t > 0 or self._runner.playing:
            self._lifted = False

    def _start(self, start: Start) -> None:
        before = self._store.state.scene.start
        if self._starts and self._starts[-1][0] is not before:
            self._starts.clear()
        self._starts.append((start, before))
        del self._starts[:-MOST_STARTS]
        self._store.change_scene(start=start)

    def _show_undo(self) -> None:
        edits = self._outcome is not None and self._outcome.undoable > 0
        undoable = edits or self._set_here
        if self.bar.undoable != undoable:
            self.bar.undoable = undoable

    @property
    def _set_here(self) -> bool:
        """Whether the initial state that holds was set by the last gesture kept."""
        return bool(self._starts) and self._starts[-1][0] is self._store.state.scene.start

    def _act(self, name: str, value: Any) -> None:
        if name == "touch":
            # a page that has just come says so before it can be told anything
            pn.state.onload(lambda: self._hold(bool(value)))
        elif name == "undo":
            self._undo()
        elif name == "go":
            self._runner.order(GoTo(float(value)))
        elif name == "remember":
            self._remember()
        elif name == "recall":
            self._recall(str(value))
        elif name == "rename":
            self._moments.rename(*map(str, value))
            self.bar.moments = self._moments.labels(self._dark)
        elif name == "drop":
            self._moments.drop(str(value))
            self.bar.moments = self._moments.labels(self._dark)
        elif name == "key":
            self._press(str(value))

    def _hold(self, tool: bool) -> None:
        """Whether the pointer acts on the pictures."""
        self.bar.touching = tool
        self._equip()

    def _press(self, key: str) -> None:
        runner = self._runner
        if key == "play":
            runner.play(not runner.playing)
        elif key == "step":
            runner.step()
        elif key == "reset":
            runner.reset()

    def _undo(self) -> None:
        if self._outcome is not None and self._outcome.undoable:
            self._runner.order(Undo())
        elif self._set_here:
            self._store.change_scene(start=self._starts.pop()[1])

    def _remember(self) -> None:
        if self._setup is None or self._outcome is None or self._outcome.header is None:
            return
        pasts = [simulation.past for simulation in self._race.simulations]
        label = f"t = {clock(self._outcome.header.t)} · {self._setup.system.title}"
        mark = self._moments.add(label, self._store.state, pasts, pasts[0].edited)
        self._runner.order(mark)
        self.bar.moments = self._moments.labels(self._dark)

    def _recall(self, name: str) -> None:
        if (moment := self._moments.get(name)) is None:
            return
        view = self._store.state.view
        self._runner.play(False)
        self._store.put(AppState(moment.state.scene, moment.state.lanes, view))
        pasts = [simulation.past for simulation in self._race.simulations]
        self._runner.order(moment.recall(pasts))


def _point(data: Any) -> torch.Tensor:
    q, p = (float(x) for x in data)
    if not all(math.isfinite(x) and abs(x) <= LARGEST for x in (q, p)):
        raise ValueError(f"start: needs two finite numbers up to {LARGEST:g}")
    return torch.tensor([q, p], dtype=torch.float64)


def _alike(old: Setup | None, new: Setup) -> bool:
    """Whether the brush still suits."""
    if old is None or old.system.grid is None or new.system.grid is None:
        return False
    same = old.system.name == new.system.name and old.picture.limits == new.picture.limits
    return same and old.system.grid.length == new.system.grid.length
