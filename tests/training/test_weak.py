"""The weak form: its average, what it does to noise, and that it learns the same without any."""

from __future__ import annotations

import pytest
import torch
from training_cases import dgnet, kdv, pendulum, trajectories

from ddg_explorer import SYSTEMS, simulate
from ddg_explorer.grids import Grid
from ddg_explorer.learned_structure import inspect_structure
from ddg_explorer.models.local_energy import LocalEnergy
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.training import train
from ddg_explorer.training.weak import averaged, averaged_inside, gaussian


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_average_keeps_constants_and_looks_the_same_from_everywhere(dimensions):
    psi = gaussian(dimensions)
    assert psi.shape == (7,) * dimensions
    assert psi.sum() == pytest.approx(1, abs=1e-15)
    assert torch.equal(psi, psi.flip(0))
    assert torch.equal(psi, psi.mT if dimensions == 2 else psi)


@pytest.mark.parametrize("shape", [(16,), (12, 10)])
def test_windows_average_like_the_whole_grid(shape):
    grid = Grid.of(shape, 1.0, len(shape))
    r = torch.randn(3, 2, *shape, generator=torch.Generator().manual_seed(0)).double()
    whole = averaged(r, grid)[(..., *[slice(3, -3)] * len(shape))]
    assert (averaged_inside(r) - whole).abs().max() < 1e-13


def kappa_of(model):
    network = model.get_submodule("network")
    assert isinstance(network, LocalEnergy)
    return float(network.kappa.detach())


def residuals(dt, level):
    """RMS of the true energy's residual on KdV over that of du/dt, in strong and in weak form."""
    system = SYSTEMS["kdv"]("published")
    run = simulate(system, system.initial(0, 3), dt=dt, steps=8, integrator="collocation8")
    u = run.u.transpose(0, 1)
    noise = torch.randn(u.shape, generator=torch.Generator().manual_seed(1)).double()
    u = u + level * u.square().mean().sqrt() * noise
    rate = u.diff(dim=1) / dt
    r = rate - system.discrete_rhs(u[:, 1:], u[:, :-1], dt)
    grid = system.grid
    assert grid is not None
    pairs = (r, rate), (averaged(r, grid), averaged(rate, grid))
    clean = run.u.diff(dim=0).square().mean().sqrt() / dt
    return [float(a.square().mean().sqrt() / clean) for a, _ in pairs]


def test_the_true_energy_solves_the_weak_form_to_the_order_of_the_scheme():
    coarse, fine = residuals(2e-3, 0.0), residuals(1e-3, 0.0)
    for a, b in zip(coarse, fine, strict=True):
        assert a / b == pytest.approx(4, rel=0.05)
        assert b < 1e-3


def test_the_weak_form_takes_most_of_the_noise_out_of_the_residual():
    strong, weak = residuals(1e-3, 0.01)
    assert weak < 0.5 * strong


@pytest.mark.parametrize(("noise", "tolerance"), [("none", 5e-3), ("weak", 4e-2)])
def test_both_forms_find_kappa_and_the_operator_without_noise(noise, tolerance):
    """κ = 1 for KdV; ∂x from a free kernel, up to its scale, which κ shares.

    The average takes weight from the short waves that determine κ best.
    """
    data = kdv(count=4, steps=40)
    learned = {"kind": "learned_kernel"}
    model = dgnet(data, prior="local", hidden=4, structure=learned)
    events = list(train(model, data, steps=40, rows=(500, 1000), noise=noise))
    assert events[-1].loss < 1e-4
    kappa = kappa_of(model)
    found = inspect_structure(model)
    assert found.distance is not None
    assert abs(kappa) == pytest.approx(1, rel=tolerance)
    assert found.distance < tolerance


def test_weak_training_of_a_noisy_field_is_closer_to_the_truth():
    clean = kdv(count=8, steps=80)
    noisy = clean.with_noise(0.05, 3)
    truth = kdv(count=3, seed=9)
    v, u = truth.u[:, 1:].flatten(0, 1), truth.u[:, :-1].flatten(0, 1)
    errors = {}
    for treatment in ("none", "weak"):
        model = dgnet(noisy, prior="local", hidden=4)
        list(train(model, noisy, steps=25, rows=(500, 1000), noise=treatment))
        errors[treatment] = float(model.residual(v, u, truth.dt).detach().square().mean())
    assert errors["weak"] < 0.1 * errors["none"]


def test_the_baselines_train_on_the_weak_form_too():
    data = kdv(count=4, steps=30).with_noise(0.01, 1)
    for key, prior in (("node", None), ("hnnpp", "local")):
        model = ModelRecipe.fitting(key, data, hidden=4, prior=prior).build()
        events = list(train(model, data, steps=6, rows=(100, 200), noise="weak", validation=data))
        assert events[-1].loss < 0.9 * events[0].loss
        assert events[-1].validation_loss is not None


def test_a_two_dimensional_energy_is_found_under_noise():
    noisy = trajectories("cahn_hilliard_2d", count=2, steps=30, dt=2e-4, n=32).with_noise(0.01, 0)
    model = dgnet(noisy, prior="local", skip=True, hidden=4)
    list(train(model, noisy, steps=15, rows=(300, 600), noise="weak"))
    kappa = kappa_of(model)
    assert kappa == pytest.approx(5e-4, rel=0.1)


@pytest.mark.parametrize(
    ("data", "options", "word"),
    [
        (pendulum(), {}, "noise='weak': needs a field"),
        (kdv(count=1, steps=8), {"optimizer": "adam"}, "noise='weak': needs optimizer='lm'"),
    ],
)
def test_bad_settings_are_named(data, options, word):
    with pytest.raises(ValueError, match=word):
        next(train(dgnet(data, hidden=3), data, noise="weak", **options))
