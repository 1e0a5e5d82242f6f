"""What a picture says of the system it shows: its letters, and whether its energy stays."""

import pytest

from ddg_explorer.app.pictures import picture
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
