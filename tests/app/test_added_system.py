"""A system with no more than CONTRIBUTING.md asks for: runs, comparisons, the explorer."""

from typing import ClassVar

import panel as pn
import pytest
import torch

from ddg_explorer import cli
from ddg_explorer.app import explore
from ddg_explorer.app.pages.structure import StructurePage
from ddg_explorer.app.turns import Turn
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import CentralDerivative, Symplectic
from ddg_explorer.systems import SYSTEMS, Preset, PresetSystem


class Duffing(PresetSystem):
    """q̈ = q − q³."""

    name = "duffing"
    title = "Duffing oscillator"
    structures: ClassVar = {"symplectic": "S: conserves energy"}
    presets: ClassVar = {"well": Preset("In a well", "It stays there.", dt=0.1, initial="rest")}

    def _shape(self):
        return (2,)

    def build_structure(self, key, values):
        return Symplectic(size=2)

    def energy(self, u):
        q, p = u[..., 0], u[..., 1]
        return p.square() / 2 + q**4 / 4 - q.square() / 2

    def initial_rest(self, draw):
        q = draw.around(1.2, 0.1)
        return torch.stack([q, torch.zeros_like(q)], -1)


class Advection(PresetSystem):
    """u_t = u_x."""

    name = "advection"
    title = "Advection"
    ndim = 1
    structures: ClassVar = {"d_dx": "∂/∂x: conserves energy"}
    presets: ClassVar = {
        "bump": Preset("A bump", "It moves.", dt=0.1, initial="bump", n=16, length=2.0)
    }

    def build_structure(self, key, values):
        return CentralDerivative(self.grid)

    def energy(self, u):
        return self.grid.integral(u.square()).sum(-1) / 2

    def initial_bump(self, draw):
        x = self.grid.coordinates()[0] + draw.shift(2.0)
        return torch.sin(torch.pi * x).exp()[None, None]


@pytest.fixture(params=[Duffing, Advection])
def added(request, monkeypatch):
    pn.extension()
    monkeypatch.setitem(SYSTEMS, request.param.name, request.param)
    return request.param


def test_it_runs_and_keeps_its_law(added):
    run = simulate(added(), steps=20)
    assert run.energy_scale == abs(float(run.energy[0])) > 0
    assert (run.energy - run.energy[0]).abs().max() < 1e-13
    assert cli.main(["simulate", "--system", added.name, "--steps", "2"]) == 0


def test_its_equation_shows_todays_gradient(added):
    gradient = {"duffing": r"\nabla H", "advection": r"\frac{\delta H}{\delta u}"}[added.name]
    assert added().equation == rf"\dot u = G\,{gradient}"


def test_the_explorer_opens_it_and_steps(added):
    explorer = explore(added.name, play=False)
    assert explorer.desk.controls.system.value == added.name
    scene = explorer.store.state.scene
    outcome = explorer.race.simulations[0].turn(Turn(scene, steps=3, budget=None))
    assert explorer.race.simulations[0].frame.step == 3
    assert abs(outcome.sample.drift) < 1e-13
    assert StructurePage(dark=False) is not None


def test_a_shape_that_is_not_told_is_asked_for(monkeypatch):
    monkeypatch.delattr(Duffing, "_shape")
    with pytest.raises(TypeError, match=r"Duffing does not define _shape\(\)"):
        Duffing()
