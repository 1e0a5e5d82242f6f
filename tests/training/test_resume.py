"""Exact resumption: a run that was killed ends with the same weights, bit by bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_cases import dgnet, kdv

from ddg_explorer.training import train

OPTIONS = {
    "lm": {"optimizer": "lm", "steps": 12, "rows": (60, 200), "report_every": 3},
    "smoothed": {
        **{"optimizer": "lm", "steps": 12, "rows": (60, 200), "report_every": 3},
        "noise": "smooth",
    },
    "adam": {"optimizer": "adam", "steps": 12, "batch": 10, "report_every": 3},
    "soap": {"optimizer": "soap", "steps": 12, "batch": 10, "report_every": 3},
    "soap of 16": {"optimizer": "soap", "steps": 12, "batch": 10, "report_every": 3},
    "soap of 64": {"optimizer": "soap", "steps": 12, "batch": 10, "report_every": 3},
    "single": {
        **{"optimizer": "adam", "steps": 12, "batch": 10, "report_every": 3},
        **{"schedule": "cosine", "weight_decay": 1e-3, "scale": True},
    },
}
NETWORK = {
    "single": {"dtype": "float32"},
    "soap of 16": {"hidden": 16},
    "soap of 64": {"hidden": 64},
}
VICTIM = """
import sys
sys.path.insert(0, sys.argv[3])
from training_cases import kdv
from test_resume import OPTIONS, model
from ddg_explorer.training import train
kind, data = sys.argv[2], kdv(count=2, steps=20)
for event in train(model(data, kind), data, checkpoint=sys.argv[1], **OPTIONS[kind]):
    print(event.step, flush=True)
"""


def model(data, kind):
    return dgnet(data, **{"hidden": 4, **NETWORK.get(kind, {})})


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a) and set(a) == set(b)


@pytest.mark.parametrize("kind", OPTIONS)
def test_an_abandoned_run_resumes_bitwise(kind, tmp_path):
    data = kdv(count=2, steps=20)
    options = OPTIONS[kind]
    whole = model(data, kind)
    events = list(train(whole, data, **options))
    file = tmp_path / "run.safetensors"
    broken = train(model(data, kind), data, checkpoint=file, **options)
    assert [next(broken).step for _ in range(2)] == [3, 6]
    broken.close()
    resumed = model(data, kind)
    rest = list(train(resumed, data, checkpoint=file, **options))
    assert [event.step for event in rest] == [9, 12]
    assert [event.loss for event in rest] == [event.loss for event in events[2:]]
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_killed_process_resumes_bitwise(kind, tmp_path):
    data = kdv(count=2, steps=20)
    resumed, whole = model(data, kind), model(data, kind)
    file = tmp_path / "run.safetensors"
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", VICTIM, str(file), kind, here]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    assert victim.stdout.readline().strip() == "3"
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    list(train(resumed, data, checkpoint=file, **OPTIONS[kind]))
    list(train(whole, data, **OPTIONS[kind]))
    assert same(weights(whole), weights(resumed))


def test_a_finished_run_gives_its_weights_again(tmp_path):
    data = kdv(count=2, steps=20)
    file = tmp_path / "run.safetensors"
    first, again = dgnet(data, hidden=4), dgnet(data, hidden=4)
    events = list(train(first, data, checkpoint=file, **OPTIONS["lm"]))
    repeated = list(train(again, data, checkpoint=file, **OPTIONS["lm"]))
    assert [event.done for event in repeated] == [True]
    assert repeated[0].loss == events[-1].loss
    assert same(weights(first), weights(again))


CHANGES = {
    "seed": {"seed": 1},
    "steps": {"steps": 13},
    "rows": {"rows": (60, 201)},
    "optimizer": {"optimizer": "adam"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_of_another_run_is_refused(name, tmp_path):
    data = kdv(count=2, steps=20)
    file = tmp_path / "run.safetensors"
    next(train(dgnet(data, hidden=4), data, checkpoint=file, **OPTIONS["lm"]))
    options = {**OPTIONS["lm"], **CHANGES[name]}
    with pytest.raises(ValueError, match=f"{name} was"):
        next(train(dgnet(data, hidden=4), data, checkpoint=file, **options))


def test_a_checkpoint_of_other_data_or_another_model_is_refused(tmp_path):
    data = kdv(count=2, steps=20)
    file = tmp_path / "run.safetensors"
    next(train(dgnet(data, hidden=4), data, checkpoint=file, **OPTIONS["lm"]))
    other = kdv(count=2, steps=20, seed=1)
    with pytest.raises(ValueError, match="data was"):
        next(train(dgnet(other, hidden=4), other, checkpoint=file, **OPTIONS["lm"]))
    with pytest.raises(ValueError, match="recipe was"):
        next(train(dgnet(data, hidden=5), data, checkpoint=file, **OPTIONS["lm"]))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    data = kdv(count=2, steps=20)
    file = tmp_path / "run.safetensors"
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="no training run"):
        next(train(dgnet(data, hidden=4), data, checkpoint=file, **OPTIONS["lm"]))
