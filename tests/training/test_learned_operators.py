"""Training with any learned G ends done, with a model that can be inspected and saved."""

from __future__ import annotations

import pytest
import torch

from ddg_explorer import Grid
from ddg_explorer.data import Dataset
from ddg_explorer.learned_structure import inspect_structure
from ddg_explorer.models import DGNet, EnergyModel, ModelRecipe, load_model
from ddg_explorer.models.operators import OPERATORS
from ddg_explorer.structure import MatrixStructure, Symplectic
from ddg_explorer.training import train

LEARNED = [kind for kind in OPERATORS if kind.startswith("learned_")]
PAIRED = ("learned_friction",)
CASES = [
    (kind, size, field)
    for kind in LEARNED
    for size in (2, 3, 4)
    for field in (False, True)
    if OPERATORS[kind][0] in ("any", "field" if field else "ode")
    if size % 2 == 0 or kind not in PAIRED
]


def motion(size: int, field: bool) -> Dataset:
    """Smooth trajectories of `size` components, of an ODE or on a line of eight points."""
    generator = torch.Generator().manual_seed(size)
    grid = Grid((8,), (2.0,)) if field else None
    shape = (3, 1, size, 8) if field else (3, 1, size)
    phase = 6 * torch.rand(shape, generator=generator, dtype=torch.float64)
    t = torch.arange(12, dtype=torch.float64).reshape(1, 12, *(1,) * (len(shape) - 2))
    return Dataset(torch.sin(0.2 * t + phase), 0.1, grid)


@pytest.mark.parametrize(("kind", "size", "field"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_training_ends_with_a_model_that_can_be_inspected(
    kind: str, size: int, field: bool, seed: int, tmp_path
) -> None:
    """Odd sizes have no canonical S, and a dissipative G beside a larger skew part can oppose it:
    neither loses the model after its last step."""
    data = motion(size, field)
    recipe = ModelRecipe.fitting("dgnet", data, structure={"kind": kind}, hidden=3, seed=seed)
    model = recipe.build()
    events = list(train(model, data, optimizer="adam", steps=2, seed=seed))
    assert events[-1].done
    assert events[-1].reason == ""
    found = inspect_structure(load_model(model.save(tmp_path / "model.safetensors")))
    assert found.learned
    assert found.scale != 0
    state = torch.zeros(model.state_shape, dtype=torch.float64)
    assert torch.isfinite(model.rhs(state)).all()


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("kind", ["learned_matrix", "learned_skew_matrix"])
def test_a_trained_matrix_has_the_norm_and_sign_of_its_reference(kind: str, size: int) -> None:
    data = motion(size, field=False)
    for seed in range(3):
        recipe = ModelRecipe.fitting("dgnet", data, structure={"kind": kind}, hidden=3, seed=seed)
        model = recipe.build()
        list(train(model, data, optimizer="adam", steps=2))
        assert isinstance(model, EnergyModel)
        matrix = model.structure.matrix((size,)).detach()
        if float((matrix @ matrix).trace()) > 0:
            reference = -torch.eye(size, dtype=torch.float64)
        elif size % 2:
            place = torch.arange(size, dtype=torch.float64)
            reference = (place[None] - place[:, None]).sign()
        else:
            reference = Symplectic(size=size).matrix((size,))
        assert float(matrix.norm()) == pytest.approx(float(reference.norm()), rel=1e-12)
        assert float((matrix * reference).sum()) > 0


def test_a_model_put_together_by_hand_keeps_its_motion() -> None:
    """Where H is no network of the package nothing is known to rescale, so nothing is."""

    class Bowl(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))

        def forward(self, u: torch.Tensor) -> torch.Tensor:
            return (self.weight * u * u).sum(-1)

    data = motion(2, field=False)
    matrix = torch.nn.Parameter(torch.tensor([[0.0, 5.0], [-5.0, 0.0]], dtype=torch.float64))
    model = DGNet(Bowl(), MatrixStructure(matrix), (2,), None)
    options = {"optimizer": "adam", "lr": 1e-9, "compile": False}
    list(train(model, data, steps=1, **options))
    assert float(matrix.detach()[0, 1]) == pytest.approx(5.0)
    assert inspect_structure(model).scale == 1
