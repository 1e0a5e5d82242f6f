"""Shipped models keep what their systems keep."""

import pytest

from ddg_explorer.evaluation import errors, forecast, true_drift
from ddg_explorer.models import load_model
from ddg_explorer.recipes import DATA_RECIPES, make_test
from ddg_explorer.weights import find_weights


@pytest.mark.parametrize(
    ("model", "state", "energy"), [("dgnet", 1e-3, 1e-2), ("srnn", 1e-3, 1e-2), ("node", 0.1, 0.1)]
)
def test_two_bodies_stay_in_their_orbits(model, state, energy):
    """Three new orbits over 500 steps: state MSE, and largest drift of the true energy."""
    path = find_weights("two_body", model)
    assert path is not None
    truth = make_test("two-body", trajectories=3)
    system = DATA_RECIPES["two-body"].make_system()
    found = forecast(load_model(path), truth.u[:, 0], truth.dt, truth.frames - 1)
    assert not found.reasons
    assert errors(found, truth.u, system.energy)["state_mse"] < state
    assert true_drift(found, system.energy, system.energy_scale) < energy
