"""When a run reports: exactly every so many steps, or by steps and by time at a bounded cost."""

from __future__ import annotations

import itertools

import pytest
from training_cases import dgnet, kdv, pendulum

from ddg_explorer.training import train
from ddg_explorer.training.cadence import PERIOD, SHARE, Cadence
from ddg_explorer.training.first_order import FirstOrder


def reports(steps, every, step_seconds, report_seconds):
    """Steps at which a run reports whose steps and reports take so long."""
    now = 0.0
    cadence = Cadence(steps, every, clock=lambda: now)
    found = []
    for taken in range(1, steps + 1):
        now += step_seconds
        if cadence.due(taken):
            begin = now
            now += report_seconds
            cadence.reported(begin)
            found.append(taken)
    return found, now


def test_a_long_run_reports_after_the_first_step_and_every_second():
    found, _ = reports(20_000, None, 0.01, 0.001)
    assert found[0] == 1
    assert set(range(200, 20_001, 200)) <= set(found)
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert max(gaps) * 0.01 <= PERIOD + 0.011


def test_reports_by_time_take_a_twentieth_of_it_at_most():
    """Here a report takes as long as thirty steps: those by steps alone are rarer than a second."""
    steps, cost = 100_000, 0.3
    found, total = reports(steps, None, 0.01, cost)
    by_time = [step for step in found if step % (steps // 100) and step > 1]
    assert by_time
    assert len(by_time) * cost <= SHARE * total


@pytest.mark.parametrize("every", [1, 7, 40])
def test_a_given_number_of_steps_is_exact(every):
    found, _ = reports(40, every, 5.0, 0.1)
    assert found == sorted({*range(every, 41, every), 40})


def test_a_run_that_reports_by_time_ends_with_the_same_weights(tmp_path, monkeypatch):
    """A report after every step, as where steps are long, against a report at the end only."""
    data, options = kdv(count=2, steps=20), {"steps": 250, "rows": (60, 60)}
    ends = []
    for period, every in ((0.0, None), (1.0, 250)):
        monkeypatch.setattr("ddg_explorer.training.cadence.PERIOD", period)
        monkeypatch.setattr("ddg_explorer.training.cadence.SHARE", 1e12)
        model, file = dgnet(data, hidden=3), tmp_path / f"{every}.safetensors"
        events = list(train(model, data, report_every=every, checkpoint=file, **options))
        ends.append((len(events), model.state_dict()))
    assert [count for count, _ in ends] == [250, 1]
    for name, value in ends[0][1].items():
        assert value.equal(ends[1][1][name])


def test_what_the_first_step_costs_is_not_expected_of_the_others(monkeypatch):
    """The first step of a compiled run compiles: here it takes 100 s, every other one 2 s."""
    now = [0.0]

    def advance(self, step):
        now[0] += 2.0 if step else 100.0
        return 0.5

    monkeypatch.setattr("ddg_explorer.training.loop.time.perf_counter", lambda: now[0])
    monkeypatch.setattr(FirstOrder, "advance", advance)
    data = pendulum()
    options = {"optimizer": "adam", "steps": 4, "report_every": 1}
    events = []
    for event in train(dgnet(data, hidden=3), data, **options):
        events.append(event)
        # what is done with the first event takes long, too
        now[0] += 50.0 if event.step == 1 else 0.0
    assert [event.elapsed for event in events] == [100, 152, 154, 156]
    assert [event.rate for event in events] == [None, 0.5, 0.5, 0.5]
    assert [event.eta for event in events] == [None, 4, 2, 0]


def test_the_only_report_of_a_run_is_its_end(tmp_path):
    data = pendulum()
    file = tmp_path / "run.safetensors"
    options = {"optimizer": "adam", "steps": 3, "report_every": 3, "checkpoint": file}
    for _ in range(2):
        (event,) = train(dgnet(data, hidden=3), data, **options)
        assert (event.done, event.eta) == (True, 0.0)
