"""Energies that discrete_grad cannot record: taken, and refused by the scheme that records them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ddg_explorer.discrete import UnsupportedOperation, elementwise, rule
from ddg_explorer.discrete.record import RULES
from ddg_explorer.grids import Grid
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import MinusIdentity, Symplectic
from ddg_explorer.systems import System

WITHOUT_DISCRETE_GRADIENT = ("rk4", "dopri5", "implicit_midpoint", "collocation2", "collocation4")


def _gamma(u: Tensor) -> Tensor:
    q, p = u[..., 0], u[..., 1]
    return p.square() / 2 + torch.lgamma(q.square() + 1.5)


def _branch(u: Tensor) -> Tensor:
    return torch.where(u > 0, u, 0.5 * u).square().sum(-1)


def _data(u: Tensor) -> Tensor:
    return u.square().sum(-1) + 0.0 * u.data[..., 0]


UNRECORDED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "operation": (_gamma, r"no rule for torch operation 'lgamma'; register one with @.*lgamma"),
    "branch": (_branch, "gt makes the energy branch"),
    "attribute": (_data, "no attribute 'data'"),
}


def _system(energy: Callable[[Tensor], Tensor]) -> System:
    return System(energy, Symplectic(), initial=[0.3, 0.2])


@pytest.mark.parametrize("name", UNRECORDED)
def test_the_default_scheme_refuses_in_one_line_that_names_those_that_do_not(name: str) -> None:
    energy, cause = UNRECORDED[name]
    system = _system(energy)
    with pytest.raises(ValueError, match=cause) as caught:
        simulate(system, steps=2, dt=0.05)
    line = str(caught.value)
    assert line.startswith("energy: 'discrete_gradient' ")
    assert "collocation, implicit_midpoint and the explicit schemes do not" in line
    assert "\n" not in line
    assert isinstance(caught.value, UnsupportedOperation)
    u = system.initial(batch=2)
    with pytest.raises(ValueError, match=cause):
        system.discrete_rhs(u + 0.1, u, 0.05)


@pytest.mark.parametrize("integrator", WITHOUT_DISCRETE_GRADIENT)
def test_the_schemes_that_the_refusal_names_take_the_energy(integrator: str) -> None:
    run = simulate(_system(_gamma), steps=20, dt=0.05, integrator=integrator)
    assert bool(run.converged.all())
    drift = float((run.energy - run.energy[0]).abs().max())
    assert drift < (1e-14 if integrator.startswith("collocation") else 5e-6)


def test_a_field_is_refused_and_taken_likewise() -> None:
    grid = Grid((16,), (2.0,))

    def energy(u: Tensor) -> Tensor:
        return grid.integral(torch.lgamma(u.square() + 1.5)).sum(-1)

    system = System(energy, MinusIdentity(grid), initial=torch.linspace(0.5, 1, 16)[None])
    with pytest.raises(ValueError, match=r"energy: 'discrete_gradient' .*'lgamma'"):
        simulate(system, steps=1, dt=1e-3)
    for integrator in ("rk4", "collocation4"):
        run = simulate(system, steps=3, dt=1e-3, integrator=integrator)
        assert bool((run.energy.diff() < 0).all())


def test_a_rule_that_is_registered_later_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    system = _system(lambda u: torch.relu(u).square().sum(-1) + torch.lgamma(u).sum(-1) * 0.0)
    u = system.initial(batch=2)
    with pytest.raises(ValueError, match="'lgamma'"):
        system.discrete_gradient(u, u)
    monkeypatch.setitem(RULES, "lgamma", None)
    rule(torch.lgamma)(lambda x: elementwise(x, torch.lgamma, lambda v, u: torch.digamma(u)))
    torch.testing.assert_close(system.discrete_gradient(u, u), 2 * u)


def test_an_energy_is_recorded_once_when_the_system_is_made() -> None:
    seen: list[str] = []

    def energy(u: Tensor) -> Tensor:
        seen.append(type(u).__name__)
        return u.square().sum(-1)

    system = _system(energy)
    assert seen.count("Pair") == 1
    u = system.initial()
    assert torch.equal(system.discrete_gradient(u, u), 2 * u)
    with pytest.raises(ValueError, match="v has shape"):
        system.discrete_gradient(u, system.initial(batch=2))
