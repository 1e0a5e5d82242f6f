"""The first friction of an ODE, from the data alone, and what training makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training_cases import kdv

from ddg_explorer.data import Dataset
from ddg_explorer.learned_structure import inspect_structure
from ddg_explorer.models import ModelRecipe
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import DampedSymplectic, Friction
from ddg_explorer.systems import System
from ddg_explorer.training import train
from ddg_explorer.training.first_friction import (
    first_friction,
    friction_ends,
    start_friction,
    usable_friction,
)
from ddg_explorer.training.layout import LEAST, Layout, raw_of

DT = 0.1


def pendulum(u: Tensor) -> Tensor:
    q, p = u.unbind(-1)
    return p.square() / 2 + 1 - q.cos()


def mass_spring(u: Tensor) -> Tensor:
    return u.square().sum(-1) / 2


def duffing(u: Tensor) -> Tensor:
    q, p = u.unbind(-1)
    return p.square() / 2 - q.square() / 2 + q.square().square() / 4


def sliding(u: Tensor) -> Tensor:
    """A mass that depends on the place, and a term that is odd in p: not separable."""
    q, p = u.unbind(-1)
    return (1 + 0.5 * q * q) * p * p / 2 + 0.1 * p**4 + q * q / 2 + 0.15 * q * q * p


def two_coupled(u: Tensor) -> Tensor:
    q, p = u.chunk(2, -1)
    single = p.square() / 2 + 1 - q.cos()
    return single.sum(-1) + 0.3 * (q[..., 0] - q[..., 1]).square()


ONE = {"pendulum": pendulum, "mass-spring": mass_spring, "Duffing": duffing, "sliding": sliding}


def runs(
    energy: Callable[[Tensor], Tensor], *friction: float, unit: float = 1.0, count: int = 12
) -> Dataset:
    """Trajectories with these frictions, one for each p, whose unit is 1/`unit` of its own."""
    d = 2 * len(friction)
    draw = torch.Generator().manual_seed(0)
    first = 3 * (torch.rand(count, d, generator=draw, dtype=torch.float64) - 0.5)
    system = System(energy, DampedSymplectic(list(friction)), state_shape=(d,))
    run = simulate(system, first, dt=DT, steps=40)
    assert not run.reason
    u = run.u.transpose(0, 1).contiguous()
    return Dataset(u * torch.tensor([1.0, unit]).repeat_interleave(d // 2), DT)


def falling() -> Dataset:
    """Both components decay, at different rates."""
    t = DT * torch.arange(40, dtype=torch.float64)[:, None]
    draw = torch.Generator().manual_seed(0)
    first = torch.rand(20, 1, 2, generator=draw, dtype=torch.float64) - 0.5
    return Dataset(first * torch.exp(-t * torch.tensor([1.0, 0.5])), DT)


def network(data: Dataset, *, seed: int = 0) -> EnergyModel:
    recipe = ModelRecipe.fitting("dgnet", data, structure="learned_friction", hidden=8, seed=seed)
    model = recipe.build()
    assert isinstance(model, EnergyModel)
    return model


def friction_of(model: Model) -> Tensor:
    assert isinstance(model, EnergyModel)
    assert isinstance(model.structure, DampedSymplectic)
    return model.structure.friction.detach()


@pytest.mark.parametrize("true", [0.0, 0.01, 0.2, 1.0])
@pytest.mark.parametrize("case", ONE)
def test_true_friction_is_found(case: str, true: float) -> None:
    found = first_friction(runs(ONE[case], true))
    assert found is not None
    assert found[0].tolist() == pytest.approx([true], rel=1e-2, abs=2e-4)


def test_every_momentum_has_its_own() -> None:
    found = first_friction(runs(two_coupled, 0.1, 0.6, count=30))
    assert found is not None
    assert found[0].tolist() == pytest.approx([0.1, 0.6], rel=5e-2)


@pytest.mark.parametrize("unit", [1e4, 1e-4])
def test_units_of_the_components_do_not_matter(unit: float) -> None:
    natural, scaled = (first_friction(runs(sliding, 0.2, unit=x)) for x in (1.0, unit))
    assert natural is not None
    assert scaled is not None
    for one, other in zip(scaled, natural, strict=True):
        torch.testing.assert_close(one, unit * other, rtol=1e-6, atol=0)


@pytest.mark.parametrize("case", ONE)
def test_noise_does_not_make_it_smaller(case: str) -> None:
    """Of 0.5 per cent, where the slopes (v − u)/Δt have 7 in q alone."""
    data = runs(ONE[case], 0.2)
    draw = torch.Generator().manual_seed(1)
    noise = 5e-3 * torch.randn(data.u.shape, generator=draw, dtype=torch.float64)
    found = first_friction(replace(data, u=data.u + noise))
    assert found is not None
    assert found[0].tolist() == pytest.approx([0.2], rel=0.1)


DRAW = torch.Generator().manual_seed(1)


@pytest.mark.parametrize(
    "data",
    [
        Dataset(torch.randn(20, 40, 2, generator=DRAW, dtype=torch.float64), DT),
        Dataset(torch.ones(20, 40, 2, dtype=torch.float64), DT),
        Dataset(runs(pendulum, 0.2).u[:1, :3], DT),
        Dataset(runs(pendulum, 0.2).u[:1, :2], DT),
        Dataset(runs(pendulum, 0.2).u[..., :1].expand(-1, -1, 3).clone(), DT),
        falling(),
    ],
    ids=["noise", "rest", "two pairs", "one pair", "odd", "gradient flow"],
)
@pytest.mark.filterwarnings("error")
def test_data_that_do_not_tell_give_none(data: Dataset) -> None:
    assert first_friction(data) is None


def test_where_data_do_not_tell_it_starts_as_documented() -> None:
    draw = torch.Generator().manual_seed(1)
    data = Dataset(torch.randn(20, 40, 2, generator=draw, dtype=torch.float64), DT)
    model = network(data)
    start_friction(model, data)
    assert friction_of(model).tolist() == pytest.approx([0.1], rel=1e-12)


def test_only_a_friction_of_an_ode_by_component_is_started() -> None:
    field = kdv(count=2, steps=4)
    wave = replace(field, u=field.u.expand(-1, -1, 2, -1).clone())
    models = [ModelRecipe.fitting("dgnet", wave, structure="learned_friction", hidden=2).build()]
    data = runs(pendulum, 0.2)
    for structure in ("learned_matrix", "symplectic"):
        models.append(ModelRecipe.fitting("dgnet", data, structure=structure, hidden=2).build())
    models.append(ModelRecipe.fitting("node", data, hidden=2).build())
    for model in models:
        drawn = {name: value.clone() for name, value in model.state_dict().items()}
        start_friction(model, data)
        for name, value in model.state_dict().items():
            assert torch.equal(value, drawn[name]), name
    ends = [friction_ends(model, usable_friction(model, data)) for model in models]
    assert [list(found) for found in ends] == [["operator.raw"], [], [], []]
    assert torch.stack(ends[0]["operator.raw"]).tolist() == [[LEAST], [float("inf")]]


@pytest.mark.parametrize("unit", [1.0, 10.0, 1e3])
@pytest.mark.parametrize("true", [0.2, 1.0])
def test_a_network_starts_there_keeps_it_for_half_of_the_run_and_stays_near(
    true: float, unit: float
) -> None:
    data = runs(pendulum, true, unit=unit)
    model = network(data)
    start_friction(model, data)
    assert float(friction_of(model)) / unit == pytest.approx(true, rel=1e-3)
    first = model.get_parameter("operator.raw").clone()
    for event in train(model, data, steps=12, rows=(100, 100), report_every=1):
        assert event.step > 6 or torch.equal(model.get_parameter("operator.raw"), first)
        assert float(friction_of(model)) / unit == pytest.approx(true, rel=0.2), event.step
    assert not torch.equal(model.get_parameter("operator.raw"), first)


@pytest.mark.parametrize("unit", [1.0, 3.0, 20.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_friction_is_learned_from_any_seed_in_any_units(seed: int, unit: float) -> None:
    data = runs(pendulum, 0.2, unit=unit)
    model = network(data, seed=seed)
    list(train(model, data, steps=100, rows=(300, 600), seed=seed))
    assert float(friction_of(model)) / unit == pytest.approx(0.2, rel=1e-2)
    assert inspect_structure(model).energy_law == "dissipated"


@pytest.mark.parametrize("unit", [1.0, 20.0])
@pytest.mark.parametrize("seed", range(2))
def test_what_is_not_damped_stays_so(seed: int, unit: float) -> None:
    data = runs(pendulum, 0.0, unit=unit)
    model = network(data, seed=seed)
    list(train(model, data, steps=60, rows=(300, 600), seed=seed))
    assert float(friction_of(model)) / unit < 2e-3


def test_a_friction_that_fell_to_nothing_comes_back() -> None:
    """In raw it had no slope there: a step to r ≤ 0 was the last."""
    data = runs(pendulum, 0.2)
    model = network(data)
    list(train(model, data, steps=40, rows=(300, 300)))
    with torch.no_grad():
        model.get_parameter("operator.raw").copy_(raw_of(torch.tensor([LEAST]).double()))
    assert float(friction_of(model)) == pytest.approx(LEAST)
    again = train(model, data, steps=20, rows=(300, 300), optimizer="lm", scale=False)
    assert list(again)[-1].loss < 1e-4
    assert float(friction_of(model)) == pytest.approx(0.2, rel=1e-2)


def test_a_friction_moves_by_what_its_columns_say() -> None:
    friction = torch.tensor([1e-9, 0.3, 800.0], dtype=torch.float64)
    module = Friction(raw_of(friction))
    torch.testing.assert_close(module().detach(), friction, rtol=1e-12, atol=0)
    rows = torch.func.jacrev(torch.nn.functional.softplus)(module.raw.detach())
    ends = torch.full((3,), LEAST), torch.tensor([1.0, 1.0, torch.inf])
    ends = ends[0].double(), ends[1].double()
    layout = Layout({"operator.raw": module.raw}, {"operator.raw": ends})
    torch.testing.assert_close(layout.columns({"operator.raw": rows}, None), torch.eye(3).double())
    step = torch.tensor([0.1, -0.5, 0.0], dtype=torch.float64)
    with torch.no_grad():
        start = layout.snapshot()
        layout.move(start, step, None)
        torch.testing.assert_close(module()[:2], torch.tensor([0.1, LEAST]).double())
        assert module.raw[2] == start["operator.raw"][2]
        layout.move(start, torch.zeros_like(step), None)
    assert torch.equal(module.raw, start["operator.raw"])


@pytest.mark.parametrize("noise", ["none", "states"])
@pytest.mark.parametrize("seen", [2, 5], ids=["held", "free"])
def test_a_run_resumes_bitwise(noise: str, seen: int, tmp_path: Path) -> None:
    data = runs(pendulum, 0.2)
    if noise == "states":
        draw = torch.Generator().manual_seed(1)
        data = replace(data, u=data.u + 1e-3 * torch.randn(data.u.shape, generator=draw))
    options = {"steps": 8, "rows": (100, 200), "report_every": 1, "noise": noise}
    whole, resumed = network(data), network(data)
    losses = [event.loss for event in train(whole, data, **options)]
    file = tmp_path / "run.safetensors"
    broken = iter(train(network(data), data, checkpoint=file, **options))
    assert [next(broken).step for _ in range(seen)][-1] == seen
    del broken
    assert [e.loss for e in train(resumed, data, checkpoint=file, **options)] == losses[seen:]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name
