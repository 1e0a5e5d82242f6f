"""Text tables: columns by name or number, every fault one clear line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import DT, motion, same, wave

from ddg_explorer.own_data import read_dataset


def table(path: Path, header: str, rows: np.ndarray, mark: str = ",") -> Path:
    lines = [mark.join(f"{x:.17g}" for x in row) for row in rows]
    path.write_text("\n".join([header, *lines] if header else lines) + "\n")
    return path


def rows_of(u: np.ndarray) -> np.ndarray:
    """Columns trajectory, time, components."""
    count, frames, _ = u.shape
    labels, t = np.repeat(np.arange(count), frames), np.tile(DT * np.arange(frames), count)
    return np.column_stack([labels, t, u.reshape(count * frames, -1)])


def test_table_with_names(tmp_path: Path) -> None:
    u = motion()
    path = table(tmp_path / "a.csv", "trajectory,time,q,p", rows_of(u))
    assert same(read_dataset(path), u)
    assert same(read_dataset(path, variable=["p"]), u[..., 1:])
    path = table(tmp_path / "b.csv", "p; t ;q", rows_of(u)[:6, [3, 1, 2]], ";")
    assert same(read_dataset(path), u[:1, :, ::-1])
    assert same(read_dataset(path, variable=["q", "p"]), u[:1])
    path = table(tmp_path / "c.csv", "run,when,q,p", rows_of(u))
    assert same(read_dataset(path, time="when", trajectory="run"), u)


def test_table_without_names(tmp_path: Path) -> None:
    u = motion()
    path = table(tmp_path / "a.txt", "", rows_of(u), " ")
    assert same(read_dataset(path, trajectory=0, time=1), u)
    path = table(tmp_path / "b.tsv", "", u[0], "\t")
    assert same(read_dataset(path, dt=DT), u[:1])


def test_table_of_a_measured_pendulum(tmp_path: Path) -> None:
    """The layout of Schmidt and Lipson (2009): a header shorter than the rows, spaces, trial first,
    derivatives last; times of each trial from where the clock happened to be."""
    u = motion(2, 9)
    rows = np.column_stack([rows_of(u), np.zeros((18, 2))])
    rows[9:, 1] += 7.3
    path = table(tmp_path / "real_pend.txt", "% t theta omega", rows, " ")
    data = read_dataset(path, trajectory=0, time=1, variable=[2, 3])
    np.testing.assert_allclose(data.u.numpy(), u, atol=1e-15)
    assert data.dt == pytest.approx(DT, rel=1e-9)


def test_table_of_a_field(tmp_path: Path) -> None:
    """With `length` the columns are the points of one channel."""
    u = wave(1)
    rows = np.column_stack([DT * np.arange(5), u[0, :, 0]])
    header = "t," + ",".join(f"u{k}" for k in range(8))
    data = read_dataset(table(tmp_path / "field.csv", header, rows), length=4.0)
    assert same(data, u)
    assert data.grid is not None
    assert data.grid.spacing == (0.5,)


@pytest.mark.parametrize("comment", ["# my data", "% run 7, damped", "# a, b\n\n# more of it"])
def test_comments_stand_above_a_table(comment: str, tmp_path: Path) -> None:
    u = motion(2, 9)
    path = table(tmp_path / "a.csv", f"{comment}\ntrajectory,time,q,p", rows_of(u))
    assert same(read_dataset(path), u)
    path = table(tmp_path / "b.csv", f"{comment}\n# trajectory,time,q,p", rows_of(u))
    assert same(read_dataset(path), u)
    path = table(tmp_path / "c.csv", comment, rows_of(u))
    assert same(read_dataset(path, trajectory=0, time=1), u)


@pytest.mark.parametrize("comment", ["", "# my data"])
@pytest.mark.parametrize("first", [0, 1])
def test_unnamed_times_are_not_taken_for_a_state(comment: str, first: int, tmp_path: Path) -> None:
    """Neither behind the numbers of trajectories nor in front of all."""
    u = motion(2, 9)
    path = table(tmp_path / "a.csv", comment, rows_of(u)[:, first:])
    with pytest.raises(ValueError, match=f"column {1 - first} .from 0. rises evenly") as error:
        read_dataset(path, dt=DT)
    assert "\n" not in str(error.value)
    chosen = read_dataset(path, dt=DT, variable=[1 - first])
    assert torch.equal(chosen.u.flatten(), torch.from_numpy(rows_of(u)[:, 1]))


@pytest.mark.parametrize("name", ["seconds", "T [K]"])
def test_times_under_another_name_are_not_taken_for_a_state(name: str, tmp_path: Path) -> None:
    """With Δt given they would be learned as the first component."""
    u = motion(1, 9)
    path = table(tmp_path / "a.csv", f"{name},q,p", rows_of(u)[:, 1:])
    line = re.escape(
        f"column {name!r} rises evenly as times do: rename it time or t, or give time or variable"
    )
    for dt in (None, DT):
        with pytest.raises(ValueError, match=line):
            read_dataset(path, dt=dt)
    assert same(read_dataset(path, time=name), u)
    assert same(read_dataset(path, variable=["q", "p"], dt=DT), u)


@pytest.mark.parametrize("name", ["id", "run"])
def test_trajectories_under_another_name_are_not_joined(name: str, tmp_path: Path) -> None:
    """With Δt given the jump from one to the next would be learned as a step."""
    u = motion(3, 9)
    path = table(tmp_path / "a.csv", f"{name},t,q,p", rows_of(u))
    for dt in (None, DT):
        with pytest.raises(ValueError, match=r"time does not rise after row 9: name the traj"):
            read_dataset(path, dt=dt)
    assert same(read_dataset(path, trajectory=name, dt=DT), u)


def test_a_given_step_stands_for_times_that_are_uneven_or_differ(tmp_path: Path) -> None:
    u, rows = motion(2, 9), rows_of(motion(2, 9))
    rows[3, 1] += DT / 3
    assert same(read_dataset(table(tmp_path / "a.csv", "trial,t,q,p", rows), dt=DT), u)


@pytest.mark.parametrize("content", ["t,θ\n0,1\n1,2\n".encode("utf-16"), b"t,\xb0\n0,1\n1,2\n"])
def test_a_table_that_is_not_in_utf_8(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.csv': is no text in UTF-8"):
        read_dataset(path)


@pytest.mark.parametrize(("part", "alike"), [(0.5, True), (2.0, False)])
def test_trajectories_have_the_same_times_to_a_thousandth_of_a_step(
    part: float, alike: bool, tmp_path: Path
) -> None:
    """The second trajectory's last frame is off by half, and by twice the tolerance."""
    rows = rows_of(motion(2, 5))
    rows[-1, 1] += part * 1e-3 * DT
    path = table(tmp_path / "a.csv", "trajectory,time,q,p", rows)
    if alike:
        assert read_dataset(path).dt == pytest.approx(DT, rel=1e-12)
    else:
        with pytest.raises(ValueError, match="trajectories have different times"):
            read_dataset(path)


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    path = table(tmp_path / "UPPER.CSV", "trajectory,time,q,p", rows_of(motion()))
    assert same(read_dataset(path), motion())


@pytest.mark.parametrize(
    ("text", "options", "line"),
    [
        ("", {}, "is empty"),
        ("t,q,p\n", {}, "has no rows"),
        ("t,q,p\n0,1,2\n0.1,1,x\n", {}, "line 3, column 'p': 'x' is not a number$"),
        ("\n0,1\n\n0.1,x\n", {}, r"line 4, column 1 \(from 0\): 'x' is not a number$"),
        ("t,q,p\n0,1,2\n0.1,1\n", {}, "line 3: has 2 columns, line 2 has 3$"),
        ("t,q,p\n0,1,2\n0.1,,2\n", {}, "line 3, column 'q': '' is not a number$"),
        ("t;q\n0,0;1,0\n", {}, "line 2, column 't': '0,0' is not a number, decimals need a point"),
        ("0,5;1,0\n0,6;1,1\n", {}, "line 2, .*: '0,6' is not a number, decimals need a point"),
        ("0,5 1,0\n0,6 1,1\n", {}, "line 2, .* is not a number"),
        (
            "run,t,q\na,0,1\nb,0,1\n",
            {},
            "column 'run': 'a' is not a number: if these label .*",
        ),
        ("trial,t,q\na,0,1\n,0,1\n", {}, "line 2, column 'trial': 'a' is not a number$"),
        ("trial,t,q\na,0,1\nb,0,x\n", {}, "line 3, column 'q': 'x' is not a number$"),
        ("trial,t,q\na,0,1\nb,0\n", {}, "line 3: has 2 columns, line 2 has 3$"),
        ("# only a comment\n", {}, "has no rows"),
        ("t,q,p\n0,1,2\n0.1,nan,2\n", {}, "not finite"),
        ("t,q,p\n0,1,2\n0.1,1,2\n0.3,1,2\n", {}, "time: steps are uneven"),
        ("t,q,p\n0,1,2\n0.1,1,2\n", {"variable": ["angle"]}, "has no column 'angle', only t, q, p"),
        ("0,1,2\n0.1,1,2\n", {"time": 7}, r"column 7: must lie in \[0, 2\]"),
        ("0,1,2\n0.1,1,2\n", {"time": "t"}, "has no column 't', only unnamed ones"),
        ("t\n0\n1\n", {}, "has no column for the state"),
        ("time,q,p,note\n0,1,2\n1,1,2\n", {"dt": 1.0}, "line 1 names 4 columns, the others have 3"),
        (",t,q\n0,0,1\n1,1,1\n", {}, r"line 1: column 0 \(from 0\) has no name: an index"),
        ("t,q,\n0,1,\n1,1,\n", {}, r"line 1: column 2 \(from 0\) has no name: .* separator"),
        ("t,q\n0,1,\n1,1,\n", {}, r"line 2, .*: '' is not a number, the line ends with a separ"),
        ("q,p\n0,1\n1,3\n", {}, r"time or t \(columns: q, p\): rename it, or give time or dt$"),
        ("0,1\n1,3\n", {}, r"has no column time or t \(its columns are unnamed\)"),
        ("t,q\n0,1\n1,2\n0,3\n1,4\n", {}, "time does not rise after row 2: name the traj"),
        ("t,q\n0,1\n0,2\n1,3\n1,4\n", {"dt": 1.0}, "time does not rise after row 1: name the"),
        ("trial,t,q\n0,1,2\n1,0,1\n0,0,1\n1,1,2\n", {"dt": 1.0}, "after row 1: sort the rows$"),
        ("% t p\n0 1 2\n1 1 2\n", {"dt": 1.0}, "line 1 names 2 columns, the others have 3"),
        ("trial,t,q\n0,0,1\n0,1,1\n1,0,1\n", {}, r"have 1 to 2 rows \(0: 2, 1: 1\): cut all to 1"),
        ("trial,t,q\n0,0,1\n0,1,1\n1,0,1\n1,2,1\n", {}, "trajectories have different times"),
    ],
)
def test_faults_of_tables(text: str, options: dict, line: str, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=line) as error:
        read_dataset(path, **options)
    assert "\n" not in str(error.value)
    assert "data.csv" in str(error.value)


@pytest.mark.parametrize("name", ["t (s)", "time [s]", "Time / s", "t[ms]"])
def test_a_column_of_times_may_have_a_unit(name: str, tmp_path: Path) -> None:
    u = motion(2, 9)
    path = table(tmp_path / "a.csv", f"Trial,{name},q (m),p (kg m/s)", rows_of(u))
    assert same(read_dataset(path), u)
    assert same(read_dataset(path, variable=["p (kg m/s)", "q (m)"]), u[..., ::-1])


def test_a_temperature_is_no_time(tmp_path: Path) -> None:
    u = motion(1, 9)
    path = table(tmp_path / "a.csv", "time (s),T (K),p", rows_of(u)[:, 1:])
    assert same(read_dataset(path), u)


def labelled(path: Path, header: str, labels: list[str], u: np.ndarray) -> Path:
    names = np.repeat(labels, u.shape[1])
    numbers = (",".join(f"{x:.17g}" for x in row[1:]) for row in rows_of(u))
    rows = [f"{name},{row}" for name, row in zip(names, numbers, strict=True)]
    path.write_text("\n".join([header, *rows] if header else rows))
    return path


def test_trajectories_may_be_labelled_with_words(tmp_path: Path) -> None:
    """In the order in which they first stand; with numbers among them, which stay themselves."""
    u, path = motion(3, 6), tmp_path / "a.csv"
    for labels in (["run b", "run a", "run c"], ["7", '"x"', "1e1"]):
        assert same(read_dataset(labelled(path, "trial,t,q,p", labels, u)), u)
        assert same(read_dataset(labelled(path, "run,t,q,p", labels, u), trajectory="run"), u)
    mixed = labelled(path, "trial,t,q,p", ["1", "1.0", "a"], u)
    assert same(read_dataset(mixed), u)
    gone = labelled(path, "trial,t,q,p", ["a", "b", "a"], u)
    with pytest.raises(ValueError, match="time does not rise after row 6: sort the rows"):
        read_dataset(gone)


@pytest.mark.parametrize("trajectory", [0, "0"])
def test_a_first_row_with_a_label_is_no_heading(trajectory: int | str, tmp_path: Path) -> None:
    u = motion(3, 6)
    path = labelled(tmp_path / "a.csv", "", ["a", "b", "c"], u)
    assert same(read_dataset(path, trajectory=trajectory, time=1), u)


def test_columns_are_numbered_in_digits_too(tmp_path: Path) -> None:
    """As a command line gives them; a name in digits goes before a number."""
    u = motion()
    path = table(tmp_path / "a.txt", "", rows_of(u), " ")
    assert same(read_dataset(path, trajectory="0", time="1", variable=["3", "2"]), u[..., ::-1])
    path = table(tmp_path / "b.csv", "trial,t,1,0", rows_of(u))
    assert same(read_dataset(path, variable=["0", "1"]), u[..., ::-1])
    with pytest.raises(ValueError, match=r"column 9: must lie in \[0, 3\]"):
        read_dataset(path, time="9")


@pytest.mark.parametrize("dt", [None, DT])
@pytest.mark.parametrize("trials", [[0, 1, 2], [1]])
def test_missing_rows_are_located(dt: float | None, trials: list[int], tmp_path: Path) -> None:
    """With Δt given a pair across the gap would be learned as one step."""
    rows = rows_of(motion(3, 20))
    rows = np.delete(rows, [20 * k + 8 for k in trials], axis=0)
    path = table(tmp_path / "a.csv", "trial,t,q,p", rows)
    line = f"time of trajectory {trials[0]}: a step of 0.1 after point 7, others are 0.05: frames m"
    with pytest.raises(ValueError, match=line):
        read_dataset(path, dt=dt)


def test_a_given_step_of_another_unit_than_the_times_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "trial,t,q,p", rows_of(motion(2, 9)))
    for dt in (1.0, 1e-3, 0.9 * DT):
        line = f"dt={dt:g}: time of trajectory 0 has steps of 0.05, convert them or leave dt out"
        with pytest.raises(ValueError, match=line):
            read_dataset(path, dt=dt)
    assert read_dataset(path, dt=1.05 * DT).dt == 1.05 * DT


def test_trajectories_of_unequal_length_are_listed(tmp_path: Path) -> None:
    rows = rows_of(motion(10, 6))
    path = table(tmp_path / "a.csv", "trial,t,q,p", rows[:-2])
    line = re.escape(
        "have 4 to 6 rows (0: 6, 1: 6, 2: 6, 3: 6, 4: 6, 5: 6, 6: 6, 7: 6, …): cut all"
    )
    with pytest.raises(ValueError, match=line):
        read_dataset(path)
