"""What a picture says of the system it shows: its letters, and whether its energy stays."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ddg_explorer.app.pictures import outgrown, picture
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import Lane, Scene
from ddg_explorer.app.turns import Turn
from ddg_explorer.systems import SYSTEMS


@pytest.mark.parametrize(
    ("name", "choices", "letters"),
    [
        ("kdv", {}, ["u"]),
        ("cahn_hilliard_2d", {}, ["u"]),
        ("wave", {}, ["u", "v"]),
        ("wave", {"form": "strain"}, ["e", "v"]),
    ],
)
def test_a_field_has_the_letters_of_its_equation(name, choices, letters):
    system = SYSTEMS[name](**choices)
    assert picture(system, system.initial()).spec["names"] == letters
    assert all(letter in system.equation for letter in letters)


@pytest.mark.parametrize(
    ("name", "keeps", "changes"),
    [
        ("kdv", "d_dx", "d_dx_viscous"),
        ("wave", "symplectic", "growing"),
        ("pendulum", "symplectic", "damped_symplectic"),
        ("two_body", "symplectic", "growing"),
    ],
)
def test_a_picture_follows_g_while_it_runs(name, keeps, changes):
    simulation = Simulation(Lane())
    for structure in (keeps, changes, keeps):
        scene = Scene(name, structure=structure)
        setup = simulation.turn(Turn(scene, steps=1, budget=60.0)).setup
        assert setup.picture.spec["conserves"] == (structure == keeps)


@pytest.mark.parametrize("preset", SYSTEMS["two_body"].presets)
@pytest.mark.parametrize("seed", range(4))
def test_a_plane_of_orbits_holds_the_circles_through_the_bodies(preset, seed):
    system = SYSTEMS["two_body"](preset)
    u = system.initial(seed)
    x0, x1, y0, y1 = picture(system, u).spec["window"]
    radius = max(math.hypot(*u[:2].tolist()), math.hypot(*u[2:4].tolist()))
    assert x1 == y1 == -x0 == -y0 == pytest.approx(1.15 * radius)


def test_a_plane_of_orbits_widens_on_both_axes():
    system = SYSTEMS["two_body"]("circle")
    u = system.initial(0)
    shown, far = picture(system, u), u.clone()
    far[0] = 3 * shown.spec["window"][1]
    grown = outgrown(shown, system, far)
    assert grown is not None
    assert np.ptp(grown.spec["window"]) > 2 * float(far[0])
    assert grown.spec["window"][1] == grown.spec["window"][3]


def test_a_component_beside_the_planes_widens_them():
    """Of a state of three numbers the third has no plane, but a curve over time."""
    system = SYSTEMS["mass_spring"]()
    shown = picture(system, system.initial(0))
    spec = {**shown.spec, "names": ["a", "b", "c"], "contours": []}
    u = torch.tensor([0.0, 0.0, 9.0], dtype=torch.float64)
    grown = outgrown(replace(shown, spec=spec), system, u)
    assert grown is not None
    assert max(grown.spec["window"]) > 9
