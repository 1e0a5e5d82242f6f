"""A lane's turns: changes act on the running state, failures are one line, payloads fit."""

import math
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from ddg_explorer.app import stage
from ddg_explorer.app.simulation import Simulation, first_setup
from ddg_explorer.app.state import Lane, Scene, Start
from ddg_explorer.app.turns import Turn
from ddg_explorer.app.wire import HEADER_BYTES
from ddg_explorer.integrators.discrete_gradient import DiscreteGradient
from ddg_explorer.integrators.leapfrog import Leapfrog
from ddg_explorer.systems import SYSTEMS

KDV = Scene("kdv", "two_solitons", n=32)


def turn(simulation, scene, **options):
    return simulation.turn(Turn(scene, **{"steps": 2, "budget": 60.0, **options}))


def payload_bytes(spec, count):
    if spec["kind"] == "field":
        return math.prod(spec["shape"])
    if spec["kind"] == "profile":
        return 8 + 4 * len(spec["names"]) * spec["shape"][0]
    return 8 * count * (1 + len(spec["names"]))


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_preset_of_every_system_runs_and_its_frame_has_the_stated_size(name):
    for preset in SYSTEMS[name].presets:
        n = {} if SYSTEMS[name].ndim == 0 else {"n": 32}
        outcome = turn(Simulation(Lane()), Scene(name, preset, **n))
        setup, header = outcome.setup, outcome.header
        assert setup is not None
        assert not outcome.stopped
        assert not outcome.error
        assert header.t == pytest.approx(2 * header.dt)
        assert len(outcome.payload) == payload_bytes(setup.picture.spec, header.count)


def test_header_is_little_endian_as_documented():
    header = turn(Simulation(Lane()), KDV).header
    data = header.pack(7)
    assert len(data) == HEADER_BYTES == 128
    assert struct.unpack_from("<4I", data) == (7, 1, 1, 1)
    t, dt, low, high = struct.unpack_from("<4d", data, 16)
    assert (t, dt, low, high) == (header.t, header.dt, header.low, header.high)


def test_profile_payload_is_the_state():
    simulation = Simulation(Lane())
    outcome = turn(simulation, KDV, steps=0)
    assert outcome.setup is not None
    values = np.frombuffer(outcome.payload, "<f4", offset=8)
    u0 = outcome.setup.system.initial(0)[0].numpy()
    np.testing.assert_allclose(values, u0, rtol=1e-6)


def test_field_payload_has_the_largest_y_on_top():
    scene = Scene("cahn_hilliard_2d", "spinodal", n=16)
    outcome = turn(Simulation(Lane()), scene, steps=0)
    assert outcome.setup is not None
    low, high = outcome.header.low, outcome.header.high
    pixels = np.frombuffer(outcome.payload, np.uint8).reshape(16, 16)
    u = outcome.setup.system.initial(0)[0].numpy()  # u[x, y]
    shown = low + pixels.astype(float) * (high - low) / 255
    np.testing.assert_allclose(shown[0, :], u[:, -1], atol=(high - low) / 255)
    np.testing.assert_allclose(shown[:, 0], u[0, ::-1], atol=(high - low) / 255)


def test_a_new_time_step_acts_on_the_running_state():
    simulation = Simulation(Lane())
    first = turn(simulation, KDV)
    second = turn(simulation, replace(KDV, dt=0.003))
    assert second.setup is not None
    assert not second.setup.restarted
    assert second.header.epoch == first.header.epoch
    assert second.header.dt == 0.003
    assert second.header.t == pytest.approx(first.header.t + 0.006)


def test_new_dynamics_act_on_the_running_state_and_drift_is_taken_from_there():
    simulation = Simulation(Lane())
    turn(simulation, KDV, steps=5)
    outcome = turn(simulation, replace(KDV, parameters={"alpha": 3.0}), steps=0)
    assert outcome.setup is not None
    assert not outcome.setup.restarted
    assert outcome.setup.system.values["alpha"] == 3.0
    assert outcome.header.t > 0
    assert outcome.sample.drift == 0.0


def test_a_structure_that_breaks_the_law_drifts():
    simulation = Simulation(Lane())
    kept = turn(simulation, KDV, steps=5).sample.drift
    broken = turn(simulation, replace(KDV, structure="d_dx_growing"), steps=5).sample.drift
    assert kept < 1e-11
    assert broken > 1e-4


@pytest.mark.parametrize("change", [{"n": 48}, {"seed": 3}, {"system": "wave", "preset": None}])
def test_another_initial_state_begins_time_anew(change):
    simulation = Simulation(Lane())
    first = turn(simulation, KDV)
    outcome = turn(simulation, replace(KDV, **change), steps=0)
    assert outcome.setup is not None
    assert outcome.setup.restarted
    assert outcome.header.t == 0
    assert outcome.header.epoch == first.header.epoch + 1


def test_reset_goes_back_and_counts_as_a_new_epoch():
    simulation = Simulation(Lane())
    first = turn(simulation, KDV)
    outcome = turn(simulation, KDV, steps=0, reset=True)
    assert outcome.header.t == 0
    assert outcome.header.epoch == first.header.epoch + 1
    assert outcome.sample.drift == 0


def test_a_scene_that_cannot_be_built_is_refused_once_and_the_old_one_goes_on():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    impossible = replace(KDV, integrator="leapfrog")
    first = turn(simulation, impossible)
    again = turn(simulation, impossible)
    assert first.error
    assert "\n" not in first.error
    assert not again.error
    assert again.header.t == pytest.approx(6 * again.header.dt)


def test_after_a_refused_integrator_of_a_lane_another_one_is_taken():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    simulation.lane = Lane(integrator="leapfrog")
    assert turn(simulation, KDV).error
    assert not turn(simulation, KDV).error, "said once"
    simulation.lane = Lane(integrator="rk4")
    outcome = turn(simulation, KDV)
    assert outcome.setup is not None
    assert outcome.setup.integrator == "rk4"


def test_a_failed_step_is_one_line_and_the_last_good_state_stays():
    simulation = Simulation(Lane())
    outcome = turn(simulation, replace(KDV, integrator="euler", dt=1.0), steps=50)
    assert outcome.stopped.startswith("diverged at t =")
    assert "\n" not in outcome.stopped
    assert np.isfinite(np.frombuffer(outcome.payload, "<f4", offset=8)).all()
    assert not turn(simulation, replace(KDV, integrator="euler", dt=1e-6)).stopped


def test_a_small_budget_bounds_the_number_of_steps():
    simulation = Simulation(Lane())
    turn(simulation, KDV, steps=3)
    outcome = turn(simulation, KDV, steps=100_000, budget=0.02)
    assert 3 < outcome.header.steps < 100_000


def test_limits_obey_commands():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    pinned = turn(simulation, KDV, steps=0, limits=(-3.0, 5.0)).header
    assert (pinned.low, pinned.high) == (-3.0, 5.0)
    assert "low < high" in turn(simulation, KDV, steps=0, limits=(1.0, 0.0)).error
    auto = turn(simulation, KDV, steps=0, limits="auto").header
    assert auto.high < 3.0


def test_the_exact_solution_is_sent_while_it_holds():
    simulation = Simulation(Lane())
    scene = Scene("kdv", "two_solitons")
    outcome = turn(simulation, scene, steps=5, exact=True)
    assert outcome.header.extra == 1
    u, exact = np.frombuffer(outcome.payload, "<f4", offset=8).reshape(2, -1)
    np.testing.assert_allclose(u, exact, atol=2e-3)
    changed = replace(scene, parameters={"alpha": 5.0})
    assert turn(simulation, changed, exact=True).header.extra == 0
    again = turn(simulation, replace(changed, seed=1), exact=True)
    u, exact = np.frombuffer(again.payload, "<f4", offset=8).reshape(2, -1)
    np.testing.assert_allclose(u, exact, atol=2e-3)


def test_an_initial_state_of_ones_own_begins_time_anew_until_it_is_taken_back():
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    u = torch.linspace(0, 1, 32, dtype=torch.float64)[None]
    own = replace(KDV, start=Start(u, "drawn"))
    outcome = turn(simulation, own, steps=0)
    assert outcome.header.t == 0
    torch.testing.assert_close(simulation.frame.u, u, rtol=0, atol=0)
    assert turn(simulation, own, exact=True).header.extra == 0
    wrong = replace(KDV, n=48, start=own.start)
    assert "needs (1, 48)" in turn(simulation, wrong).error
    back = turn(simulation, KDV, steps=0, exact=True)
    assert back.header.extra == 1


def test_a_phase_plane_grows_with_an_orbit_that_leaves_it():
    simulation = Simulation(Lane())
    scene = Scene("mass_spring", "oscillation", integrator="euler", dt=0.2)
    first = turn(simulation, scene).setup
    later = [turn(simulation, scene, steps=20).setup for _ in range(3)]
    assert first is not None
    grown = [s for s in later if s is not None]
    assert grown
    assert not grown[-1].restarted
    assert grown[-1].picture.spec["window"][1] > first.picture.spec["window"][1]


def test_where_the_exact_solution_ends_the_run_goes_on():
    simulation = Simulation(Lane())
    scene = replace(KDV, n=128, dt=0.05)
    turn(simulation, scene, steps=220, exact=True)
    past = turn(simulation, scene, steps=20, exact=True)
    assert past.header.t == pytest.approx(12.0)
    assert past.header.extra == 0
    assert past.error == "no exact solution at τ=12: " + past.error.partition(": ")[2]
    assert "\n" not in past.error
    assert not past.stopped
    again = turn(simulation, scene, exact=True)
    assert not again.error, "said once"
    assert again.header.t > 12.0
    start = turn(simulation, scene, steps=0, reset=True, exact=True)
    assert start.header.extra == 1
    assert not start.error


MASS = Scene("mass_spring", structure="damped_symplectic", integrator="discrete_gradient")
LEAPFROG = replace(MASS, structure="symplectic", integrator="leapfrog")


def test_operator_and_scheme_change_together():
    simulation = Simulation(Lane())
    turn(simulation, MASS)
    outcome = turn(simulation, LEAPFROG)
    assert not outcome.error
    assert outcome.setup is not None
    assert (outcome.setup.integrator, outcome.setup.restarted) == ("leapfrog", False)
    assert isinstance(simulation.rollout.integrator, Leapfrog)
    assert not turn(simulation, MASS).error
    assert isinstance(simulation.rollout.integrator, DiscreteGradient)


def test_a_refused_operator_and_scheme_leave_both():
    simulation = Simulation(Lane())
    turn(simulation, replace(LEAPFROG, integrator="discrete_gradient"))
    wrong = replace(MASS, integrator="leapfrog", dt=0.3)
    outcome = turn(simulation, wrong)
    assert outcome.error.startswith("integrator='leapfrog'")
    assert outcome.header.dt != 0.3
    assert isinstance(simulation.rollout.integrator, DiscreteGradient)
    assert simulation.rollout.dynamics.structure_key == "symplectic"


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_a_running_wave_goes_on_without_its_solitons(name):
    simulation = Simulation(Lane())
    turn(simulation, KDV)
    linear = replace(KDV, parameters={name: 0.0})
    outcome = turn(simulation, linear, exact=True)
    assert not outcome.error
    assert outcome.setup is not None
    assert outcome.setup.system.values[name] == 0.0
    assert outcome.sample.drift < 1e-12
    reset = turn(simulation, linear, steps=0, reset=True)
    assert reset.error.endswith("solitons need both to be non-zero")
    assert reset.header.t == 0
    refused = turn(simulation, replace(linear, seed=1))
    assert refused.error.endswith("solitons need both to be non-zero")
    assert refused.header.t == pytest.approx(2 * refused.header.dt), "the old scene goes on"


def test_a_refused_parameter_changes_nothing(monkeypatch):
    simulation = Simulation(Lane())
    before = turn(simulation, KDV)
    monkeypatch.setattr(stage.References, "of", refuse)
    outcome = turn(simulation, replace(KDV, parameters={"alpha": 3.0}, integrator="rk4"), steps=0)
    assert outcome.error == "refused"
    assert simulation.rollout.dynamics.values["alpha"] == 6.0
    assert isinstance(simulation.rollout.integrator, DiscreteGradient)
    assert outcome.sample.drift == before.sample.drift
    assert outcome.sample.energy == before.sample.energy


def refuse(*args):
    raise ValueError("refused")


def test_a_model_does_not_go_on_where_the_truth_has_no_solitons():
    simulation = Simulation(Lane("dgnet"))
    scene = Scene("kdv")
    assert turn(simulation, scene).header is not None
    outcome = turn(simulation, replace(scene, parameters={"alpha": 0.0}))
    assert not outcome.error
    assert outcome.header is None
    assert outcome.setup is not None
    assert "alpha" in outcome.setup.misfit
    assert turn(simulation, scene).header is not None


def test_a_first_scene_that_cannot_be_built_is_a_line_of_the_lane_until_another_can():
    simulation = Simulation(Lane())
    linear = replace(KDV, parameters={"alpha": 0.0})
    with pytest.raises(ValueError, match="solitons need both"):
        first_setup(linear)
    first, again = (turn(simulation, linear, reset=True) for _ in range(2))
    for outcome in (first, again):
        assert outcome.header is None
        assert outcome.stopped.endswith("solitons need both to be non-zero")
        assert "\n" not in outcome.stopped
    assert first.error == first.stopped
    assert not again.error, "said once"
    outcome = turn(simulation, KDV)
    assert outcome.setup is not None
    assert not outcome.stopped
    assert outcome.header.t > 0


def test_only_other_physics_build_a_model_anew(monkeypatch):
    simulation = Simulation(Lane("dgnet"))
    scene = Scene("kdv")
    turn(simulation, scene)
    dynamics = simulation.rollout.dynamics
    monkeypatch.setattr(stage, "entrant", refuse)
    for change in ({"dt": 0.002}, {"tol": 1e-6}, {"integrator": "rk4"}):
        scene = replace(scene, **change)
        outcome = turn(simulation, scene)
        assert not outcome.error
        assert simulation.rollout.dynamics is dynamics
    assert outcome.header.dt == 0.002
    assert turn(simulation, replace(scene, seed=2)).error == "refused"


def test_a_turn_of_a_group_that_was_left_does_nothing():
    simulation = Simulation(Lane())
    turn(simulation, KDV, grouping=1)
    reset = turn(simulation, KDV, steps=0, reset=True, grouping=2)
    stale = turn(simulation, replace(KDV, dt=0.5), steps=7, limits=(-9.0, 9.0), grouping=1)
    assert stale.header is None
    assert stale.setup is None
    on = turn(simulation, KDV, steps=0, grouping=2).header
    assert (on.t, on.dt, on.high) == (0.0, reset.header.dt, reset.header.high)
