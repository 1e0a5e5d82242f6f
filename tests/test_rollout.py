"""The rollout: its clock, its frames, live changes, and what it does when a step fails."""

import math
import re

import numpy as np
import pytest
import torch
from oscillator import Exact, ExactStepper, Failing, Oscillator

from ddg_explorer.frames import Stop
from ddg_explorer.grids import Grid
from ddg_explorer.integrators.base import Integrator, Stepper
from ddg_explorer.integrators.collocation import Collocation4
from ddg_explorer.integrators.discrete_gradient import DiscreteGradient
from ddg_explorer.integrators.dopri5 import Dopri5
from ddg_explorer.models import ModelRecipe
from ddg_explorer.rollout import GROWTH_LIMIT, Rollout
from ddg_explorer.structure import MinusIdentity, Symplectic
from ddg_explorer.systems import SYSTEMS, System

U0 = torch.tensor([1.0, 0.5], dtype=torch.float64)
BATCH = torch.tensor([[1.0, 0.5], [0.3, -2.0], [0.0, 1.0]], dtype=torch.float64)


def exact(u0: torch.Tensor, t: float, omega: float = 1.0) -> torch.Tensor:
    c, s = math.cos(omega * t), math.sin(omega * t)
    q, p = u0.unbind(-1)
    return torch.stack([c * q + s / omega * p, c * p - s * omega * q], -1)


def test_time_is_counted_and_not_summed() -> None:
    rollout = Rollout(Oscillator(), U0, 0.1, Exact())
    frame = rollout.step(10_000)
    assert frame.t == 10_000 * 0.1
    assert frame.step == rollout.steps == 10_000
    rollout.set_dt(0.25)
    assert rollout.step(3).t == 1000.0 + 0.75
    torch.testing.assert_close(rollout.u, exact(U0, 1000.75), rtol=0, atol=1e-11)


def test_frames_fall_on_multiples_and_on_the_last_step() -> None:
    together, single = (Rollout(Oscillator(), BATCH, 0.1, Exact()) for _ in range(2))
    frames = list(together.frames(10, every=4))
    assert [f.step for f in frames] == [4, 8, 10]
    for _ in range(10):
        single.step()
    assert torch.equal(frames[-1].u, single.u)
    assert frames[1].t == 8 * 0.1


def test_frame_reports_the_worst_step_since_the_last_frame() -> None:
    rollout = Rollout(Oscillator(), BATCH, 0.1, Exact())
    assert rollout.frame.residual.tolist() == [0.0] * 3
    frame = rollout.step(5)
    assert frame.iterations.tolist() == [5] * 3
    assert frame.residual.tolist() == [5e-16] * 3
    assert frame.mass is None
    torch.testing.assert_close(frame.energy, Oscillator().energy(BATCH), rtol=1e-14, atol=0)


def test_true_energy_and_own_energy_are_kept_apart() -> None:
    model, truth = Oscillator(offset=7.0), Oscillator(omega=2.0)
    frame = Rollout(model, BATCH, 0.1, Exact(), truth=truth).step(3)
    assert torch.equal(frame.energy, truth.energy(frame.u))
    assert torch.equal(frame.own_energy, model.energy(frame.u))


def test_a_model_alone_knows_its_own_energy_only() -> None:
    model = ModelRecipe("dgnet", (2,), structure={"kind": "symplectic"}, hidden=4).build()
    alone = Rollout(model, BATCH, 0.1).step(3)
    assert alone.energy.isnan().all()
    assert torch.equal(alone.own_energy, model.energy(alone.u).detach())


def test_dynamics_without_energy_has_nan_and_not_a_made_up_one() -> None:
    class Field(Oscillator):
        @property
        def has_energy(self) -> bool:
            return False

        def energy(self, u: torch.Tensor) -> torch.Tensor:
            raise ValueError("a vector field has no energy")

    alone = Rollout(Field(), BATCH, 0.1, Exact()).step()
    assert alone.energy.isnan().all()
    assert alone.own_energy.isnan().all()
    beside = Rollout(Field(), BATCH, 0.1, Exact(), truth=Oscillator()).step()
    assert torch.equal(beside.energy, Oscillator().energy(beside.u))
    assert beside.own_energy.isnan().all()


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("flag", "no luck"),
        (math.nan, "not finite"),
        (math.inf, "not finite"),
        (3 * GROWTH_LIMIT, "diverges (max |u| = 3e+06)"),
    ],
)
def test_failed_step_stops_with_the_last_good_state(how: str | float, what: str) -> None:
    rollout = Rollout(Oscillator(), BATCH, 0.1, Failing(after=5, how=how, trajectory=1))
    frame = rollout.step(50)
    assert frame.step == 5
    assert frame.converged.tolist() == [True, False, True]
    torch.testing.assert_close(frame.u, exact(BATCH, 0.5), rtol=0, atol=1e-15)
    assert torch.equal(frame.energy, Oscillator().energy(frame.u))
    assert rollout.stopped == frame.reason == str(frame.stop)
    for part in ("t = 0.5", "trajectory 1", what, "reduce dt (now 0.1)"):
        assert part in frame.reason
    assert rollout.step(3) is frame
    assert list(rollout.frames(3)) == []


@pytest.mark.parametrize("integrator", ["discrete_gradient", "implicit_midpoint", "rk4"])
def test_a_state_without_finite_energy_is_the_reason(integrator: str) -> None:
    """Two bodies at one point; the others of the batch are fine and not named."""
    system = SYSTEMS["two_body"]()
    collided = torch.zeros(8, dtype=torch.float64)
    frame = Rollout(system, collided, 0.01, integrator).step()
    assert frame.reason == "stopped at t = 0: the energy of the state is not finite (-inf)"
    batch = torch.stack([system.initial(), collided])
    frame = Rollout(system, batch, 0.01, integrator).step()
    assert frame.converged.tolist()[1] is False
    assert "t = 0: trajectory 1: the energy of the state is not finite (-inf)" in frame.reason


def root(u: torch.Tensor) -> torch.Tensor:
    """H = ½p² + √|q|, whose slope has no bound at q = 0."""
    return u[..., 1].square() / 2 + u[..., 0].abs().sqrt()


def rooted_field(size: int) -> System:
    """H = ∫ √u² + ½v², whose ∇ is 0/0 at u = 0; two channels mix in the measured symbol."""
    grid = Grid.of(size, 1.0, 1)

    def energy(s: torch.Tensor) -> torch.Tensor:
        return grid.integral(s[..., 0, :].square().sqrt() + s[..., 1, :].square() / 2)

    return System(energy, Symplectic(grid), state_shape=(2, size))


@pytest.mark.parametrize("integrator", ["discrete_gradient", "implicit_midpoint", "rk4"])
@pytest.mark.parametrize(
    "system", [System(root, Symplectic(), state_shape=(2,)), rooted_field(64)], ids=["ode", "field"]
)
def test_a_state_without_finite_gradient_is_the_reason(system: System, integrator: str) -> None:
    u = torch.ones(system.state_shape, dtype=torch.float64)
    (u[0] if system.grid is None else u[0, 5]).zero_()
    singular = "the gradient of the energy is not finite at this state: no time step helps"
    frame = Rollout(system, u, 0.01, integrator).step()
    assert frame.reason == f"stopped at t = 0: {singular}"
    batch = torch.stack([torch.ones_like(u), u])
    frame = Rollout(system, batch, 0.01, integrator).step()
    assert frame.reason == f"stopped at t = 0: trajectory 1: {singular}"


@pytest.mark.parametrize("name", ["pendulum", "kdv"])
def test_a_solve_that_fails_gives_its_advice_once(name: str) -> None:
    system = SYSTEMS[name]()
    frame = Rollout(system, system.initial(), 0.5, DiscreteGradient(max_iterations=1)).step()
    assert frame.reason.startswith("stopped at t = 0: the implicit solve did not converge in")
    assert frame.reason.endswith("tolerance 1e-12); reduce dt (now 0.5)")


@pytest.mark.parametrize(
    ("how", "cause", "size"),
    [
        ("flag", "no luck", None),
        (math.inf, "the state is not finite", math.inf),
        (3 * GROWTH_LIMIT, "the state diverges (max |u| = 3e+06)", 3 * GROWTH_LIMIT),
    ],
)
def test_a_stop_has_parts(how: str | float, cause: str, size: float | None) -> None:
    frame = Rollout(Oscillator(), U0, 0.1, Failing(after=5, how=how)).step(50)
    assert frame.stop == Stop(0.5, cause, dt=0.1, size=size)
    assert frame.reason == f"stopped at t = 0.5: {cause}; reduce dt (now 0.1)"
    assert Rollout(Oscillator(), U0, 0.1, Exact()).step().stop is None


TO_INFINITY = System(lambda u: -(u**3).sum(-1) / 3, MinusIdentity(), initial=[1.0])
"""u̇ = u² from 1 is 1/(1 − t)."""


@pytest.mark.parametrize("integrator", [Dopri5(), Collocation4()])
@pytest.mark.parametrize("dt", [0.5, 0.03, 0.01])
def test_before_a_blow_up_no_smaller_step_is_advised_to_a_scheme_that_has_tried_it(
    integrator: Integrator, dt: float
) -> None:
    """What was advised before does not help: any Δt stops within one step of t = 1."""
    frame = Rollout(TO_INFINITY, TO_INFINITY.initial(), dt, integrator).step(300)
    assert 1 - dt - 1e-9 < frame.t <= 1
    assert frame.stop is not None
    assert (frame.stop.dt, frame.stop.advice) == (None, "")
    assert frame.reason == f"stopped at t = {frame.t:.6g}: {frame.stop.cause}"
    assert "dt" not in frame.reason


@pytest.mark.parametrize("integrator", [Dopri5(), Collocation4()])
def test_before_a_collision_no_smaller_step_is_advised_to_a_scheme_that_has_tried_it(
    integrator: Integrator,
) -> None:
    """Unit masses that fall from rest at distance 2a meet at t = π √(a³/2)."""
    system, a = SYSTEMS["two_body"](), 0.5
    rest = torch.tensor([a, 0, -a, 0, 0, 0, 0, 0], dtype=torch.float64)
    frame = Rollout(system, rest, 0.1, integrator).step(30)
    assert frame.t == pytest.approx(0.1 * math.floor(10 * math.pi * math.sqrt(a**3 / 2)))
    assert frame.stop is not None
    assert frame.stop.dt is None
    assert "dt" not in frame.reason


def test_a_fixed_step_that_is_too_large_is_to_be_reduced() -> None:
    """Collocation that may not divide its step is told so, and a smaller one does help."""
    system = SYSTEMS["pendulum"]()
    rigid = Collocation4(adaptive=False, max_iterations=8)
    frame = Rollout(system, system.initial(), 50.0, rigid).step()
    assert frame.stop is not None
    assert frame.stop.advice == "reduce dt (now 50)"
    assert Rollout(system, system.initial(), 0.05, rigid).step().stop is None


def test_an_energy_that_is_not_finite_stops_no_step_that_works() -> None:
    rollout = Rollout(Oscillator(offset=math.inf), U0, 0.1, Exact())
    torch.testing.assert_close(rollout.step(5).u, exact(U0, 0.5), rtol=0, atol=1e-15)
    assert rollout.stopped == ""


def test_growth_is_measured_against_the_initial_state() -> None:
    big = 1e9 * BATCH
    assert Rollout(Oscillator(), big, 0.1, Exact()).step(5).converged.all()


def test_single_trajectory_is_not_numbered() -> None:
    frame = Rollout(Oscillator(), U0, 0.1, Failing(after=0)).step()
    assert frame.step == 0
    assert "trajectory" not in frame.reason
    assert frame.reason.startswith("stopped at t = 0: no luck")
    assert torch.equal(frame.u, U0)


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.set_dt(0.05),
        lambda r: r.set_integrator(Exact()),
        lambda r: r.set_dynamics(Oscillator(2.0)),
        lambda r: r.replace(BATCH),
        lambda r: r.reset(),
    ],
)
def test_a_change_lets_a_stopped_rollout_go_on(change) -> None:
    rollout = Rollout(Oscillator(), BATCH, 0.1, Failing(after=2))
    assert rollout.step(9).step == 2
    change(rollout)
    assert rollout.stopped == ""
    assert rollout.frame.converged.all()
    if isinstance(rollout.integrator, Failing):
        rollout.set_integrator(Exact())
    before = rollout.steps
    assert rollout.step(4).step == before + 4


def test_replaced_state_is_a_copy_and_forgets_the_stepper_caches() -> None:
    rollout = Rollout(Oscillator(), U0, 0.1, Exact())
    rollout.step(2)
    painted = 2 * rollout.u
    stepper = rollout._stepper
    assert isinstance(stepper, ExactStepper)
    resets = stepper.resets
    rollout.replace(painted)
    assert stepper.resets == resets + 1
    painted.zero_()
    frame = rollout.step()
    assert frame.t == 3 * 0.1
    torch.testing.assert_close(frame.u, 2 * exact(U0, 0.3), rtol=1e-14, atol=0)


def test_initial_state_is_a_copy_without_history() -> None:
    u0 = BATCH.clone().requires_grad_()
    rollout = Rollout(Oscillator(), u0, 0.1, Exact())
    with torch.no_grad():
        u0.zero_()
    frame = rollout.step()
    assert not frame.u.requires_grad
    assert not frame.energy.requires_grad
    torch.testing.assert_close(frame.u, exact(BATCH, 0.1), rtol=1e-14, atol=1e-16)


def test_reset_and_restore_come_back_exactly() -> None:
    rollout = Rollout(Oscillator(), U0, 0.1, Exact())
    rollout.step(7)
    snapshot = rollout.snapshot()
    ahead = rollout.step(5)
    rollout.set_dt(0.3)
    rollout.set_dynamics(Oscillator(3.0))
    rollout.step(2)
    rollout.restore(snapshot)
    assert (rollout.t, rollout.steps, rollout.dt) == (7 * 0.1, 7, 0.1)
    again = rollout.step(5)
    assert again.t == ahead.t
    assert torch.equal(again.u, ahead.u)
    rollout.reset()
    assert (rollout.t, rollout.steps) == (0.0, 0)
    assert torch.equal(rollout.u, U0)


def test_restore_brings_the_true_system_and_the_growth_bound_back() -> None:
    model, truth = Oscillator(offset=7.0), Oscillator(omega=2.0)
    rollout = Rollout(model, U0, 0.1, Exact(), truth=truth, growth=3.0)
    rollout.replace(4 * U0)
    rollout.step(9)
    snapshot = rollout.snapshot()
    ahead = rollout.step(3)
    rollout.set_dynamics(model, truth=Oscillator(omega=5.0))
    rollout.replace(100 * U0)
    rollout.restore(snapshot)
    assert rollout.truth is truth
    assert torch.equal(rollout.step(3).energy, ahead.energy)
    # of the state 4 U0, which was put in place: 3 · 4
    for size, stops in ((11.9, False), (12.1, True)):
        rollout.restore(snapshot)
        rollout.set_integrator(Failing(after=0, how=size))
        assert bool(rollout.step().reason) == stops


def test_live_change_of_the_dynamics_acts_on_the_next_step() -> None:
    rollout = Rollout(Oscillator(), U0, 0.1, Exact())
    rollout.step(3)
    rollout.set_dynamics(Oscillator(2.0))
    assert torch.equal(rollout.frame.energy, Oscillator(2.0).energy(rollout.u))
    expected = exact(rollout.u, 0.1, omega=2.0)
    torch.testing.assert_close(rollout.step().u, expected, rtol=1e-14, atol=0)
    assert rollout.t == 4 * 0.1


PENDULUM = SYSTEMS["pendulum"]()
BAD = {
    "dt=0": lambda: Rollout(Oscillator(), U0, 0.0, Exact()),
    "dt=nan": lambda: Rollout(Oscillator(), U0, math.nan, Exact()),
    "shape": lambda: Rollout(Oscillator(), torch.zeros(3, dtype=torch.float64), 0.1, Exact()),
    "dtype": lambda: Rollout(Oscillator(), torch.zeros(2, dtype=torch.int64), 0.1, Exact()),
    "dtype torch.float16: needs": lambda: Rollout(PENDULUM, U0.half(), 0.1),
    "float32: this system computes in torch.float64": lambda: Rollout(PENDULUM, U0.float(), 0.1),
    "not finite": lambda: Rollout(Oscillator(), U0 / 0, 0.1, Exact()),
    "integrator='rk5'": lambda: Rollout(Oscillator(), U0, 0.1, "rk5"),
    "tol=": lambda: Rollout(Oscillator(), U0, 0.1, Exact(), tol=1e-3),
    "n=2.5: must be an integer ≥ 0": lambda: Rollout(Oscillator(), U0, 0.1, Exact()).step(2.5),
    "n=-1": lambda: Rollout(Oscillator(), U0, 0.1, Exact()).step(-1),
    "every=0": lambda: next(Rollout(Oscillator(), U0, 0.1, Exact()).frames(3, every=0)),
    "steps=-3": lambda: next(Rollout(Oscillator(), U0, 0.1, Exact()).frames(-3)),
    "needs (2,)": lambda: Rollout(Oscillator(), U0, 0.1, Exact()).replace(BATCH),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_refused_in_one_line(message: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        BAD[message]()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_failed_change_leaves_the_rollout_as_it_was() -> None:
    dynamics = Oscillator()
    rollout = Rollout(dynamics, U0, 0.1, Exact())
    frame, integrator = rollout.step(2), rollout.integrator
    with pytest.raises(ValueError, match="integrator"):
        rollout.set_integrator("rk5")
    with pytest.raises(ValueError, match="dt=-1"):
        rollout.set_dt(-1)
    with pytest.raises(ValueError, match="not finite"):
        rollout.replace(U0 * math.nan)
    with pytest.raises(ValueError, match=r"float64: this system computes in torch\.float32"):
        rollout.set_dynamics(PENDULUM.with_(dtype=torch.float32), "rk4")
    assert rollout.dynamics is dynamics
    assert rollout.frame is frame
    assert rollout.integrator is integrator
    assert rollout.dt == 0.1


class Picky(Exact):
    """Suits oscillators up to one frequency only."""

    def __init__(self, most: float) -> None:
        self.most = most

    def stepper(self, dynamics: Oscillator) -> Stepper:
        if dynamics.omega > self.most:
            raise ValueError(f"integrator: omega={dynamics.omega} is above {self.most}")
        return super().stepper(dynamics)


def test_dynamics_and_scheme_change_together_or_not_at_all() -> None:
    rollout = Rollout(Oscillator(), U0, 0.1, Picky(1.0))
    frame, integrator, dynamics = rollout.step(2), rollout.integrator, rollout.dynamics
    with pytest.raises(ValueError, match="above 2"):
        rollout.set_dynamics(Oscillator(3.0), Picky(2.0), truth=Oscillator(3.0))
    assert (rollout.frame, rollout.integrator, rollout.dynamics) == (frame, integrator, dynamics)
    assert rollout.truth is None
    rollout.set_dynamics(Oscillator(3.0), Picky(4.0))
    expected = exact(frame.u, 0.1, omega=3.0)
    torch.testing.assert_close(rollout.step().u, expected, rtol=1e-14, atol=0)


def test_growth_is_measured_against_the_state_put_in_place() -> None:
    rollout = Rollout(Oscillator(), U0, 0.1, Exact(), growth=20.0)
    rollout.replace(100 * U0)
    large = rollout.snapshot()
    assert rollout.step(9).step == 9
    rollout.reset()
    rollout.restore(large)
    assert rollout.step(9).step == 9


def test_growth_is_measured_for_every_trajectory_by_itself() -> None:
    u0 = torch.tensor([[100.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    failing = Failing(after=3, how=50.0, trajectory=1)
    frame = Rollout(Oscillator(), u0, 0.1, failing, growth=20.0).step(9)
    assert frame.step == 3
    assert "trajectory 1: the state diverges (max |u| = 50)" in frame.reason


@pytest.mark.parametrize(
    ("given", "shown"), [(None, "None"), ([0.5, 0.0], "[0.5, 0.0]"), (np.ones(2), "a ndarray")]
)
def test_a_state_is_a_tensor(given: object, shown: str) -> None:
    line = f"state={shown}: must be a tensor, float32 or float64"
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        Rollout(Oscillator(), given, 0.1)  # type: ignore[arg-type]
