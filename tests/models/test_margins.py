"""Energy laws of a model's G in any units of its components."""

from __future__ import annotations

import pytest
import torch

from ddg_explorer.data import Dataset
from ddg_explorer.grids import Grid
from ddg_explorer.models import EnergyModel, ModelRecipe
from ddg_explorer.models.margins import (
    energy_law,
    energy_sentence,
    in_units,
    matrix_of,
    spread,
    still_components,
)
from ddg_explorer.structure import (
    DampedSymplectic,
    KernelStructure,
    MatrixStructure,
    MinusIdentity,
    StrainWave,
    Symplectic,
)
from ddg_explorer.training.scaling import fit_inputs

LINE = Grid((12,), (1.0,))
TURN = torch.tensor([[0.0, 1.0], [-1.0, -0.15]], dtype=torch.float64)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def whitened(states: torch.Tensor, grid: Grid | None, kind: str, **options) -> EnergyModel:
    data = Dataset(states[None], 0.1, grid)
    model = ModelRecipe.fitting(kind, data, hidden=3, **options).build()
    assert isinstance(model, EnergyModel)
    with torch.no_grad():
        fit_inputs(model, states)
    return model


@pytest.mark.parametrize("kind", ["dgnet", "srnn"])
def test_the_spread_is_that_of_the_components(kind: str) -> None:
    """Up to one factor, also of components that move together."""
    sizes = torch.tensor([3e2, 1.0, 2e-2, 5.0], dtype=torch.float64)
    u = normal(4000, 4)
    u = torch.cat([u[:, :3], (u[:, 3:] + u[:, :1]) / 2**0.5], 1) * sizes
    structure = {"dgnet": "symplectic", "srnn": None}[kind]
    found = spread(whitened(u, None, kind, structure=structure))
    torch.testing.assert_close(found / found[1], sizes, rtol=0.2, atol=0)


def test_the_spread_of_a_field_is_that_of_its_channels() -> None:
    u = normal(400, 2, 12) * torch.tensor([[1.0], [50.0]], dtype=torch.float64)
    found = spread(whitened(u, LINE, "dgnet", structure={"kind": "learned_friction"}))
    assert float(found[1] / found[0]) == pytest.approx(50, rel=0.1)
    local = spread(
        whitened(u, LINE, "dgnet", structure={"kind": "learned_friction"}, prior="local")
    )
    assert float(local[1] / local[0]) == pytest.approx(50, rel=0.1)


@pytest.mark.parametrize("grid", [None, LINE])
@pytest.mark.parametrize("units", [(1e3, 1.0), (1.0, 1e-4), (20.0, 3.0)])
def test_no_unit_changes_the_margins_of_energy(grid: Grid | None, units) -> None:
    sizes = torch.tensor(units, dtype=torch.float64)
    shape = (2,) if grid is None else (2, 12)
    plain = MatrixStructure(TURN, grid).report(shape=shape, tolerance=1e-3)
    scaled = MatrixStructure(TURN * sizes[:, None] * sizes, grid)
    found = scaled.report(shape=shape, tolerance=1e-3)
    judged = in_units(found, scaled, sizes, shape)
    assert judged.symmetric_min / judged.scale == pytest.approx(-0.15, rel=1e-12)
    assert abs(judged.symmetric_max) / judged.scale < 1e-14
    assert judged.mass_defect == found.mass_defect
    assert (judged.is_skew, judged.is_dissipative) == (plain.is_skew, plain.is_dissipative)


def test_a_growth_that_units_hide_is_seen() -> None:
    """G = [[0, 1], [−3, −1]] lets energy rise; p in thousandths hides it behind the friction."""
    sizes = torch.tensor([1.0, 1e3], dtype=torch.float64)
    matrix = torch.tensor([[0.0, 1.0], [-3.0, -1.0]], dtype=torch.float64)
    hidden = MatrixStructure(matrix * sizes[:, None] * sizes)
    report = hidden.report(tolerance=1e-3)
    assert energy_law(report, hidden) == "dissipated"
    judged = in_units(report, hidden, sizes, (2,))
    assert energy_law(judged, hidden) == "can rise"
    assert judged.symmetric_max / judged.scale == pytest.approx((5**0.5 / 2 - 0.5) / 3, rel=1e-12)


def test_a_kernel_on_every_channel_and_equal_sizes_stay_as_they_are() -> None:
    kernel = KernelStructure(LINE, [1.0, -2.0, 1.0])
    report = kernel.report(shape=(2, 12))
    assert in_units(report, kernel, torch.tensor([1.0, 9.0]).double(), (2, 12)) is report
    turn = MatrixStructure(TURN)
    assert in_units(turn.report(), turn, torch.full((2,), 7.0).double(), (2,)).symmetric_max == (
        turn.report().symmetric_max
    )


def test_friction_is_no_error_of_training_however_small() -> None:
    small = DampedSymplectic(1e-5, size=2)
    report = small.report(tolerance=1e-3)
    assert report.is_skew
    assert energy_law(report, small) == "dissipated"
    assert energy_sentence(report, small) == (
        "energy never rises (by construction; its fastest fall is 1.0e-05)"
    )
    free = MatrixStructure(small.matrix((2,)))
    assert energy_law(report, free) == "conserved"
    assert energy_sentence(report, free) == report.sentences()[0]
    none = DampedSymplectic(0.0, size=2)
    assert energy_law(none.report(tolerance=1e-3), none) == "conserved"


def test_a_component_that_stands_still_is_named() -> None:
    rows = torch.tensor([[0.0, 1.0, 0.3], [-1.0, -0.1, 0.2], [1e-9, 0.0, 0.0]]).double()
    assert still_components(rows, torch.ones(3).double()) == (2,)
    sizes = torch.tensor([1e3, 1.0, 1e-4]).double()
    assert still_components(rows * sizes[:, None] * sizes, sizes) == (2,)
    assert still_components(TURN, torch.ones(2).double()) == ()


def test_the_matrix_of_the_channels_is_that_at_every_point() -> None:
    found = matrix_of(DampedSymplectic(0.3, LINE), LINE, (2, 12))
    assert found is not None
    assert found.tolist() == [[0, 1], [-1, pytest.approx(-0.3)]]
    assert matrix_of(Symplectic(LINE), LINE, (2, 12)) is not None
    assert matrix_of(MinusIdentity(LINE), LINE, (1, 12)) is None
    assert matrix_of(StrainWave(LINE), LINE, (2, 12)) is None
    whole = matrix_of(MatrixStructure(TURN), None, (2,))
    assert whole is not None
    assert torch.equal(whole, TURN)
