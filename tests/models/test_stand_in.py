"""Models in a system's place: whose G they run under, and why some do not fit."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from ddg_explorer.data import context_of
from ddg_explorer.models import EnergyModel, Model, ModelRecipe
from ddg_explorer.models.stand_in import misplaced, placed, stand_in
from ddg_explorer.structure import MinusIdentity, StateDependent
from ddg_explorer.systems import SYSTEMS, System


def trained(key: str, system: System, **options: Any) -> Model:
    """As if trained on data of the system; the weights are as drawn."""
    context = context_of(system)
    grid = None
    if system.grid is not None:
        grid = {"shape": list(system.grid.shape), "length": list(system.grid.length)}
    if key in ("dgnet", "hnnpp", "hnn"):
        options.setdefault("structure", context.get("structure"))
    return ModelRecipe(key, system.state_shape, grid, context=context, hidden=3, **options).build()


def pendulum(**changes: Any) -> System:
    return SYSTEMS["pendulum"]("published", **changes)


def test_a_learned_energy_follows_the_systems_operator() -> None:
    """u̇ = G ∇H_θ with G of the system, H_θ and the model itself as they were."""
    model = trained("dgnet", pendulum())
    damped = pendulum(friction=0.3)
    found = stand_in(model, damped)
    u = torch.tensor([[0.4, -0.2], [1.0, 0.7]], dtype=torch.float64)
    slope = torch.func.grad(lambda x: model.energy(x).sum())(u)
    expected = torch.stack([slope[:, 1], -slope[:, 0] - 0.3 * slope[:, 1]], -1)
    torch.testing.assert_close(found.rhs(u), expected, rtol=1e-12, atol=1e-14)
    assert torch.equal(found.energy(u), model.energy(u))
    assert isinstance(model, EnergyModel)
    assert model.structure is not damped.structure
    assert misplaced(found, damped) == misplaced(model, pendulum()) == ""


def test_a_learned_operator_stays_where_the_systems_is_that_of_the_data() -> None:
    damped = pendulum(friction=0.3)
    model = trained("dgnet", damped, structure={"kind": "learned_friction"})
    found = stand_in(model, pendulum(friction=0.3))
    assert isinstance(found, EnergyModel)
    assert isinstance(model, EnergyModel)
    assert found.structure is model.structure
    assert misplaced(model, pendulum()) == "trained with friction = 0.3, this system has 0"


def test_points_and_dtype_are_the_systems() -> None:
    model = trained("dgnet", SYSTEMS["kdv"]("published"))
    wide = SYSTEMS["kdv"]("published", n=80, length=16.0, dtype=torch.float32)
    for found in (placed(model, wide), stand_in(model, wide)):
        assert (found.grid, found.dtype) == (wide.grid, torch.float32)
    assert model.dtype == torch.float64
    with pytest.raises(ValueError, match="trained with Δx"):
        placed(model, SYSTEMS["kdv"]("published", n=51))


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("node", "Neural ODE learned the motion as a whole: it has no H to put another G before"),
        ("hnn", "HNN has its own G, that of its data; only DGNet and HNN++ take another"),
    ],
)
def test_others_keep_their_operator(key: str, line: str) -> None:
    model = trained(key, pendulum())
    assert stand_in(model, pendulum()) is model
    for structure in ("minus_identity", MinusIdentity()):
        other = pendulum(structure=structure)
        with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
            stand_in(model, other)
        here = "minus_identity" if structure == "minus_identity" else "MinusIdentity"
        told = f"trained under G = symplectic, this system has {here}"
        assert misplaced(model, other) == told


def test_a_known_operator_is_asked_for_only_where_the_data_told_theirs() -> None:
    """Of a system whose G has no name nothing is known, and nothing is claimed."""
    turning = StateDependent(lambda g, u: torch.stack([g[..., 1], -g[..., 0]], -1))
    system = System(lambda u: u.square().sum(-1), turning, initial=[1.0, 0.0])
    model = trained("dgnet", system, structure={"kind": "learned_skew_matrix"})
    assert "structure" not in model.context
    assert misplaced(model, system) == ""


def test_other_physics_is_no_matter_of_the_operator() -> None:
    heavy = pendulum(gravity=5.0, structure="minus_identity")
    with pytest.raises(ValueError, match="trained with gravity = 3, this system has 5"):
        stand_in(trained("dgnet", pendulum()), heavy)


def test_a_model_of_unknown_data_takes_an_operator_that_only_has_a_key() -> None:
    """Trained under that same G, a model keeps the one that it learned."""
    growing = pendulum(growth=0.1)
    recipe = ModelRecipe("dgnet", (2,), structure={"kind": "learned_friction"}, hidden=3)
    found = stand_in(recipe.build(), growing)
    assert isinstance(found, EnergyModel)
    assert found.structure is growing.structure
    own = trained("dgnet", growing, structure={"kind": "learned_matrix"})
    kept = stand_in(own, pendulum(growth=0.1))
    assert isinstance(own, EnergyModel)
    assert isinstance(kept, EnergyModel)
    assert kept.structure is own.structure
