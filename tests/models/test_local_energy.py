"""The local prior: symmetric by construction, its κ, its place in recipes and files."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from zoo import FIELD, FIELD_2D, ODE, energy_model, states

from ddg_explorer import SYSTEMS, simulate
from ddg_explorer.models import EnergyModel, ModelRecipe, load_model
from ddg_explorer.models.gauge import normalise
from ddg_explorer.models.local_energy import LocalEnergy

SQUARE = {"shape": [12, 12], "length": [1.0, 1.0]}
LOCAL_2D = replace(FIELD_2D, prior="local", skip=True, grid=SQUARE, state_shape=(1, 12, 12))


def test_the_energy_is_the_same_in_every_orientation() -> None:
    model = energy_model(LOCAL_2D)
    u = states(model, 3)
    images = [torch.rot90(w, k, (-2, -1)) for w in (u, u.mT) for k in range(4)]
    energies = torch.stack([model.energy(w.roll((5, 3), (-2, -1))) for w in images]).detach()
    assert (energies - energies[0]).abs().max() <= 1e-14 * energies.abs().max()


def test_the_right_hand_side_turns_with_the_state() -> None:
    model = energy_model(LOCAL_2D)
    u = states(model, 2)
    turned = model.rhs(torch.rot90(u, 1, (-2, -1)))
    gap = turned - torch.rot90(model.rhs(u), 1, (-2, -1))
    assert gap.abs().max() <= 1e-12 * turned.abs().max()


def test_a_quartic_density_gives_the_cahn_hilliard_gradient() -> None:
    """With e's slope measured at a point, the rest of ∇H is −κΔu exactly."""
    system = SYSTEMS["cahn_hilliard_2d"]("published", n=16)
    grid = system.grid
    assert grid is not None
    options = {"grid": grid.to_dict(), "state_shape": (1, *grid.shape)}
    model = energy_model(replace(LOCAL_2D, **options))
    network = model.network
    assert isinstance(network, LocalEnergy)
    u = system.initial(0, 2)
    local = torch.func.grad(lambda x: network.local(x).sum())(u) / grid.cell_volume
    gradient = torch.func.grad(lambda x: model.energy(x).sum())(u) / grid.cell_volume
    expected = -network.kappa * grid.laplacian(u)
    gap = gradient - local - expected
    assert gap.abs().max().item() <= 1e-12 * expected.abs().max().item()


@pytest.mark.parametrize("kind", ["d_dx", "laplacian"])
def test_rollouts_keep_the_law(kind: str) -> None:
    recipe = replace(FIELD, prior="local", skip=True, structure={"kind": kind})
    model = energy_model(recipe)
    run = simulate(model, states(model, 2, size=0.5), dt=0.02, steps=30)
    assert run.reason == ""
    own = run.own_energy
    if kind == "d_dx":
        assert (own - own[0]).abs().max() <= 1e-11 * own[0].abs().max()
    else:
        assert own.diff(dim=0).max() <= 1e-12 * own[0].abs().max()


def test_the_freedom_of_a_learned_operator_takes_kappa_along() -> None:
    model = energy_model(replace(LOCAL_2D, structure={"kind": "learned_kernel"}))
    u = states(model, 2)
    before = model.rhs(u).detach()
    assert abs(normalise(model)) != pytest.approx(1)
    after = model.rhs(u).detach()
    assert (after - before).abs().max() <= 1e-12 * before.abs().max()


def test_it_is_saved_and_put_on_another_grid(tmp_path) -> None:
    model = energy_model(LOCAL_2D)
    loaded = load_model(model.save(tmp_path / "local.safetensors"))
    assert isinstance(loaded, EnergyModel)
    u = states(model, 2)
    assert torch.equal(loaded.energy(u), model.energy(u))
    assert model.grid is not None
    small = replace(model.grid, shape=(6, 12), length=(0.5, 1.0))
    tiled = torch.cat([u[..., :6, :]] * 2, -2)
    half, whole = loaded.on_grid(small).rhs(u[..., :6, :]), model.rhs(tiled)
    assert (whole[..., :6, :] - half).abs().max() <= 1e-12 * whole.abs().max()


@pytest.mark.parametrize(
    ("recipe", "options", "word"),
    [
        (FIELD, {"prior": "isotropic"}, "prior='isotropic'"),
        (FIELD, {"prior": "local", "width": 5}, "width=5"),
        (FIELD, {"prior": "local", "model": "node", "structure": None}, "prior='local'"),
        (ODE, {"prior": "local"}, "prior='local'"),
    ],
)
def test_bad_recipes_are_named(recipe: ModelRecipe, options: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        replace(recipe, **options)
