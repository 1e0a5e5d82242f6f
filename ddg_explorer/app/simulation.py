"""One lane's running simulation, as the worker pool sees it.

Everything here runs in a worker thread, one turn at a time. The session hands in the scene it wants
(`Turn`); the simulation brings itself to that scene between steps, advances, and hands back an
`Outcome` of plain bytes and numbers. Bad input and failed steps come back as one line of text; the
last good state stays.
"""

from __future__ import annotations

import math
import time

from torch import Tensor

from ddg_explorer.app.limits import Limits
from ddg_explorer.app.pictures import outgrown, picture, refreshed
from ddg_explorer.app.state import Lane, Scene
from ddg_explorer.app.turns import Outcome, Sample, Setup, Turn, build, describe
from ddg_explorer.app.wire import Header
from ddg_explorer.frames import Frame
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.base import Integrator
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems.builtin import PresetSystem

RESTART = ("system", "preset", "n", "operator", "dtype", "seed", "choices")
"""Fields of a scene that change the state's shape or the initial state: time begins anew."""

REMAKE = (*RESTART, "parameters", "structure")
"""Fields that need a new system; those not in `RESTART` act on the running state."""


class Simulation:
    """A lane's rollout, its limits and running statistics; one thread at a time."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self._scene: Scene | None = None
        self._refused: Scene | None = None
        self._epoch = 0
        self._cost = self._shown_cost = 0.0
        self._remade = False
        self._meter = RateMeter()

    def turn(self, turn: Turn) -> Outcome:
        """Bring the rollout to the wanted scene, advance it, and encode what is to be seen.

        Raises
        ------
        ValueError
            Only if the very first scene cannot be built; later ones leave the old scene running.
        """
        setup, error = self._reconcile(turn.scene)
        if turn.reset and not (setup and setup.restarted):
            self._rollout.reset()
            self._start()
        frames = self._advance(turn)
        error = self._set_limits(turn, frames[-1]) or error
        if grown := outgrown(self._picture, self._system, frames[-1].u):
            self._picture = grown
            setup = describe(
                turn.scene, self._system, grown, restarted=bool(setup and setup.restarted)
            )
        sample = self._sample(frames)
        exact = self._exact(frames[-1].t) if turn.exact else None
        count, payload = self._picture.payload(frames, self._limits.value, exact)
        header = self._header(frames, sample, count, extra=int(exact is not None))
        return Outcome(header, payload, sample, setup, self._rollout.stopped, error)

    def _reconcile(self, wanted: Scene) -> tuple[Setup | None, str]:
        """Make `wanted` hold; a scene that is refused is reported once and not tried again."""
        if wanted in (self._scene, self._refused):
            return None, ""
        try:
            setup = self._apply(wanted)
        except ValueError as problem:
            if self._scene is None:
                raise
            self._refused = wanted
            return None, str(problem)
        self._scene, self._refused = wanted, None
        return setup, ""

    def _apply(self, wanted: Scene) -> Setup:
        old = self._scene
        changed = {f for f in REMAKE if old is None or getattr(old, f) != getattr(wanted, f)}
        restarted = bool(changed.intersection(RESTART))
        system = build(wanted) if changed else self._system
        if restarted:
            u0 = system.initial(wanted.seed)
            rollout = Rollout(system, u0, system.dt, self._scheme(wanted))
            self._picture = picture(system, u0)
            self._limits = Limits(self._picture.limits, self._picture.signed)
            self._rollout, self._system = rollout, system
            self._cost, self._shown_cost, self._remade = 0.0, 0.0, False
            self._start()
        else:
            self._retune(wanted, system, remade=bool(changed))
        return describe(wanted, system, self._picture, restarted=restarted)

    def _retune(self, wanted: Scene, system: PresetSystem, *, remade: bool) -> None:
        """Act on the running state: other dynamics, scheme or Δt from the next step on."""
        old, rollout = self._scene, self._rollout
        assert old is not None
        if (wanted.integrator, wanted.tol) != (old.integrator, old.tol):
            rollout.set_integrator(self._scheme(wanted))
        if remade:
            rollout.set_dynamics(system)
            self._system, self._remade = system, True
            self._picture = refreshed(self._picture, system, rollout.u)
            self._refer()
        rollout.set_dt(wanted.dt or system.dt)

    def _scheme(self, scene: Scene) -> Integrator:
        return INTEGRATORS[self.lane.integrator or scene.integrator](tol=scene.tol)

    def _start(self) -> None:
        self._epoch += 1
        self._refer()

    def _refer(self) -> None:
        """Take drifts relative to the present state."""
        frame = self._rollout.frame
        self._energy0 = float(frame.own_energy)
        self._energy_scale = max(abs(self._energy0), self._system.energy_scale)
        self._mass0 = None if frame.mass is None else float(frame.mass[0])
        mean = float(frame.u.abs().mean())
        grid = self._system.grid
        self._mass_scale = mean * grid.cell_volume * grid.size if grid and mean else 1.0

    def _advance(self, turn: Turn) -> list[Frame]:
        """Up to `turn.steps` steps within about `turn.budget` seconds; at least one frame.

        An ODE yields every step, for its trail; a field only the frames that were measured.
        """
        rollout = self._rollout
        if turn.steps == 0 or rollout.stopped:
            return [rollout.frame]
        start, first, frames = time.perf_counter(), rollout.steps, []
        single = self._picture.kind == "phase"
        while not rollout.stopped and (left := turn.steps - rollout.steps + first) > 0:
            spare = turn.budget - (time.perf_counter() - start)
            if frames and spare < self._cost:
                break
            affordable = max(1, int(spare / self._cost)) if self._cost else 1
            frames.append(rollout.step(1 if single else min(left, affordable)))
            self._cost = (time.perf_counter() - start) / max(rollout.steps - first, 1)
        self._shown_cost += (self._cost - self._shown_cost) * (0.1 if self._shown_cost else 1.0)
        self._meter.count(rollout.steps - first)
        return frames

    def _set_limits(self, turn: Turn, frame: Frame) -> str:
        """Obey a typed or "auto" command, then follow the data; one line if refused."""
        span = self._picture.span(frame.u)
        if turn.limits == "auto":
            self._limits.snap(span)
        elif turn.limits is not None:
            try:
                self._limits.pin(*turn.limits)
            except ValueError as problem:
                return str(problem)
        self._limits.follow(span)
        return ""

    def _exact(self, t: float) -> Tensor | None:
        """The exact solution, while the state has evolved by one system from its own start."""
        if self._picture.kind != "profile" or self._remade or not self._system.has_exact:
            return None
        assert self._scene is not None
        return self._system.exact(t, seed=self._scene.seed)

    def _sample(self, frames: list[Frame]) -> Sample:
        last = frames[-1]
        energy = float(last.own_energy)
        mass = math.nan if last.mass is None else float(last.mass[0])
        return Sample(
            t=last.t,
            energy=energy,
            drift=abs(energy - self._energy0) / self._energy_scale,
            mass=mass,
            mass_drift=math.nan
            if self._mass0 is None
            else abs(mass - self._mass0) / self._mass_scale,
            residual=max(float(f.residual) for f in frames),
            energy_scale=self._energy_scale,
            mass_scale=self._mass_scale,
        )

    def _header(self, frames: list[Frame], sample: Sample, count: int, extra: int) -> Header:
        low, high = self._limits.value
        return Header(
            epoch=self._epoch,
            count=count,
            kind=self._picture.kind,
            t=sample.t,
            dt=self._rollout.dt,
            low=low,
            high=high,
            residual=sample.residual,
            iterations=max(float(f.iterations) for f in frames),
            ms=self._shown_cost * 1e3,
            rate=self._meter.rate,
            energy=sample.energy,
            drift=sample.drift,
            steps=self._rollout.steps,
            extra=extra,
        )


class RateMeter:
    """Steps per second of wall time, over about the last second."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._since = time.perf_counter()
        self._steps = 0

    def count(self, steps: int) -> None:
        """Note `steps` more steps."""
        self._steps += steps
        elapsed = time.perf_counter() - self._since
        if elapsed > 2.0:  # it was paused: start afresh rather than average over the pause
            self._steps, self._since = 0, time.perf_counter()
        elif elapsed > 0.5:
            self.rate = self._steps / elapsed
            self._steps, self._since = 0, time.perf_counter()
