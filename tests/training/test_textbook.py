"""The benchmarks' textbook computes what the package does, and their reference is exact."""

from __future__ import annotations

import copy

import pytest
from training_cases import dgnet, trajectories

from benchmarks import exact_gradient, learning
from benchmarks.textbook.networks import canonical, second_difference
from benchmarks.textbook.training import dgnet_loss
from ddg_explorer.training.fused import FusedLoss

DATA = {
    "cahn_hilliard": trajectories("cahn_hilliard", count=2, steps=2, dt=1e-3, n=12),
    "pendulum": trajectories("pendulum", count=3, steps=5, dt=0.3),
}


@pytest.mark.parametrize("name", DATA)
def test_the_textbook_has_the_same_loss_and_gradient(name):
    data = DATA[name]
    model = dgnet(data, hidden=7)
    operator = canonical if data.grid is None else second_difference(data.grid.spacing[0])
    u, v = data.pairs()
    # far ends, where quotients do not cancel
    v = u + 30 * (v - u)
    plain = learning.plain_energy(model)
    loss = dgnet_loss(plain, operator, v, u, data.dt)
    loss.backward()
    ours = FusedLoss(model, data.dt).backward(v, u)
    assert abs(float(loss.detach() / ours) - 1) < 1e-10
    layers = zip(plain.layers, model.network.density.dense, strict=True)
    for one, other in layers:
        expected = other.weight.grad
        gap = (one.weight.grad.reshape(expected.shape) - expected).norm()
        assert gap < 1e-9 * expected.norm()


def test_the_gradient_in_sixty_digits_is_ours():
    data = DATA["cahn_hilliard"]
    model = dgnet(data, hidden=5)
    layers = model.network.density.dense
    u, v = (x[:2] for x in data.pairs())
    weights = exact_gradient.of_model(layers)
    operator = exact_gradient.laplacian(data.grid.spacing[0])
    reference = exact_gradient.gradient(weights, operator, v, u, data.dt)
    fused = copy.deepcopy(model)
    FusedLoss(fused, data.dt).backward(v, u)
    one, two, three = fused.network.density.dense
    found = [p.grad for p in (one.weight, one.bias, two.weight, two.bias, three.weight)]
    assert exact_gradient.relative_error(found, reference) < 1e-12
