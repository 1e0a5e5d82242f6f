"""`train()`: what it reaches, that a seed determines it, and how it reports and refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from training_cases import dgnet, kdv, pendulum, shaken

from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.training import train

SHORT = {"steps": 6, "rows": (60, 200)}


def run(model, data, **options):
    events = list(train(model, data, **options))
    return events, model.state_dict()


def same(a, b):
    assert set(a) == set(b)
    return all(torch.equal(a[name], b[name]) for name in a)


def test_levenberg_marquardt_lowers_the_loss_of_a_field_ten_thousandfold():
    data = kdv()
    held_out = kdv(count=2, seed=5)
    model = dgnet(data, hidden=12)
    options = {"steps": 80, "rows": (500, 3000), "report_every": 1}
    events, _ = run(model, data, validation=held_out, **options)
    assert events[-1].loss < 1e-4 * events[0].loss
    validation = [event.validation_loss for event in events]
    assert (validation[-1] or 1) < 1e-4
    assert [event.step for event in events] == list(range(1, 81))
    assert [event.done for event in events] == [False] * 79 + [True]
    assert (events[-1].eta, events[-1].reason) == (0, "")


def test_levenberg_marquardt_learns_an_ode():
    data = pendulum()
    events, _ = run(dgnet(data), data, steps=80, rows=(200, 400))
    assert events[-1].loss < 1e-6


@pytest.mark.parametrize("model", ["hnnpp", "node"])
def test_levenberg_marquardt_trains_the_baselines_too(model):
    data = pendulum()
    net = ModelRecipe.fitting(model, data, hidden=8).build()
    events, _ = run(net, data, steps=40, rows=(100, 200), report_every=1)
    assert events[-1].loss < 1e-3 * events[0].loss


def test_adam_lowers_the_loss():
    data = pendulum()
    model = dgnet(data, hidden=30)
    options = {"steps": 200, "batch": 40, "lr": 1e-2, "schedule": "cosine", "report_every": 1}
    events, _ = run(model, data, optimizer="adam", scale=True, **options)
    assert events[-1].loss < 1e-2 * events[0].loss


@pytest.mark.parametrize("optimizer", ["lm", "adam"])
def test_a_seed_determines_the_weights_whatever_is_reported(optimizer):
    data = kdv(count=2, steps=20)
    start = dgnet(data, hidden=4).state_dict()
    results = []
    for seed, every in ((0, 1), (0, 4), (1, 1)):
        model = dgnet(data, hidden=4)
        model.load_state_dict(start)
        options = {**SHORT, "optimizer": optimizer, "seed": seed, "report_every": every}
        results.append(run(model, data, validation=data, **options)[1])
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_training_leaves_the_global_generator_alone():
    data = pendulum()
    before = torch.random.get_rng_state()
    run(dgnet(data, hidden=4), data, **SHORT)
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_loss_of_a_model_that_predicts_no_change_is_one():
    data = pendulum()
    model = dgnet(data, hidden=4)
    with torch.no_grad():
        model.network.density.scale.zero_()
    events, _ = run(model, data, optimizer="adam", batch=None, steps=1, validation=data)
    assert math.isclose(events[0].loss, 1, rel_tol=1e-12)
    # the weights did not move: the output has no scale, so neither has the gradient
    assert math.isclose(events[0].validation_loss or 0, 1, rel_tol=1e-12)


def test_divergence_is_reported_with_its_step():
    data = pendulum()
    model = dgnet(data, hidden=4, activation="relu")
    options = {"optimizer": "adam", "lr": 1e200, "steps": 50, "report_every": 10}
    events, _ = run(model, data, **options)
    assert events[-1].done
    assert events[-1].step < 50
    assert events[-1].reason.startswith(f"diverged at step {events[-1].step}")


def test_scaling_whitens_the_stencils():
    data = kdv()
    model = dgnet(data, hidden=6)
    run(model, data, steps=1, rows=(50, 50))
    part = model.network.density
    x = (model.network.gather(data.u.flatten(0, 1)).flatten(0, -2) - part.mean) @ part.whiten
    x = x - x.mean(0)
    covariance = x.mT @ x / len(x)
    size = covariance.diagonal().sqrt()
    assert (covariance / size / size[:, None] - torch.eye(3)).abs().max() < 0.05
    assert torch.quantile(x[:, :].abs(), 0.999, dim=0).sub(2).abs().max() < 0.2


def test_the_quadratic_part_is_fitted_before_the_first_step():
    data = kdv()
    events, _ = run(dgnet(data, hidden=6, skip=True), data, steps=1, rows=(2000, 2000))
    without, _ = run(dgnet(data, hidden=6), data, steps=1, rows=(2000, 2000))
    assert events[0].loss < 0.5 * without[0].loss


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


def test_training_does_not_depend_on_what_the_weights_were():
    """Levenberg–Marquardt draws its own start, so a used model trains like a fresh one."""
    data = pendulum()
    fresh, used = dgnet(data, hidden=4), shaken(dgnet(data, hidden=4))
    assert same(run(fresh, data, **SHORT)[1], run(used, data, **SHORT)[1])
