"""Rollouts of models: the discrete law of DGNet with untrained networks, and what others keep."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from zoo import FIELD, FIELD_2D, LINE, ODE, RECIPES, energy_model, lively, states

from ddg_explorer import Trajectory, simulate
from ddg_explorer.discrete import ACTIVATIONS
from ddg_explorer.models import EnergyModel, ModelRecipe
from ddg_explorer.structure import MinusIdentity
from ddg_explorer.systems import System

ROUNDING = 1e-15
SMOOTH = [name for name in ACTIVATIONS if name not in ("relu", "leaky_relu")]


@torch.no_grad()
def size_of_energy(model: EnergyModel, u: torch.Tensor) -> float:
    """Sum of the sizes of what H adds up: the scale of its rounding error."""
    part = model.network.get_submodule("density")
    depth = len(list(part.get_submodule("layers").children())) - 1
    volume = model.cell_volume
    local = part(model.network.get_submodule("gather")(u)).abs().flatten(1).sum(1) * volume
    largest = (
        part.get_parameter(f"layers.{depth}.weight").abs().sum() * part.get_buffer("scale").abs()
    )
    sites = 1 if model.grid is None else model.grid.size
    return float(local.max()) + float(largest) * sites * volume


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_skew_ode_keeps_its_own_energy(activation: str) -> None:
    """Any network, Δt = 0.1, for some of them 1000 steps: drift at rounding."""
    model = energy_model(replace(ODE, activation=activation))
    u0 = states(model, 2, 1)
    steps = 1000 if activation in ("tanh", "relu") else 100
    run = simulate(model, u0, dt=0.1, steps=steps)
    assert run.converged.all(), run.reason
    assert (run.u[-1] - run.u[0]).abs().max() > 0.5
    drift = (run.own_energy - run.own_energy[0]).abs()
    scale = max(1.0, float(run.own_energy.abs().max()), size_of_energy(model, run.u.flatten(0, 1)))
    assert drift.max() < 15 * ROUNDING * scale
    assert run.energy.isnan().all()  # of a true system, which is not known here


def test_softplus_keeps_its_energy_across_torchs_threshold() -> None:
    """Inputs on either side of 20, where torch's own value jumps by 2e-9."""
    model = energy_model(replace(ODE, activation="softplus"))
    with torch.no_grad():
        model.get_parameter("network.density.layers.0.bias").add_(20.0)
    run = simulate(model, states(model, 2, 1), dt=0.1, steps=100)
    assert run.converged.all(), run.reason
    first = model.get_submodule("network.density.layers.0")
    inputs = first(run.u)
    assert inputs.min() < 20 < inputs.max()
    drift = (run.own_energy - run.own_energy[0]).abs()
    assert drift.max() < 1e-14 * size_of_energy(model, run.u.flatten(0, 1))


@pytest.mark.parametrize(
    ("kind", "activation", "steps"),
    [
        ("d_dx", "tanh", 250),
        ("d_dx", "softplus", 60),
        ("learned_skew_kernel", "sin", 60),
        ("strain_wave", "sigmoid", 60),
    ],
)
def test_skew_field_keeps_energy_and_mass(kind: str, activation: str, steps: int) -> None:
    """1-D fields with fixed and learned skew G."""
    channels = 2 if kind == "strain_wave" else 1
    recipe = replace(
        FIELD, activation=activation, structure={"kind": kind}, state_shape=(channels, 16)
    )
    model = energy_model(recipe)
    run = simulate(model, states(model, 2, 1), dt=0.02, steps=steps)
    assert run.converged.all(), run.reason
    assert (run.u[-1] - run.u[0]).abs().max() > 0.2
    scale = max(1.0, size_of_energy(model, run.u.flatten(0, 1)))
    assert (run.own_energy - run.own_energy[0]).abs().max() < ROUNDING * scale
    assert run.mass is not None
    largest = run.u.abs().max() * 16 * model.cell_volume
    assert (run.mass - run.mass[0]).abs().max() < 30 * ROUNDING * largest


@pytest.mark.parametrize("activation", SMOOTH)
def test_dissipative_field_never_gains_energy(activation: str) -> None:
    """G = Δ: H falls in every step, by Δt ∫|∇ḡ|², and the mass stays."""
    recipe = replace(FIELD, activation=activation, structure={"kind": "laplacian"})
    model = energy_model(recipe)
    run = simulate(model, states(model, 2, 1), dt=0.02, steps=40)
    assert run.converged.all(), run.reason
    change = run.own_energy.diff(dim=0)
    assert change.max() < 1e-14
    assert (change[0] < -1e-4).all()
    model.requires_grad_(False)
    g = torch.stack([model.discrete_gradient(v, u) for u, v in zip(run.u, run.u[1:], strict=False)])
    work = 0.02 * model.cell_volume * (g * model.structure.apply(g)).flatten(2).sum(-1)
    assert (change - work).abs().max() < 1e-13 * max(1.0, float(work.abs().max()))
    assert run.mass is not None
    assert (run.mass - run.mass[0]).abs().max() < 1e-14


@pytest.mark.parametrize(
    "kind",
    ["learned_dissipative_kernel", "learned_mobility", "damped", "state", "matrix", "friction"],
)
def test_learned_dissipative_operators_dissipate_by_construction(kind: str) -> None:
    specification = {
        "learned_dissipative_kernel": {"kind": kind, "zero_sum": True},
        "learned_mobility": {"kind": kind},
        "damped": {"kind": "damped_symplectic", "friction": 0.2},
        "state": {"kind": "learned_state_matrix", "law": "dissipative", "hidden": 8},
        "matrix": {"kind": "learned_dissipative_matrix"},
        "friction": {"kind": "learned_friction"},
    }[kind]
    recipe = replace(FIELD if "learned" in kind else ODE, structure=specification)
    model = energy_model(recipe)
    assert model.structure.is_dissipative
    run = simulate(model, states(model, 2, 1), dt=0.02, steps=60)
    assert run.converged.all(), run.reason
    assert run.own_energy.diff(dim=0).max() < 1e-13
    assert (run.own_energy[-1] < run.own_energy[0] - 1e-3).all()
    if run.mass is not None:
        assert (run.mass - run.mass[0]).abs().max() < 1e-13


def test_state_dependent_skew_operator_keeps_energy() -> None:
    specification = {"kind": "learned_state_matrix", "law": "skew", "hidden": 8}
    model = energy_model(replace(ODE, state_shape=(3,), structure=specification))
    run = simulate(model, states(model, 2, 1), dt=0.05, steps=100)
    assert run.converged.all(), run.reason
    assert (run.own_energy - run.own_energy[0]).abs().max() < 3e-14


@pytest.mark.parametrize("kind", ["laplacian", "learned_kernel"])
def test_two_dimensional_rollout(kind: str) -> None:
    """A 2-D stencil net with the measured Fourier preconditioner: solved, with the law of its G."""
    recipe = replace(FIELD_2D, skip=True, structure={"kind": kind})
    model = energy_model(recipe, speed=30.0)
    if kind == "learned_kernel":
        raw = model.get_parameter("operator.raw")
        star = torch.tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=torch.float64)
        with torch.no_grad():
            raw.copy_(256 * star)
    part = model.network.get_submodule("density")
    with torch.no_grad():
        part.get_parameter("quadratic").copy_(torch.eye(9) * 0.2)
    assert model.structure.is_dissipative
    run = simulate(model, states(model, 2, 1, 0.5), dt=1e-4, steps=12)
    assert run.converged.all(), run.reason
    assert run.own_energy.diff(dim=0).max() < 0
    assert run.iterations.max() <= 20
    assert run.mass is not None
    assert (run.mass - run.mass[0]).abs().max() < 1e-15


@pytest.mark.parametrize("key", list(RECIPES))
def test_every_model_rolls_out_with_its_integrators(key: str) -> None:
    """Published integrators agree to their order; energies are those of truth and of the model."""
    model = lively(RECIPES[key].build())
    u0 = states(model, 2, 1, 0.5)
    truth = System(
        lambda u: u.square().flatten(-len(model.state_shape)).sum(-1) / 2,
        MinusIdentity(model.grid),
        state_shape=model.state_shape,
    )
    ends = {}
    names = dict.fromkeys((*model.integrators, "rk4", "midpoint", "dopri5"))
    for name in names:
        run = simulate(model, u0, dt=5e-3, steps=20, integrator=name, truth=truth)
        assert run.converged.all(), run.reason
        check_energies(run, model, truth)
        ends[name] = run.u[-1]
    for name, end in ends.items():
        assert (end - ends["dopri5"]).abs().max() < (1e-6 if name == "rk4" else 3e-4), name


def check_energies(run: Trajectory, model: torch.nn.Module, truth: System) -> None:
    expected = torch.stack([truth.energy(u) for u in run.u])
    assert torch.equal(run.energy, expected)
    if isinstance(model, EnergyModel):
        own = torch.stack([model.energy(u) for u in run.u])
        assert torch.equal(run.own_energy, own)
    else:
        assert run.own_energy.isnan().all()
        assert run.own_energy.shape == expected.shape


def test_neural_ode_alone_has_no_energy_at_all() -> None:
    model = lively(RECIPES["node-1d"].build())
    run = simulate(model, states(model, 2), dt=1e-3, steps=5, integrator="midpoint")
    assert run.energy.isnan().all()
    assert run.mass is not None
    assert run.mass.isfinite().all()


def test_leapfrog_energy_error_is_of_second_order() -> None:
    """SRNN: the energy error is O(Δt²)."""
    model = energy_model(RECIPES["srnn"])
    u0 = states(model, 1, 3, 0.3)
    errors = []
    for dt, steps in ((0.04, 150), (0.02, 300)):
        run = simulate(model, u0, dt=dt, steps=steps, integrator="leapfrog")
        assert run.converged.all(), run.reason
        errors.append(float((run.own_energy - run.own_energy[0]).abs().max()))
    assert 3.0 < errors[0] / errors[1] < 5.0


def test_symplectic_form_keeps_its_energy_with_the_discrete_gradient() -> None:
    """W⁻¹ at the midpoint is skew, so the discrete law holds for this model too."""
    model = energy_model(RECIPES["symplectic_form"])
    u = states(model, 2, 1, 0.5)
    run = simulate(model, u, integrator="discrete_gradient", dt=0.05, steps=50)
    assert run.converged.all(), run.reason
    assert (run.own_energy - run.own_energy[0]).abs().max() < 3e-14


def test_float32_rollout_keeps_the_law_to_its_rounding() -> None:
    model = energy_model(replace(FIELD, dtype="float32"))
    run = simulate(model, states(model, 2, 1), dt=0.02, steps=60)
    assert run.converged.all(), run.reason
    assert run.u.dtype == torch.float32
    scale = max(1.0, size_of_energy(model, run.u.flatten(0, 1)))
    assert (run.own_energy - run.own_energy[0]).abs().max() < 1e-7 * scale


def test_other_grids_keep_the_law() -> None:
    """On three times as many points, the same weights conserve as well."""
    recipe = ModelRecipe("dgnet", (1, 48), {"shape": [48], "length": [12.0]}, {"kind": "d_dx"}, 8)
    assert LINE["length"][0] / LINE["shape"][0] == recipe.build().cell_volume
    large = recipe.build()
    large.load_state_dict(energy_model(FIELD).state_dict())
    assert isinstance(large, EnergyModel)
    run = simulate(large, states(large, 1, 2), dt=0.02, steps=100)
    assert run.converged.all(), run.reason
    scale = max(1.0, size_of_energy(large, run.u.flatten(0, 1)))
    assert (run.own_energy - run.own_energy[0]).abs().max() < ROUNDING * scale
