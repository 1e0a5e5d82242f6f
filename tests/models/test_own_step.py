"""What training leaves in a model of the step that it was trained with, and where that is told."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ddg_explorer.budgets import Budget
from ddg_explorer.data import Dataset
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.fitting import Fit
from ddg_explorer.models import Model, ModelRecipe
from ddg_explorer.models.own_step import step_note
from ddg_explorer.own_data import read_dataset
from ddg_explorer.recipes import DataRecipe, make_dataset
from ddg_explorer.rollout import Rollout
from ddg_explorer.simulation import simulate
from ddg_explorer.trajectory import Trajectory

DT = 20 / 99
BUDGET = Budget(
    "tiny", {"hidden": 2, "skip": True}, {"optimizer": "lm", "steps": 40, "rows": (60, 60)}
)


def learned(integrator: str) -> Model:
    """A DGNet of the oscillator H = q² + p², ω = 2, from data that this integrator made."""
    recipe = DataRecipe("mass_spring", "published", DT, 20, 4, integrator)
    return fitted(make_dataset(recipe, cache=False))


def fitted(data: Dataset) -> Model:
    fit = Fit("dgnet", data, BUDGET)
    for _ in fit:
        pass
    fit.card("test")
    return fit.model


@pytest.fixture(scope="module")
def of_exact_data() -> Model:
    return learned("collocation8")


def error(model: Dynamics, dt: float, integrator: str = "discrete_gradient") -> float:
    """Largest distance from the exact motion up to t = 20 Δt of the data."""
    u0 = torch.tensor([0.7, 0.0], dtype=torch.float64)
    rollout = Rollout(model, u0, dt, integrator)
    worst = 0.0
    for frame in rollout.frames(round(20 * DT / dt)):
        exact = torch.tensor([math.cos(2 * frame.t), -math.sin(2 * frame.t)]) * 0.7
        worst = max(worst, float((frame.u - exact).norm()))
    return worst


def test_a_learned_energy_takes_up_what_its_step_misses(of_exact_data: Model) -> None:
    """H_θ = H tan(ωΔt/2)/(ωΔt/2): right at its own Δt, worse at a tenth of it."""
    u = torch.tensor([[0.0, 0.0], [0.7, 0.0], [0.0, 0.7], [0.5, -0.4]], dtype=torch.float64)
    energy = of_exact_data.energy(u)
    ratio = ((energy - energy[0])[1:] / u.square().sum(-1)[1:]).detach()
    expected = torch.full_like(ratio, math.tan(DT) / DT)
    torch.testing.assert_close(ratio, expected, rtol=1e-4, atol=0)
    own, finer = error(of_exact_data, DT), error(of_exact_data, DT / 10)
    assert own < 1e-3
    assert finer > 30 * own
    assert error(of_exact_data, DT, "rk4") > 30 * own


@pytest.mark.parametrize(
    ("dt", "integrator", "start"),
    [
        (DT, "discrete_gradient", ""),
        (DT * (1 + 1e-12), "discrete_gradient", ""),
        (0.02, "discrete_gradient", "learned at Δt = 0.20202, stepped at 0.02: "),
        (DT, "dopri5", "learned with discrete gradient, stepped with dopri5: "),
        (
            0.5,
            "midpoint",
            "learned with discrete gradient at Δt = 0.20202, stepped with midpoint at 0.5: ",
        ),
    ],
)
def test_another_step_than_that_of_training_is_told(
    of_exact_data: Model, dt: float, integrator: str, start: str
) -> None:
    line = step_note(of_exact_data, dt, integrator)
    assert line.startswith(start)
    assert bool(line) == bool(start)
    assert "\n" not in line


def test_no_note_without_a_bias() -> None:
    """Data of the same difference equation leave nothing to take up, nor does an adaptive step."""
    same = learned("discrete_gradient")
    for model in (same, of_scheme("node", "dopri5")):
        assert step_note(model, 0.02, "rk4") == ""
    u = torch.tensor([[0.0, 0.0], [0.7, 0.0]], dtype=torch.float64)
    low, high = same.energy(u).tolist()
    assert high - low == pytest.approx(0.49, rel=1e-4)


OSCILLATOR = DataRecipe("mass_spring", "published", DT, 1, 1).make_system()


def recorded(steps: int, save_every: int) -> Trajectory:
    """Steps of 0.1 of the oscillator, from eight states."""
    start = OSCILLATOR.initial(0, batch=8)
    return simulate(OSCILLATOR, start, dt=0.1, steps=steps, save_every=save_every)


def test_frames_of_several_steps_obey_another_equation_than_one_step() -> None:
    """n steps turn by 2n arctan(ωdt/2), so that H_θ/H = tan(n arctan(ωdt/2))/(ωΔt/2), Δt = n dt."""
    model = fitted(Dataset.of(recorded(80, 8), OSCILLATOR))
    u = torch.tensor([[0.0, 0.0], [0.7, 0.0]], dtype=torch.float64)
    low, high = model.energy(u).tolist()
    expected = math.tan(8 * math.atan(0.1)) / 0.8
    assert (high - low) / 0.49 == pytest.approx(expected, rel=2e-3)
    assert step_note(model, 0.8, "discrete_gradient") == ""
    line = step_note(model, 0.1, "discrete_gradient")
    assert line.startswith("learned at Δt = 0.8, stepped at 0.1: ")


def test_the_file_of_a_run_tells_its_equation_as_the_run_does(tmp_path: Path) -> None:
    for steps, save_every, told in ((8, 1, False), (8, 4, True), (8, 50, True)):
        path = recorded(steps, save_every).save(tmp_path / "run.nc")
        for system in (OSCILLATOR, None):
            data = read_dataset(path, system=system)
            model = ModelRecipe("node", (2,), hidden=2, scheme="rk2").build()
            model.card = {"data": {"dt": data.dt, "recipe": data.recipe}}
            assert step_note(model, 0.02, "midpoint") != ""  # made by another scheme than learned
            model = ModelRecipe("dgnet", (2,), hidden=2, structure=STRUCTURE["hnn"]).build()
            model.card = {"data": {"dt": data.dt, "recipe": data.recipe}}
            assert bool(step_note(model, 0.02, "discrete_gradient")) == told


def test_a_step_is_told_of_every_kind_whose_training_step_has_an_order() -> None:
    for key, scheme in (("hnn", "rk2"), ("node", "rk2"), ("srnn", "leapfrog")):
        model = of_scheme(key, scheme)
        assert "stepped at 0.02" in step_note(model, 0.02, model.integrators[0])
        assert step_note(model, DT, model.integrators[0]) == ""


def of_scheme(key: str, scheme: str) -> Model:
    """An untrained model with the card of exact data; that of an older file names Δt there only."""
    model = ModelRecipe(key, (2,), hidden=2, scheme=scheme, structure=STRUCTURE.get(key)).build()
    model.card = {"data": {"recipe": {"dt": DT, "integrator": "collocation8"}}}
    return model


STRUCTURE = {key: {"kind": "symplectic"} for key in ("hnn", "srnn")}


def test_what_is_not_known_is_not_told() -> None:
    bare = of_scheme("node", "rk2")
    bare.card = {}
    for dynamics in (bare, OSCILLATOR):
        assert step_note(dynamics, 0.02, "rk4") == ""
