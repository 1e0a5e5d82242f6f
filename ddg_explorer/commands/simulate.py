"""Integrate a system, or a trained model; report drifts, residuals and time.

A model runs in a system's place, its H under another G where --structure names one, or on its own
from a state that is given.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import torch
from torch import Tensor

from ddg_explorer.array_files import TRAJECTORY_SUFFIXES, read_state
from ddg_explorer.commands.interruption import interruptible
from ddg_explorer.commands.options import (
    OF_SYSTEM,
    add_device_options,
    add_system_options,
    at_least,
    build_system,
    naming,
    refuse_given,
)
from ddg_explorer.commands.report import Report, table
from ddg_explorer.diagnostics import Summary
from ddg_explorer.frames import Frame
from ddg_explorer.grids import Grid
from ddg_explorer.io import checked_path
from ddg_explorer.models import Model, load_model
from ddg_explorer.models.own_step import learned_dt
from ddg_explorer.models.stand_in import misplaced, placed, stand_in
from ddg_explorer.recording import Recording, note_of
from ddg_explorer.rollout import Rollout
from ddg_explorer.simulation import own_scheme
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.base import System


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `simulate`."""
    add_system_options(parser)
    add = parser.add_argument
    add("--dt", type=float, metavar="DT", help="time step (the preset's, or the model's data's)")
    add("--steps", type=int, default=1000, metavar="K", help="steps to take (1000)")
    add("--integrator", metavar="I", help="see `list` (discrete_gradient; a model's own)")
    add("--tol", type=float, metavar="T", help="tolerance of the implicit solve")
    what = (
        "run this trained model, in the system's place if given (with the preset of its data); "
        "--structure puts its H under another G"
    )
    add("--checkpoint", metavar="M", help=what)
    what = (
        "start from the last state in a .nc or .npz file, in data that of every trajectory, or "
        "from the numbers of an ODE's state"
    )
    add("--initial", metavar="F|Q,P", help=what)
    add("--save", metavar="F", help="write the trajectory to a .nc (streamed) or .npz file")
    add("--save-every", type=int, default=1, metavar="K", help="steps between frames (1)")
    add_device_options(parser)


def run(args: argparse.Namespace) -> Report:
    """Run, save and summarise; a run that ended early has exit code 1, an interrupted one 130."""
    at_least(args, 0, "steps")
    at_least(args, 1, "save_every")
    with naming(path="save"):
        path = None if args.save is None else checked_path(args.save, TRAJECTORY_SUFFIXES)
    rollout = _rollout(args)
    summary = Summary(rollout)
    with ExitStack() as stack:
        frames: Iterable[Frame] = rollout.frames(args.steps, args.save_every)
        recording = None if path is None else _recording(rollout, path, args)
        if recording is not None:
            frames = stack.enter_context(recording)
        interrupt = stack.enter_context(interruptible())
        start = time.perf_counter()
        frames = interrupt.until(frames, "frame", Rollout.step)  # none is half written
        for frame in _progress(frames, args):
            summary.add(frame)
        wall = time.perf_counter() - start
        interrupted = f"interrupted at t = {rollout.t:.6g}" if interrupt.asked else ""
        if recording is not None and path is not None:
            trajectory = recording.finish(interrupted)
            if recording.path is None:
                trajectory.save(path)
    return _report(args, rollout, summary, wall, interrupted)


def _rollout(args: argparse.Namespace) -> Rollout:
    """Of the system, or of the model in its place with the system's energy beside its own; of the
    model alone where no system is given."""
    if args.checkpoint is None:
        system = build_system(args)
        args.integrator = args.integrator or own_scheme(system)
        u0 = _initial(system, args)
        return Rollout(system, u0, system.dt, args.integrator, tol=args.tol)
    with naming(path="checkpoint"):
        model = load_model(args.checkpoint)
    dtype = str(model.dtype).removeprefix("torch.")
    if args.dtype not in (None, dtype):
        raise ValueError(f"dtype={args.dtype!r}: the model's weights are {dtype}")
    args.dtype = dtype
    if args.system is None:
        return _alone(model.to(args.device), args)
    args.preset = args.preset or _learned_preset(model, args.system)
    system = build_system(args)
    model = _in_place(model, system, args)
    args.integrator = args.integrator or own_scheme(model)
    u0 = _initial(system, args)
    return Rollout(model, u0, system.dt, args.integrator, tol=args.tol, truth=system)


def _learned_preset(model: Model, system: str) -> str | None:
    """The preset of the data that the model learned, None where its card names none of `system`."""
    recipe = model.card.get("data", {}).get("recipe", {})
    preset = recipe.get("preset")
    known = system in SYSTEMS and recipe.get("system") == system
    return preset if known and preset in list(SYSTEMS[system].presets) else None


def _in_place(model: Model, system: System, args: argparse.Namespace) -> Model:
    """The model as it was trained, or under the G that --structure names."""
    try:
        if args.structure is not None:
            return stand_in(model, system)
        misfit = misplaced(model, system)
        if not misfit:
            return placed(model, system)
    except ValueError as error:
        misfit = str(error)
    raise ValueError(f"checkpoint={args.checkpoint!r}: {misfit}{_way_out(model, system, args)}")


def _way_out(model: Model, system: System, args: argparse.Namespace) -> str:
    """Options with which the model describes the system, as few as do; "" where none do."""
    values, of_structure = {}, set()
    for name, value in model.context.get("parameters", {}).items():
        with suppress(KeyError, ValueError):  # of a G that did not act, 0 may be out of range
            parameter = system.parameters[name]
            if system.values[name] != parameter.check(name, value):
                values[name] = value
                of_structure |= {name} if parameter.structures else set()
    keys = [*((None,) if args.structure is None else ()), *system.structures]
    for left_out in (of_structure, set()):
        settings = {name: value for name, value in values.items() if name not in left_out}
        given = [f"--set {name}={value}" for name, value in settings.items()]
        for key in keys:
            with suppress(ValueError):
                if not misplaced(model, system.with_(**settings, structure=key)):
                    options = given if key is None else [*given, f"--structure {key}"]
                    return f"; give {' '.join(options)}"
    return ""


def _alone(model: Model, args: argparse.Namespace) -> Rollout:
    """Of a model whose system is not known."""
    refuse_given(args, OF_SYSTEM, "needs a --system")
    if args.initial is None:
        raise ValueError("initial=None: give a state to start from, or a --system")
    u0 = _state(args.initial, model.state_shape).to(model.dtype).to(model.device)
    _check_shape(args.initial, u0, model.state_shape, free=len(model.state_shape) - 1)
    if model.grid is not None:
        points = tuple(u0.shape[-model.grid.ndim :])
        if points != model.grid.shape:
            spacing = zip(points, model.grid.spacing, strict=True)
            model = model.on_grid(Grid(points, tuple(n * dx for n, dx in spacing)))
    dt = learned_dt(model) if args.dt is None else args.dt
    if dt is None:
        raise ValueError("dt=None: the model's card does not tell that of its data: give --dt")
    args.integrator = args.integrator or own_scheme(model)
    return Rollout(model, u0, dt, args.integrator, tol=args.tol)


def _initial(system: System, args: argparse.Namespace) -> Tensor:
    if args.initial is None:
        return system.initial(args.seed)
    u0 = _state(args.initial, system.state_shape).to(system.dtype).to(system.device)
    _check_shape(args.initial, u0, system.state_shape)
    return u0


def _state(text: str, shape: tuple[int, ...]) -> Tensor:
    """Of a file, or the numbers of an ODE's state, separated by commas."""
    if Path(text).suffix.lower() in TRAJECTORY_SUFFIXES:
        with naming(path="initial"):
            return read_state(text)
    files = " or ".join(TRAJECTORY_SUFFIXES)
    if len(shape) > 1:
        raise ValueError(f"initial={text!r}: a field starts from a {files} file")
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if (len(numbers),) != shape or not all(map(math.isfinite, numbers)):
        size = math.prod(shape)
        raise ValueError(f"initial={text!r}: must be {size} finite numbers, or a {files} file")
    return torch.tensor(numbers, dtype=torch.float64)


def _check_shape(text: str, u0: Tensor, shape: tuple[int, ...], *, free: int = 0) -> None:
    """ValueError for a state of other components, channels or axes, or points on these; the last
    `free` axes may have any number of points."""
    fixed = len(shape) - free
    if u0.ndim < len(shape) or u0.shape[-len(shape) :][:fixed] != shape[:fixed]:
        has = tuple(u0.shape)
        raise ValueError(f"initial={text!r}: has shape {has}, needs (..., *{shape})")


def _recording(rollout: Rollout, path: Path, args: argparse.Namespace) -> Recording:
    return Recording(
        rollout,
        args.steps,
        save_every=args.save_every,
        path=path if path.suffix == ".nc" else None,
        seed=args.seed if args.initial is None else None,
    )


def _progress(frames: Iterable[Frame], args: argparse.Namespace) -> Iterator[Frame]:
    """Pass frames on, with a bar on a terminal."""
    from tqdm import tqdm

    done = 0
    with tqdm(total=args.steps, unit="step", file=sys.stderr, disable=None, leave=False) as bar:
        for frame in frames:
            bar.update(frame.step - done)
            done = frame.step
            yield frame


def _report(
    args: argparse.Namespace, rollout: Rollout, summary: Summary, wall: float, interrupted: str
) -> Report:
    found = summary.figures()
    grid = rollout.dynamics.grid
    figures = {
        "system": args.system,
        "model": getattr(rollout.dynamics, "key", None),
        "preset": getattr(rollout.truth or rollout.dynamics, "preset", None),
        "structure": getattr(rollout.truth or rollout.dynamics, "structure_key", None),
        "n": None if grid is None else list(grid.shape),
        "integrator": args.integrator,
        "dt": rollout.dt,
        **found,
        "converged": not rollout.stopped,
        "reason": rollout.stopped or interrupted,
        "note": note_of(rollout),
        "wall_s": wall,
        "ms_per_step": 1e3 * wall / rollout.steps if rollout.steps else None,
        "dtype": str(rollout.u.dtype).removeprefix("torch."),
        "device": str(rollout.u.device),
        "saved": args.save,
    }
    code = 130 if interrupted else int(bool(rollout.stopped))
    if code:
        sys.stderr.write(f"ddg-explorer simulate: {figures['reason']}\n")
    return Report(figures, table(figures), code)
