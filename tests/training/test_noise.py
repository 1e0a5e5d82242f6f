"""Noisy observations: estimated states, smoothing, and what the defaults choose."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from training_cases import dgnet, kdv, pendulum, trajectories

from ddg_explorer import simulate
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.training import train
from ddg_explorer.training.defaults import default_noise
from ddg_explorer.training.prepare import prepare
from ddg_explorer.training.shooting import SHRUNK, Shooting
from ddg_explorer.training.smoothing import inner, smooth
from ddg_explorer.training.stretches import Stretches, noise_level

SIGMA = 0.05


def observed(seed=1, **changes):
    clean = pendulum(count=6, steps=80, dt=0.15, **changes)
    noise = torch.randn(clean.u.shape, generator=torch.Generator().manual_seed(seed)).double()
    return clean, replace(clean, u=clean.u + SIGMA * noise, recipe={"noise": SIGMA})


def rollout_error(model, truth):
    run = simulate(model, truth.u[:, 0], dt=truth.dt, steps=truth.frames - 1)
    assert run.reason == ""
    return float((run.u.transpose(0, 1) - truth.u).square().mean())


def test_the_level_of_the_noise_is_found():
    clean, noisy = observed()
    assert (noise_level(noisy) / SIGMA - 1).abs().max() < 0.15
    assert noise_level(clean).max() < 0.1 * SIGMA


def test_estimated_states_roll_out_closer_than_the_one_step_loss():
    _, noisy = observed()
    truth, _ = observed(seed=2)
    errors = {}
    for treatment in ("none", "states"):
        model = dgnet(noisy, hidden=8, skip=True)
        options = {"steps": 32, "rows": (480, 480), "noise": treatment}
        events = list(train(model, noisy, **options))
        errors[treatment] = rollout_error(model, truth)
    # the distance to the observations is their noise, the estimated slope is not
    assert 0.8 < events[-1].loss < 1.25
    assert errors["states"] < 0.4 * errors["none"]


def test_estimated_states_are_nearer_the_truth_than_the_observed_ones():
    clean, noisy = observed()
    model = dgnet(noisy, hidden=8, skip=True)
    generator = torch.Generator().manual_seed(0)
    prepare(model, noisy, generator, small=True)
    run = Shooting(model, noisy, generator, steps=32, rows=(480, 480))
    for step in range(32):
        run.advance(step)
    before = (noisy.u - clean.u).square().mean()
    assert (run.x - clean.u).square().mean() < 0.1 * before
    # and every step between them holds
    v, u = run.x[:, 1:].flatten(0, 1), run.x[:, :-1].flatten(0, 1)
    assert float(model.residual(v, u, noisy.dt).detach().abs().max()) * noisy.dt < 1e-9


@pytest.mark.parametrize(("steps", "parts"), [(79, 12), (80, 3), (9, 12), (99, 1)])
def test_stretches_cover_every_trajectory_and_hold_its_values(steps, parts):
    u = torch.arange(2 * (steps + 1) * 3).reshape(2, steps + 1, 3)
    stretches = Stretches.cut(2, steps, parts)
    seen = torch.zeros(2, steps + 1, dtype=torch.bool)
    seen[stretches.trajectory[:, None], stretches.frame] = True
    assert seen.all()
    assert (stretches.frame.diff(1, 1) == 1).all()
    assert (
        stretches.of(u)[..., 0]
        == 3 * (stretches.frame + (steps + 1) * stretches.trajectory[:, None])
    ).all()


def test_sensitivities_are_those_of_the_rollout():
    """∂x/∂θ and ∂x/∂x₀ against central differences of the model's own trajectories."""
    _, noisy = observed()
    model = dgnet(noisy, hidden=3, skip=True)
    generator = torch.Generator().manual_seed(0)
    prepare(model, noisy, generator, small=True)
    run = Shooting(model, noisy, generator, steps=8)
    stretches = Stretches.cut(6, 80, 8)
    with torch.no_grad():
        states = run._run(stretches.of(run.x))
        to_weights, to_start = run._sensitivities(states)
        start, size = run.layout.snapshot(), 1e-5
        direction = torch.randn(run.layout.size, generator=generator, dtype=torch.float64)
        push = torch.randn(states[:, 0].shape, generator=generator, dtype=torch.float64)
        ends = []
        for sign in (size, -size):
            run.layout.move(start, sign * direction, None)
            guess = states.clone()
            guess[:, 0] += sign * push
            ends.append(run._run(guess))
        slope = (ends[0] - ends[1]) / (2 * size) / run.sigma
    expected = to_weights @ direction + (to_start @ push[..., None])[..., 0]
    torch.testing.assert_close(slope.flatten(1), expected, rtol=1e-5, atol=1e-5)


def test_estimated_states_train_the_baselines_too():
    _, noisy = observed()
    model = ModelRecipe.fitting("node", noisy, hidden=8).build()
    events = list(train(model, noisy, steps=32, noise="states"))
    assert 0.8 < events[-1].loss < 1.3


def test_estimated_states_train_the_symplectic_form():
    _, noisy = observed()
    model = ModelRecipe.fitting("symplectic_form", noisy, hidden=6).build()
    losses = [event.loss for event in train(model, noisy, steps=20, noise="states")]
    assert losses[11] < 0.7 * losses[0]
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize("fault", ["_run", "_sensitivities"])
def test_a_model_without_trajectories_ends_with_a_line_that_helps(fault, monkeypatch):
    """One whose implicit step has no solution, and one whose sensitivities overflow."""
    _, noisy = observed()
    monkeypatch.setattr(Shooting, fault, lambda self, states: None)
    last = list(train(dgnet(noisy, hidden=3), noisy, steps=10, noise="states"))[-1]
    assert (last.step, last.done) == (7, True)
    assert last.reason.endswith("smooth them instead, noise='smooth'")


def started(**options):
    """A run after its iterations on smoothed data."""
    _, noisy = observed()
    model = dgnet(noisy, hidden=3)
    generator = torch.Generator().manual_seed(0)
    prepare(model, noisy, generator, small=True)
    run = Shooting(model, noisy, generator, rows=(400, 400), **options)
    for step in range(run.start):
        run.advance(step)
    return run


def test_a_network_is_shrunk_until_its_trajectories_exist(monkeypatch):
    """Three times here: then the first iteration begins at that multiple of the weights."""
    run = started(steps=10)
    before, true, tries = run.layout.values(), run._run, []

    def seldom(guess):
        tries.append(run.layout.values())
        return None if len(tries) <= 3 else true(guess)

    monkeypatch.setattr(run, "_run", seldom)
    assert math.isfinite(run.advance(run.start))
    torch.testing.assert_close(tries[3], SHRUNK**3 * before)


@pytest.mark.parametrize("fault", ["_run", "_sensitivities"])
def test_a_trial_without_trajectories_is_refused(fault, monkeypatch):
    run = started(steps=10)
    assert run._begin(12) is not None
    before, damping, states = run.layout.values(), run.damping, run.run
    monkeypatch.setattr(run, fault, lambda states: None)
    assert math.isfinite(run.advance(run.start))
    torch.testing.assert_close(run.layout.values(), before, rtol=0, atol=0)
    assert run.damping == 5 * damping
    assert run.run is states


def test_longer_stretches_without_trajectories_are_not_taken(monkeypatch):
    run = started(steps=40)
    true = run._run
    monkeypatch.setattr(run, "_run", lambda guess: true(guess) if guess.shape[1] < 10 else None)
    losses = [run.advance(step) for step in range(run.start, 40)]
    assert all(math.isfinite(loss) for loss in losses)
    assert run.run is not None
    assert run.run.shape[:2] == Stretches.cut(6, 80, 12).frame.shape


def test_a_step_that_leaves_the_finite_is_refused_by_the_damping(monkeypatch):
    run = started(steps=10)
    before, damping = run.layout.snapshot(), run.damping
    sensitivities = run._sensitivities
    huge = lambda states: tuple(1e200 * found for found in sensitivities(states))  # noqa: E731
    monkeypatch.setattr(run, "_sensitivities", huge)
    assert math.isfinite(run.advance(run.start))
    assert run.damping == 5 * damping
    for name, value in run.layout.snapshot().items():
        assert torch.equal(value, before[name])


def test_estimated_states_resume_bitwise(tmp_path):
    _, noisy = observed()
    options = {"steps": 8, "report_every": 2, "noise": "states"}
    whole, resumed = dgnet(noisy, hidden=4), dgnet(noisy, hidden=4)
    list(train(whole, noisy, **options))
    file = tmp_path / "run.safetensors"
    broken = train(dgnet(noisy, hidden=4), noisy, checkpoint=file, **options)
    next(broken)
    broken.close()
    list(train(resumed, noisy, checkpoint=file, **options))
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("level", [0.01, 0.05])
def test_smoothing_takes_most_of_the_noise_out_of_a_field(level):
    clean = kdv(count=6, steps=200)
    noisy = clean.with_noise(level, 3)
    smoothed = smooth(noisy)

    def errors(data):
        slope = data.u.diff(1, 1) - clean.u.diff(1, 1)
        return (data.u - clean.u).square().mean(), slope.square().mean()

    (before, slope_before), (after, slope_after) = errors(noisy), errors(smoothed)
    assert after < 0.15 * before
    assert slope_after < 5e-3 * slope_before


@pytest.mark.parametrize("level", [0.01, 0.05])
def test_smoothing_keeps_a_fast_start(level):
    """Short waves of the random start turn their sign at every step, and die in some twenty."""
    clean = trajectories("cahn_hilliard_2d", count=4, steps=40, dt=2e-4, n=32)
    noisy = clean.with_noise(level, 3)

    def errors(data):
        squares = (data.u - clean.u).square()
        return squares.mean(), squares[:, :5].mean()

    (before, _), (after, first) = errors(noisy), errors(smooth(noisy))
    assert after < 0.3 * before
    assert first < before


def test_training_leaves_out_the_ends_of_smoothed_trajectories():
    for frames, kept in ((81, slice(5, 76)), (24, slice(3, 21)), (7, slice(None))):
        data = kdv(count=2, steps=frames - 1)
        assert torch.equal(inner(data).u, data.u[:, kept])


def test_smoothing_leaves_a_polynomial_in_time_alone():
    t = torch.linspace(0, 1, 30).double()
    data = pendulum()
    u = torch.stack([t, 1 - 2 * t**2], -1).expand(4, -1, -1)
    assert (smooth(replace(data, u=u.contiguous())).u - u).abs().max() < 2e-7


MEMORY = {
    "as they were computed, by frame": lambda u: u.transpose(0, 1).contiguous().transpose(0, 1),
    "by component": lambda u: u.movedim(2, 0).contiguous().movedim(0, 2),
    "8 bytes on": lambda u: torch.cat([u.new_zeros(1), u.flatten()])[1:].view(u.shape),
}


@pytest.mark.parametrize("order", MEMORY)
@pytest.mark.parametrize("case", ["ode", "kdv", "cahn_hilliard_2d"])
def test_smoothing_does_not_depend_on_how_states_lie_in_memory(case, order):
    if case == "ode":
        noisy = observed()[1]
    elif case == "kdv":
        noisy = kdv(count=3, steps=100).with_noise(0.01, 3)
    else:
        clean = trajectories(case, count=2, steps=40, dt=2e-4, n=16)
        noisy = clean.with_noise(0.05, 3)
    expected = smooth(noisy).u
    found = smooth(replace(noisy, u=MEMORY[order](noisy.u))).u
    assert torch.equal(found, expected)
    assert found.is_contiguous()


def test_components_with_few_trajectories_get_the_smoother_of_whittaker():
    """(1 + λ DᵀD) x = y with the λ of least score, each component by itself."""
    _, noisy = observed()
    frames, n = noisy.frames, noisy.trajectories
    unit = torch.eye(frames).double()
    difference = unit.diff(3, 0)
    for y, x in zip(noisy.u.unbind(-1), smooth(noisy).u.unbind(-1), strict=True):
        scores, smoothed = [], []
        for rate in torch.logspace(-4, 4, 33).double():
            matrix = torch.linalg.inv(unit + rate * difference.mT @ difference)
            smoothed.append(y @ matrix)
            freedom = frames - matrix.trace()
            scores.append((smoothed[-1] - y).square().sum() / n / freedom**2)
        torch.testing.assert_close(x, smoothed[int(torch.stack(scores).argmin())])


def test_smoothing_leaves_data_without_noise_nearly_alone():
    clean = kdv(count=3, steps=100)
    assert (smooth(clean).u - clean.u).square().mean() < 1e-6 * clean.u.square().mean()


def test_defaults_by_recipe():
    clean, noisy = observed()
    assert default_noise("lm", clean) == "none"
    assert default_noise("lm", noisy) == "states"
    assert default_noise("adam", noisy) == "none"
    assert default_noise("lm", kdv(count=1, steps=8).with_noise(0.01, 0)) == "smooth"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"noise": "ignore"}, "noise='ignore'"),
        ({"noise": "states", "ridge": -1.0}, "ridge=-1.0"),
        ({"noise": "states", "optimizer": "adam"}, "optimizer='lm'"),
    ],
)
def test_bad_settings_are_named(options, word):
    _, noisy = observed()
    with pytest.raises(ValueError, match=word):
        next(train(dgnet(noisy, hidden=3), noisy, **options))


def test_estimated_states_need_an_ode():
    data = kdv(count=1, steps=8)
    with pytest.raises(ValueError, match="needs an ODE"):
        next(train(dgnet(data, hidden=3), data, noise="states"))
