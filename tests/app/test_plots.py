"""What the running plots send, and that a browser which follows it holds what the server does."""

import base64
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ddg_explorer.app import plots as plots_module
from ddg_explorer.app.plots import RunningPlots
from ddg_explorer.app.theme import LANE_COLOURS, mode
from ddg_explorer.app.traces import COLUMNS, FLOOR, LOGARITHMIC, ROLLOVER
from ddg_explorer.app.turns import Sample

SAMPLE = Sample(
    t=0.0,
    energy=2.0,
    drift=0.0,
    own_drift=1e-12,
    mass=1.0,
    mass_drift=0.0,
    residual=0.0,
    error=math.nan,
    energy_scale=2.0,
    mass_scale=1.0,
)


class Browser:
    """Follows the messages as `js/curves.js` does."""

    def __init__(self, plots: RunningPlots) -> None:
        self.rows: dict[int, np.ndarray] = {}
        self.limits: dict[str, list[float]] = {}
        self.messages = 0
        plots._send_msg = self.take

    def take(self, message) -> None:
        self.messages += 1
        self.limits = message["limits"]
        for lane, kept, data in message["lanes"]:
            raw = base64.b64decode(data) if isinstance(data, str) else data
            fresh = np.frombuffer(raw).reshape(-1, len(COLUMNS))
            old = self.rows.get(lane, fresh[:0])[:kept]
            self.rows[lane] = np.concatenate((old, fresh))[-ROLLOVER:]

    def column(self, name: str, lane: int = 0) -> list[float]:
        return self.rows[lane][:, COLUMNS.index(name)].tolist()


def shown(plots: RunningPlots) -> dict[str, dict]:
    return {chart["name"]: chart for chart in plots.charts}


def play(plots: RunningPlots, times, *, epoch: int = 1, lanes: int = 1, flush: bool = True) -> None:
    for t in times:
        for lane in range(lanes):
            plots.push(lane, replace(SAMPLE, t=t, energy=2 + t), epoch, flush=flush)


def test_the_browser_holds_what_the_server_does_through_rollover_return_and_restart():
    plots = RunningPlots(["truth"], dark=False)
    browser = Browser(plots)
    play(plots, range(ROLLOVER + 7))
    assert browser.column("t") == list(range(7, ROLLOVER + 7))
    play(plots, [100, 101])
    assert browser.column("t") == [*range(7, 102)]
    play(plots, [0, 1], epoch=2)
    assert browser.column("t") == [0, 1]
    assert np.array_equal(browser.rows[0], plots.traces[0].rows, equal_nan=True)
    assert browser.limits["t"] == [0, 1]


def test_axes_of_charts_without_motion_span_a_time_that_can_be_read():
    """At t = 0, and wherever a run has been taken back to."""
    plots = RunningPlots(["truth"], dark=False)
    browser = Browser(plots)
    play(plots, [0])
    assert browser.limits["t"] == [0, 1]
    play(plots, [1e-8])
    assert browser.limits["t"] == [0, 1e-8]
    play(plots, [7.5], epoch=2)
    assert browser.limits["t"] == [7.5, 8.5]


def test_lanes_of_one_model_have_lines_of_their_own_in_every_chart():
    models = ["truth", "dgnet", "node", "dgnet"]
    for chart in RunningPlots(models, dark=False).charts:
        looks = [(line["colour"], tuple(line["dash"])) for line in chart["lines"]]
        assert len({colour for colour, _ in looks}) == len(looks)
        assert len({dash for _, dash in looks}) == len(looks)


def test_a_browser_that_comes_late_gets_everything():
    plots = RunningPlots(["truth", "dgnet"], dark=False)
    Browser(plots)
    play(plots, [0, 1, 2], lanes=2)
    late = Browser(plots)
    plots._receive(SimpleNamespace(data={"ready": True}))
    assert late.messages == 1
    assert late.column("t", 0) == late.column("t", 1) == [0, 1, 2]
    play(plots, [3], lanes=2)
    assert late.column("t", 1) == [0, 1, 2, 3]


def test_all_lanes_of_a_turn_go_out_together_now_and_then(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("ddg_explorer.app.traces.time.perf_counter", lambda: clock.now)
    plots = RunningPlots(["truth", "dgnet", "hnnpp", "node"], dark=False)
    plots._cadence = plots_module.Cadence(plots_module.SEND_PERIOD, clock=lambda: clock.now)
    browser = Browser(plots)
    for frame in range(120):
        clock.now = 100 + frame / 60
        play(plots, [frame], lanes=4, flush=False)
    assert 14 <= browser.messages <= 21  # the lanes' beginnings, then 8 a second
    assert {lane: len(rows) for lane, rows in browser.rows.items()} == pytest.approx(
        dict.fromkeys(range(4), 40), abs=4
    )


def test_no_line_leads_to_where_an_edit_lets_drifts_begin_anew():
    plots = RunningPlots(["truth"], dark=False)
    browser = Browser(plots)
    before = replace(SAMPLE, drift=1e-3, own_drift=1e-3, mass_drift=1e-3, error=1e-3)
    for sample in (before, replace(before, t=1.0)):
        plots.push(0, sample, 1, flush=True)
    for t in (1.0, 2.0):
        edited = replace(SAMPLE, t=t, error=0.0, mass=3.0, energy_scale=5.0, mass_scale=3.0)
        plots.push(0, edited, 1, flush=True)
    assert browser.column("t") == [0, 1, 1, 1, 2]
    for name in LOGARITHMIC:
        assert [math.isnan(x) for x in browser.column(name)] == [False, False, True, False, False]
    assert browser.column("mass") == [1, 1, 3, 3, 3]
    plots.push(0, replace(before, t=0.5), 1, flush=True)  # back to before the edit
    assert browser.column("t") == [0, 0.5]


def test_zeros_stand_on_the_floor_of_log_axes_and_a_zero_residual_is_none():
    plots = RunningPlots(["truth"], dark=False)
    browser = Browser(plots)
    play(plots, [0])
    assert browser.column("drift") == browser.column("mass_drift") == [FLOOR]
    assert math.isnan(browser.column("residual")[0])
    assert math.isnan(browser.column("error")[0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_floor_of_log_axes_lies_below_the_last_bit_and_above_the_edge(dtype):
    plots = RunningPlots(["truth"], dark=False)
    plots.restyle(False, mass="u", dtype=dtype)
    drift = shown(plots)["drift"]
    assert 0.01 < drift["floor"] / torch.finfo(dtype).eps < 0.5
    assert drift["decades"][0] < math.log10(drift["floor"])


def test_a_lane_that_leaves_the_axis_far_behind_does_not_widen_it():
    plots = RunningPlots(["truth", "node"], dark=False)
    browser = Browser(plots)
    play(plots, [0.0], lanes=2)
    low, high = browser.limits["energy"]
    assert low < 2 < high
    assert high - low == pytest.approx(plots_module.RELATIVE_SPAN * 2)
    plots.push(1, replace(SAMPLE, t=1.0, energy=1e9), 1, flush=True)
    assert browser.limits["energy"] == [low, high]
    plots.push(1, replace(SAMPLE, t=2.0, energy=3.0), 1, flush=True)
    assert browser.limits["energy"][0] == low
    assert browser.limits["energy"][1] > 3


@pytest.mark.parametrize("dark", [False, True])
def test_charts_and_lines_are_those_of_what_there_is(dark):
    race = RunningPlots(["truth", "dgnet", "node"], dark)
    charts = shown(race)
    assert list(charts) == ["energy", "drift", "own_drift", "mass", "error"]
    lanes = {name: [line["lane"] for line in chart["lines"]] for name, chart in charts.items()}
    assert lanes["energy"] == lanes["drift"] == lanes["mass"] == [0, 1, 2]
    assert lanes["own_drift"] == [1]  # a neural ODE has no energy
    assert lanes["error"] == [1, 2]
    looks = {(line["colour"], str(line["dash"])) for line in charts["energy"]["lines"]}
    assert len(looks) == 3
    assert charts["drift"]["decades"] == [-17.5, 1]
    race.restyle(dark, mass="", dtype=torch.float64)
    assert "mass" not in shown(race)
    race.restyle(dark, mass="e", dtype=torch.float64)
    assert shown(race)["mass"]["title"] == "Mass ∫e"
    alone = shown(RunningPlots(["truth"], dark))
    columns = [COLUMNS[line["column"]] for line in alone["drift"]["lines"]]
    assert columns == ["drift", "mass_drift", "residual"]
    colours = [line["colour"] for line in alone["drift"]["lines"]]
    assert len(set(colours)) == 3
    assert not set(colours) & set(LANE_COLOURS[mode(dark)][1:]), "none is another model's"
    assert alone["drift"]["title"] == "Relative change"
    assert charts["drift"]["title"] == "Relative change of H"
    assert list(alone) == ["energy", "drift", "mass"]
