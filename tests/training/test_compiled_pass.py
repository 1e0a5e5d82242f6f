"""The compiled pass: equal to the plain one, used where it pays and works, and resumed exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from training_cases import dgnet, gradients, kdv, largest_gap, pendulum, shaken

from ddg_explorer.budgets import Budget
from ddg_explorer.fitting import Fit
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.training import defaults, native, products, train
from ddg_explorer.training.defaults import default_compile
from ddg_explorer.training.fused import FusedLoss
from ddg_explorer.training.native import compiler

DATA = {"kdv": kdv(count=2, steps=6), "pendulum": pendulum(count=2, steps=6)}
BROKEN = "the C++ compiler is there, but fails: out of order"


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("ours", [False, True], ids=["torch.mm", "product"])
@pytest.mark.parametrize("hidden", [6, 37])
@pytest.mark.parametrize("name", ["kdv", "pendulum"])
def test_the_compiled_pass_is_the_plain_one(name, hidden, ours, monkeypatch):
    monkeypatch.setattr(products, "slow_library", lambda: ours)
    data = DATA[name]
    model = shaken(dgnet(data, hidden=hidden, skip=True))
    u, v = data.pairs()
    # ends near each other, and far apart in the last pair
    v = torch.cat([u[:-1] + 0.1 * (v - u)[:-1], v[-1:] + 3])
    expected = FusedLoss(model, data.dt).backward(v, u)
    wanted = gradients(model)
    fused = FusedLoss(model, data.dt, compiled=True)
    fused.pairs = len(u) // 2
    loss = fused.backward(v, u)
    assert abs(loss / expected - 1) < 1e-12
    assert largest_gap(gradients(model), wanted) < 1e-12
    # the same memory once more
    assert torch.equal(fused.backward(v, u), loss)


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
def test_a_compiled_pass_of_large_states_is_the_plain_one(monkeypatch):
    """Their parts pass the layers again for their gradients."""
    data = DATA["kdv"]
    model = shaken(dgnet(data, hidden=6))
    u, v = data.pairs()
    expected = FusedLoss(model, data.dt).backward(v, u)
    wanted = gradients(model)
    fused = FusedLoss(model, data.dt, compiled=True)
    fused.pairs, fused.rows = 1, 18
    loss = fused.backward(v, u)
    assert abs(loss / expected - 1) < 1e-12
    assert largest_gap(gradients(model), wanted) < 1e-12


def test_a_compiler_that_is_there_and_fails_is_named(monkeypatch, caplog):
    def fails():
        raise OSError("native.so: failed to map segment\nfrom shared object")

    monkeypatch.setattr(native, "compiler", lambda: "c++")
    monkeypatch.setattr(defaults, "compiler", lambda: "c++")
    monkeypatch.setattr(native, "library", fails)
    monkeypatch.setattr(native, "_trial", native._trial.__wrapped__)
    data = DATA["kdv"]
    with pytest.raises(ValueError, match=r"compile=True: .*native.so: failed to map segment$"):
        next(train(dgnet(data, hidden=3), data, optimizer="adam", compile=True))
    assert not default_compile(dgnet(data, hidden=64), "adam", 1000)
    assert "training is not compiled" in caplog.text


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
def test_a_compiled_run_goes_on_compiled_from_any_thread(tmp_path):
    """Bit by bit, and without being told: a new run of another thread is not compiled."""
    data = DATA["pendulum"]
    options = {"optimizer": "adam", "steps": 6, "batch": 4, "report_every": 2}
    whole, resumed = dgnet(data, hidden=6), dgnet(data, hidden=6)
    list(train(whole, data, compile=True, **options))
    options["checkpoint"] = tmp_path / "run.safetensors"
    next(train(dgnet(data, hidden=6), data, compile=True, **options))
    with ThreadPoolExecutor(1) as pool:
        events = pool.submit(lambda: list(train(resumed, data, **options))).result()
    assert [event.step for event in events] == [4, 6]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name])


def test_runs_are_compiled_where_that_saves_more_time_than_it_takes():
    data = DATA["kdv"]
    wide = dgnet(data, hidden=200)
    there = compiler() is not None
    # 200 pairs × 50 points × 200 units: 50 steps
    assert default_compile(wide, "adam", 50) == there
    assert not default_compile(wide, "adam", 49)
    assert not default_compile(wide, "adam", 50, batch=199)
    assert default_compile(dgnet(data, hidden=8), "adam", 1250) == there
    assert not default_compile(dgnet(DATA["pendulum"], hidden=200), "adam", 2499)
    assert default_compile(dgnet(DATA["pendulum"], hidden=200), "adam", 2500) == there
    assert not default_compile(wide, "lm", 1000)
    assert not default_compile(wide, "adam", 1000, unroll=2)
    assert not default_compile(dgnet(data, hidden=200, activation="sin"), "adam", 1000)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(default_compile, wide, "adam", 50).result() == there


def test_compiling_needs_a_compiler_and_a_fused_loss(monkeypatch):
    data = DATA["pendulum"]
    node = ModelRecipe.fitting("node", data, hidden=3).build()
    with pytest.raises(ValueError, match="compile=True: needs a dgnet"):
        next(train(node, data, optimizer="adam", compile=True))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"compile=True: needs the C.* no-such-compiler"):
        next(train(dgnet(data, hidden=3), data, optimizer="adam", compile=True))


@pytest.mark.parametrize("cxx", [None, "clang++", "/somewhere/of-my-own"])
def test_the_compiler_is_what_cxx_says(cxx, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    if cxx is not None:
        monkeypatch.setenv("CXX", cxx)
    monkeypatch.setattr(native.shutil, "which", lambda name: f"found {name}")
    assert compiler() == f"found {cxx or native.USUAL}"


@pytest.fixture
def begun(tmp_path):
    """A run that was compiled and stopped after two of six steps: its options and its file."""
    options = {"optimizer": "adam", "steps": 6, "batch": 4, "report_every": 2}
    options["checkpoint"] = tmp_path / "run.safetensors"
    data = DATA["pendulum"]
    events = train(dgnet(data, hidden=6), data, compile=True, **options)
    next(events)
    events.close()
    return options


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("told", [None, True, False])
def test_a_compiled_run_can_go_on_where_nothing_compiles(told, begun, monkeypatch):
    data, resumed, whole = (
        DATA["pendulum"],
        dgnet(DATA["pendulum"], hidden=6),
        dgnet(DATA["pendulum"], hidden=6),
    )
    before = {name: w.clone() for name, w in resumed.state_dict().items()}
    for module in (defaults, "ddg_explorer.training.checks"):
        target = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{target}.compile_problem", lambda: BROKEN)
    if told is not False:
        wanted = (
            "^compile=True: the C"
            if told
            else (
                r"^checkpoint='.*run\.safetensors': was compiled, and cannot be here "
                r"\(the C\+\+ compiler is there, but fails: out of order\); compile=False goes on"
            )
        )
        with pytest.raises(ValueError, match=wanted):
            next(train(resumed, data, compile=told, **begun))
        assert all(torch.equal(w, before[name]) for name, w in resumed.state_dict().items())
        return
    assert [e.step for e in train(resumed, data, compile=False, **begun)] == [4, 6]
    list(train(whole, data, compile=False, **{**begun, "checkpoint": None}))
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], weight, rtol=1e-9, atol=1e-12)
    # from here on it is a run that is not compiled
    assert [e.done for e in train(dgnet(data, hidden=6), data, **begun)] == [True]


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
def test_a_plain_run_goes_on_compiled_where_that_is_asked_for(tmp_path):
    data = DATA["pendulum"]
    options = {"optimizer": "adam", "steps": 4, "batch": 4, "report_every": 2}
    whole, resumed = dgnet(data, hidden=6), dgnet(data, hidden=6)
    list(train(whole, data, **options))
    options["checkpoint"] = tmp_path / "run.safetensors"
    next(train(dgnet(data, hidden=6), data, **options))
    assert [e.step for e in train(resumed, data, compile=True, **options)] == [4]
    for name, weight in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], weight, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "problem", "wanted"),
    [
        ({}, "", True),
        ({}, BROKEN, False),
        ({"compile": False}, "", False),
        ({"compile": True}, "", True),
        ({"unroll": 2}, "", False),
        ({"steps": 7800}, "", False),
        ({"optimizer": "lm"}, "", False),
    ],
)
def test_a_fit_tells_beforehand_whether_it_is_compiled(options, problem, wanted, monkeypatch):
    """By the same rule as `train`, which is asked here what it hands to its optimiser."""
    monkeypatch.setattr(defaults, "compile_problem", lambda: problem)
    monkeypatch.setattr("ddg_explorer.training.checks.compile_problem", lambda: problem)
    training = {"optimizer": "adam", "steps": 10_000, "batch": 4, "report_every": 1, **options}
    if training["optimizer"] == "lm":
        del training["batch"]
    fit = Fit("dgnet", DATA["kdv"], Budget("own", {"hidden": 64}, training))
    assert fit.compiles == wanted
    seen = []

    def stop(model, data, generator, settings, unit):
        seen.append(settings["compile"])
        raise ValueError("seen")

    monkeypatch.setattr("ddg_explorer.training.loop.optimiser", stop)
    with pytest.raises(ValueError, match="seen"):
        next(iter(fit))
    assert seen == [wanted]


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from training_cases import dgnet, kdv
from ddg_explorer.training import train
data = kdv(count=2, steps=6)
options = {"optimizer": sys.argv[3], "steps": 6, "batch": 5, "report_every": 2}
for event in train(dgnet(data, hidden=8), data, compile=True, checkpoint=sys.argv[1], **options):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("optimizer", ["adam", "soap"])
def test_a_killed_compiled_process_resumes_bitwise(optimizer, tmp_path):
    data, file = DATA["kdv"], tmp_path / "run.safetensors"
    command = [sys.executable, "-c", KILLED, str(file), str(Path(__file__).parent), optimizer]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, env={**os.environ, **threads}, check=False)
    assert done.returncode == -9
    options = {"optimizer": optimizer, "steps": 6, "batch": 5, "report_every": 2}
    whole, resumed = dgnet(data, hidden=8), dgnet(data, hidden=8)
    list(train(whole, data, compile=True, **options))
    assert [e.step for e in train(resumed, data, checkpoint=file, **options)] == [4, 6]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name])
