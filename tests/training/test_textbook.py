"""The benchmarks' textbook computes what the package does, and their references are exact."""

from __future__ import annotations

import copy

import pytest
import torch
from training_cases import dgnet, shaken, trajectories

from benchmarks import exact_gradient, learning
from benchmarks.exact_gradient import EXTENDED, SIXTY, has_extended
from benchmarks.textbook import discrete_autograd, lean
from benchmarks.textbook.networks import canonical, second_difference
from benchmarks.textbook.training import dgnet_loss, lean_dgnet_loss
from ddg_explorer.training.fused import FusedLoss

DATA = {
    "cahn_hilliard": trajectories("cahn_hilliard", count=2, steps=2, dt=1e-3, n=12),
    "pendulum": trajectories("pendulum", count=3, steps=5, dt=0.3),
}


@pytest.mark.parametrize("loss_of", [dgnet_loss, lean_dgnet_loss])
@pytest.mark.parametrize("name", DATA)
def test_the_textbook_has_the_same_loss_and_gradient(name, loss_of):
    data = DATA[name]
    model = dgnet(data, hidden=7)
    operator = canonical if data.grid is None else second_difference(data.grid.spacing[0])
    u, v = data.pairs()
    # far ends, where quotients do not cancel
    v = u + 30 * (v - u)
    plain = learning.plain_energy(model)
    loss = loss_of(plain, operator, v, u, data.dt)
    loss.backward()
    ours = FusedLoss(model, data.dt).backward(v, u)
    assert abs(float(loss.detach() / ours) - 1) < 1e-10
    layers = zip(plain.layers, model.network.density.dense, strict=True)
    for one, other in layers:
        expected = other.weight.grad
        gap = (one.weight.grad.reshape(expected.shape) - expected).norm()
        assert gap < 1e-9 * expected.norm()


@pytest.mark.parametrize("form", [discrete_autograd, lean])
def test_the_textbook_takes_the_derivative_where_both_ends_meet(form):
    model = dgnet(DATA["cahn_hilliard"], hidden=7)
    u = DATA["cahn_hilliard"].u[0, :1]
    v = u.clone()
    v[..., 3] += 0.1
    found = form.discrete_gradient(learning.plain_energy(model), v, u)
    torch.testing.assert_close(found, model.discrete_gradient(v, u), rtol=1e-12, atol=1e-12)


def test_plain_networks_take_scaling_and_the_quadratic_part_along():
    data = DATA["cahn_hilliard"]
    model = shaken(dgnet(data, hidden=7, skip=True))
    u, v = (x[:2] for x in data.pairs())
    plain, quadratic = learning.plain_energy(model), learning.plain_quadratic(model)
    density = (plain(u) + quadratic(u)) * model.cell_volume
    torch.testing.assert_close(density, model.energy(u), rtol=1e-13, atol=1e-13)
    found = discrete_autograd.discrete_gradient(plain, v, u) + quadratic.discrete_gradient(v, u)
    torch.testing.assert_close(found, model.discrete_gradient(v, u), rtol=1e-9, atol=1e-9)


def test_the_gradient_in_sixty_digits_is_ours():
    data = DATA["cahn_hilliard"]
    model = dgnet(data, hidden=5)
    u, v = (x[:2] for x in data.pairs())
    reference = _reference(model, v, u, data, SIXTY)
    fused = copy.deepcopy(model)
    FusedLoss(fused, data.dt).backward(v, u)
    one, two, three = fused.network.density.dense
    found = [p.grad for p in (one.weight, one.bias, two.weight, two.bias, three.weight)]
    assert exact_gradient.relative_error(found, reference, SIXTY) < 1e-12


@pytest.mark.skipif(not has_extended(), reason="long double is not longer than float64 here")
@pytest.mark.parametrize("apart", [1e-6, 1.0, 30.0])
def test_extended_precision_agrees_with_sixty_digits(apart, monkeypatch):
    """Near ends, where quotients cancel, and far ones; in chunks and at once."""
    data = DATA["cahn_hilliard"]
    model = shaken(dgnet(data, hidden=5))
    u, v = (x[:3] for x in data.pairs())
    v = u + apart * (v - u)
    reference = _reference(model, v, u, data, SIXTY)
    monkeypatch.setattr(exact_gradient, "CHUNK", 2)
    found = _reference(model, v, u, data, EXTENDED)
    assert exact_gradient.relative_error(found, reference, SIXTY) < 1e-16


def _reference(model, v, u, data, numbers):
    weights = exact_gradient.of_model(model.network.density.dense)
    operator = exact_gradient.laplacian(data.grid.spacing[0])
    return exact_gradient.gradient(weights, operator, v, u, data.dt, numbers)
