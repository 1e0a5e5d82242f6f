"""From a system of one's own to data and a model of it: a run becomes data, its G the model's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ddg_explorer.data import Dataset, context_of
from ddg_explorer.grids import Grid
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.models import ModelRecipe
from ddg_explorer.models.operators import OPERATORS, specification
from ddg_explorer.origin import specification_of
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
    StateDependent,
    StrainWave,
    Structure,
    Symplectic,
)
from ddg_explorer.systems import SYSTEMS, System
from ddg_explorer.trajectory import load_trajectory

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
        (simulate(system, start, steps=5, save_every=2), system, "^run.t: steps are uneven"),
        (simulate(system, start, steps=0), system, "^run: has a single frame, data need 2 or more"),
    ):
        with pytest.raises(ValueError, match=line) as error:
            Dataset.of(bad, of)
        assert "\n" not in str(error.value)


PENDULUM, KDV, CAHN = (SYSTEMS[name] for name in ("pendulum", "kdv", "cahn_hilliard"))
FOREIGN: list[tuple[System, System, str]] = [
    (
        PENDULUM(friction=0.3),
        PENDULUM(),
        "made with friction = 0.3, this pendulum has 0",
    ),
    (PENDULUM(mass=2.0), PENDULUM(), "made with mass = 2, this pendulum has 1"),
    (
        KDV(n=16, operator="spectral"),
        KDV(n=16, operator="finite_difference"),
        "made with operator = spectral, this kdv has finite_difference",
    ),
    (
        CAHN(n=16, structure="d_dx"),
        CAHN(n=16),
        "made with structure = d_dx, this cahn_hilliard has laplacian",
    ),
    (
        PENDULUM(structure=DampedSymplectic(0.3)),
        PENDULUM(structure=Symplectic()),
        "moves otherwise than pendulum, whose second frame is off by",
    ),
]


@pytest.mark.parametrize(("made", "given", "line"), FOREIGN, ids=lambda value: str(value)[:20])
def test_a_run_with_other_parameters_or_another_operator_is_refused(
    made: System, given: System, line: str, tmp_path: Path
) -> None:
    """As a trajectory and as its file; the run's own system is taken."""
    run = simulate(made, made.initial(0, 3), dt=1e-4, steps=3)
    files = (run.save(tmp_path / "run.nc"), run.save(tmp_path / "run.npz"))
    assert Dataset.of(run, made).context == context_of(made)
    with pytest.raises(ValueError, match=f"^run: {line}"):
        Dataset.of(run, given)
    for path in files:
        assert read_dataset(path, system=made).context == context_of(made)
        with pytest.raises(ValueError, match=f"^path='.*': {line}"):
            read_dataset(path, system=given)


def own(energy: Callable[[torch.Tensor], torch.Tensor], structure: Structure) -> System:
    """A system of states (q, p) that has no name of its own."""
    start = torch.tensor([0.8, -0.3], dtype=torch.float64)
    return System(energy, structure, initial=start, dt=0.2)


def quartic(u: torch.Tensor) -> torch.Tensor:
    return (u.square() / 2 + u**4 / 4).sum(-1)


OWN_PAIR = own(quartic, DampedSymplectic(0.3))


@pytest.mark.parametrize(
    ("other", "line"),
    [
        (own(quartic, Symplectic()), "moves otherwise than custom, whose second frame is off by"),
        (own(quartic, DampedSymplectic(0.301)), "moves otherwise than custom"),
        (own(quartic, StateDependent(lambda g, u: -(u[..., :1] ** 2) * g)), "moves otherwise"),
        (own(lambda u: u.square().sum(-1), DampedSymplectic(0.3)), "has another energy, H = "),
        (  # the same motion, but H → 2H and G → G/2
            own(lambda u: 2 * quartic(u), MatrixStructure([[0, 0.5], [-0.5, -0.15]])),
            "has another energy, H = 0.469425 where that of custom is 0.93885",
        ),
    ],
)
def test_a_run_of_another_own_system_is_refused(other: System, line: str, tmp_path: Path) -> None:
    """They have the same name and no parameters: H and the first steps tell them apart."""
    for options in ({}, {"dt": 0.5, "save_every": 3}, {"integrator": "rk4"}):
        run = simulate(OWN_PAIR, steps=6, **options)
        with pytest.raises(ValueError, match=f"^run: {line}") as error:
            Dataset.of(run, other)
        assert "\n" not in str(error.value)
        with pytest.raises(ValueError, match=f": {line}"):
            read_dataset(run.save(tmp_path / "run.nc"), system=other)


def test_a_scheme_that_does_not_suit_the_system_tells_it_apart() -> None:
    spring = SYSTEMS["mass_spring"]()
    run = simulate(spring, steps=4, integrator="leapfrog")
    same = System(spring.energy, Symplectic(), initial=spring.initial(), name="mass_spring")
    with pytest.raises(ValueError, match=r"^run: is none of mass_spring, integrator='leapfrog'"):
        Dataset.of(run, same)
    assert Dataset.of(run, spring).frames == 5


@pytest.mark.parametrize("integrator", sorted(set(INTEGRATORS) - {"leapfrog", "etdrk4"}))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_run_is_taken_for_its_own_system_by_every_scheme(
    integrator: str, dtype: torch.dtype
) -> None:
    """At a coarse Δt, several steps a frame, from many states, in single precision too."""
    given = PENDULUM(structure=DampedSymplectic(0.2))
    run = simulate(
        given.with_(dtype=dtype),
        given.initial(0, 5).to(dtype),
        dt=0.3,
        steps=20,
        save_every=4,
        integrator=integrator,
    )
    data = Dataset.of(run, given)
    assert (data.u.dtype, data.frames) == (dtype, 6)
    assert data.context == context_of(given)


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
def test_a_run_and_its_file_give_the_same_data(suffix: str, tmp_path: Path) -> None:
    """States, Δt, context and recipe; without the system all but what only it tells."""
    for system in (OWN_PAIR, CAHN(n=16)):
        start = system.initial(0, 3)
        path = simulate(system, start, steps=6, save_every=2).save(tmp_path / f"run{suffix}")
        run = load_trajectory(path)
        first, second = Dataset.of(run, system), read_dataset(path, system=system)
        assert first.digest() == second.digest()
        assert (first.context, first.recipe) == (second.context, second.recipe)
        assert (first.recipe["integrator"], first.recipe["save_every"]) == ("discrete_gradient", 2)
        assert read_dataset(path).recipe == first.recipe
        other = read_dataset(path, dt=1.05 * first.dt, system=system)
        assert (other.dt, other.recipe) == (1.05 * first.dt, first.recipe)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_file_of_a_run_tells_its_structure(name: str, tmp_path: Path) -> None:
    """With every G of the menu, and parameters that are not the preset's."""
    points = {"n": 12} if SYSTEMS[name]().grid is not None else {}
    for key in SYSTEMS[name](**points).structures:
        system = SYSTEMS[name](structure=key, **points)
        first, *_ = system.active_parameters.items()
        if first[0] in system.values:
            system = system.with_(**{first[0]: 0.9 * system.values[first[0]]})
        path = simulate(system, dt=1e-6, steps=1).save(tmp_path / "run.nc")
        assert read_dataset(path).context == context_of(system)


def test_a_structure_that_notes_do_not_settle_is_left_to_the_caller(tmp_path: Path) -> None:
    arrays, u = {"t": [0.0, 0.1, 0.2]}, numbers(2, 3, 2).numpy()
    whole = {
        "system": "pendulum",
        "structure": "damped_symplectic",
        "parameters": {"friction": 0.2},
    }
    for change, found in (
        ({}, {"kind": "damped_symplectic", "friction": 0.2}),
        ({"structure": "viscous"}, None),
        ({"parameters": {"friction": 1e9}}, None),
        ({"parameters": {"slip": 0.2}}, None),
        ({"preset": "unheard_of"}, None),
        ({"system": "rig 3"}, None),
        ({"structure": None}, None),
    ):
        noted = {key: value for key, value in {**whole, **change}.items() if value is not None}
        attributes = np.array(json.dumps(noted))
        np.savez(tmp_path / "data.npz", u=u, attributes=attributes, **arrays)
        assert read_dataset(tmp_path / "data.npz").context.get("structure") == found


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"parameters": "7"}, "attribute 'parameters': must be a JSON object"),
        ({"parameters": {"friction": [1]}}, "made with friction = \\[1\\], this pendulum has 0"),
        ({"structure": ["x"]}, "made with structure = \\['x'\\], this pendulum has symplectic"),
        ({"parameters": {"dtype": "x"}, "structure": None, "integrator": [1], "tol": "x"}, ""),
        ({"structure": None, "tol": "x"}, ""),
        ({"structure": None, "dt": "x"}, ""),
        ({"n": [10**9], "length": [1e99]}, "length"),
    ],
)
def test_junk_in_the_notes_of_a_run_is_one_line(change: dict, line: str, tmp_path: Path) -> None:
    system, path = PENDULUM(), tmp_path / "run.npz"
    simulate(system, steps=3).save(path)
    arrays = dict(np.load(path))
    noted = {**json.loads(str(arrays["attributes"])), **change}
    noted = {key: value for key, value in noted.items() if value is not None}
    np.savez(path, **{**arrays, "attributes": np.array(json.dumps(noted))})
    if not line:
        assert read_dataset(path, system=system).frames == 4
        return
    with pytest.raises(ValueError, match=line) as error:
        read_dataset(path, system=system)
    assert "\n" not in str(error.value)


def test_data_that_note_another_system_are_refused(tmp_path: Path) -> None:
    """A file of `Dataset.save` notes name, parameters and G, by number."""
    for made, others in (
        (PENDULUM(friction=0.3), (PENDULUM(), PENDULUM(friction=0.2), SYSTEMS["mass_spring"]())),
        (OWN_PAIR, (own(quartic, DampedSymplectic(0.2)), own(quartic, Symplectic()))),
    ):
        path = Dataset.of(simulate(made, steps=3), made).save(tmp_path / "data.nc")
        assert read_dataset(path, system=made).context == context_of(made)
        for other in others:
            line = "made with (friction|structure) = .*, this .* has|is one of pendulum, not of"
            with pytest.raises(ValueError, match=line) as error:
                read_dataset(path, system=other)
            assert "\n" not in str(error.value)


def test_the_file_of_a_model_s_run_is_none_of_the_system(tmp_path: Path) -> None:
    data = Dataset.of(simulate(OWN_PAIR, steps=4), OWN_PAIR)
    model = ModelRecipe.fitting("dgnet", data, hidden=2).build()
    run = simulate(model, data.u[:, 0], dt=0.2, steps=2, truth=OWN_PAIR)
    path = run.save(tmp_path / "run.nc")
    with pytest.raises(ValueError, match="is one of dgnet, not of custom"):
        read_dataset(path, system=OWN_PAIR)
    assert read_dataset(path).context == {}


def test_a_file_whose_energies_do_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    simulate(OWN_PAIR, steps=4).save(path)
    arrays = dict(np.load(path))
    for energy, line in ((arrays["energy"][:3], r"array energy has shape \(3,\)"), ("a", "energy")):
        np.savez(path, **{**arrays, "energy": energy})
        with pytest.raises(ValueError, match=line):
            read_dataset(path, system=OWN_PAIR)


def test_arrays_become_tensors() -> None:
    u = numbers(3, 4, 2).numpy()
    for array in (u, u.astype(">f8"), np.ascontiguousarray(u[::-1])[::-1]):
        data = Dataset(array, np.float64(0.1))
        assert data.digest() == Dataset(numbers(3, 4, 2), 0.1).digest()
    assert Dataset(u.astype(np.float32), 0.1).u.dtype == torch.float32
    for value, line in (
        (u.tolist(), r"^u=\[\[.*: must be a tensor or an array"),
        (u > 0, "real numbers"),
    ):
        with pytest.raises(ValueError, match=line):
            Dataset(value, 0.1)


def test_the_way_to_data_of_an_own_system_is_told() -> None:
    system = quadratic(Symplectic(), (2,), name="duffing")
    with pytest.raises(ValueError, match=r"^recipe='duffing': is a system.*Dataset\.of") as error:
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
        (3, "structure=3: is no fixed operator"),
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
