"""The first matrix of an ODE: the true one up to a factor, from the data alone."""

import pytest
import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.learned_structure import inspect_structure
from ddg_explorer.models import ModelRecipe
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import DampedSymplectic, MatrixStructure, Structure, Symplectic
from ddg_explorer.systems import System
from ddg_explorer.training import train
from ddg_explorer.training.first_matrix import first_matrix, usable_matrix

DT = 0.05
TRIDIAGONAL = -torch.tensor([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 1.5]]).double()


def pendulum(u: Tensor) -> Tensor:
    return 0.5 * u[..., 1].square() + 1 - u[..., 0].cos()


def coupled(u: Tensor) -> Tensor:
    """One degree of freedom, whose mass depends on the angle."""
    q, p = u[..., 0], u[..., 1]
    return 0.5 * (1 + 0.5 * q * q) * p * p + 1 - q.cos()


def two_coupled(u: Tensor) -> Tensor:
    q, p = u[..., :2], u[..., 2:]
    single = 0.5 * (1 + 0.5 * q * q) * p * p + 1 - q.cos()
    return single.sum(-1) + 0.3 * (q[..., 0] - q[..., 1]).square() * (1 + 0.3 * p.sum(-1))


def bowl(u: Tensor) -> Tensor:
    """Convex, with a coupling that no change of G can take over."""
    x, y, z = u.unbind(-1)
    return u.square().sum(-1) / 2 + 0.2 * x * x * y * y + 0.2 * (y - z) ** 4 + 0.1 * x * z * z * z


CASES = {
    "skew": (coupled, Symplectic(size=2), 2),
    "friction": (coupled, DampedSymplectic(0.2, size=2), 2),
    "two degrees of freedom": (two_coupled, Symplectic(size=4), 4),
    "gradient flow": (bowl, MatrixStructure(TRIDIAGONAL), 3),
}


def runs(energy, structure: Structure, size: int) -> Dataset:
    start = torch.Generator().manual_seed(3)
    first = 3 * torch.rand(20, size, generator=start, dtype=torch.float64) - 1.5
    run = simulate(System(energy, structure, state_shape=(size,)), first, dt=DT, steps=40)
    assert not run.reason
    return Dataset(run.u.transpose(0, 1).contiguous(), DT)


def error(matrix: Tensor, true: Tensor) -> float:
    """max|cG − G_true| over max|G_true|, for the best factor c."""
    scaled = matrix * (matrix * true).sum() / matrix.square().sum()
    return float((scaled - true).abs().max() / true.abs().max())


@pytest.mark.parametrize("case", CASES)
def test_true_matrix_is_found_up_to_a_factor(case: str) -> None:
    energy, structure, size = CASES[case]
    matrix = first_matrix(runs(energy, structure, size))
    assert matrix is not None
    assert error(matrix, structure.matrix((size,))) < (0.1 if case == "skew" else 0.02)


@pytest.mark.parametrize("case", CASES)
def test_little_noise_does_little(case: str) -> None:
    energy, structure, size = CASES[case]
    data = runs(energy, structure, size)
    noise = torch.randn(data.u.shape, generator=torch.Generator().manual_seed(1)).double()
    matrix = first_matrix(Dataset(data.u + 1e-3 * noise, data.dt))
    assert matrix is not None
    assert error(matrix, structure.matrix((size,))) < 0.1


@pytest.mark.parametrize("friction", [0.0, 0.2])
def test_of_a_separable_energy_s_relatives_the_one_with_a_law_is_taken(friction: float) -> None:
    true = DampedSymplectic(friction, size=2)
    matrix = first_matrix(runs(pendulum, true, 2))
    assert matrix is not None
    assert error(matrix, true.matrix((2,))) < 0.02


def test_units_of_the_components_do_not_matter() -> None:
    energy, structure, size = CASES["friction"]
    data = runs(energy, structure, size)
    units = torch.tensor([1e3, 1e-4], dtype=torch.float64)
    matrix = first_matrix(Dataset(data.u * units, data.dt))
    assert matrix is not None
    assert error(matrix / units[:, None] / units, structure.matrix((size,))) < 0.02


@pytest.mark.parametrize(
    "u",
    [
        torch.randn(20, 40, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64),
        torch.ones(20, 40, 2, dtype=torch.float64),
        runs(*CASES["skew"]).u[:1, :3],
    ],
    ids=["noise", "rest", "two pairs"],
)
def test_data_that_do_not_tell_give_none(u: Tensor) -> None:
    assert first_matrix(Dataset(u, DT)) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_free_4x4_matrix_is_learned_from_any_seed(seed: int) -> None:
    energy, structure, size = CASES["two degrees of freedom"]
    data = runs(energy, structure, size)
    operator = {"kind": "learned_matrix"}
    recipe = ModelRecipe.fitting("dgnet", data, hidden=12, skip=True, structure=operator, seed=seed)
    model = recipe.build()
    assert list(train(model, data, steps=120, rows=(400, 800), seed=seed))[-1].loss < 1e-3
    matrix = inspect_structure(model).matrix
    assert matrix is not None
    assert error(matrix, structure.matrix((size,))) < 0.03


@pytest.mark.parametrize("kind", ["learned_skew_matrix", "learned_dissipative_matrix"])
def test_constrained_matrices_start_there_too(kind: str) -> None:
    energy, structure, size = CASES["skew"]
    data = runs(energy, structure, size)
    model = ModelRecipe.fitting("dgnet", data, hidden=8, structure={"kind": kind}).build()
    list(train(model, data, steps=1, rows=(100, 100)))
    matrix = inspect_structure(model).matrix
    assert matrix is not None
    assert error(matrix, structure.matrix((size,))) < 0.1


def test_a_skew_matrix_does_not_start_from_what_is_left_of_a_symmetric_one() -> None:
    """The skew part of a gradient flow's matrix is rounding: held for long, H would be 1e15."""
    energy, structure, size = CASES["gradient flow"]
    data = runs(energy, structure, size)
    models = {
        kind: ModelRecipe.fitting("dgnet", data, hidden=8, structure={"kind": kind}).build()
        for kind in ("learned_skew_matrix", "learned_dissipative_matrix", "learned_matrix")
    }
    found = {kind: usable_matrix(model, data) for kind, model in models.items()}
    assert found["learned_skew_matrix"] is None
    for kind in ("learned_dissipative_matrix", "learned_matrix"):
        assert error(found[kind], TRIDIAGONAL) < 0.02
    skew = models["learned_skew_matrix"]
    drawn = skew.structure.matrix((size,)).detach()
    list(train(skew, data, steps=1, rows=(50, 50)))
    started = skew.structure.matrix((size,)).detach()
    assert started.norm() > 0.1 * drawn.norm()


@pytest.mark.filterwarnings("error")
def test_a_single_pair_tells_nothing() -> None:
    u = torch.tensor([[[0.1, 0.2], [0.3, 0.1]]], dtype=torch.float64)
    assert first_matrix(Dataset(u, DT, None)) is None
