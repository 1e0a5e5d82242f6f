"""simulate(): which frames are kept, what an early end leaves, memory and streaming."""

import math
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from oscillator import Exact, Failing, Oscillator

from ddg_explorer import recording
from ddg_explorer.data import Dataset
from ddg_explorer.grids import Grid
from ddg_explorer.models import Model
from ddg_explorer.models.own_step import step_note
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.recording import Recording
from ddg_explorer.rollout import Rollout
from ddg_explorer.simulation import simulate
from ddg_explorer.structure import Structure
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.base import System
from ddg_explorer.trajectory import LONG_NAMES, Trajectory, load_trajectory

BATCH = torch.tensor([[1.0, 0.5], [0.3, -2.0], [0.0, 1.0]], dtype=torch.float64)


def run(**options) -> Trajectory:
    options = {"dt": 0.1, "steps": 10, "integrator": Exact(), **options}
    return simulate(Oscillator(), options.pop("u0", BATCH), **options)


def same(one: Trajectory, other: Trajectory) -> bool:
    values = [(getattr(one, k), getattr(other, k)) for k in LONG_NAMES if k != "mass"]
    return one.reason == other.reason and all(torch.equal(a, b) for a, b in values)


@pytest.mark.parametrize(
    ("steps", "save_every", "kept"),
    [(10, 1, range(11)), (10, 4, [0, 4, 8, 10]), (10, 5, [0, 5, 10]), (3, 50, [0, 3]), (0, 2, [0])],
)
def test_first_and_last_frame_are_always_kept(steps: int, save_every: int, kept) -> None:
    trajectory = run(steps=steps, save_every=save_every)
    assert trajectory.t.tolist() == [0.1 * k for k in kept]
    assert trajectory.u.shape == (len(kept), 3, 2)
    assert trajectory.energy.shape == trajectory.residual.shape == (len(kept), 3)
    assert trajectory.converged.tolist() == [True] * 3
    assert trajectory.reason == ""
    for t, u in zip(trajectory.t.tolist(), trajectory.u, strict=True):
        c, s = math.cos(t), math.sin(t)
        q, p = BATCH.unbind(-1)
        expected = torch.stack([c * q + s * p, c * p - s * q], -1)
        torch.testing.assert_close(u, expected, rtol=0, atol=1e-14)


def test_early_end_keeps_the_last_good_state_once() -> None:
    between = run(integrator=Failing(after=6, trajectory=2), save_every=4)
    assert between.t.tolist() == pytest.approx([0.0, 0.4, 0.6])
    on_frame = run(integrator=Failing(after=8, how=math.nan, trajectory=2), save_every=4)
    assert on_frame.t.tolist() == pytest.approx([0.0, 0.4, 0.8])
    for trajectory, t in ((between, 0.6), (on_frame, 0.8)):
        assert trajectory.converged.tolist() == [True, True, False]
        assert f"t = {t}: trajectory 2" in trajectory.reason
        assert torch.isfinite(trajectory.u).all()
        assert torch.equal(trajectory.u[: len(trajectory)], run(save_every=2).u[[0, 2, int(t * 5)]])


@pytest.mark.parametrize("frames_held", [1, 3, 1000])
@pytest.mark.parametrize("integrator", [Exact(), Failing(after=17)])
def test_streamed_file_equals_the_recording_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames_held: int, integrator: Exact
) -> None:
    monkeypatch.setattr(recording, "BUFFER_BYTES", frames_held * BATCH.nbytes)
    path = tmp_path / "run.nc"
    streamed = run(steps=20, integrator=integrator, path=path)
    kept = run(steps=20, integrator=integrator)
    assert same(streamed, kept)
    assert same(load_trajectory(path), kept)
    assert list(tmp_path.iterdir()) == [path]
    copy = streamed.save(tmp_path / "copy.npz")
    assert same(load_trajectory(copy), kept)


def test_file_appears_only_when_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "BUFFER_BYTES", 1)
    path = tmp_path / "run.nc"
    rollout = Rollout(Oscillator(), BATCH, 0.1, Exact())
    with Recording(rollout, 10, path=path) as unfinished:
        for _ in unfinished:
            assert not path.exists()
    assert list(tmp_path.iterdir()) == []


def test_interrupted_recording_can_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    rollout = Rollout(Oscillator(), BATCH, 0.1, Exact())
    with Recording(rollout, 10, path=path) as half:
        for frame in half:
            if frame.step == 4:
                break
        half.finish("interrupted at t = 0.4")
    read = load_trajectory(path)
    assert len(read) == 5
    assert read.reason == "interrupted at t = 0.4"
    assert torch.equal(read.u, run(steps=4).u)


def test_killed_run_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    code = """
        import os, signal, sys, torch
        sys.path.insert(0, "tests")
        from oscillator import Exact, Oscillator
        from ddg_explorer import recording
        from ddg_explorer.recording import Recording
        from ddg_explorer.rollout import Rollout
        recording.BUFFER_BYTES = 1
        u0 = torch.ones(2, dtype=torch.float64)
        with Recording(Rollout(Oscillator(), u0, 0.1, Exact()), 50, path=sys.argv[1]) as frames:
            for frame in frames:
                if frame.step == 20:
                    os.kill(os.getpid(), signal.SIGKILL)
    """
    path = tmp_path / "run.nc"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), path], cwd=Path(__file__).parents[1]
    )
    assert done.returncode == -9
    assert not path.exists()
    assert all(p.name.startswith(".run-") for p in tmp_path.iterdir())


def test_memory_is_known_beforehand_and_refused(tmp_path: Path) -> None:
    frames, state, numbers = 1001, BATCH.nbytes, 8 + 3 * 8 * 4
    need = frames * (state + numbers)
    assert len(run(steps=1000, memory_limit=need)) == frames
    with pytest.raises(ValueError, match=r"steps=1000: 1001 frames need .*save_every.*path"):
        run(steps=1000, memory_limit=need - 1)
    small = frames * numbers + 2 * frames * state
    assert len(run(steps=1000, memory_limit=small, path=tmp_path / "run.nc")) == frames
    with pytest.raises(ValueError, match="limit is 4 GiB"):
        run(steps=10**9)


def test_streaming_stays_within_its_bound(tmp_path: Path) -> None:
    """A run whose states are 400 MB adds little more than its two buffers to the process."""
    code = """
        import resource, sys, torch
        sys.path.insert(0, "tests")
        from oscillator import Oscillator, Still
        from ddg_explorer.recording import BUFFER_BYTES
        from ddg_explorer.simulation import simulate
        class Chain(Oscillator):
            state_shape = (250_000,)
        u0 = torch.ones(250_000, dtype=torch.float64)
        def run(steps, name):
            simulate(Chain(), u0, dt=0.1, steps=steps, integrator=Still(), path=sys.argv[1] + name)
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        run(2, "/warm.nc")
        before = peak()
        run(200, "/long.nc")
        print((peak() - before) / (2 * BUFFER_BYTES))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), tmp_path],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert (tmp_path / "long.nc").stat().st_size > 400e6
    (tmp_path / "long.nc").unlink()
    assert float(done.stdout) < 2


class Transport(Structure):
    is_skew = is_dissipative = conserves_mass = True

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    def apply(self, g: torch.Tensor, u: torch.Tensor | None = None) -> torch.Tensor:
        return (g.roll(-1, -1) - g.roll(1, -1)) / (2 * self.grid.spacing[0])


@pytest.fixture
def system() -> System:
    grid = Grid.of(8, 2.0, 1)
    return System(
        lambda u: (u**2).sum((-1, -2)) * grid.cell_volume / 2,
        Transport(grid),
        initial=lambda generator: torch.randn(1, 8, generator=generator, dtype=torch.float64),
        dt=0.125,
    )


def test_it_shows_in_a_line(tmp_path: Path) -> None:
    assert repr(run()) == "Trajectory('Oscillator', u=(11, 3, 2), t=0 … 1)"
    streamed = repr(run(path=tmp_path / "run.nc", integrator=Failing(after=3), u0=BATCH[0]))
    assert streamed.startswith("Trajectory('Oscillator', u=(4, 2), t=0 … 0.3, reason='stopped at")
    assert "\n" not in streamed


def test_runs_and_frames_are_told_apart_as_objects() -> None:
    """Their tensors have no single answer to whether they are equal."""
    first, again = run(), run()
    frame, twin = (Rollout(Oscillator(), BATCH, 0.1, Exact()).frame for _ in range(2))
    data, other = (Dataset(torch.zeros(1, 2, 2), 0.1) for _ in range(2))
    for one, two in ((first, again), (frame, twin), (data, other)):
        assert one != two
        assert one not in [two]
        assert one in [two, one]
        assert len({one, two, one}) == 2


@pytest.mark.parametrize(
    ("key", "scheme"),
    [("node", "midpoint"), ("hnn", "midpoint"), ("srnn", "leapfrog"), ("dgnet", None)],
)
def test_a_model_runs_with_its_own_scheme_unless_told(key: str, scheme: str | None) -> None:
    given: dict[str, Any] = {} if key == "node" else {"structure": {"kind": "symplectic"}}
    made = ModelRecipe(key, (2,), hidden=4, **given).build()
    scheme = scheme or "discrete_gradient"
    found = simulate(made, BATCH, dt=0.1, steps=3)
    assert found.recipe["integrator"] == scheme
    assert torch.equal(found.u, simulate(made, BATCH, dt=0.1, steps=3, integrator=scheme).u)
    system = SYSTEMS["pendulum"]()
    beside = simulate(made, BATCH, dt=0.1, steps=3, truth=system)
    assert torch.equal(beside.u, found.u)
    assert simulate(system, BATCH, steps=1).recipe["integrator"] == "discrete_gradient"


def test_defaults_come_from_the_system(system: System) -> None:
    trajectory = simulate(system, steps=0, seed=3)
    assert torch.equal(trajectory.u[0], system.initial(seed=3))
    assert trajectory.recipe["dt"] == 0.125
    assert trajectory.recipe["seed"] == 3
    assert trajectory.mass is not None
    assert trajectory.mass.shape == (1, 1)
    assert trajectory.energy_scale == system.energy_scale
    dataset = trajectory.to_xarray()
    assert dataset["u"].dims == ("time", "channel", "x")
    assert dataset["x"].values.tolist() == [0.25 * i for i in range(8)]
    assert dataset.attrs["integrator"] == "discrete_gradient"


@pytest.fixture(scope="module")
def model() -> Model:
    """An untrained HNN whose card says: exact data at Δt = 0.1, learned by the midpoint rule."""
    made = ModelRecipe("hnn", (2,), structure={"kind": "symplectic"}, hidden=4).build()
    made.card = {"data": {"dt": 0.1, "recipe": {"dt": 0.1, "integrator": "collocation8"}}}
    return made


@pytest.mark.parametrize(
    ("dt", "integrator", "start"),
    [
        (0.1, "midpoint", ""),
        (0.05, "midpoint", "learned at Δt = 0.1, stepped at 0.05: "),
        (0.1, "rk4", "learned with midpoint, stepped with rk4: "),
    ],
)
@pytest.mark.parametrize("suffix", [".nc", ".npz", "streamed"])
def test_a_model_at_another_step_than_it_learned_tells_it(
    tmp_path: Path, model: Model, dt: float, integrator: str, start: str, suffix: str
) -> None:
    path = tmp_path / "run.nc" if suffix == "streamed" else None
    found = simulate(model, BATCH, dt=dt, steps=3, integrator=integrator, path=path)
    assert found.note.startswith(start)
    assert found.note == step_note(model, dt, integrator)
    assert bool(found.note) == bool(start)
    assert repr(found).endswith(f", note={found.note!r})" if start else "t=0 … 0.3)")
    read = load_trajectory(path or found.save(tmp_path / f"copy{suffix}"))
    assert read.note == found.note
    assert "note" not in read.recipe


def test_a_system_has_no_note_and_its_file_none_either(tmp_path: Path) -> None:
    """As in files of before there were notes."""
    found = simulate(SYSTEMS["pendulum"](), steps=1)
    assert found.note == ""
    assert "note" not in found.to_xarray().attrs
    for name in ("run.npz", "run.nc"):
        assert load_trajectory(found.save(tmp_path / name)).note == ""


def test_a_model_takes_lists_in_the_dtype_of_its_weights() -> None:
    recipe = ModelRecipe("hnn", (2,), structure={"kind": "symplectic"}, hidden=4)
    for dtype in (torch.float32, torch.float64):
        model = recipe.build().to(dtype)
        listed = simulate(model, [[0.1, 0.2], [0.3, 0.4]], dt=0.1, steps=2)
        tensor = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=dtype)
        assert torch.equal(listed.u, simulate(model, tensor, dt=0.1, steps=2).u)


def test_other_arrays_take_the_dtype_of_the_system_and_tensors_must_have_it(system: System) -> None:
    listed = simulate(system, [[1.0] * 8], steps=0)
    assert listed.u.dtype == torch.float64
    assert listed.recipe["seed"] is None
    both = r"state has dtype torch\.float32: this system computes in torch\.float64; take u\.to"
    with pytest.raises(ValueError, match=both):
        simulate(system, torch.ones(1, 8), steps=0)
    single = system.with_(dtype=torch.float32)
    assert simulate(single, torch.ones(1, 8), steps=0).u.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps=-1"),
        ({"save_every": 0}, "save_every=0"),
        ({"dt": None}, "dt=None"),
        ({"steps": 2.5}, "steps=2.5: must be an integer ≥ 0"),
        ({"save_every": 1.5}, "save_every=1.5: must be an integer ≥ 1"),
        ({"u0": None}, "u0=None: a model has no initial state of its own"),
        ({"u0": [1.0, 0.5]}, "u0=.*: Oscillator has no dtype, give a tensor"),
        ({"u0": torch.zeros(3)}, "state has shape"),
        ({"path": "run.npz"}, "run.npz"),
        ({"path": "no/such/folder/run.nc"}, "no/such/folder"),
    ],
)
def test_bad_arguments_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dt": "a"}, "dt='a': must be finite and positive"),
        ({"u0": ["x", 1.0]}, "u0=.*: must be a tensor, an array or a list of numbers"),
    ],
)
def test_what_is_no_number_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        simulate(SYSTEMS["pendulum"](), steps=1, **options)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("kdv", "='kdv': must be a system or a model, as SYSTEMS['kdv']()"),
        ("kvd", "='kvd': must be a system or a model"),
        (SYSTEMS["kdv"], "=the class KdV: must be a system or a model, as KdV()"),
        (Dataset(torch.zeros(1, 2, 2), 0.1), "=a Dataset: must be a system or a model"),
        (BATCH, "=a Tensor: must be a system or a model"),
    ],
)
def test_what_is_no_system_is_refused_by_its_name(given: object, line: str) -> None:
    pendulum = SYSTEMS["pendulum"]()
    for name, system, truth in (("system", given, None), ("truth", pendulum, given)):
        with pytest.raises(ValueError, match=f"^{re.escape(name + line)}$"):
            simulate(system, steps=1, truth=truth)  # type: ignore[arg-type]
