"""Residuals at single sites, and the closed-form Jacobian against the automatic one."""

from __future__ import annotations

import math

import pytest
import torch
from training_cases import dgnet, kdv, pendulum, shaken, trajectories

from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.training import train
from ddg_explorer.training.jacobians import AutomaticJacobian, closed_jacobian, jacobian
from ddg_explorer.training.patches import Windows, centre_residual, reach
from ddg_explorer.training.weak import RADIUS

DATA = {
    "kdv": kdv(count=2, steps=6),
    "pendulum": pendulum(count=2, steps=6),
    "wave": trajectories("wave", count=2, steps=3, dt=1e-2, n=16),
    "cahn_hilliard_2d": trajectories("cahn_hilliard_2d", count=1, steps=2, dt=2e-4, n=16),
    "two_body": trajectories("two_body", count=2, steps=3, dt=0.05),
}


def compare(name, *, model="dgnet", weak=False, **options):
    """Largest relative difference of closed and automatic residuals and Jacobian columns."""
    data = DATA[name]
    net = shaken(ModelRecipe.fitting(model, data, hidden=5, **options).build())
    draw = torch.Generator().manual_seed(1)
    v, u = Windows(data, reach(net) + RADIUS * weak).draw(7, draw)
    closed = closed_jacobian(net, data.dt, 2.0, weak=weak)
    automatic = AutomaticJacobian(net, data.dt, 2.0, weak=weak)
    assert closed is not None
    with torch.no_grad():
        r, blocks = closed(v, u)
        s, expected = automatic(v, u)
        alone = closed.residual(v, u)
    assert set(blocks) == set(expected) == {n for n, _ in net.named_parameters()}
    gaps = [(r - s).abs().max() / s.abs().max(), (alone - s).abs().max() / s.abs().max()]
    for key, block in blocks.items():
        assert block.shape == expected[key].shape
        size = expected[key].abs().max().clamp_min(1e-3)
        gaps.append((block - expected[key]).abs().max() / size)
    return float(torch.stack(gaps).max())


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_closed_jacobian_is_the_automatic_one_on_a_field(activation, skip):
    # kinks close to an end of the step cost a digit or two
    assert compare("kdv", activation=activation, skip=skip) < 1e-10


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_closed_jacobian_is_the_automatic_one_on_an_ode(activation, skip):
    assert compare("pendulum", activation=activation, skip=skip) < 1e-11


def test_closed_jacobian_is_the_automatic_one_in_two_dimensions():
    assert compare("cahn_hilliard_2d", skip=True) < 1e-11


LEARNED = {
    "learned_kernel": "kdv",
    "learned_skew_kernel": "kdv",
    "learned_dissipative_kernel": "cahn_hilliard_2d",
    "learned_matrix": "pendulum",
    "learned_skew_matrix": "pendulum",
    "learned_dissipative_matrix": "pendulum",
    "learned_friction": "pendulum",
}


@pytest.mark.parametrize("kind", LEARNED)
def test_closed_jacobian_is_the_automatic_one_for_a_learned_operator(kind):
    assert compare(LEARNED[kind], skip=True, structure={"kind": kind}) < 1e-11


def test_closed_jacobian_is_the_automatic_one_for_a_learned_kernel_in_two_dimensions():
    assert compare("cahn_hilliard_2d", structure={"kind": "learned_kernel"}) < 1e-11


@pytest.mark.parametrize("kind", ["strain_wave", "symplectic", "damped_symplectic"])
def test_closed_jacobian_is_the_automatic_one_for_several_channels(kind):
    options = {"friction": 0.3} if kind == "damped_symplectic" else {}
    structure = {"kind": kind, **options}
    assert compare("wave", structure=structure) < 1e-11


BASELINES = {
    "node, field": ("node", "kdv", {}),
    "node, narrow": ("node", "kdv", {"width": 3}),
    "node, channels": ("node", "wave", {}),
    "node, plane": ("node", "cahn_hilliard_2d", {"width": 3}),
    "node, ode": ("node", "pendulum", {}),
    "hnnpp, field": ("hnnpp", "kdv", {"skip": True}),
    "hnnpp, channels": ("hnnpp", "wave", {}),
    "hnnpp, plane": ("hnnpp", "cahn_hilliard_2d", {"skip": True}),
    "hnnpp, kernel": ("hnnpp", "kdv", {"structure": {"kind": "learned_skew_kernel"}}),
    "hnnpp, free plane": (
        "hnnpp",
        "cahn_hilliard_2d",
        {"structure": {"kind": "learned_kernel"}},
    ),
    "hnnpp, matrix": ("hnnpp", "pendulum", {"structure": {"kind": "learned_matrix"}}),
    "hnnpp, friction": ("hnnpp", "pendulum", {"structure": {"kind": "learned_friction"}}),
    "hnn, ode": ("hnn", "pendulum", {"skip": True}),
    "srnn": ("srnn", "pendulum", {}),
    "srnn, skip": ("srnn", "pendulum", {"skip": True}),
    "srnn, two bodies": ("srnn", "two_body", {"skip": True}),
}


@pytest.mark.parametrize("case", BASELINES)
def test_closed_jacobian_of_a_baseline_is_the_automatic_one(case):
    model, name, options = BASELINES[case]
    assert compare(name, model=model, **options) < 1e-11


@pytest.mark.parametrize("model", ["node", "hnnpp", "srnn"])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_closed_jacobian_of_a_baseline_takes_every_activation(activation, model):
    assert compare("pendulum", model=model, activation=activation) < 1e-11


def test_what_no_closed_form_covers_is_differentiated_automatically():
    for name, model, options in (
        ("pendulum", "symplectic_form", {}),
        ("pendulum", "hnnpp", {"depth": 3}),
        ("pendulum", "dgnet", {"structure": {"kind": "learned_state_matrix"}}),
        ("wave", "hnnpp", {"structure": {"kind": "learned_friction"}}),
    ):
        data = DATA[name]
        net = ModelRecipe.fitting(model, data, hidden=5, **options).build()
        assert isinstance(jacobian(net, data.dt, 1.0), AutomaticJacobian)


def test_jacobian_of_the_symplectic_form_is_that_of_central_differences():
    """It solves with W(u); training asks for it where gradients are off."""
    data = DATA["pendulum"]
    net = shaken(ModelRecipe.fitting("symplectic_form", data, hidden=3).build())
    u, v = data.pairs()
    weight, step = net.one_form.field.layers[0].weight, 1e-6
    with torch.no_grad():
        automatic = AutomaticJacobian(net, data.dt, 1.0)
        block = automatic(v, u)[1]["one_form.field.layers.0.weight"]
        ends = []
        for sign in (step, -step):
            weight[1, 0] += sign
            ends.append(automatic.residual(v, u))
            weight[1, 0] -= sign
    slope = (ends[0] - ends[1]) / (2 * step)
    assert slope.abs().max() > 1e-3
    torch.testing.assert_close(block[:, 1, 0], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("model", ["node", "hnnpp"])
@pytest.mark.parametrize("name", ["wave", "cahn_hilliard_2d"])
def test_closed_jacobian_of_a_baseline_is_the_automatic_one_in_weak_form(name, model):
    assert compare(name, model=model, weak=True, width=3) < 1e-11


@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("name", ["kdv", "wave", "cahn_hilliard_2d"])
def test_closed_jacobian_is_the_automatic_one_with_the_local_prior(name, weak):
    assert compare(name, prior="local", skip=True, weak=weak) < 1e-11


@pytest.mark.parametrize("name", ["kdv", "wave", "cahn_hilliard_2d"])
def test_closed_jacobian_is_the_automatic_one_in_weak_form(name):
    assert compare(name, weak=True) < 1e-11


@pytest.mark.parametrize("prior", [None, "local"])
def test_closed_jacobian_is_the_automatic_one_for_a_learned_kernel_in_weak_form(prior):
    structure = {"kind": "learned_kernel"}
    assert compare("cahn_hilliard_2d", structure=structure, prior=prior, weak=True) < 1e-11


@pytest.mark.parametrize("prior", [None, "local"])
@pytest.mark.parametrize("model", ["dgnet", "hnnpp", "node"])
@pytest.mark.parametrize("name", ["kdv", "cahn_hilliard_2d"])
def test_residual_of_a_patch_is_that_of_the_whole_grid(name, model, prior):
    if model == "node" and prior:
        pytest.skip("a neural ODE has no energy")
    data = DATA[name]
    net = shaken(ModelRecipe.fitting(model, data, hidden=5, prior=prior).build())
    v, u = data.u[:1, 1], data.u[:1, 0]
    whole = net.residual(v, u, data.dt).detach()[0, 0]
    place = (3, 1)[: whole.ndim]
    span = torch.arange(-reach(net), reach(net) + 1)
    patch_v, patch_u = v, u
    for axis, x in enumerate(place, 2):
        patch_v = patch_v.index_select(axis, (span + x) % v.shape[axis])
        patch_u = patch_u.index_select(axis, (span + x) % v.shape[axis])
    weights = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    here = centre_residual(net, data.dt)(weights, patch_v[0], patch_u[0]).detach()
    assert abs(here[0] - whole[place]) < 1e-11 * whole.abs().max()


@pytest.mark.parametrize("model", ["dgnet", "hnnpp", "node"])
@pytest.mark.parametrize("name", ["kdv", "cahn_hilliard_2d"])
def test_a_model_without_neighbours_trains_by_second_order(name, model):
    """No site sees another: its patch is three points wide all the same, as every grid is."""
    data = DATA[name]
    structure = None if model == "node" else {"kind": "minus_identity"}
    recipe = ModelRecipe.fitting(model, data, structure=structure, hidden=4, width=1)
    net = recipe.build()
    assert reach(net) == 1
    *_, last = train(net, data, optimizer="lm", steps=2, rows=(30, 30))
    assert last.reason == ""
    v, u = data.u[:1, 1], data.u[:1, 0]
    whole = net.residual(v, u, data.dt).detach()[0, 0]
    weights = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    centre = (slice(None),) * 2 + (slice(0, 3),) * (v.ndim - 2)
    here = centre_residual(net, data.dt)(weights, v[centre][0], u[centre][0]).detach()
    assert abs(here[0] - whole[(1,) * whole.ndim]) < 1e-12 * whole.abs().max()


@pytest.mark.parametrize("model", ["dgnet", "hnnpp", "node"])
def test_windows_give_the_rows_of_single_sites(model):
    data = DATA["cahn_hilliard_2d"]
    skip = {} if model == "node" else {"skip": True}
    net = shaken(ModelRecipe.fitting(model, data, hidden=5, **skip).build())
    closed = closed_jacobian(net, data.dt, 1.0)
    size = 2 * reach(net) + 1
    v, u = Windows(data, reach(net), width=4).draw(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        r, blocks = closed(v, u)
        row = 16 + 4 * 1 + 2  # window 1, residual site (1, 2)
        patch = slice(1, None), slice(None), slice(1, 1 + size), slice(2, 2 + size)
        single, one = closed(v[patch], u[patch])
    assert r.shape == (32,)
    assert abs(single[0] - r[row]) < 1e-12 * r.abs().max()
    for name, block in blocks.items():
        gap = (one[name][0] - block[row]).abs().max()
        assert gap <= 1e-12 * block.abs().max().clamp_min(1)


def test_windows_draw_values_of_the_data_in_order():
    data = DATA["kdv"]
    v, u = Windows(data, 3, width=5).draw(4, torch.Generator().manual_seed(0))
    assert u.shape == v.shape == (4, 1, 11)
    rings = torch.cat([data.u, data.u[..., :10]], -1).unfold(-1, 11, 1)  # every window there is
    for one, next_ in zip(u, v, strict=True):
        where = (rings[:, :-1] == one[:, None]).all(-1).nonzero()
        assert len(where) == 1
        row, time, _, x = where[0]
        assert torch.equal(rings[row, time + 1, 0, x], next_[0])


def test_schemes_without_a_finite_reach_are_refused():
    data = DATA["kdv"]
    with pytest.raises(ValueError, match="dopri5"):
        reach(ModelRecipe.fitting("hnnpp", data, hidden=3, scheme="dopri5").build())
    spectral = {"kind": "d_dx", "operator": "spectral"}
    with pytest.raises(ValueError, match="spectral"):
        reach(dgnet(data, structure=spectral))


def test_slopes_of_a_layer_are_difference_quotients():
    from ddg_explorer.training.ends import layer_ends

    a = torch.tensor([0.3, -1.2, 0.5], dtype=torch.float64)
    for gap in (1.3, 0.21, 0.19):
        ends = layer_ends("tanh", a, a + gap)
        quotient = [(math.tanh(x + gap) - math.tanh(x)) / gap for x in a.tolist()]
        assert torch.allclose(ends.slope, torch.tensor(quotient).double(), atol=1e-13)


def test_of_an_ode_with_few_pairs_each_is_taken_once():
    data = pendulum(count=2, steps=5)
    u, v = data.pairs()
    draw = torch.Generator().manual_seed(0)
    for count in (10, 500):
        late, early = Windows(data, 0).draw(count, draw)
        assert torch.equal(late, v)
        assert torch.equal(early, u)
    assert len(Windows(data, 0).draw(9, draw)[0]) == 9
