"""What data tell before they are learned, and runs after: said where it is so, and only there."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import ddg_explorer as ddg
from ddg_explorer import cli
from ddg_explorer.data import Dataset
from ddg_explorer.data_advice import advice
from ddg_explorer.evaluation import Forecast
from ddg_explorer.grids import Grid
from ddg_explorer.models import ModelRecipe, read_card
from ddg_explorer.recipes import DATA_RECIPES, make_dataset
from ddg_explorer.structure import DampedSymplectic
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.verdict import verdict

DT, FRAMES = 0.1, 60
PAIRED = ("symplectic", "learned_friction")


def energy(u: Tensor) -> Tensor:
    """A particle in two wells, or one in each of two planes: u = (q, p), p = dq/dt."""
    q, p = u.chunk(2, -1)
    return (p.square() / 2 + q**4 / 4 - q.square() / 2).sum(-1)


def wells(trajectories: int = 8, size: int = 2) -> Tensor:
    """Damped, `(trajectories, FRAMES, size)`."""
    draw = torch.Generator().manual_seed(0)
    starts = 3.6 * torch.rand(trajectories, size, generator=draw, dtype=torch.float64) - 1.8
    system = ddg.System(energy, DampedSymplectic(0.15, size=size), initial=starts[0])
    run = ddg.simulate(system, starts, dt=DT, steps=FRAMES - 1, integrator="collocation6")
    return run.u.transpose(0, 1).contiguous()


def told(data: Dataset, structure: str | None = "learned_friction", **options: Any) -> list[str]:
    model = ModelRecipe.fitting("dgnet", data, structure=structure, hidden=8).build()
    return advice(data, model, **options)


def noise(u: Tensor, level: float) -> Tensor:
    return Dataset(u, DT).with_noise(level, 1).u


@pytest.mark.parametrize("name", DATA_RECIPES)
def test_nothing_is_said_of_published_data_with_their_own_structure(name: str) -> None:
    """Also where they are clean and come from a file that tells nothing of them."""
    recipe = DATA_RECIPES[name]
    data = make_dataset(recipe, trajectories=4, cache=False)
    kinds = ["dgnet", "hnnpp"] + (["hnn", "srnn", "node"] if name == "two-body" else [])
    for kind in kinds:
        model = ModelRecipe.fitting(kind, data, hidden=16).build()
        assert advice(data, model, optimizer="lm") == advice(data, model, optimizer="adam") == []
    clean = data if not recipe.noise else make_dataset(replace(recipe, noise=0.0), cache=False)
    unnamed = replace(clean, recipe={}, context={})
    structure = clean.context["structure"]
    model = ModelRecipe.fitting("dgnet", unnamed, structure=structure, hidden=16).build()
    assert advice(unnamed, model) == []


CLEAN = [
    *((name, preset) for name in ("mass_spring", "pendulum") for preset in SYSTEMS[name].presets),
    *((name, preset) for name in ("wave", "kdv") for preset in SYSTEMS[name].presets),
    *(("cahn_hilliard", preset) for preset in SYSTEMS["cahn_hilliard"].presets),
    *(("cahn_hilliard_2d", "published"), ("two_body", "ellipse"), ("two_body", "published")),
]


@pytest.mark.parametrize(("name", "preset"), CLEAN)
def test_no_clean_run_looks_noisy_or_wrapped(name: str, preset: str) -> None:
    """Fast waves, fronts, and short waves that turn their sign at every step among them."""
    system = SYSTEMS[name](preset)
    run = ddg.simulate(system, steps=60)
    data = replace(Dataset.of(run, system), recipe={})
    model = ModelRecipe.fitting("dgnet", data, hidden=4).build()
    assert [line for line in advice(data, model) if not line.startswith("one trajectory")] == []


@pytest.mark.parametrize("kind", [*PAIRED, "learned_matrix"])
@pytest.mark.parametrize("level", [0.0, 0.01, 0.05, 0.2])
def test_noise_is_estimated_and_named_with_its_treatment(kind: str, level: float) -> None:
    data = Dataset(noise(wells(), level), DT)
    lines = told(data, kind)
    if not level:
        assert lines == []
        return
    (line,) = lines
    found = float(line.removeprefix("the data look noisy (").partition(" %")[0])
    spread = float((data.u.square().mean() / data.u.var((0, 1)).mean()).sqrt())
    assert found == pytest.approx(100 * level * spread, rel=0.1)
    assert "--denoise states" in line
    assert "--denoise smooth" in told(data, kind, optimizer="adam")[0]


def test_noise_that_is_known_or_was_decided_about_is_not_told() -> None:
    clean = Dataset(wells(), DT)
    data = replace(clean, u=noise(clean.u, 0.05))
    for treatment in ("none", "states", "smooth"):
        assert told(data, noise=treatment) == []
    assert told(clean.with_noise(0.05, 0)) == []


def test_a_noisy_field_is_to_be_smoothed() -> None:
    system = SYSTEMS["wave"]("travelling")
    data = replace(Dataset.of(ddg.simulate(system, steps=60), system), recipe={})
    grainy = replace(data, u=data.with_noise(0.02, 0).u)
    model = ModelRecipe.fitting("dgnet", grainy, hidden=4).build()
    (line,) = advice(grainy, model)
    assert "noisy" in line
    assert "--denoise smooth" in line


def test_a_kick_and_rounding_to_many_digits_are_no_noise() -> None:
    u = wells()
    kicked = u.clone()
    kicked[:, 30:, 1] += 0.5
    assert told(Dataset(kicked, DT)) == []
    assert told(Dataset((1e4 * u).round() / 1e4, DT)) == []
    assert "noisy" in told(Dataset((20 * u).round() / 20, DT))[0]


@pytest.mark.parametrize("large", [0, 1])
def test_scales_far_apart_are_told(large: int) -> None:
    u = wells()
    ratio = float(
        u.diff(1, 1)[..., large].square().mean() / u.diff(1, 1).square().mean((0, 1))[1 - large]
    )
    for factor, expected in ((20 / ratio**0.5, 0), (1000 / ratio**0.5, 1)):
        scaled = u.clone()
        scaled[..., large] *= factor
        lines = told(Dataset(scaled, DT))
        assert len(lines) == expected
        if expected:
            start = f"component {large} changes 1000 times as much a step as component {1 - large}"
            what = "each counts by its own size (--weights none: all by one)"
            assert lines == [f"{start} (RMS): {what}"]
            (line,) = told(Dataset(scaled, DT), weights="none")
            assert line.startswith(start)
            assert "hardly sees the latter: --weights components counts each" in line


def test_what_never_changes_is_told() -> None:
    u = wells()
    constant = torch.cat([u, torch.full_like(u[..., :1], 9.81)], -1)
    line = "component 2 of 0 … 2 never changes (9.81): leave it out"
    assert told(Dataset(constant, DT), "learned_matrix") == [line]
    mass = torch.arange(1.0, 9.0, dtype=torch.float64)[:, None, None].expand_as(u[..., :1])
    (line,) = told(Dataset(torch.cat([u, mass], -1), DT), "learned_matrix")
    assert line.startswith("component 2 of 0 … 2 never changes along a trajectory")
    once = constant.clone()
    once[3, 20:, 2] += 0.1
    assert not any("never" in line for line in told(Dataset(once, DT), "learned_matrix"))


@pytest.mark.parametrize(("turn", "name"), [(2 * math.pi, "2π"), (360.0, "360")])
def test_the_jumps_of_a_wrapped_angle_are_counted(turn: float, name: str) -> None:
    """A pendulum that turns over; unwrapped, and within a well, it is an angle like any other."""
    system = SYSTEMS["pendulum"](dt=DT)
    starts = torch.tensor([[0.0, 3.0], [0.0, -4.0], [1.0, 0.0]], dtype=torch.float64)
    u = ddg.simulate(system, starts, steps=80).u.transpose(0, 1).contiguous()
    scale = torch.tensor([turn, turn], dtype=torch.float64) / (2 * math.pi)
    assert told(Dataset(u * scale, DT)) == []
    wrapped = u.clone()
    wrapped[..., 0] = torch.remainder(u[..., 0] + math.pi, 2 * math.pi) - math.pi
    count = int((wrapped[..., 0].diff(1, 1).abs() > 3).sum())
    assert count > 3
    (line,) = told(Dataset(wrapped * scale, DT))
    assert line.startswith(f"component 0 jumps by {name} {count} times")
    assert ("period=360" in line) == (name == "360")


def test_which_columns_are_taken_as_q_and_p_is_told_where_they_are_not() -> None:
    u = wells(size=4)
    for kind in PAIRED:
        assert told(Dataset(u, DT), kind) == []
    orders = {"0 with 1, 2 with 3": [0, 2, 1, 3], "2 with 0, 3 with 1": [2, 3, 0, 1]}
    for couples, order in orders.items():
        (line,) = told(Dataset(u[..., order], DT))
        assert line.startswith("components 0 … 1 are taken as q, 2 … 3 as p, but ")
        assert couples in line
        assert told(Dataset(u[..., order], DT), "learned_matrix") == []
    (line,) = told(Dataset(u[..., [0, 3, 1, 2]], DT))
    assert line.startswith("components 0 … 1 are taken as q, 2 … 3 as p, though ")
    (line,) = told(Dataset(wells()[..., [1, 0]], DT))
    assert line.startswith("component 0 is taken as q, 1 as p, but ")


def test_nothing_is_said_of_the_order_of_a_few_states() -> None:
    assert told(Dataset(wells(6)[:, :3, [1, 0]], DT)) == []
    assert len(told(Dataset(wells(8)[:, :3, [1, 0]], DT))) == 1


def test_the_order_of_noisy_columns_and_channels_is_seen() -> None:
    assert told(Dataset(noise(wells(size=4), 0.1), DT), noise="states") == []
    system = SYSTEMS["wave"]("pulse")
    found = Dataset.of(ddg.simulate(system, steps=60), system)
    data = replace(found, context={}, recipe={})
    assert all("taken" not in line for line in told(data, "symplectic"))
    swapped = replace(data, u=data.u.flip(2))
    assert any("channel 0 is taken as q, 1 as p, but" in x for x in told(swapped, "symplectic"))


def test_a_single_trajectory_with_more_weights_than_residuals_is_told() -> None:
    """A hidden width h has 2h + h + h² + h + h + 1 weights, and one friction."""
    data = Dataset(wells(1)[:, :40], DT)
    for hidden, expected in ((6, 0), (7, 1)):
        options = {"structure": "learned_friction", "hidden": hidden}
        lines = advice(data, ModelRecipe.fitting("dgnet", data, **options).build())
        assert len(lines) == expected
    assert lines[0].startswith("one trajectory, 78 residuals and 86 weights: ")
    two = Dataset(wells(2)[:, :40], DT)
    assert advice(two, ModelRecipe.fitting("dgnet", two, **options).build()) == []
    grid = Grid((32,), (1.0,))
    x = torch.linspace(0, 6, 8, dtype=torch.float64)[None, :, None, None]
    field = Dataset((x + torch.arange(32) / 3).sin(), DT, grid)
    assert told(field, "d_dx") == []


def rolled(truth: Dataset, off: float, frames: int | None = None) -> Forecast:
    """Off by this from the second frame on, all failing after so many."""
    u = truth.u.clone()
    u[:, 1:] += off
    frames = truth.frames if frames is None else frames
    u[:, frames:] = math.nan
    reasons = ["t = 0.3: it burst"] * (frames < truth.frames) * truth.trajectories
    good = torch.full((truth.trajectories,), frames)
    own = torch.zeros(truth.frames, truth.trajectories, dtype=u.dtype)
    return Forecast(u.transpose(0, 1), own, good, reasons, 0.0, 0.0)


def test_a_run_is_judged_by_its_losses_and_by_held_out_rollouts() -> None:
    data = Dataset(wells(), DT)
    model = ModelRecipe.fitting("dgnet", data, structure="symplectic", hidden=4).build()
    spread = float(data.u.var((0, 1), correction=0).mean().sqrt())
    good = (rolled(data, 0.1 * spread), data)
    assert verdict(1e-8, 2e-8, model, "none", good) == []
    assert verdict(1.0, 0.4, model, "states", good) == []
    assert verdict(0.3, 0.33, model, "none", good) == []
    for loss, held_out in ((1e-3, 0.6), (1e-9, 0.06)):
        (line,) = verdict(loss, held_out, model, "none", good)
        assert line.startswith(f"validation loss {held_out}, in training {loss:.2g}: held-out ")
    (line,) = verdict(0.6, 0.6, model, "none", good)
    assert line.startswith("loss 0.6: hardly better than no change")
    (line,) = verdict(2.5, 0.6, model, "states", good)
    assert line.startswith("loss 2.5 in units of the noise")
    bad = (rolled(data, spread), data)
    (line,) = verdict(1e-3, 1e-3, model, "none", bad)
    assert line.startswith("held-out rollouts leave the data at t = 0.1 (mean square error 0.98 ")
    assert "G = symplectic loses no energy: try --model dgnet --structure learned_friction" in line
    lost = (rolled(data, 0.0, 4), data)
    (line,) = verdict(1e-3, 1e-3, model, "none", lost)
    assert line.startswith("8 of 8 held-out rollouts failed, the first at t = 0.3: it burst; ")


def table(path: Path, u: Tensor) -> str:
    rows = [(k, n * DT, *x) for k, run in enumerate(u.tolist()) for n, x in enumerate(run)]
    np.savetxt(path, rows, "%.17g", ",", header="trial,t,q,p", comments="")
    return str(path)


def trained(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0
) -> tuple[dict[str, Any], list[str]]:
    assert cli.main(["train", *arguments, "--json"]) == code
    output = capsys.readouterr()
    start = "ddg-explorer train: "
    lines = output.err.splitlines()
    assert all(line.startswith(start) for line in lines)
    return json.loads(output.out.splitlines()[-1]), [line.removeprefix(start) for line in lines]


def test_train_prints_its_hints_and_returns_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = ("--data", table(tmp_path / "wells.csv", noise(wells(), 0.05)), "--model", "dgnet")
    short = (*data, "--structure", "learned_friction", "--steps", "2", "--hidden", "4")
    found, lines = trained(capsys, *short)
    assert found["hints"] == lines
    assert lines[0].startswith("the data look noisy (")
    assert found["loss_unit"] == found["validation_loss_unit"] == "loss of no change"
    found, lines = trained(capsys, *short, "--denoise", "states")
    assert found["hints"] == lines
    assert not any("noisy" in line for line in lines)
    assert found["loss_unit"] == "variance of the noise"
    assert found["validation_loss_unit"] == "loss of no change"


def test_train_tells_what_components_count_by_and_notes_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    u = wells() * torch.tensor([1.0, 1e3], dtype=torch.float64)
    kept = tmp_path / "model.safetensors"
    data = ("--data", table(tmp_path / "wells.csv", u), "--model", "dgnet", "--steps", "2")
    short = (*data, "--structure", "learned_friction", "--hidden", "4", "--save", str(kept))
    for weights, told_of, noted in ((None, "by its own size (--", True), ("none", "sees", False)):
        option = () if weights is None else ("--weights", weights)
        found, lines = trained(capsys, *short, *option)
        assert found["hints"] == lines
        assert told_of in lines[0]
        training = read_card(kept)["card"]["training"]
        assert (training.get("weights") == "components") == noted


def test_a_structure_that_cannot_lose_energy_is_told_of_damped_data(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Their single steps fit nearly as well: only rollouts tell."""
    data = ("--data", table(tmp_path / "wells.csv", wells()), "--model", "dgnet")
    short = (*data, "--steps", "60", "--hidden", "8")
    found, lines = trained(capsys, *short, "--structure", "symplectic")
    assert found["validation_loss"] < 0.05
    (line,) = found["hints"]
    assert lines == [line]
    assert line.startswith("held-out rollouts leave the data at t = ")
    assert "loses no energy" in line
    found, lines = trained(capsys, *short, "--structure", "learned_friction")
    assert found["hints"] == lines == []


def test_rollouts_that_all_fail_have_no_error_but_a_reason(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """H of relus with enormous weights: no step of it converges."""
    data = ("--data", table(tmp_path / "wells.csv", wells(4)), "--model", "dgnet")
    wild = ("--optimizer", "adam", "--lr", "1000", "--steps", "2", "--activation", "relu")
    options = (*data, "--structure", "symplectic", *wild, "--hidden", "4", "--test")
    found, lines = trained(capsys, *options)
    assert (found["diverged"], found["rollouts"]) == (1, 1)
    names = ("state_mse", "state_mse_median", "relative_state_mse")
    assert [found[name] for name in names] == [None] * 3
    assert lines[-1].startswith("1 of 1 held-out rollouts failed, the first at t = 0: ")
    assert cli.main(["train", *options]) == 0
    shown = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert (shown["diverged"], shown["state_mse"]) == ("1 of 1", "-")
