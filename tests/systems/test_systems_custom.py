"""Systems from outside the package, changes of built-in ones, and refusals of bad input."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ddg_explorer import dynamics
from ddg_explorer.grids import Grid
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import (
    CentralDerivative,
    Laplacian,
    MatrixStructure,
    MinusIdentity,
    StateDependent,
    Symplectic,
)
from ddg_explorer.systems import SYSTEMS, System


def henon_heiles(u: torch.Tensor) -> torch.Tensor:
    x, y = u[..., 0], u[..., 1]
    kinetic = u[..., 2:].square().sum(-1) / 2
    return kinetic + (x.square() + y.square()) / 2 + x.square() * y - y**3 / 3


def test_custom_field_equals_the_built_in_one():
    built_in = SYSTEMS["kdv"]("published")
    grid = built_in.grid
    custom = System(
        energy=lambda u: grid.integral(u**3 - 0.5 * grid.forward_difference(u).square()).sum(-1),
        structure=CentralDerivative(grid),
    )
    assert custom.state_shape == built_in.state_shape
    v, u = built_in.initial(seed=1, batch=2), built_in.initial(seed=2, batch=2)
    torch.testing.assert_close(custom.energy(u), built_in.energy(u))
    torch.testing.assert_close(custom.rhs(u), built_in.rhs(u))
    torch.testing.assert_close(custom.discrete_rhs(v, u, 0.1), built_in.discrete_rhs(v, u, 0.1))
    assert custom.mass(u).shape == (2, 1)
    assert custom.channels == 1


@pytest.mark.parametrize(
    "options",
    [
        {"state_shape": (4,)},
        {"initial": torch.tensor([0.1, 0.2, 0.3, 0.0])},
        {"initial": [0.1, 0.2, 0.3, 0]},
        {"initial": lambda generator: torch.rand(4, generator=generator)},
    ],
)
def test_custom_ode_infers_its_shape(options):
    system = System(energy=henon_heiles, structure=Symplectic(), **options)
    assert system.state_shape == (4,)
    assert system.grid is None
    assert system.mass(torch.rand(4)) is None
    u = torch.rand(3, 4, dtype=torch.float64)
    assert system.energy(u).shape == (3,)
    power = (system.gradient(u) * system.rhs(u)).sum()
    assert abs(float(power)) < 1e-15


def test_custom_shape_comes_from_the_structure_too():
    matrix = MatrixStructure(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    assert System(lambda u: u.square().sum(-1), matrix).state_shape == (2,)
    assert System(henon_heiles, Symplectic(size=4)).state_shape == (4,)


def test_custom_initial_states_are_seeded_and_batched():
    system = System(
        energy=henon_heiles,
        structure=Symplectic(),
        initial=lambda generator: 0.2 * torch.randn(4, generator=generator),
    )
    batch = system.initial(seed=1, batch=3)
    assert batch.dtype == torch.float64
    assert torch.equal(batch[:2], system.initial(seed=1, batch=2))
    assert torch.equal(batch[0], system.initial(seed=1))
    assert not torch.equal(batch[0], batch[1])
    assert system.energy_scale == pytest.approx(abs(float(system.energy(system.initial()))))
    fixed = System(henon_heiles, Symplectic(), initial=torch.rand(4))
    assert torch.equal(*fixed.initial(batch=2))
    assert not fixed.has_exact
    assert fixed.explicit_limit() > 1


def test_custom_initial_state_may_be_a_list():
    system = System(henon_heiles, Symplectic(), initial=[0.1, 0.2, 0.3, 0])
    expected = torch.tensor([0.1, 0.2, 0.3, 0.0], dtype=torch.float64)
    assert torch.equal(system.initial(), expected)
    assert torch.equal(system.with_(dtype=torch.float32).initial(), expected.float())


def test_custom_energy_may_be_a_module():
    class Energy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))

        def forward(self, u: torch.Tensor) -> torch.Tensor:
            return self.layers(u).squeeze(-1)

    system = System(Energy().double(), Symplectic(), state_shape=(2,))
    v, u = torch.rand(2, 5, 2, dtype=torch.float64)
    change = (system.discrete_gradient(v, u) * (v - u)).sum(-1)
    torch.testing.assert_close(change, system.energy(v) - system.energy(u), rtol=0, atol=1e-14)


def test_custom_system_can_be_changed():
    system = System(henon_heiles, Symplectic(), state_shape=(4,), name="henon_heiles", dt=0.1)
    changed = system.with_(dt=0.2, dtype=torch.float32)
    assert (changed.dt, changed.dtype, changed.name) == (0.2, torch.float32, "henon_heiles")
    assert changed.state_shape == (4,)


def test_built_in_system_can_be_changed():
    system = SYSTEMS["kdv"](n=64, alpha=3.0, viscosity=0.2)
    changed = system.with_(length=80.0, operator="finite_difference", dt=0.5)
    assert changed.grid == Grid((64,), (80.0,))
    assert changed.values["alpha"] == 3.0
    assert changed.structure_key == "d_dx_viscous"
    assert (changed.dt, changed.operator) == (0.5, "finite_difference")
    fresh = system.with_(preset="cosine", dtype=torch.float32)
    assert fresh.dtype == torch.float32
    assert fresh.grid == Grid((256,), (2.0,))
    assert fresh.values["alpha"] == 1.0
    own = CentralDerivative(system.grid, strength=2.0)
    assert system.with_(structure=own).structure is own
    assert system.with_(structure=own).structure_key is None
    assert r"G\frac" in system.with_(structure=own).equation


def test_make_structure_takes_strengths():
    system = SYSTEMS["pendulum"]()
    damped = system.make_structure("damped_symplectic", friction=0.7)
    torch.testing.assert_close(damped.matrix()[1, 1], torch.tensor(-0.7).double())
    assert system.structure_key == "symplectic"
    assert system.values["friction"] == 0


def test_equation_shows_todays_numbers():
    assert r"3\times10^{-4}" in SYSTEMS["cahn_hilliard_2d"](gamma=6e-4).equation
    assert r"-0.5\,u^3-0.25\,u_x^2" in SYSTEMS["kdv"](alpha=3.0, beta=0.5).equation
    assert r"p^2+3\,(1 - \cos q)" in SYSTEMS["pendulum"]("published").equation
    assert "e^2" in SYSTEMS["wave"]("strain").equation


GRID = Grid((50,), (10.0,))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("kdv", {"preset": "nope"}, r"preset='nope': kdv has two_solitons, soliton"),
        ("kdv", {"gamma": 1.0}, r"parameter='gamma': kdv has alpha, beta, viscosity"),
        ("kdv", {"alpha": 99.0}, r"alpha=99.0: must lie in \[-12, 12\]"),
        ("kdv", {"alpha": float("nan")}, r"alpha=nan: must lie in"),
        ("kdv", {"alpha": "six"}, r"alpha='six': must lie in"),
        ("kdv", {"structure": "symplectic"}, r"structure='symplectic': kdv has d_dx, "),
        ("kdv", {"operator": "upwind"}, r"operator='upwind': use one of"),
        ("kdv", {"n": 2}, r"every axis needs at least 3 points"),
        ("kdv", {"n": 64.0}, r"n=64.0: must be an integer"),
        ("kdv", {"n": (64.7,)}, r"n=\(64.7,\): must be an integer"),
        ("kdv", {"n": ("64",)}, r"n=\('64',\): must be an integer"),
        ("kdv", {"n": (8, 8)}, r"lives on 1 axes"),
        ("kdv", {"length": -1.0}, r"finite and positive"),
        ("kdv", {"length": "long"}, r"length='long': must be a positive number"),
        ("kdv", {"dt": 0.0}, r"dt=0.0: must be finite and positive"),
        ("kdv", {"structure": Laplacian(GRID)}, r"structure: made for Grid"),
        ("kdv", {"dtype": torch.float16}, r"dtype=torch.float16: use torch.float64"),
        ("kdv", {"device": "nonsense"}, r"device='nonsense': not available here"),
        ("pendulum", {"friction": -0.1}, r"friction=-0.1: must lie in \[0, 2\]"),
        ("pendulum", {"n": 64}, r"n=64: pendulum has no grid"),
        ("wave", {"form": "stress"}, r"form='stress': use one of displacement, strain"),
        ("wave", {"form": "strain", "structure": "symplectic"}, r"wave has strain_wave"),
    ],
)
def test_bad_input_is_refused_in_one_line(name, options, message):
    with pytest.raises(ValueError, match=message) as refusal:
        SYSTEMS[name](**options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "state_shape=None: give it"),
        ({"state_shape": (4,), "energy": lambda u: u.sum()}, "sum over the state only"),
        ({"state_shape": (4,), "dt": -1.0}, "dt=-1.0"),
        ({"state_shape": (4,), "dt": "a"}, "dt='a': must be finite and positive"),
        ({"state_shape": 4}, r"state_shape=4: must be integers"),
        ({"state_shape": (4.5,)}, r"state_shape=\(4.5,\): must be integers"),
        ({"state_shape": (4,), "structure": None}, "structure=None: must be a structure operator"),
        ({"state_shape": (4,), "structure": "symplectic"}, "structure='symplectic': must be a"),
        ({"state_shape": (4,), "structure": torch.eye(4)}, "structure=a Tensor: must be a"),
        ({"state_shape": (4,), "structure": Symplectic}, "structure=the class Symplectic: must"),
        ({"state_shape": (4,), "energy": 3.0}, "energy=3.0: must be a function"),
        ({"state_shape": (4,), "energy": lambda u: None}, "energy: gives None, must give a tensor"),
        (
            {"state_shape": (4,), "energy": lambda u: (u > 1).sum(-1)},
            r"energy: gives torch\.int64, must give real numbers",
        ),
        ({"initial": "rest"}, "initial='rest': must be one state"),
        ({"initial": 1.0}, "initial=1.0: must be one state"),
        ({"initial": [[1.0], [1.0, 2.0]]}, r"initial=\[\[1\.0\], \[1\.0, 2\.0\]\]: must be one"),
        ({"initial": lambda generator: [1.0]}, r"initial: gives \[1\.0\], must give one state"),
        ({"state_shape": (2, 9), "grid": GRID}, r"a field on this grid has \(C, \*\(50,\)\)"),
        (
            {"state_shape": (0, 50), "grid": GRID},
            r"state_shape=\(0, 50\): a field on this grid has",
        ),
        ({"state_shape": ()}, r"state_shape=\(\): without a grid one state has one axis, \(d,\) "),
        ({"state_shape": (0,)}, r"state_shape=\(0,\): without a grid"),
        ({"state_shape": (-2,)}, r"state_shape=\(-2,\): without a grid"),
        ({"state_shape": (2, 3)}, r"state_shape=\(2, 3\): without a grid"),
        ({"initial": torch.zeros(5, 4)}, r"^initial has shape \(5, 4\): without a grid one"),
        ({"initial": lambda generator: torch.zeros(5, 4)}, r"^initial has shape \(5, 4\): without"),
        (
            {"initial": torch.zeros(4, 50), "grid": Grid((9,), (1.0,))},
            r"^initial has shape \(4, 50",
        ),
        ({"initial": torch.zeros(3), "state_shape": (4,)}, r"^initial has shape \(3,\), not \(4,"),
        (
            {"structure": MatrixStructure(torch.eye(50)), "grid": GRID},
            r"structure acts on states of shape \(50,\): a field on this grid has",
        ),
        (
            {"structure": Laplacian(GRID), "grid": Grid((10,), (1.0,))},
            "structure: made for Grid",
        ),
    ],
)
def test_bad_custom_systems_are_refused(options, message):
    with pytest.raises(ValueError, match=message) as refusal:
        System(**{"energy": henon_heiles, "structure": Symplectic(), **options})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("shape", "energy", "message"),
    [
        ((2,), lambda u: u[0] ** 2 / 2 + u[1] ** 2 / 2, r"gives shape \(2,\) for 3 states"),
        ((2,), lambda u: u[:, 0] ** 2 + u[:, 1] ** 2, "fails for one state"),
        ((2,), lambda u: u[..., 0] ** 2 / u.norm(), "changes with what else is in the batch"),
        ((2,), lambda u: u.energy, "fails for 3 states of shape .*no attribute 'energy'"),
        ((2,), lambda u: {}[u.shape], "fails for 3 states"),
        ((2, 50), lambda s: energy_of(*s), r"fails for 3 states of shape \(2, 50\), batch first"),
        ((2, 50), lambda s: energy_of(s[:, 0], s[:, 1]), "changes with what else is in the batch"),
        ((2, 3), lambda s: energy_of(*s), "fails for 4 states"),
        ((3, 4), lambda s: energy_of(s[0], s[1]), "gives shape"),
    ],
)
def test_an_energy_that_takes_the_batch_for_the_state_is_refused(shape, energy, message):
    grid = Grid(shape[1:], (1.0,)) if shape[1:] else None
    with pytest.raises(ValueError, match=f"energy: .*{message}.*the last .*, as u") as refusal:
        System(energy, MinusIdentity(grid), state_shape=shape)
    assert "\n" not in str(refusal.value)


def energy_of(q, p):
    return (q.square() + p.square()).sum(-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_energy_may_have_no_value_where_it_is_tried(dtype):
    system = System(
        lambda u: (u[..., 0] - 1).log() + u[..., 1] ** 2,
        Symplectic(),
        state_shape=(2,),
        dtype=dtype,
    )
    assert system.energy(2 * torch.ones(2, dtype=dtype)) == 4


@pytest.mark.filterwarnings("error")
def test_an_energy_with_parameters_to_learn_runs_without_a_warning():
    stiffness = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
    system = System(
        lambda u: u[..., 1] ** 2 / 2 + stiffness * u[..., 0] ** 2 / 2,
        Symplectic(),
        initial=[1.0, 0.0],
    )
    assert system.energy_scale == 0.75
    assert system.explicit_limit() == pytest.approx(2**1.5 / 1.5**0.5, rel=0.1)
    assert not simulate(system, steps=3).energy.requires_grad


def test_a_system_and_its_operator_show_in_a_line():
    system = SYSTEMS["kdv"](n=16)
    assert repr(system) == (
        "KdV(preset='two_solitons', state_shape=(1, 16), structure=CentralDerivative, dt=0.01)"
    )
    assert repr(system.structure) == "CentralDerivative(state_shape=(1, 16))"
    own = System(henon_heiles, Symplectic(), state_shape=(4,), name="galaxy")
    assert repr(own) == ("System(name='galaxy', state_shape=(4,), structure=Symplectic, dt=0.01)")


EYE = {n: MatrixStructure(torch.eye(n, dtype=torch.float64)) for n in (3, 5, 16, 32)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SYSTEMS["mass_spring"](structure=EYE[3]), r"MatrixStructure: .* shape \(2,\)"),
        (lambda: SYSTEMS["kdv"](n=16).with_(structure=EYE[5]), r"MatrixStructure: .* \(1, 16\)"),
        (lambda: SYSTEMS["wave"](n=16, structure=EYE[32]), r"MatrixStructure: .* \(2, 16\)"),
        (
            lambda: SYSTEMS["two_body"](structure=Symplectic(size=4)),
            r"Symplectic: .* \(8,\) .*needs 4",
        ),
        (lambda: System(henon_heiles, EYE[3], initial=[1.0, 2.0]), r"MatrixStructure: .* \(2,\)"),
        (
            lambda: System(henon_heiles, StateDependent(lambda g, u: g[..., :1]), state_shape=(4,)),
            r"StateDependent: .* shape \(4,\) \(gives shape \(2, 1\) for \(2, 4\)\)",
        ),
        (
            lambda: ode(lambda g, u: g[..., :1] * u[5, 7, 2]),
            r"StateDependent: .* shape \(4,\) \(too",
        ),
        (lambda: ode(lambda g, u: 1j * g), r"StateDependent: .*complex128, must give real numbers"),
        (lambda: ode(lambda g, u: None), r"StateDependent: .* shape \(4,\) \(gives None\)"),
        (lambda: ode(lambda g, u: len(g.T @ 3)), r"StateDependent: .* shape \(4,\) \(.*int"),
        (lambda: ode(lambda g, u: g.missing), r"StateDependent: .* shape \(4,\) \(.*'missing'"),
        (lambda: ode(lambda g, u: g[:, [1, 0, 3, 2]]), r"StateDependent: .* one state of shape"),
        (lambda: ode(lambda g, u: g - g.mean(0)), "StateDependent: .* what else is in the batch; "),
        (lambda: ode(lambda g, u: g * u.norm()), "StateDependent: .* what else is in the batch; "),
        (
            lambda: SYSTEMS["kdv"](n=16, structure=StateDependent(lambda g, u: g - g.mean())),
            r"StateDependent: .* the last 2 axes, as u\[\.\.\., 0, :\]",
        ),
    ],
)
def test_a_structure_of_another_size_is_refused_where_the_system_is_made(make, message):
    with pytest.raises(ValueError, match=f"structure=a {message}") as refusal:
        make()
    assert "\n" not in str(refusal.value)


def ode(function):
    return System(henon_heiles, StateDependent(function), state_shape=(4,))


def test_a_structure_that_acts_on_the_state_is_taken():
    assert SYSTEMS["kdv"](n=16, structure=EYE[16]).structure is EYE[16]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_bracket_that_vanishes_on_u_is_tried_where_it_does_not(dtype):
    """The rigid body, G(u) g = u × g: zero to rounding for g = u, as H = |u|²/2 has."""

    def energy(u):
        return (u.square() * torch.tensor([0.5, 0.25, 0.125], dtype=dtype)).sum(-1)

    body = StateDependent(lambda g, u: torch.linalg.cross(u, g), is_skew=True)
    system = System(energy, body, initial=[1.0, 0.2, 0.1], dtype=dtype)
    run = simulate(system, dt=0.3, steps=50)
    assert (run.energy - run.energy[0]).abs().max() < 20 * torch.finfo(dtype).eps
    mixing = StateDependent(lambda g, u: torch.linalg.cross(u - u.mean(0), g), is_skew=True)
    with pytest.raises(ValueError, match=r"structure=a StateDependent: .* in the batch"):
        System(energy, mixing, initial=[1.0, 0.2, 0.1], dtype=dtype)


def test_bad_seeds_and_batches_are_refused():
    system = SYSTEMS["pendulum"]()
    for seed in (-1, 2**32, 1.5):
        with pytest.raises(ValueError, match="seed"):
            system.initial(seed=seed)
    for batch in (0, -3, 10**6, 1.5):
        with pytest.raises(ValueError, match="batch"):
            system.initial(batch=batch)
    with pytest.raises(ValueError, match="initial=None"):
        System(henon_heiles, Symplectic(), state_shape=(4,)).initial()
    with pytest.raises(ValueError, match=r"^initial has shape"):
        System(henon_heiles, Symplectic(), state_shape=(4,), initial=torch.rand(6)).initial()
    with pytest.raises(ValueError, match="parameter='growth': structure damped_symplectic has"):
        system.make_structure("damped_symplectic", growth=0.1)
    with pytest.raises(ValueError, match="to be non-zero"):
        SYSTEMS["kdv"](beta=0.0).initial()


def test_device_without_float64_suggests_float32(monkeypatch):
    """As on Apple's MPS, whose allocator refuses float64."""
    zeros = torch.zeros

    def without_float64(*size, dtype, device):
        if dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return zeros(*size, dtype=dtype, device=device)

    monkeypatch.setattr(dynamics.torch, "zeros", without_float64)
    with pytest.raises(ValueError, match=r"has no float64; use dtype=torch\.float32"):
        dynamics.check_device("cpu", torch.float64)
    assert dynamics.check_device("cpu", torch.float32) == torch.device("cpu")
