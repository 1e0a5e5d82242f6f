"""Adam's loss and gradient: the fused pass, and several steps through the implicit equation."""

from __future__ import annotations

import copy

import pytest
import torch
from training_cases import dgnet, gradients, kdv, largest_gap, pendulum, shaken, trajectories

from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.training import fused as module
from ddg_explorer.training import site_maps, train
from ddg_explorer.training.fused import FusedLoss, fuses
from ddg_explorer.training.unrolled import unrolled_loss, windows

DATA = {
    "kdv": kdv(count=2, steps=6),
    "pendulum": pendulum(count=2, steps=6),
    "wave": trajectories("wave", count=1, steps=3, dt=1e-2, n=16),
    "cahn_hilliard_2d": trajectories("cahn_hilliard_2d", count=1, steps=3, dt=2e-4, n=8),
}
CASES = {
    "kdv": ("kdv", {"activation": "softplus"}),
    "kdv, skip": ("kdv", {"skip": True}),
    "kdv, spectral": ("kdv", {"structure": {"kind": "d_dx", "operator": "spectral"}}),
    "kdv, learned": ("kdv", {"structure": {"kind": "learned_kernel"}}),
    "pendulum": ("pendulum", {"activation": "sin", "skip": True}),
    "pendulum, friction": ("pendulum", {"structure": {"kind": "learned_friction"}}),
    "pendulum, state": ("pendulum", {"structure": {"kind": "learned_state_matrix"}}),
    "wave": ("wave", {}),
    "cahn_hilliard_2d": ("cahn_hilliard_2d", {"skip": True}),
}


def automatic(model, v, u, dt):
    model.zero_grad()
    loss = model.residual(v, u, dt).square().mean()
    loss.backward()
    return loss.detach(), gradients(model)


def test_frozen_weights_of_g_are_left_alone():
    data = DATA["kdv"]
    model = shaken(dgnet(data, hidden=6, structure={"kind": "learned_kernel"}))
    u, v = data.pairs()
    for frozen in ("operator", "network"):
        for name, weight in model.named_parameters():
            weight.requires_grad_(not name.startswith(frozen))
        expected, wanted = automatic(model, v, u, data.dt)
        model.zero_grad()
        loss = FusedLoss(model, data.dt).backward(v, u)
        assert abs(loss / expected - 1) < 1e-12
        assert largest_gap(gradients(model), wanted) < 1e-12
        assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


@pytest.mark.parametrize("largest", [0, site_maps.LARGEST], ids=["shifts", "matrix"])
@pytest.mark.parametrize("sites", [1, 10])
@pytest.mark.parametrize("case", CASES)
def test_fused_gradient_is_the_automatic_one(case, sites, largest, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_SITES", {False: sites, True: sites})
    monkeypatch.setattr(site_maps, "LARGEST", largest)
    name, options = CASES[case]
    data = DATA[name]
    model = shaken(dgnet(data, hidden=6, **options))
    assert fuses(model)
    u, v = data.pairs()
    expected, wanted = automatic(model, v, u, data.dt)
    loss = FusedLoss(model, data.dt).backward(v, u)
    assert abs(loss / expected - 1) < 1e-12
    assert largest_gap(gradients(model), wanted) < 1e-12


def test_no_more_sites_than_a_chunk_pass_the_layers_at_once(monkeypatch):
    data = DATA["cahn_hilliard_2d"]
    model = dgnet(data, hidden=6)
    monkeypatch.setattr(module, "CHUNK_SITES", {False: 1, True: 1})
    fused, passed = FusedLoss(model, data.dt), []
    layers = fused.layers.forward
    fused.layers.forward = lambda both, weights: (passed.append(len(both)), layers(both, weights))[
        1
    ]
    u, v = data.pairs()
    fused.backward(v, u)
    # both ends of 33 sites, of the other 31 of a state, and the first once more for their gradient
    assert passed == [66, 62, 66] * len(u)


def test_fused_gradient_in_single_precision():
    data = DATA["kdv"]
    model = shaken(dgnet(data, hidden=30))
    u, v = data.pairs()
    _, wanted = automatic(model, v, u, data.dt)
    single = copy.deepcopy(model).float()
    FusedLoss(single, data.dt).backward(v.float(), u.float())
    assert largest_gap(gradients(single), wanted) < 1e-4


def test_chunks_do_not_change_the_gradient_beyond_rounding(monkeypatch):
    data = DATA["kdv"]
    model = dgnet(data, hidden=6)
    u, v = data.pairs()
    found = []
    for sites in (10, 10**6):
        monkeypatch.setattr(module, "CHUNK_SITES", {False: sites, True: sites})
        FusedLoss(model, data.dt).backward(v, u)
        found.append(gradients(model))
    assert largest_gap(*found) < 1e-14


def test_windows_are_runs_of_frames():
    data = DATA["kdv"]
    runs = windows(data, 3)
    assert runs.shape == (2 * 4, 4, *data.state_shape)
    assert torch.equal(runs[5], data.u[1, 1:5])
    with pytest.raises(ValueError, match="unroll=7"):
        windows(data, 7)


def test_an_implicit_step_without_a_solution_ends_the_run_with_a_reason():
    data = pendulum(count=2, steps=6)
    model = dgnet(data, hidden=4, activation="sin")
    with torch.no_grad():
        model.network.density.scale.fill_(300.0)
    *_, last = train(model, data, optimizer="adam", unroll=2, steps=5, batch=None)
    assert last.done
    assert last.reason.startswith("diverged at step 1: the loss is nan; reduce lr, or train on")


@pytest.mark.parametrize("name", ["pendulum", "kdv"])
def test_unrolled_gradient_is_the_difference_quotient(name):
    data = DATA[name]
    model = dgnet(data, hidden=5, skip=True)
    with torch.no_grad():
        model.network.density.scale.fill_(1e-3 if name == "kdv" else 0.3)
    frames = windows(data, 3)[:2]
    loss = unrolled_loss(model, frames, data.dt)
    loss.backward()
    generator = torch.Generator().manual_seed(0)
    slope, step = 0.0, 1e-5
    directions = [torch.randn(p.shape, generator=generator).double() for p in model.parameters()]
    for p, d in zip(model.parameters(), directions, strict=True):
        slope += 0.0 if p.grad is None else float((p.grad * d).sum())
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            for p, d in zip(model.parameters(), directions, strict=True):
                p.add_(sign * step * d)
            values.append(float(unrolled_loss(model, frames, data.dt)))
    assert abs((values[0] - values[1]) / (2 * step) - slope) < 1e-5 * abs(slope)


@pytest.mark.parametrize("model", ["dgnet", "hnnpp"])
def test_multi_step_training_lowers_the_error_of_several_steps(model):
    data = pendulum(count=2, steps=20)
    net = ModelRecipe.fitting(model, data, hidden=20).build()
    options = {"optimizer": "adam", "scale": True, "lr": 1e-2, "batch": 10}
    before = None
    for _ in train(net, data, steps=30, unroll=4, **options):
        before = before or float(unrolled_loss(net, windows(data, 4), data.dt).detach())
    assert float(unrolled_loss(net, windows(data, 4), data.dt).detach()) < 0.3 * before


def test_multi_step_training_needs_adam():
    data = DATA["pendulum"]
    with pytest.raises(ValueError, match="unroll=2: needs optimizer='adam'"):
        next(train(dgnet(data, hidden=3), data, optimizer="lm", unroll=2))
