"""On a GPU: the same numbers as on the CPU, and the same laws. Skipped where there is none.

`float64` everywhere; two devices round differently, so states agree to rounding times what the
dynamics make of it over the few steps taken.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from ddg_explorer import INTEGRATORS, SYSTEMS, Rollout, discrete_grad
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import Lane, Scene
from ddg_explorer.app.turns import Turn, suitable
from ddg_explorer.budgets import Budget
from ddg_explorer.cli import main
from ddg_explorer.data import Dataset
from ddg_explorer.evaluation import errors, forecast, one_step_error
from ddg_explorer.fitting import Fit
from ddg_explorer.models import EnergyModel, ModelRecipe, load_model
from ddg_explorer.recipes import make_dataset
from ddg_explorer.training import train

DEVICE = "cuda"
SMALL = {"kdv": 32, "wave": 32, "cahn_hilliard": 32, "cahn_hilliard_2d": 24}

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def pair(name: str, **options: Any) -> tuple[Any, Any]:
    """The system on both devices, on a small grid."""
    if name in SMALL:
        options["n"] = SMALL[name]
    return SYSTEMS[name](**options), SYSTEMS[name](**options, device=DEVICE)


def difference(there: Tensor, here: Tensor) -> float:
    """Largest difference relative to the largest value; infinite for one on the wrong device."""
    if there.device.type != DEVICE:
        return float("inf")
    return float((there.cpu() - here).abs().max() / here.abs().max().clamp(min=1e-300))


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_scheme_of_every_system_steps_as_on_the_cpu(name: str) -> None:
    here, there = pair(name)
    u0 = here.initial(seed=1, batch=3)
    assert torch.equal(there.initial(seed=1, batch=3).cpu(), u0)
    for key in suitable(here):
        assert key in INTEGRATORS
        dt = here.dt if INTEGRATORS[key].implicit else min(here.dt, here.explicit_limit() / 4)
        runs = [Rollout(s, u0.to(s.device), dt, key) for s in (here, there)]
        one, other = (run.step(4) for run in runs)
        assert not other.reason, (key, other.reason)
        assert difference(other.u, one.u) < 1e-9, key
        assert difference(other.energy, one.energy) < 1e-9, key


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_laws_hold(dtype: torch.dtype) -> None:
    """KdV keeps its energy and its mass, Cahn–Hilliard loses energy and keeps its mass."""
    eps = torch.finfo(dtype).eps
    kdv = SYSTEMS["kdv"]("two_solitons", n=64, dtype=dtype, device=DEVICE)
    run = Rollout(kdv, kdv.initial(), kdv.dt)
    before, after = run.frame, run.step(100)
    assert not after.reason
    assert abs(float(after.energy - before.energy)) < 1e4 * eps * kdv.energy_scale
    assert difference(after.mass, before.mass.cpu()) < 1e3 * eps
    phase = SYSTEMS["cahn_hilliard_2d"]("spinodal", n=48, dtype=dtype, device=DEVICE)
    run = Rollout(phase, phase.initial(), phase.dt)
    energies = [float(frame.energy) for frame in run.frames(60)]
    assert not run.stopped
    rounding = 100 * eps * phase.energy_scale
    assert max(b - a for a, b in pairwise(energies)) < rounding
    assert energies[-1] < energies[0]


def test_discrete_gradient_of_a_program_is_exact() -> None:
    def energy(u: Tensor) -> Tensor:
        return (torch.tanh(u) * u.roll(1, -1) + torch.log1p(u.square())).sum(-1)

    u, v = torch.randn(2, 5, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    gradient = discrete_grad(energy)
    here, there = gradient(v, u), gradient(v.to(DEVICE), u.to(DEVICE))
    assert difference(there, here) < 1e-13
    change = energy(v) - energy(u)
    assert torch.allclose((there.cpu() * (v - u)).sum(-1), change, rtol=1e-12, atol=1e-13)


RECIPES = {
    "node": ModelRecipe("node", (1, 16), {"shape": [16], "length": [4.0]}, hidden=12),
    "hnnpp": ModelRecipe(
        "hnnpp", (1, 16), {"shape": [16], "length": [4.0]}, {"kind": "d_dx"}, hidden=12
    ),
    "hnnpp-dopri5": ModelRecipe(
        "hnnpp",
        (1, 16),
        {"shape": [16], "length": [4.0]},
        {"kind": "d_dx"},
        hidden=12,
        scheme="dopri5",
    ),
    "srnn": ModelRecipe("srnn", (4,), structure={"kind": "symplectic"}, hidden=12),
    "symplectic_form": ModelRecipe("symplectic_form", (4,), hidden=12),
    "dgnet": ModelRecipe(
        "dgnet", (1, 16), {"shape": [16], "length": [4.0]}, {"kind": "learned_kernel"}, hidden=12
    ),
    "dgnet-2d": ModelRecipe(
        "dgnet",
        (1, 12, 10),
        {"shape": [12, 10], "length": [1.2, 1.0]},
        {"kind": "laplacian"},
        hidden=12,
        skip=True,
    ),
}


def wandering(recipe: ModelRecipe) -> Dataset:
    """Random trajectories: training only has to do the same on both devices."""
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn((3, 6, *recipe.state_shape), generator=generator, dtype=torch.float64)
    return Dataset(steps.cumsum(1) / 100, 0.01, recipe.build().grid)


@pytest.mark.parametrize("name", RECIPES)
def test_training_takes_the_same_steps(name: str) -> None:
    """Losses, weights, and the trained right-hand sides.

    A quadratic form may differ where nothing depends on it: the gradient of its entries between
    even and odd modes is zero by symmetry, and Adam magnifies what rounding leaves of that.
    """
    recipe = RECIPES[name]
    data = wandering(recipe)
    here, there = recipe.build(), recipe.build().to(DEVICE)
    runs = [
        list(train(model, data, optimizer="adam", steps=6, batch=5, report_every=1, scale=True))
        for model in (here, there)
    ]
    losses = [torch.tensor([p.loss for p in run], dtype=torch.float64) for run in runs]
    assert len(losses[1]) == 6
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-7, atol=0.0)
    for (key, one), other in zip(here.named_parameters(), there.parameters(), strict=True):
        assert other.device.type == DEVICE
        if not key.endswith("quadratic"):
            torch.testing.assert_close(other.detach().cpu(), one.detach(), rtol=1e-5, atol=1e-8)
    u = data.u[:, -1]
    assert difference(there.rhs(u.to(DEVICE)).detach(), here.rhs(u).detach()) < 1e-9


def test_a_loss_is_compiled_on_the_cpu_alone() -> None:
    model = RECIPES["dgnet"].build().to(DEVICE)
    with pytest.raises(ValueError, match=r"compile=True: needs a dgnet .* on the CPU"):
        next(train(model, wandering(RECIPES["dgnet"]), optimizer="adam", compile=True))


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_predicts_as_on_the_cpu(name: str) -> None:
    here = RECIPES[name].build()
    data = wandering(RECIPES[name])
    there = RECIPES[name].build().to(DEVICE)
    for scheme in here.integrators:
        one, other = (forecast(m, data.u[:, 0], 1e-3, 5, scheme) for m in (here, there))
        assert not other.reasons
        torch.testing.assert_close(other.u.cpu(), one.u, rtol=1e-9, atol=1e-9)
        assert torch.isfinite(other.u).all()
    assert one_step_error(there, data) == pytest.approx(one_step_error(here, data), rel=1e-9)


def test_a_dgnet_on_another_grid_stays_where_it_is() -> None:
    model = RECIPES["dgnet"].build().to(DEVICE)
    assert model.grid is not None
    wider = model.on_grid(type(model.grid)((24,), (6.0,)))
    assert next(wider.parameters()).device.type == DEVICE


def test_a_run_goes_on_from_its_checkpoint(tmp_path) -> None:
    recipe = RECIPES["dgnet-2d"]
    data, path = wandering(recipe), tmp_path / "run.safetensors"
    options: dict[str, Any] = {"optimizer": "adam", "steps": 10, "batch": 5, "report_every": 5}
    whole = recipe.build().to(DEVICE)
    for _ in train(whole, data, **options):
        pass
    model = recipe.build().to(DEVICE)
    run = train(model, data, checkpoint=path, **options)
    next(run)
    run.close()
    again = recipe.build().to(DEVICE)
    last = list(train(again, data, checkpoint=path, **options))[-1]
    assert last.step == 10
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)


def test_fit_and_file_carry_a_model_over(tmp_path) -> None:
    data = make_dataset("kdv", trajectories=4, steps=10, cache=False)
    how = Budget("short", {"hidden": 16}, {"optimizer": "adam", "steps": 20, "scale": True})
    fit = Fit("dgnet", data, how, device=DEVICE)
    first, *_, last = fit
    assert last.loss < first.loss
    card = fit.card("test")
    assert card["device"].startswith(DEVICE)
    path = fit.model.save(tmp_path / "model.safetensors", card)
    back = load_model(path)
    assert isinstance(back, EnergyModel)
    assert next(back.parameters()).device.type == "cpu"
    assert one_step_error(back, data) == pytest.approx(one_step_error(fit.model, data), rel=1e-9)


def test_errors_of_a_forecast_on_the_device() -> None:
    model, data = RECIPES["dgnet"].build(), wandering(RECIPES["dgnet"])
    here, there = (
        errors(
            forecast(m, data.u[:, 0], data.dt, data.frames - 1),
            data.u,
            lambda u: u.square().sum((-1, -2)),
        )
        for m in (model, RECIPES["dgnet"].build().to(DEVICE))
    )
    assert there == pytest.approx(here, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "model", "bound"),
    [
        ("kdv", "truth", 1e-9),
        ("kdv", "dgnet", 1e-9),
        ("kdv", "node", 1e-9),
        ("cahn_hilliard_2d", "dgnet", 1e-4),  # steps at the live tolerance
        ("pendulum", "srnn", 1e-9),
    ],
)
def test_a_lane_of_the_app_runs(name: str, model: str, bound: float) -> None:
    frames = {}
    for device in ("cpu", DEVICE):
        simulation = Simulation(Lane(model))
        scene = Scene(name, "published", device=device)
        outcome = simulation.turn(Turn(scene, steps=5, budget=60.0))
        assert not outcome.error
        assert not outcome.stopped
        assert simulation.frame is not None
        frames[device] = simulation.frame
        assert len(outcome.payload) > 0
    assert difference(frames[DEVICE].u, frames["cpu"].u) < bound


def test_commands_take_a_device(tmp_path, capsys) -> None:
    path = tmp_path / "model.safetensors"
    short = ["--trajectories", "3", "--frames", "8", "--steps", "5", "--optimizer", "adam"]
    argv = [
        "train",
        "--system",
        "kdv",
        "--model",
        "dgnet",
        *short,
        "--device",
        DEVICE,
        "--save",
        str(path),
    ]
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == DEVICE
    assert path.is_file()
    assert main(["simulate", "--system", "kdv", "--steps", "5", "--device", DEVICE]) == 0
