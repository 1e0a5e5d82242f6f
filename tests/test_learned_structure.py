"""The report on a learned G: the talk's kernel, the free scale, operators that are known."""

from argparse import Namespace

import pytest
import torch

from ddg_explorer.commands.inspect import run
from ddg_explorer.data import Dataset
from ddg_explorer.grids import Grid
from ddg_explorer.learned_structure import inspect_structure, normalised_structure
from ddg_explorer.models import EnergyModel, ModelRecipe
from ddg_explorer.recipes import make_dataset
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import DampedSymplectic
from ddg_explorer.structure.comparison import distance
from ddg_explorer.systems import System
from ddg_explorer.training import train
from ddg_explorer.training.scaling import fit_inputs

TALK = [[2.450, 1.339, 2.448], [1.328, -15.148, 1.326], [2.447, 1.338, 2.452]]
LAPLACIAN = [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]
PENDULUM = {"system": "pendulum", "structure": {"kind": "symplectic"}}
GRID = Grid((16, 16), (1.0, 1.0))
CONTEXT = {
    "system": "cahn_hilliard_2d",
    "operator": "finite_difference",
    "structure": {"kind": "laplacian", "operator": "finite_difference"},
}


def field_model(kernel: list[list[float]], factor: float = 1.0) -> EnergyModel:
    data = Dataset(torch.zeros(1, 2, 1, 16, 16, dtype=torch.float64), 0.1, GRID, CONTEXT)
    learned = {"kind": "learned_kernel"}
    model = ModelRecipe.fitting("dgnet", data, hidden=2, structure=learned).build()
    assert isinstance(model, EnergyModel)
    with torch.no_grad():
        model.get_parameter("operator.raw").copy_(
            factor * torch.tensor(kernel, dtype=torch.float64)
        )
    return model


def ode_model(matrix: list[list[float]], structure: dict, system: str = "pendulum") -> EnergyModel:
    context = {"system": system, "structure": structure}
    data = Dataset(torch.zeros(1, 2, 2, dtype=torch.float64), 0.1, None, context)
    model = ModelRecipe.fitting("dgnet", data, hidden=2, structure={"kind": "learned_matrix"})
    built = model.build()
    assert isinstance(built, EnergyModel)
    with torch.no_grad():
        built.get_parameter("operator.raw").copy_(torch.tensor(matrix, dtype=torch.float64))
    return built


@pytest.mark.parametrize("factor", [1.0, -0.3, 1e-4])
def test_the_talks_kernel_gives_the_talks_margins(factor: float) -> None:
    found = inspect_structure(field_model(TALK, factor), tolerance=1e-2)
    kernel = torch.tensor(TALK, dtype=torch.float64)
    assert found.learned
    assert found.sum_over_centre == pytest.approx(0.02 / 15.148, rel=1e-5)
    assert found.anisotropy == pytest.approx((1.339 - 1.326) / 15.148, rel=1e-6)
    assert found.symbol_max_over_abs_min is not None
    assert found.symbol_max_over_abs_min < 0
    # edges are 0.35 of a quarter of the centre where the 5-point stencil has all of it
    assert found.distance == pytest.approx(1 - 4 * 1.326 / 15.148, rel=1e-6)
    assert found.verdicts() == {"mass": True, "energy": "dissipated", "isotropic": True}
    assert found.kernel is not None
    assert found.kernel[1, 1] < 0
    shape = found.kernel / found.kernel[1, 1]
    torch.testing.assert_close(shape, kernel / kernel[1, 1], rtol=1e-6, atol=1e-6)


def test_the_true_operator_is_at_distance_zero_and_the_model_stays_as_it_is() -> None:
    model = field_model(LAPLACIAN, -7.0)
    before = {name: w.clone() for name, w in model.state_dict().items()}
    found = inspect_structure(model)
    assert found.distance == pytest.approx(0, abs=1e-12)
    assert found.sum_over_centre == pytest.approx(0, abs=1e-12)
    assert found.symbol_max_over_abs_min == pytest.approx(0, abs=1e-12)
    assert found.verdicts() == {"mass": True, "energy": "dissipated", "isotropic": True}
    assert all(torch.equal(before[name], w) for name, w in model.state_dict().items())


def test_a_kernel_that_breaks_every_law_is_told() -> None:
    broken = [[0.0, 1.0, 0.0], [2.0, -1.0, 0.0], [0.0, 1.0, 0.5]]
    found = inspect_structure(field_model(broken))
    assert found.verdicts() == {"mass": False, "energy": "can rise", "isotropic": False}
    margins = found.margins()
    assert margins["mass"] == pytest.approx(3.5 / 2, rel=1e-6)
    assert margins["isotropic"] == pytest.approx(2 / 2, rel=1e-6)
    text = " ".join(found.sentences())
    assert "can rise" in text
    assert "mass is not conserved" in text


def test_matrices_are_found_symplectic_or_damped() -> None:
    skew = inspect_structure(ode_model([[0.0, 2.0], [-2.0, 0.0]], {"kind": "symplectic"}))
    assert skew.energy_law == "conserved"
    assert skew.distance == pytest.approx(0, abs=1e-12)
    assert skew.kernel is None
    assert skew.symbol_max_over_abs_min is None
    assert skew.verdicts() == {"mass": None, "energy": "conserved", "isotropic": None}

    known = {"kind": "damped_symplectic", "friction": 0.2}
    damped = inspect_structure(ode_model([[0.0, 3.0], [-3.0, -0.6]], known))
    assert damped.energy_law == "dissipated"
    assert damped.distance == pytest.approx(0, abs=1e-12)
    # eigenvalues of the symmetric part are 0 and −friction
    assert damped.symbol_max_over_abs_min == pytest.approx(0, abs=1e-12)

    driven = inspect_structure(ode_model([[0.0, 1.0], [-1.0, 0.1]], {"kind": "symplectic"}))
    assert driven.energy_law == "can rise"
    assert driven.distance == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("name", ["pendulum", "spring of my own"])
def test_the_g_of_an_own_system_is_known_from_its_data(name: str) -> None:
    """As that of a system in the package: a run notes G, whatever its system is called."""
    system = System(
        lambda u: u.square().sum(-1) / 2,
        DampedSymplectic(0.2),
        initial=torch.tensor([1.0, 0.0]),
        name=name,
    )
    data = Dataset.of(simulate(system, steps=2), system)
    learned = ode_model([[0.0, 3.0], [-3.0, -0.6]], dict(data.context["structure"]), name)
    assert inspect_structure(learned).distance == pytest.approx(0, abs=1e-12)
    driven = ode_model([[0.0, 1.0], [-1.0, -0.1]], dict(data.context["structure"]), name)
    assert inspect_structure(driven).distance == pytest.approx(0.1, rel=0.05)


def test_without_a_known_g_there_is_no_distance() -> None:
    data = Dataset(torch.zeros(1, 2, 2, dtype=torch.float64), 0.1, None, {"system": "pendulum"})
    model = ModelRecipe.fitting("dgnet", data, hidden=2, structure="learned_matrix").build()
    assert inspect_structure(model).distance is None


def test_distance_is_free_of_the_scale() -> None:
    true = torch.tensor([-1.0, 0.0, 1.0])
    assert distance(-3 * true, true) == pytest.approx(0, abs=1e-12)
    tilted = torch.tensor([-1.0, 0.1, 1.0])
    assert distance(tilted, true) == pytest.approx(0.1, rel=0.01)


def test_fixed_operators_are_reported_as_such() -> None:
    data = Dataset(torch.zeros(1, 2, 1, 16, 16, dtype=torch.float64), 0.1, GRID, CONTEXT)
    found = inspect_structure(ModelRecipe.fitting("hnnpp", data, hidden=2).build())
    assert not found.learned
    assert found.distance == 0
    assert found.kernel is not None
    torch.testing.assert_close(found.kernel / 256, torch.tensor(LAPLACIAN, dtype=torch.float64))
    spectral = {"kind": "laplacian", "operator": "spectral"}
    wide = ModelRecipe.fitting("hnnpp", data, hidden=2, structure=spectral).build()
    far = inspect_structure(wide)
    assert far.kernel is None
    assert far.verdicts() == {"mass": True, "energy": "dissipated", "isotropic": True}


@pytest.mark.parametrize(("law", "energy"), [("skew", True), ("free", False)])
def test_what_holds_at_one_state_only_is_said_to(law: str, energy: bool) -> None:
    """A G(u) that is skew by construction conserves everywhere; a free one is seen at a state."""
    data = Dataset(torch.zeros(1, 2, 2, dtype=torch.float64), 0.1, None, PENDULUM)
    learned = {"kind": "learned_state_matrix", "law": law, "hidden": 4}
    model = ModelRecipe.fitting("dgnet", data, hidden=2, structure=learned).build()
    found = inspect_structure(model)
    assert found.at == "u = 0"
    first, second = found.sentences()
    assert first.startswith("energy is conserved" if energy else "at u = 0: energy")
    assert second.startswith("at u = 0: differs from the true operator")
    assert second.endswith("of its largest entry")
    there = inspect_structure(model, at=torch.ones(2, dtype=torch.float64))
    assert there.sentences()[1].startswith("at the given state: differs")
    assert inspect_structure(field_model(TALK)).at == ""


def test_a_mobility_has_its_laws_in_every_state() -> None:
    data = Dataset(torch.zeros(1, 2, 1, 8, 8, dtype=torch.float64), 0.1, Grid((8, 8), (1.0, 1.0)))
    learned = {"kind": "learned_mobility", "hidden": 2}
    found = inspect_structure(
        ModelRecipe.fitting("dgnet", data, hidden=2, structure=learned).build()
    )
    energy, mass, same = found.sentences()
    assert energy.startswith("energy never rises")
    assert mass.startswith("mass is conserved")
    assert "isotropic" in same


def test_models_without_an_operator_and_bad_tolerances_are_refused() -> None:
    data = Dataset(torch.zeros(1, 2, 2, dtype=torch.float64), 0.1)
    with pytest.raises(ValueError, match="no structure operator"):
        inspect_structure(ModelRecipe.fitting("node", data, hidden=2).build())
    with pytest.raises(ValueError, match="tolerance=0"):
        inspect_structure(field_model(TALK), tolerance=0)


def test_symplectic_form_is_skew_by_construction() -> None:
    data = Dataset(torch.zeros(1, 2, 4, dtype=torch.float64), 0.1)
    found = inspect_structure(ModelRecipe.fitting("symplectic_form", data, hidden=4).build())
    assert found.energy_law == "conserved"
    assert found.matrix is not None
    torch.testing.assert_close(found.matrix, -found.matrix.mT, rtol=0, atol=1e-12)


def test_a_free_kernel_trained_on_kdv_is_found_skew() -> None:
    """∂x from six short trajectories, nothing but a three-wide kernel assumed."""
    data = make_dataset("kdv", trajectories=6, steps=40, cache=False)
    learned = {"kind": "learned_kernel"}
    model = ModelRecipe.fitting("dgnet", data, hidden=6, structure=learned).build()
    for _ in train(model, data, steps=120, rows=(500, 3000)):
        pass
    found = inspect_structure(model)
    assert found.verdicts() == {"mass": True, "energy": "conserved", "isotropic": False}
    assert found.distance is not None
    assert found.distance < 1e-3
    skew = found.margins()["energy"]
    assert skew is not None
    assert skew < 1e-3


def test_more_freedom_than_a_scale_is_said() -> None:
    """H of an untrained network on (q, p) couples them; one whose layers see q or p alone does not.

    Its matrix is then a relative of S, and S itself is what the report is about.
    """
    relative = [[0.0, 2.0], [-0.5, 0.0]]
    model = ode_model(relative, {"kind": "symplectic"})
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.copy_(torch.tensor([0.3, -0.4], dtype=torch.float64)[: len(weight)])
    coupled = inspect_structure(model)
    assert coupled.freedom == 1
    assert not any("open" in line for line in coupled.sentences())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith("network") and weight.shape == (2, 2):
                weight.copy_(torch.eye(2).double())
    found = inspect_structure(model)
    assert found.freedom == 2
    assert coupled.distance is not None
    assert coupled.distance > 0.1
    assert found.distance == pytest.approx(0, abs=1e-12)
    assert found.energy_law == "conserved"
    assert found.family_distance == pytest.approx(0, abs=1e-12)
    assert any("leaves 2 factors" in line for line in found.sentences())


@pytest.mark.parametrize("model", ["dgnet", "symplectic_form"])
def test_single_precision_is_looked_at_in_double(model: str) -> None:
    """A G that depends on the state: the same matrix to rounding, the model stays single."""
    data = Dataset(torch.zeros(1, 2, 2, dtype=torch.float64), 0.1, None, PENDULUM)
    structure = {"kind": "learned_state_matrix"} if model == "dgnet" else None
    recipe = ModelRecipe.fitting(model, data, hidden=4, structure=structure, dtype="float32")
    single, at = recipe.build(), torch.tensor([0.4, -0.3])
    found = inspect_structure(single, at=at)
    assert found.energy_law == "conserved"
    assert found.matrix is not None
    assert found.matrix.dtype == torch.float64
    assert single.dtype == torch.float32
    assert isinstance(single, EnergyModel)
    entry = normalised_structure(single, at)[0].apply(torch.tensor([0.0, 1.0]), at)
    assert found.matrix[:, 1].tolist() == pytest.approx(entry.tolist(), rel=1e-5)


@pytest.mark.parametrize("friction", [0.15, 0.5, 1.0])
def test_a_damped_relative_is_shown_as_the_one_that_dissipates(friction: float) -> None:
    """H separable, G a relative of S − R by which energy rises: the report is about S − R."""
    relative = [[0.0, 0.7], [-1.3, -0.7 * friction]]
    model = ode_model(relative, {"kind": "damped_symplectic", "friction": friction})
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.copy_(torch.tensor([0.3, -0.4], dtype=torch.float64)[: len(weight)])
            if name.startswith("network") and weight.shape == (2, 2):
                weight.copy_(torch.eye(2).double())
    found = inspect_structure(model)
    assert found.freedom == 2
    assert found.distance == pytest.approx(0, abs=1e-4)
    assert found.energy_law == "dissipated"
    assert abs(found.margins()["energy"] or 0) < 1e-7


@pytest.mark.parametrize("units", [1.0, 1e3, 1e-3])
def test_units_do_not_change_the_verdict_on_a_learned_friction(units: float) -> None:
    """q in millimetres: r is a thousandth beside the same S, and no less a friction."""
    start = torch.Generator().manual_seed(0)
    u = torch.randn(1, 600, 2, generator=start, dtype=torch.float64)
    data = Dataset(u * torch.tensor([units, 1.0], dtype=torch.float64), 0.1)
    plain = {"kind": "learned_friction", "units": None}
    model = ModelRecipe.fitting("dgnet", data, hidden=3, structure=plain).build()
    with torch.no_grad():
        model.get_parameter("operator.raw").copy_(
            torch.tensor([0.15 / units], dtype=torch.float64).expm1().log()
        )
        fit_inputs(model, data.u[0])
    found = inspect_structure(model)
    assert found.verdicts()["energy"] == "dissipated"
    assert found.sentences()[0].startswith("energy never rises")
    assert found.report.symmetric_min / found.report.scale == pytest.approx(-0.15, rel=0.1)


def test_a_friction_on_the_channels_of_a_field_is_shown(tmp_path) -> None:
    context = {"structure": {"kind": "damped_symplectic", "friction": 0.1}}
    u = torch.zeros(1, 2, 2, 16, dtype=torch.float64)
    data = Dataset(u, 0.1, Grid((16,), (1.0,)), context)
    model = ModelRecipe.fitting("dgnet", data, hidden=2, structure="learned_friction").build()
    found = inspect_structure(model)
    assert found.kernel is None
    assert found.matrix is not None
    assert found.matrix.tolist() == [[0, 1], [-1, pytest.approx(-0.1)]]
    assert found.distance == pytest.approx(0, abs=1e-12)
    assert found.energy_law == "dissipated"
    told = run(Namespace(checkpoint=model.save(tmp_path / "m.safetensors"), tolerance=1e-3))
    assert told.figures["matrix"] == found.matrix.tolist()
    assert "G of the channels at every point" in told.text
    assert told.figures["still"] == []
    zero = (told.text.split("(learned")[1]).splitlines()[1].split()
    assert zero == ["0", "1"]


def test_a_component_that_never_changes_is_named() -> None:
    data = Dataset(torch.zeros(1, 2, 3, dtype=torch.float64), 0.1)
    model = ModelRecipe.fitting("dgnet", data, hidden=2, structure="learned_matrix").build()
    rows = [[0.4, 0.6, -0.3], [0.0, -1.3, -0.8], [0.0, 0.0, 0.0]]
    with torch.no_grad():
        model.get_parameter("operator.raw").copy_(torch.tensor(rows, dtype=torch.float64))
    found = inspect_structure(model)
    assert found.still == (2,)
    line = "component 2 never changes under this G: leave a constant column out"
    assert sum(told.startswith(line) for told in found.sentences()) == 1
    assert inspect_structure(ode_model([[0, 1], [-1, 0]], {"kind": "symplectic"})).still == ()
