"""From a system of one's own to data and a model of it: a run becomes data, its G the model's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ddg_explorer.data import Dataset, context_of, specification_of
from ddg_explorer.grids import Grid
from ddg_explorer.models import ModelRecipe
from ddg_explorer.models.operators import OPERATORS, specification
from ddg_explorer.own_data import read_dataset
from ddg_explorer.recipes import make_dataset
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import (
    CentralDerivative,
    DampedSymplectic,
    KernelStructure,
    Laplacian,
    MatrixStructure,
    MinusIdentity,
    StrainWave,
    Structure,
    Symplectic,
)
from ddg_explorer.systems import System

LINE = Grid.of(16, 5.0, 1)
SQUARE = Grid.of(6, 2.0, 2)
OWN: list[tuple[Structure, tuple[int, ...]]] = [
    (Symplectic(), (4,)),
    (Symplectic(LINE), (2, 16)),
    (DampedSymplectic(0.3), (2,)),
    (DampedSymplectic([0.3, 0.1]), (4,)),
    (DampedSymplectic([[0.3, 0.1], [0.1, 0.2]], LINE), (4, 16)),
    (CentralDerivative(LINE, "spectral"), (1, 16)),
    (CentralDerivative(SQUARE, axis=0, strength=-2.0), (1, 6, 6)),
    (Laplacian(LINE, strength=0.5), (1, 16)),
    (MinusIdentity(strength=3.0), (2,)),
    (MinusIdentity(LINE), (1, 16)),
    (StrainWave(LINE, friction=0.2), (2, 16)),
    (KernelStructure(LINE, [1.0, -2.0, 1.0]), (1, 16)),
    (MatrixStructure([[0, 1], [-1, 0]]), (2,)),
    (MatrixStructure([[0, 1], [-1, 0]], LINE), (2, 16)),
]


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quadratic(structure: Structure, shape: tuple[int, ...], **options: object) -> System:
    axes = tuple(range(-len(shape), 0))
    made: dict = {"state_shape": shape, "initial": lambda g: torch.rand(shape, generator=g)}
    return System(lambda u: u.square().sum(axes) / 2, structure, **{**made, **options})


@pytest.mark.parametrize(("structure", "shape"), OWN)
def test_a_model_of_an_own_system_gets_its_structure(
    structure: Structure, shape: tuple[int, ...]
) -> None:
    """From the data or as it is given, through JSON: the same G to rounding."""
    system = quadratic(structure, shape)
    data = Dataset.of(simulate(system, system.initial(0, 2), dt=1e-3, steps=2), system)
    bare = Dataset(data.u, data.dt, data.grid)
    g = numbers(*shape)
    for recipe in (
        ModelRecipe.fitting("dgnet", data, hidden=2),
        ModelRecipe.fitting("dgnet", bare, hidden=2, structure=structure),
    ):
        model = ModelRecipe.from_dict(json.loads(json.dumps(recipe.to_dict()))).build()
        difference = model.structure.apply(g) - structure.apply(g)
        assert difference.abs().max() <= 1e-14 * structure.apply(g).abs().max()


def test_every_fixed_kind_is_found_by_its_class() -> None:
    found = [specification(structure, structure.grid) or {} for structure, _ in OWN]
    assert {known["kind"] for known in found} == {k for k in OPERATORS if "learned" not in k}


def test_an_operator_made_without_the_grid_has_no_name_on_it() -> None:
    """It would pair points where the named one pairs channels."""
    system = quadratic(Symplectic(), (2, 16), grid=LINE)
    assert specification_of(system) is None


def test_a_run_becomes_data() -> None:
    """Every initial state a trajectory; Δt that of the frames, to the last bit."""
    system = quadratic(Symplectic(LINE), (2, 16), name="string")
    run = simulate(system, system.initial(3, 4), dt=0.1, steps=12, save_every=3)
    data = Dataset.of(run, system)
    assert data.dt == pytest.approx(0.3, rel=1e-15)
    assert (data.trajectories, data.frames, data.state_shape) == (4, 5, (2, 16))
    assert torch.equal(data.u[2, 3], run.u[3, 2])
    assert data.grid == LINE
    assert data.context == context_of(system)
    single = Dataset.of(simulate(system, system.initial(3, 4)[1], dt=0.1, steps=12), system)
    assert single.dt == 0.1
    assert torch.equal(single.u[0, ::3], data.u[1])
    stacked = system.initial(3, 4).unflatten(0, (2, 2))
    assert torch.equal(
        Dataset.of(simulate(system, stacked, dt=0.1, steps=12), system).u[1], single.u[0]
    )


def test_data_of_a_run_come_back_from_files(tmp_path: Path) -> None:
    """As the run's own file gives them, and with the recipe as their own."""
    system = quadratic(Symplectic(), (2,))
    run = simulate(system, system.initial(0, 3), dt=0.05 / 3, steps=4, path=tmp_path / "run.nc")
    data = Dataset.of(run, system)
    assert read_dataset(tmp_path / "run.nc", system=system).digest() == data.digest()
    again = read_dataset(data.save(tmp_path / "data.nc"))
    assert (again.digest(), again.recipe) == (data.digest(), dict(data.recipe))
    other = Dataset.of(simulate(system, system.initial(1, 3), dt=0.05 / 3, steps=4), system)
    assert other.recipe["digest"] != data.recipe["digest"]


def test_what_is_no_run_of_the_system_is_refused() -> None:
    system = quadratic(Symplectic(), (2,))
    start = system.initial(0, 3)
    run = simulate(system, start, steps=5)
    model = ModelRecipe.fitting("dgnet", Dataset.of(run, system), hidden=2).build()
    learned = simulate(model, start, dt=0.1, steps=2, truth=system)
    stiff = simulate(quadratic(MinusIdentity(), (2,)), start, dt=4.0, steps=900, integrator="euler")
    on_line = quadratic(Laplacian(LINE), (1, 16))
    longer = quadratic(Laplacian(Grid.of(16, 6.0, 1)), (1, 16))
    for bad, of, line in (
        (run.u, system, "run=a Tensor: must be a Trajectory"),
        (run, run, "system=a Trajectory: must be a System"),
        (run, system.with_(name="other"), "run: is one of custom, not of other"),
        (learned, system, "run: is one of dgnet, not of custom"),
        (run, quadratic(Symplectic(), (4,)), "states or grid are not those of custom"),
        (simulate(on_line, steps=2), longer, "states or grid are not those of custom"),
        (stiff, system, "run: ended early, stopped at"),
        (simulate(system, start, steps=5, save_every=2), system, "t: steps are uneven"),
    ):
        with pytest.raises(ValueError, match=line) as error:
            Dataset.of(bad, of)
        assert "\n" not in str(error.value)


def test_arrays_become_tensors() -> None:
    u = numbers(3, 4, 2).numpy()
    for array in (u, u.astype(">f8"), np.ascontiguousarray(u[::-1])[::-1]):
        data = Dataset(array, np.float64(0.1))
        assert data.digest() == Dataset(numbers(3, 4, 2), 0.1).digest()
    assert Dataset(u.astype(np.float32), 0.1).u.dtype == torch.float32
    for value, line in ((u.tolist(), "u=a list: must be a tensor"), (u > 0, "real numbers")):
        with pytest.raises(ValueError, match=line):
            Dataset(value, 0.1)


def test_the_way_to_data_of_an_own_system_is_told() -> None:
    system = quadratic(Symplectic(), (2,), name="duffing")
    with pytest.raises(ValueError, match=r"^data='duffing': is a system.*Dataset\.of") as error:
        make_dataset(system)
    assert "\n" not in str(error.value)
    run = simulate(system, steps=2)
    with pytest.raises(ValueError, match=r"data=a Trajectory: must be a Dataset, Dataset\.of"):
        ModelRecipe.fitting("dgnet", run)


@pytest.mark.parametrize(
    ("structure", "line"),
    [
        (Symplectic() - 0.1 * MinusIdentity(), "structure=a Combination: is no fixed operator"),
        (MatrixStructure(torch.nn.Parameter(numbers(2, 2))), "structure=a MatrixStructure"),
        (StrainWave(LINE), "structure=a StrainWave"),
        (3, "structure=a int"),
        ("symplectik", "kind='symplectik': use one of"),
    ],
)
def test_a_structure_without_a_kind_is_refused(structure: object, line: str) -> None:
    data = Dataset(numbers(2, 3, 2), 0.1)
    with pytest.raises(ValueError, match=line) as error:
        ModelRecipe.fitting("dgnet", data, structure=structure).build()
    assert "\n" not in str(error.value)
    named = ModelRecipe.fitting("dgnet", data, structure="learned_friction", hidden=2)
    assert named.structure == {"kind": "learned_friction"}
    with pytest.raises(ValueError, match="structure='symplectic': must be a specification"):
        ModelRecipe("dgnet", (2,), structure="symplectic")
