"""What `train()` refuses in one line, and that the model is then as it was."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_cases import dgnet, kdv, pendulum

from ddg_explorer.grids import Grid
from ddg_explorer.training import train


def same(a, b):
    assert set(a) == set(b)
    return all(torch.equal(a[name], b[name]) for name in a)


def test_levenberg_marquardt_refuses_single_precision():
    data = pendulum()
    with pytest.raises(ValueError, match="optimizer='lm': needs a model in float64"):
        next(train(dgnet(data, hidden=3, dtype="float32"), data, optimizer="lm"))


REFUSED = (
    ({"dtype": "float32"}, "needs a model in float64"),
    ({"unroll": 2}, "unroll=2"),
    ({"compile": True}, "compile=True: needs a dgnet"),
    ({"optimizer": "adam", "compile": True, "unroll": 2}, "compile=True: needs a dgnet"),
    ({"optimizer": "adam", "compile": True, "activation": "relu"}, "compile=True: needs a dgnet"),
    ({"optimizer": "adam", "scale": True, "lr": math.inf}, "lr=inf: must be positive and finite"),
    ({"optimizer": "adam", "scale": True, "lr": -1.0}, "lr=-1.0: must be positive"),
    ({"optimizer": "adam", "batch": 2.5}, "batch=2.5: must be an int"),
    ({"optimizer": "adam", "weight_decay": math.nan}, "weight_decay=nan: must be 0 or more"),
    ({"optimizer": "adam", "unroll": 99, "scale": True}, r"unroll=99: must lie in \[1, 6\]"),
    ({"steps": True}, "steps=True: must be an int"),
    ({"steps": 0}, "steps=0: must be at least 1"),
    ({"rows": (1, 2, 3)}, r"rows=\(1, 2, 3\): needs two ints, 1 ≤ first ≤ last"),
    ({"rows": (0, 5)}, r"rows=\(0, 5\): needs two ints, 1 ≤ first ≤ last"),
    ({"seed": 2**64}, "seed=18446744073709551616: must be from 0"),
    ({"ridge": math.nan}, "ridge=nan: must be 0 or more"),
    ({"noise": "states"}, "noise='states': needs an ODE"),
    ({"rows": (1, math.inf)}, r"rows=\(1, inf\): needs two ints, 1 ≤ first ≤ last"),
    ({"rows": 5}, "rows=5: needs two ints"),
    ({"rows": "ab"}, "rows='ab': needs two ints"),
    ({"lr": "1e-3"}, "lr='1e-3': must be a number"),
    ({"lr": True}, "lr=True: must be a number"),
    ({"ridge": None}, "ridge=None: must be a number"),
    ({"report_every": "a"}, "report_every='a': must be an int"),
    ({"report_every": 2.5}, "report_every=2.5: must be an int"),
    ({"report_every": -1}, "report_every=-1: must be at least 1"),
    ({"compile": "no"}, "compile='no': must be True, False or None"),
    ({"scale": "no"}, "scale='no': must be True, False or None"),
    ({"scale": 1}, "scale=1: must be True, False or None"),
    ({"schedule": "linear"}, "schedule='linear': use one of constant, cosine"),
    ({"optimizer": ""}, "optimizer='': use one of lm, adam, soap"),
    ({"optimizer": ["lm"]}, r"optimizer=\['lm'\]: use one of"),
    ({"noise": 1}, "noise=1: use one of none, smooth"),
    ({"checkpoint": 5}, "checkpoint=5: must be a path"),
    ({"checkpoint": "run.txt"}, r"checkpoint='run\.txt': must end in \.safetensors"),
    ({"checkpoint": "nowhere/r.safetensors"}, "checkpoint='nowhere/.*': the folder"),
)


@pytest.mark.parametrize(("options", "line"), REFUSED, ids=[line[:24] for _, line in REFUSED])
def test_settings_that_do_not_suit_are_refused_and_the_weights_kept(options, line):
    data = kdv(count=2, steps=6)
    names = ("dtype", "activation")
    network = {name: options[name] for name in names if name in options}
    settings = {name: value for name, value in options.items() if name not in names}
    model = dgnet(data, hidden=3, **network)
    before = {name: w.clone() for name, w in model.state_dict().items()}
    with pytest.raises(ValueError, match=line):
        next(train(model, data, **{"optimizer": "lm", **settings}))
    assert same(before, model.state_dict())


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_first_step(tmp_path):
    data = pendulum()
    model = dgnet(data, hidden=3)
    before = {name: w.clone() for name, w in model.state_dict().items()}
    (tmp_path / "a.safetensors").mkdir()
    (tmp_path / "file").touch()
    for name, line in (("a.safetensors", "is a folder"), ("file/b.safetensors", "the folder")):
        with pytest.raises(ValueError, match=f"^checkpoint='.*{name}': {line}"):
            next(train(model, data, optimizer="adam", checkpoint=tmp_path / name))
    assert same(before, model.state_dict())


def test_a_folder_that_takes_no_files_is_refused_before_the_first_step(tmp_path, monkeypatch):
    def denied(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "touch", denied)
    data = pendulum()
    model = dgnet(data, hidden=3)
    before = {name: w.clone() for name, w in model.state_dict().items()}
    file = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match=r"^checkpoint='.*a\.safetensors': .*Permission denied"):
        next(train(model, data, optimizer="adam", checkpoint=file))
    assert same(before, model.state_dict())


def test_numbers_of_numpy_are_numbers(tmp_path):
    """And a run resumes with them whether they were those of numpy or of Python."""
    data = pendulum()
    file = tmp_path / "run.safetensors"
    options = {"optimizer": "adam", "batch": np.int64(5), "report_every": np.int32(2)}
    first = dgnet(data, hidden=3)
    events = train(first, data, steps=np.int64(4), lr=np.float32(2**-9), checkpoint=file, **options)
    assert next(events).step == 2
    events.close()
    plain = {"optimizer": "adam", "batch": 5, "steps": 4, "lr": 2**-9}
    whole, resumed = dgnet(data, hidden=3), dgnet(data, hidden=3)
    list(train(whole, data, **plain))
    assert [e.step for e in train(resumed, data, checkpoint=file, report_every=2, **plain)] == [4]
    assert same(whole.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("optimizer", ["lm", "adam"])
def test_data_on_another_domain_are_refused(optimizer):
    """H of the same states on twice the length would be wrong by powers of Δx."""
    data = kdv(count=2, steps=6)
    wider = replace(data, grid=Grid(data.grid.shape, tuple(2 * x for x in data.grid.length)))
    rounded = replace(
        data, grid=Grid(data.grid.shape, tuple(math.nextafter(x, 0) for x in data.grid.length))
    )
    model = dgnet(data, hidden=3)
    before = {name: w.clone() for name, w in model.state_dict().items()}
    for name, given in (
        ("data", {"data": wider}),
        ("validation", {"data": data, "validation": wider}),
    ):
        line = f"^{name}: the grid has length 20, the model's has length 10$"
        with pytest.raises(ValueError, match=line):
            next(train(model, **given, optimizer=optimizer, steps=2))
    assert same(before, model.state_dict())
    assert list(train(model, rounded, validation=rounded, optimizer=optimizer, steps=2))[-1].done


@pytest.mark.parametrize("name", ["data", "validation"])
def test_values_that_are_not_finite_are_named(name):
    data = pendulum()
    spoiled = replace(data, u=data.u.clone())
    spoiled.u[1, 3, 0] = math.nan
    given = {"data": data, name: spoiled}
    with pytest.raises(ValueError, match=f"^{name}: not finite"):
        next(train(dgnet(data, hidden=3), optimizer="adam", **given))


def test_what_is_no_data_set_of_these_states_is_refused():
    data, other = pendulum(), kdv(count=2, steps=6)
    model = dgnet(data, hidden=3)
    for given, line in (
        ({"data": data.u}, r"data=a Tensor: must be a Dataset, Dataset\.of"),
        ({"data": model}, r"data=a DGNet: must be a Dataset"),
        ({"data": other}, r"data have states \(1, 50\)"),
        ({"data": data, "validation": other}, r"validation have states \(1, 50\)"),
    ):
        with pytest.raises(ValueError, match=line):
            next(train(model, **given))


def test_levenberg_marquardt_refuses_more_weights_than_its_equations_hold():
    data = pendulum()
    model = dgnet(data, hidden=80)
    count = sum(p.numel() for p in model.parameters())
    with pytest.raises(ValueError, match=f"all {count} weights, at most 6000; use adam or soap"):
        next(train(model, data, optimizer="lm"))


@pytest.mark.parametrize("optimizer", ["lm", "adam"])
def test_data_that_never_change_are_refused(optimizer):
    data = pendulum()
    still = replace(data, u=data.u[:, :1].expand_as(data.u).contiguous())
    with pytest.raises(ValueError, match=r"^data: no state ever changes, so there is nothing"):
        next(train(dgnet(data, hidden=4), still, optimizer=optimizer))


BAD = {
    "optimizer": {"optimizer": "sgd"},
    "steps": {"steps": 0},
    "rows": {"rows": (10, 5)},
    "batch": {"optimizer": "adam", "batch": 0},
    "lr": {"optimizer": "adam", "lr": -1.0},
    "schedule": {"optimizer": "adam", "schedule": "linear"},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_are_named(name):
    data = pendulum()
    with pytest.raises(ValueError, match=f"{name}="):
        list(train(dgnet(data, hidden=3), data, **BAD[name]))


def test_data_of_another_shape_are_refused():
    data = pendulum()
    other = replace(data, u=data.u.repeat(1, 1, 2))
    with pytest.raises(ValueError, match="state"):
        list(train(dgnet(data, hidden=3), other))
