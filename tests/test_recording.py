"""Recordings: taken up again where they were left, when they end, what they note of the scheme."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from oscillator import Exact, Failing, Oscillator

from ddg_explorer import recording
from ddg_explorer.data import Dataset
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.own_data import read_dataset
from ddg_explorer.recording import Recording
from ddg_explorer.rollout import Rollout
from ddg_explorer.simulation import simulate
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.trajectory import LONG_NAMES, Trajectory, load_trajectory

BATCH = torch.tensor([[1.0, 0.5], [0.3, -2.0], [0.0, 1.0]], dtype=torch.float64)


def same(one: Trajectory, other: Trajectory) -> bool:
    values = [(getattr(one, k), getattr(other, k)) for k in LONG_NAMES if k != "mass"]
    return one.reason == other.reason and all(torch.equal(a, b) for a, b in values)


@pytest.mark.parametrize("save_every", [1, 3])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("frames_held", [1, 1000])
def test_a_loop_that_was_left_is_taken_up_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    save_every: int,
    streamed: bool,
    frames_held: int,
) -> None:
    """Every frame is recorded once, up to the number of steps asked for, however often it broke."""
    monkeypatch.setattr(recording, "BUFFER_BYTES", frames_held * BATCH.nbytes)
    path = tmp_path / "run.nc" if streamed else None
    rollout = Rollout(Oscillator(), BATCH, 0.1, Exact())
    with Recording(rollout, 10, save_every=save_every, path=path) as parts:
        for last in (3, 6, 10):
            for frame in parts:
                if frame.step == last:
                    break
            assert rollout.steps == last
        assert list(parts) == []
        whole = parts.finish()
        assert parts.finish("too late") is whole
    unbroken = simulate(
        Oscillator(), BATCH, dt=0.1, steps=10, integrator=Exact(), save_every=save_every
    )
    assert same(whole, unbroken)
    if path is not None:
        assert same(load_trajectory(path), whole)
        assert list(tmp_path.iterdir()) == [path]


def test_a_recording_ends_with_finish_or_with_its_run(tmp_path: Path) -> None:
    rollout = Rollout(Oscillator(), BATCH, 0.1, Exact())
    with Recording(rollout, 10, path=tmp_path / "run.nc") as half:
        for frame in half:
            if frame.step == 3:
                break
        assert len(half.finish()) == 4
        with pytest.raises(ValueError, match=r"^recording: is finished; begin another one$"):
            next(iter(half))
    assert rollout.steps == 3
    rollout = Rollout(Oscillator(), BATCH, 0.1, Failing(after=5))
    failed = Recording(rollout, 8, save_every=4)
    assert [frame.step for frame in failed] == [4, 5]
    assert list(failed) == []
    rollout.set_integrator(Exact())
    with pytest.raises(
        ValueError, match=r"^recording: stopped at t = 0\.5: .*; begin another one$"
    ):
        next(iter(failed))
    assert failed.finish().t.tolist() == pytest.approx([0.0, 0.4, 0.5])


@pytest.mark.parametrize("suffix", [".nc", ".npz"])
@pytest.mark.parametrize("name", list(INTEGRATORS))
def test_only_schemes_that_have_a_tolerance_note_one(
    tmp_path: Path, name: str, suffix: str
) -> None:
    """Which those are shows in the tolerance's effect on the states."""
    system = SYSTEMS["kdv"](n=16)
    if name == "leapfrog":
        system = SYSTEMS["pendulum"]()
    loose, tight = (
        simulate(system, dt=0.02, steps=3, integrator=name, tol=tol) for tol in (1e-2, 1e-9)
    )
    acts = not torch.equal(loose.u, tight.u)
    assert tight.recipe["tol"] == (1e-9 if acts else None)
    usual = simulate(system, dt=0.02, steps=1, integrator=name)
    assert (usual.recipe["tol"] is not None) == acts
    read = load_trajectory(tight.save(tmp_path / f"run{suffix}"))
    assert read.recipe.get("tol") == tight.recipe["tol"]
    assert ("tol" in tight.to_xarray().attrs) == acts


def test_a_file_that_notes_a_tolerance_of_a_scheme_without_one_still_loads(tmp_path: Path) -> None:
    system = SYSTEMS["pendulum"]()
    made = simulate(system, steps=3, integrator="rk4")
    older = replace(made, recipe={**made.recipe, "tol": 1e-12})
    for name in ("run.nc", "run.npz"):
        path = older.save(tmp_path / name)
        read = load_trajectory(path)
        assert read.recipe["tol"] == 1e-12
        assert same(read, made)
        assert Dataset.of(read, system).dt == system.dt
        assert read_dataset(path, system=system).trajectories == 1
