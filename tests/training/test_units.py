"""Units of the components: a loss, a start and a verdict that none of them changes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from training_cases import dgnet, gradients, kdv, largest_gap, pendulum, shaken, trajectories

import ddg_explorer as ddg
from ddg_explorer.data import Dataset
from ddg_explorer.learned_structure import inspect_structure
from ddg_explorer.models import ModelRecipe, load_model
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.units import sizes, units_of
from ddg_explorer.structure import DampedSymplectic
from ddg_explorer.training import train
from ddg_explorer.training.defaults import all_settings
from ddg_explorer.training.fused import FusedLoss
from ddg_explorer.training.jacobians import jacobian
from ddg_explorer.training.native import compiler
from ddg_explorer.training.optimiser import unit_of
from ddg_explorer.training.prepare import default_weights, loss_unit, relative_loss
from ddg_explorer.training.snapshots import read_snapshot
from ddg_explorer.training.unrolled import unrolled_loss

FRICTION = 0.2


def energy(u: Tensor) -> Tensor:
    q, p = u.unbind(-1)
    return p.square() / 2 + 1 - torch.cos(q)


def damped() -> Dataset:
    """A pendulum with friction, below its separatrix."""
    draw = torch.Generator().manual_seed(0)
    spread = torch.tensor([3.0, 2.0], dtype=torch.float64)
    starts = spread * (torch.rand(12, 2, generator=draw, dtype=torch.float64) - 0.5)
    system = ddg.System(energy, DampedSymplectic(FRICTION), initial=starts[0])
    return replace(Dataset.of(ddg.simulate(system, starts, dt=0.1, steps=40), system), context={})


NATURAL = damped()


def in_units(data: Dataset, *units: float) -> Dataset:
    factors = torch.tensor(units, dtype=torch.float64).reshape(-1, *[1] * (data.u.ndim - 3))
    return replace(data, u=data.u * factors)


def learned(data: Dataset, kind: str | None, model: str = "dgnet", **options: Any):
    """A model of the data after some training, and its losses."""
    options = {"steps": 40, "report_every": 1, **options}
    structure = None if kind is None else {"kind": kind}
    if model == "symplectic_form":
        structure = None
    net = ModelRecipe.fitting(model, data, structure=structure, hidden=6).build()
    return net, [event.loss for event in train(net, data, **options)]


def natural(model: Model, unit: float) -> Tensor:
    """G of the model with p in natural units, over its entry of q and p."""
    matrix = inspect_structure(model).matrix
    assert matrix is not None
    found = matrix / torch.tensor([[1.0, unit], [unit, unit**2]], dtype=torch.float64)
    return found / found[0, 1]


@pytest.mark.parametrize("kind", ["learned_friction", "learned_matrix"])
def test_a_friction_is_learned_in_any_units(kind: str) -> None:
    """As well as in natural ones, and at the same losses whatever the units are."""
    found = {unit: learned(in_units(NATURAL, 1.0, unit), kind) for unit in (1.0, 1e3, 1e-3)}
    bound = {"learned_friction": 5e-3, "learned_matrix": 2e-2}[kind]
    for unit, (model, _) in found.items():
        assert float(natural(model, unit)[1, 1]) == pytest.approx(-FRICTION, rel=bound)
        assert inspect_structure(model).energy_law == "dissipated"
    small, large = (torch.tensor(found[unit][1]) for unit in (1e-3, 1e3))
    torch.testing.assert_close(small[:10], large[:10], rtol=1e-6, atol=0)


@pytest.mark.parametrize("optimizer", ["adam", "soap"])
@pytest.mark.parametrize(
    "kind",
    [
        "learned_friction",
        "learned_matrix",
        "learned_skew_matrix",
        "learned_dissipative_matrix",
        "learned_state_matrix",
        "symplectic",
    ],
)
def test_first_order_losses_do_not_depend_on_units(kind: str, optimizer: str) -> None:
    # the eigenbases of SOAP turn with rounding as soon as it has taken a step
    steps, rtol = {"adam": (20, 1e-8), "soap": (2, 1e-8)}[optimizer]
    options = {"optimizer": optimizer, "steps": steps, "lr": 1e-2, "batch": 50}
    runs = [learned(in_units(NATURAL, 1.0, unit), kind, **options)[1] for unit in (100, 1e4)]
    torch.testing.assert_close(*map(torch.tensor, runs), rtol=rtol, atol=0)
    assert optimizer == "soap" or min(runs[0]) < runs[0][0]


MODELS = ("node", "hnn", "hnnpp", "srnn", "symplectic_form")


@pytest.mark.parametrize("optimizer", ["lm", "adam"])
@pytest.mark.parametrize("model", MODELS)
def test_losses_of_every_model_do_not_depend_on_units(model: str, optimizer: str) -> None:
    options: dict[str, Any] = {"optimizer": optimizer, "steps": 8}
    kind = None if model == "node" else "symplectic"
    runs = [learned(in_units(NATURAL, 1.0, unit), kind, model, **options)[1] for unit in (100, 1e4)]
    torch.testing.assert_close(*map(torch.tensor, runs), rtol=1e-8, atol=0)
    assert runs[0][-1] < runs[0][0]


def test_one_factor_on_all_components_changes_the_scale_alone() -> None:
    scaled = in_units(NATURAL, 1e3, 1e3)
    assert default_weights(scaled) is None
    (model, one), (other, two) = (learned(x, "learned_friction") for x in (NATURAL, scaled))
    torch.testing.assert_close(torch.tensor(one[:10]), torch.tensor(two[:10]), rtol=1e-6, atol=0)
    torch.testing.assert_close(natural(model, 1.0), natural(other, 1.0), rtol=1e-3, atol=0)
    assert model.recipe is not None
    assert model.recipe.structure == {"kind": "learned_friction"}


@pytest.mark.parametrize("optimizer", ["lm", "adam"])
def test_without_the_need_no_bit_changes(optimizer: str) -> None:
    """The weights are absent: not ones, none at all."""
    for data in (kdv(count=2, steps=20), pendulum(), NATURAL):
        found = []
        for weights in (None, "none"):
            net = dgnet(data, hidden=4, structure=None if data.context else {"kind": "symplectic"})
            options: dict[str, Any] = {"optimizer": optimizer, "steps": 4, "seed": 1}
            events = list(train(net, data, weights=weights, **options))
            found.append((events[-1].loss, net.state_dict()))
            settings = all_settings(net, data, {**OPTIONS, **options, "weights": weights})
            assert settings["weights"] is None
            assert settings["scale"] == (optimizer == "lm")
            assert isinstance(unit_of(data, settings), float)
        (loss, one), (same, other) = found
        assert loss == same
        assert all(torch.equal(one[name], other[name]) for name in one)


OPTIONS: dict[str, Any] = {
    **{"optimizer": None, "steps": None, "noise": None, "scale": None, "weights": None},
    **{"unroll": 1, "compile": None, "checkpoint": None},
}


@pytest.mark.parametrize("weak", [False, True])
def test_no_change_has_the_loss_one(weak: bool) -> None:
    wave = trajectories("wave", count=2, steps=20, dt=0.01)
    still = replace(
        NATURAL, u=torch.cat([NATURAL.u, torch.full_like(NATURAL.u[..., :1], 9.81)], -1)
    )
    for data in (in_units(wave, 1.0, 1e3), in_units(still, 1.0, 1e3, 1.0)):
        unit = loss_unit(data, weak=weak and data.grid is not None, weighted=True)
        net = ModelRecipe.fitting("node", data, hidden=2).build()
        with torch.no_grad():
            for weight in net.parameters():
                weight.zero_()
        assert isinstance(unit, Tensor)
        assert relative_loss(net, data, unit, weak=weak) == pytest.approx(1, rel=0.05)


def test_sizes_are_those_of_moving_components() -> None:
    u = torch.zeros(1, 3, 3, dtype=torch.float64)
    u[0, :, 0] = torch.tensor([0.0, 1.0, 2.0])
    u[0, :, 1] = torch.tensor([0.0, 300.0, 0.0])
    u[0, :, 2] = 9.81
    data = Dataset(u, 0.5)
    assert sizes(data).tolist() == [2.0, 600.0, 0.0]
    assert units_of(data) == pytest.approx([300**-0.5, 300**0.5, 1.0])
    assert units_of(replace(data, u=u[..., [0]])) is None


CASES = {
    "dgnet": ("dgnet", NATURAL, {"structure": {"kind": "learned_friction"}}),
    "matrix": ("dgnet", NATURAL, {"structure": {"kind": "learned_matrix"}}),
    "hnnpp": ("hnnpp", NATURAL, {"structure": {"kind": "learned_friction"}}),
    "srnn": ("srnn", NATURAL, {}),
    "node": ("node", NATURAL, {}),
    "deep": ("dgnet", NATURAL, {"structure": {"kind": "symplectic"}, "depth": 1}),
    "wave": ("dgnet", trajectories("wave", count=2, steps=8, dt=0.01), {}),
    "wave, hnnpp": ("hnnpp", trajectories("wave", count=2, steps=8, dt=0.01), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_weighted_residuals_are_those_of_the_model_over_the_sizes(case: str) -> None:
    """Those of a window at every site, and their derivative along a change of the weights."""
    kind, data, options = CASES[case]
    data = in_units(data, 1.0, 1e2)
    net = shaken(ModelRecipe.fitting(kind, data, hidden=3, **options).build())
    unit = loss_unit(data, weighted=True)
    assert isinstance(unit, Tensor)
    if data.grid is not None:
        weighted, plain = (jacobian(net, data.dt, s) for s in (unit.sqrt(), 1.0))
        v, u = (x[:, :, :15] for x in (data.u[:, 1], data.u[:, 0]))
        by_component = unit.sqrt().flatten()
        (r, rows), (other, others) = weighted(v, u), plain(v, u)
        torch.testing.assert_close(r.reshape(-1, 2) * by_component, other.reshape(-1, 2))
        for name, block in rows.items():
            scaled = block.reshape(-1, 2, *block.shape[1:])
            scaled = scaled * by_component.reshape(2, *[1] * (block.ndim - 1))
            torch.testing.assert_close(scaled.flatten(0, 1), others[name])
        return
    u, v = data.pairs()
    r, rows = jacobian(net, data.dt, unit.sqrt())(v[:20], u[:20])
    truth = net.residual(v[:20], u[:20], data.dt) / unit.sqrt()
    torch.testing.assert_close(r, truth.flatten())
    truth.square().sum().backward()
    found = {n: 2 * torch.tensordot(r.detach(), block, 1) for n, block in rows.items()}
    assert largest_gap(found, gradients(net)) < 1e-10


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("structure", ["symplectic", "learned_friction"])
def test_the_fused_loss_is_weighted(structure: str, compiled: bool) -> None:
    if compiled and compiler() is None:
        pytest.skip("needs a C++ compiler")
    data = in_units(NATURAL, 1.0, 1e2)
    scale = loss_unit(data, weighted=True)
    assert isinstance(scale, Tensor)
    scale = scale.sqrt()
    u, v = data.pairs()
    fused, plain = (shaken(dgnet(data, structure={"kind": structure}, hidden=8)) for _ in range(2))
    assert isinstance(fused, EnergyModel)
    loss = FusedLoss(fused, data.dt, scale=scale, compiled=compiled).backward(v, u)
    expected = (plain.residual(v, u, data.dt) / scale).square().mean()
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    assert largest_gap(gradients(fused), gradients(plain)) < 1e-10


def test_the_unrolled_loss_is_weighted() -> None:
    data = in_units(NATURAL, 1.0, 1e2)
    unit = loss_unit(data, weighted=True)
    assert isinstance(unit, Tensor)
    net = dgnet(data, structure={"kind": "learned_friction"}, hidden=4)
    frames = data.u[:, :3]
    parts = [frames.clone(), frames.clone()]
    whole = unrolled_loss(net, frames, data.dt, unit.sqrt())
    absolute = unrolled_loss(net, frames, data.dt)
    one = unrolled_loss(net, parts[0], data.dt, torch.tensor([1.0, torch.inf]).double())
    other = unrolled_loss(net, parts[1], data.dt, torch.tensor([torch.inf, 1.0]).double())
    torch.testing.assert_close(absolute, one + other)
    torch.testing.assert_close(whole, one / unit[0] + other / unit[1])
    runs = [
        learned(in_units(NATURAL, 1.0, x), "learned_friction", optimizer="adam", unroll=2, steps=5)
        for x in (100, 1e4)
    ]
    one, other = (torch.tensor(losses) for _, losses in runs)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=0)


RESUMED: dict[str, dict[str, Any]] = {
    "lm": {"optimizer": "lm", "rows": (60, 200)},
    "states": {"optimizer": "lm", "rows": (60, 200), "noise": "states"},
    "adam": {"optimizer": "adam", "batch": 10},
    "soap": {"optimizer": "soap", "batch": 10},
}


@pytest.mark.parametrize("kind", RESUMED)
def test_a_weighted_run_resumes_bitwise(kind: str, tmp_path) -> None:
    data = in_units(NATURAL, 1.0, 1e3)
    if kind == "states":
        data = data.with_noise(0.01, 0)
    options = {"steps": 8, "report_every": 2, **RESUMED[kind]}

    def make() -> Model:
        return dgnet(data, structure={"kind": "learned_friction"}, hidden=4)

    whole, resumed, file = make(), make(), tmp_path / "run.safetensors"
    losses = [event.loss for event in train(whole, data, **options)]
    broken = train(make(), data, checkpoint=file, **options)
    assert [next(broken).step for _ in range(2)] == [2, 4]
    assert isinstance(broken, Generator)
    broken.close()
    snapshot = read_snapshot(file)
    assert snapshot is not None
    assert snapshot.settings["weights"] == "components"
    with pytest.raises(ValueError, match="weights was 'components', is now None"):
        next(train(make(), data, checkpoint=file, weights="none", scale=True, **options))
    rest = [event.loss for event in train(resumed, data, checkpoint=file, **options)]
    assert rest == losses[2:]
    mine, other = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_runs_of_before_there_were_weights_go_on(tmp_path) -> None:
    file, data = tmp_path / "run.safetensors", pendulum()
    options: dict[str, Any] = {"optimizer": "adam", "steps": 4, "report_every": 2, "batch": 10}
    broken = train(dgnet(data, hidden=4), data, checkpoint=file, **options)
    next(broken)
    assert isinstance(broken, Generator)
    broken.close()
    snapshot = read_snapshot(file)
    assert snapshot is not None
    del snapshot.settings["weights"]
    snapshot.write(file)
    rest = list(train(dgnet(data, hidden=4), data, checkpoint=file, **options))
    assert [event.step for event in rest] == [4]


@pytest.mark.parametrize("model", ["node", "dgnet"])
def test_a_model_in_units_is_kept_whole(model: str, tmp_path) -> None:
    data = in_units(NATURAL, 1.0, 1e3)
    kind = None if model == "node" else "learned_matrix"
    net, _ = learned(data, kind, model, steps=3)
    again = load_model(net.save(tmp_path / "model.safetensors"))
    u = data.u[:, 0]
    assert torch.equal(net.rhs(u), again.rhs(u))
    with torch.no_grad():
        sizes_of = net.rhs(data.u.flatten(0, 1)).square().mean(0).sqrt()
    assert 100 < float(sizes_of[1] / sizes_of[0]) < 1e4


def test_weights_that_do_not_fit_are_refused() -> None:
    line = "weights='components': needs two channels that change, the data have 1"
    with pytest.raises(ValueError, match=line):
        next(train(dgnet(kdv(), hidden=2), kdv(), weights="components"))
    with pytest.raises(ValueError, match="weights='own': use one of components, none"):
        next(train(dgnet(pendulum(), hidden=2), pendulum(), weights="own"))
    bad = {"kind": "learned_friction", "units": [1.0, 0.0]}
    with pytest.raises(ValueError, match="needs 2 numbers, positive and finite"):
        dgnet(pendulum(), hidden=2, structure=bad)
