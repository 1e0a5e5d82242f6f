"""When a run reports: exactly every so many steps, or by steps and by time at a bounded cost."""

from __future__ import annotations

import itertools

import pytest
from training_cases import dgnet, kdv

from ddg_explorer.training import train
from ddg_explorer.training.cadence import PERIOD, SHARE, Cadence


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
