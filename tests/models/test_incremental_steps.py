"""Steps of learned fields by increments: the same solution, the law, and an honest live mode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from zoo import FIELD, FIELD_2D, ODE, energy_model, states

from ddg_explorer import SYSTEMS, simulate
from ddg_explorer.grids import Grid
from ddg_explorer.integrators.discrete_gradient import DiscreteGradient
from ddg_explorer.integrators.incremental import Incremental
from ddg_explorer.integrators.measured import Measured
from ddg_explorer.integrators.one_step import OneStepStepper
from ddg_explorer.models import EnergyModel, load_model
from ddg_explorer.models.increments import NetworkIncrements
from ddg_explorer.models.networks import EnergyNetwork
from ddg_explorer.rollout import Rollout
from ddg_explorer.weights.table import FOLDER

DT = 1e-4
LINE = {"shape": [96], "length": [24.0]}


def separating(activation: str = "tanh", kind: str = "laplacian") -> EnergyModel:
    """A random energy beside a convex quadratic part, as a trained Cahn–Hilliard net is."""
    recipe = replace(FIELD_2D, skip=True, activation=activation, structure={"kind": kind})
    model = energy_model(recipe, speed=30.0)
    with torch.no_grad():
        model.get_parameter("network.density.quadratic").copy_(torch.eye(9) * 0.2)
    return model.requires_grad_(False)  # pyright: ignore[reportReturnType]


def stepper_of(model: EnergyModel, **options) -> OneStepStepper:
    stepper = DiscreteGradient(**options).stepper(model)
    assert isinstance(stepper, OneStepStepper)
    return stepper


def defect(model: EnergyModel, v: Tensor, u: Tensor, dt: float) -> Tensor:
    """max|v − u − Δt G ∇̄H(v, u)/Δxᵈ|, in float64 by the automatic discrete gradient."""
    g = super(EnergyModel, model).discrete_gradient(v, u)
    return (v - u - dt * model.structure.apply(g)).abs().flatten(1).amax(1)


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_increments_solve_the_same_equation(activation: str) -> None:
    model = separating(activation)
    u = states(model, 2, 1, 0.5)
    stepper = stepper_of(model)
    assert isinstance(stepper.form, Incremental)
    for _ in range(4):
        exact = stepper_of(model, solver="krylov").step(u, DT)
        step = stepper.step(u, DT)
        assert bool(step.converged.all())
        assert (step.value - exact.value).abs().max() < 1e-12
        assert (defect(model, step.value, u, DT) <= step.residual + 2e-14).all()
        u = step.value


def test_kinked_activations_take_the_exact_method() -> None:
    form = stepper_of(separating("relu")).form
    assert isinstance(form, Measured)
    assert not isinstance(form, Incremental)


def test_skew_field_keeps_energy_and_mass() -> None:
    model = energy_model(replace(FIELD, state_shape=(1, 96), grid=LINE))
    run = simulate(model, states(model, 2, 1), dt=0.02, steps=40)
    assert run.converged.all(), run.reason
    assert (run.u[-1] - run.u[0]).abs().max() > 0.1
    drift = (run.own_energy - run.own_energy[0]).abs().max()
    assert drift < 3e-14 * float(run.own_energy.abs().max() + 24)
    assert run.mass is not None
    assert (run.mass - run.mass[0]).abs().max() < 1e-12


def test_two_channels_that_mix() -> None:
    recipe = replace(
        FIELD, state_shape=(2, 96), grid=LINE, structure={"kind": "strain_wave"}, skip=True
    )
    model = energy_model(recipe)
    assert isinstance(stepper_of(model).form, Incremental)
    u = states(model, 1, 1, 0.5)
    exact = stepper_of(model, solver="krylov").step(u, 0.02)
    step = stepper_of(model).step(u, 0.02)
    assert bool(step.converged.all())
    assert (step.value - exact.value).abs().max() < 1e-12


def test_live_steps_report_what_they_leave() -> None:
    """Tolerance 1e-6: float32 increments on a float64 state, law and residual as measured."""
    model = separating()
    u = states(model, 2, 1, 0.5)
    live, sharp = stepper_of(model, tol=1e-6), stepper_of(model)
    precise = u
    for _ in range(20):
        step = live.step(u, DT)
        assert bool(step.converged.all())
        assert step.value.dtype == torch.float64
        assert (defect(model, step.value, u, DT) <= 1.5 * step.residual).all()
        assert (step.residual < 3e-5).all()
        change = model.energy(step.value) - model.energy(u)
        g = model.discrete_gradient(step.value, u)
        work = DT * model.cell_volume * (g * model.structure.apply(g)).flatten(1).sum(1)
        assert (change < 0).all()
        assert ((change - work).abs() < 1e-5 * change.abs()).all()
        u, precise = step.value, sharp.step(precise, DT).value
    assert (u - precise).abs().max() < 1e-5


def shipped_on(key: str, n: int) -> tuple[EnergyModel, Tensor]:
    """A shipped DGNet on n points an axis, and a state like those it was trained on."""
    data, activation = key.split(".")
    model = load_model(FOLDER / f"{data}.dgnet.{activation}.safetensors").double()
    assert model.grid is not None
    shape = (n,) * model.grid.ndim
    grid = Grid(shape, tuple(n * dx for dx in model.grid.spacing))
    moved = model.on_grid(grid).requires_grad_(False)
    assert isinstance(moved, EnergyModel)
    if data == "kdv":
        return moved, SYSTEMS["kdv"]("published", n=n, length=grid.length[0]).initial()
    draw = torch.Generator().manual_seed(1)
    return moved, 0.2 * torch.randn(1, *shape, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize(
    ("key", "n", "dt", "tol"),
    [
        ("kdv.tanh", 200, 1e-2, 1e-6),
        ("kdv.tanh", 400, 1e-3, 1e-7),
        ("kdv.sigmoid", 96, 1e-3, 1e-7),
        ("kdv.sin", 200, 1e-2, 1e-6),
        ("kdv.softplus", 200, 1e-3, 1e-7),
        ("ch.tanh", 200, 1e-3, 1e-6),
        ("ch2d.tanh", 32, 1e-3, 1e-6),
        ("ch2d.softplus", 24, 1e-3, 1e-6),
    ],
)
def test_live_residual_bounds_the_defect_of_every_step(
    key: str, n: int, dt: float, tol: float
) -> None:
    """Also at the end of a carry, when neurons have come out of saturation on the way."""
    model, u = shipped_on(key, n)
    stepper = stepper_of(model, tol=tol)
    for _ in range(36):
        step = stepper.step(u, dt)
        assert bool(step.converged)
        assert step.residual > 1e-8, "a float64 step: this test says nothing of live ones"
        assert defect(model, step.value[None], u[None], dt) < 2 * step.residual
        u = step.value


def test_live_residual_follows_the_time_step() -> None:
    """What float32 leaves out of F grows with Δt: what was seen at a small one does not hold."""
    model, u = shipped_on("ch.tanh", 200)
    stepper = stepper_of(model, tol=1e-6)
    for dt in (*[1e-5] * 4, *[1e-3] * 4):
        step = stepper.step(u, dt)
        assert bool(step.converged)
        assert defect(model, step.value[None], u[None], dt) < 2 * step.residual
        u = step.value


def test_carries_grow_from_one_step_and_each_ends_in_a_look(monkeypatch) -> None:
    """Of 1, 2, 4, 8, 16, 16 steps; with another Δt they begin at one step again."""
    starts: list[int] = []
    begin = NetworkIncrements.start

    def counted(self: NetworkIncrements, u: Tensor, dtype: torch.dtype) -> None:
        if dtype == torch.float64:
            starts.append(taken)
        begin(self, u, dtype)

    monkeypatch.setattr(NetworkIncrements, "start", counted)
    model, u = shipped_on("kdv.tanh", 96)
    stepper = stepper_of(model, tol=1e-6)
    for taken in range(1, 53):
        u = stepper.step(u, 1e-3 if taken < 50 else 2e-3).value
    assert starts == [1, 3, 7, 15, 31, 47, 50, 52]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "sin"])
def test_carried_layers_stay_those_of_the_state(activation: str) -> None:
    """From σ′ ≈ 1e-5 back to σ′ = 1: errors of a carried σ would grow by the ratio."""
    model = energy_model(replace(FIELD, state_shape=(1, 96), grid=LINE, activation=activation))
    model.requires_grad_(False)
    with torch.no_grad():
        model.get_parameter("network.density.layers.0.weight").mul_(3.0)
    u = states(model, 1, 1, 6.0)
    live, exact = (NetworkIncrements(_network(model), (1, 96), model.grid) for _ in range(2))
    live.start(u, torch.float32)
    w = u / -17
    for _ in range(16):
        live(w)
        u = u + w
        live.advance(u)
    exact.start(u, torch.float64)
    scale = exact(w).abs().max()
    assert (live(w) - exact(w)).abs().max() < 1e-5 * scale


def _network(model: EnergyModel) -> EnergyNetwork:
    assert isinstance(model.network, EnergyNetwork)
    return model.network


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_a_slope_that_jumps_is_not_smooth(activation: str) -> None:
    work = energy_model(replace(ODE, activation=activation)).increments()
    assert work is not None
    assert not work.smooth


def test_a_tolerance_below_live_keeps_float64() -> None:
    model = separating()
    u = states(model, 1, 1, 0.5)
    step = stepper_of(model, tol=1e-10).step(u, DT)
    assert step.residual < 1e-10
    assert (defect(model, step.value, u, DT) <= step.residual + 2e-14).all()


def test_large_steps_are_solved_by_the_exact_method_or_refused() -> None:
    model = separating()
    u = states(model, 1, 1, 0.5)
    step = stepper_of(model, max_iterations=30).step(u, 0.02)
    if bool(step.converged):
        assert defect(model, step.value, u, 0.02) < 1e-9
    else:
        assert "did not converge" in step.reason
    assert torch.isfinite(step.value).all()


def test_other_dt_and_another_state_need_no_reset() -> None:
    model = separating()
    for tol, bound in ((None, 1e-12), (1e-6, 3e-6)):
        stepper = stepper_of(model, tol=tol)
        u = states(model, 1, 1, 0.5)
        for dt in (DT, DT, 3 * DT, DT):
            u = stepper.step(u, dt).value
        other = states(model, 1, 9, 0.5)
        fresh = stepper_of(model).step(other, DT).value
        assert (stepper.step(other, DT).value - fresh).abs().max() < bound


def test_weights_may_change_under_a_stepper() -> None:
    """Training through the step keeps one stepper while the parameters move."""
    for tol, bound in ((None, 1e-13), (1e-6, 1e-5)):
        model = separating()
        stepper = stepper_of(model, tol=tol)
        u = stepper.step(states(model, 1, 1, 0.5), DT).value
        with torch.no_grad():
            model.get_parameter("network.density.layers.1.weight").mul_(1.2)
        step = stepper.step(u, DT)
        assert defect(model, step.value, u, DT) < bound


def test_threads_share_a_model() -> None:
    model = separating()
    u = states(model, 1, 1, 0.5)

    def work(tol: float | None) -> Tensor:
        return Rollout(model, u, DT, tol=tol).step(6).u

    tolerances = [None, 1e-6, None, 1e-6]
    serial = [work(tol) for tol in tolerances]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(work, tolerances), serial, strict=True):
            assert torch.equal(one, other)
