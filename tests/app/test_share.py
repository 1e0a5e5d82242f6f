"""What leaves the page comes back: recipes, states, histories, models; pictures show the lanes."""

import asyncio
import io
import json
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image

from ddg_explorer.app import session
from ddg_explorer.app.canvas import LaneCanvas
from ddg_explorer.app.edits import Edit
from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.looks import mixed
from ddg_explorer.app.numerals import number
from ddg_explorer.app.race import Race
from ddg_explorer.app.share.bar import ShareBar
from ddg_explorer.app.share.clip import MOST_FRAMES, clip_file, video_available
from ddg_explorer.app.share.files import (
    history_file,
    models_file,
    opened_model,
    opened_state,
    state_file,
)
from ddg_explorer.app.share.make import MAKERS, Shown, labels
from ddg_explorer.app.share.recipe import dump_recipe, load_recipe
from ddg_explorer.app.share.record import records_of
from ddg_explorer.app.share.reel import SWATCH, dashes, drawn, picture_file, window
from ddg_explorer.app.share.take import opened
from ddg_explorer.app.simulation import Simulation
from ddg_explorer.app.state import AppState, Lane, Scene, Start, View
from ddg_explorer.app.store import Store
from ddg_explorer.app.theme import PALETTES, colour_table
from ddg_explorer.app.turns import Turn, Undo
from ddg_explorer.models import ModelRecipe
from ddg_explorer.recipes import make_dataset
from ddg_explorer.rollout import Rollout

LOOK = (colour_table("diverging", False), dict(PALETTES["light"]))


def records(scene, models, steps=3):
    """Records of the true lane and of shipped models after some steps."""
    return run([Lane(), *(Lane(model) for model in models)], scene, Shelf(), steps)


def run(lanes, scene, shelf, steps=3):
    """Records of lanes after some steps."""
    simulations = [Simulation(lane, shelf) for lane in lanes]
    for simulation in simulations:
        simulation.advance(Turn(scene, steps=0))
        simulation.advance(Turn(scene, steps=steps, budget=None))
    canvases = [LaneCanvas(lane=lane.model, title=lane.model) for lane in lanes]
    return records_of(simulations, canvases, AppState(scene).to_flat(), dark=False)


def test_a_recipe_restores_state_and_initial_state_bit_by_bit():
    state = AppState(
        Scene("pendulum", "friction", dt=0.07, parameters={"friction": 0.31}),
        (Lane(), Lane("dgnet", "rk4")),
        View(3, dark=True),
    )
    start = torch.tensor([1 / 3, -2e-17], dtype=torch.float64)
    again, initial = load_recipe(dump_recipe(state, start))
    assert again == state
    assert initial is not None
    torch.testing.assert_close(initial, start, rtol=0, atol=0)
    assert load_recipe(dump_recipe(state))[1] is None


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\xff\xfe", "no recipe"),
        (b"[1, 2]", "no recipe"),
        (b'{"ddg_explorer": 99, "state": {}}', "format 99"),
        (b'{"ddg_explorer": 1, "state": {"system": 3}}', "names to strings"),
        (b'{"ddg_explorer": 1, "state": {"system": "nonsense"}}', "system='nonsense'"),
        (
            b'{"ddg_explorer": 1, "state": {}, "initial": {"shape": [2], "data": "AAAA"}}',
            "initial state",
        ),
        (
            b'{"ddg_explorer": 1, "state": {}, "initial": {"shape": [1e999], "data": ""}}',
            "initial state",
        ),
        (
            b'{"ddg_explorer": 1, "state": {}, "initial": {"shape": [-1, -1],'
            b' "data": "AAAAAAAA8D8="}}',
            "initial state",
        ),
        (b"[" * 100_000, "it is no JSON"),
    ],
)
def test_a_bad_recipe_is_one_line(data, line):
    with pytest.raises(ValueError, match=line) as caught:
        load_recipe(data)
    assert "\n" not in str(caught.value)


def test_an_initial_state_that_is_not_finite_is_refused():
    broken = dump_recipe(AppState(), torch.tensor([float("nan")]))
    with pytest.raises(ValueError, match="must be of finite numbers"):
        load_recipe(broken)


def test_a_state_comes_back_bit_by_bit():
    scene = Scene("kdv")
    (record,) = records(scene, [])
    data = state_file(record)
    u = opened_state("state.npz", data, record.kept.truth.state_shape)
    torch.testing.assert_close(u, record.kept.states[-1], rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"shape \(1, 50\), this scene has \(1, 64\)"):
        opened_state("state.npz", data, (1, 64))
    with pytest.raises(ValueError, match=r"^state\.npz: cannot be read \(is no NumPy archive"):
        opened_state("state.npz", b"nonsense", (1, 50))


def test_a_history_holds_every_lane_with_its_energies():
    found = records(Scene("kdv"), ["dgnet", "dgnet"])
    assert [r.name for r in found] == ["truth", "dgnet", "dgnet_2"]
    data = io.BytesIO(history_file(found))
    for record in found:
        group = xr.open_dataset(data, group=record.name, engine="h5netcdf")
        np.testing.assert_array_equal(group["u"].values, record.kept.states.numpy())
        np.testing.assert_array_equal(group["time"].values, record.kept.times)
        own = record.kept.dynamics.energy(record.kept.states)
        np.testing.assert_allclose(group["own_energy"].values, own.detach().numpy())
        assert json.loads(group.attrs["scene"])["system"] == "kdv"


def test_a_history_opens_with_the_true_lane_s_last_state():
    found = records(Scene("kdv"), ["dgnet"])
    states = [record.kept.states[-1] for record in found]
    assert not torch.equal(*states)
    for name in ("hist.nc", "HIST.NC"):
        u = opened_state(name, history_file(found), (1, 50))
        torch.testing.assert_close(u, states[0], rtol=0, atol=0)
    u = opened_state("dgnet.nc", history_file(found[1:]), (1, 50))
    torch.testing.assert_close(u, states[1], rtol=0, atol=0)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No temporary file can be written."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))


@pytest.mark.usefixtures("nowhere")
def test_a_history_needs_no_room_on_a_disk():
    """Where a disk fills up under HDF5, it ends the process."""
    (record,) = records(Scene("kdv"), [])
    group = xr.open_dataset(io.BytesIO(history_file([record])), group="truth", engine="h5netcdf")
    np.testing.assert_array_equal(group["u"].values, record.kept.states.numpy())


OUTSIDE = dump_recipe(replace(AppState(), scene=Scene("pendulum", n=64)))


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("hist.nc", b"nonsense", "hist.nc: cannot be read (is no netCDF-4 file, or damaged)"),
        ("state.npz", b"", "state.npz: cannot be read (is no NumPy archive, or damaged)"),
        ("m.safetensors", b"nonsense", "m.safetensors: is no checkpoint of a model, or damaged"),
        (
            "list.json",
            b"[1, 2]",
            "list.json: is no recipe of the explorer: it has no entry 'ddg_explorer'",
        ),
        (
            "new.json",
            b'{"ddg_explorer": 99}',
            "new.json: has format 99, this version reads 1",
        ),
        ("grid.json", OUTSIDE, "grid.json: n=64: pendulum has no grid"),
        (
            "start.json",
            dump_recipe(AppState(), torch.ones(3)),
            "start.json: initial state: has shape (3,), this scene needs (1, 50)",
        ),
        (
            "notes.txt",
            b"",
            "notes.txt: open one of .json, .safetensors, .npz, .nc",
        ),
    ],
)
def test_an_upload_that_cannot_be_opened_is_one_line_about_it(name, data, line):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        opened(name, data, Scene("kdv"))
    assert str(caught.value) == line


class Heard:
    """Files that go to the browser."""

    def __init__(self):
        self.files = []

        self.links = []

    def save(self, data, name):
        self.files.append((name, data))

    def copy_link(self, flat):
        self.links.append(flat)


@pytest.fixture
def bar(monkeypatch):
    """A share bar of KdV and what it tells the person; no lane has run."""
    told = []
    monkeypatch.setattr(session, "notify", told.append)
    store, shelf = Store(AppState(Scene("kdv"))), Shelf()
    race = Race(store, shelf, None, told.append)
    race.set_lanes([Lane()])
    made = ShareBar(store, shelf, race, Heard())
    made.told, made.store, made.race = told, store, race
    return made


def test_opening_a_recipe_that_cannot_be_built_changes_nothing(bar):
    before = bar.store.state
    asyncio.run(bar.take("grid.json", OUTSIDE))
    assert bar.told == ["grid.json: n=64: pendulum has no grid"]
    assert bar.store.state is before
    asyncio.run(bar.take("good.json", dump_recipe(AppState(Scene("pendulum")))))
    assert bar.store.state.scene.system == "pendulum"


@pytest.mark.usefixtures("nowhere")
def test_a_folder_that_cannot_be_written_to_is_one_line(bar):
    start = bar.store.state
    asyncio.run(bar.take("state.npz", b"PK"))
    for simulation in bar.race.simulations:
        simulation.turn(Turn(start.scene, steps=3, budget=None))
    asyncio.run(bar._chosen("Clip (GIF)"))
    assert len(bar.told) == 2
    assert all("No such file or directory" in line and "\n" not in line for line in bar.told)
    assert bar.store.state is start


def test_a_recipe_leaves_theme_and_language_to_whoever_opens_it(bar):
    scene = Scene("kdv", "two_solitons")
    bar.store.put(AppState(Scene("kdv"), view=View(dark=False, lang="ja")))
    recipe = dump_recipe(AppState(scene, view=View(exact=True, dark=True)))
    asyncio.run(bar.take("recipe.json", recipe))
    assert bar.store.state == AppState(scene, view=View(exact=True, dark=False, lang="ja"))


def test_a_state_starts_the_scene_that_it_was_opened_for(bar):
    (record,) = records(Scene("kdv"), [])
    data, seen = state_file(record), []
    asyncio.run(bar.take("STATE.NPZ", data))
    start = bar.store.state.scene.start
    assert isinstance(start, Start)
    assert start.label == "STATE.NPZ"
    torch.testing.assert_close(start.state, record.kept.states[-1], rtol=0, atol=0)

    async def meanwhile():
        task = asyncio.ensure_future(bar.take("state.npz", data))
        await asyncio.sleep(0)
        bar.store.put_scene(Scene("pendulum"))
        seen.append(bar.store.state.scene)
        await task

    asyncio.run(meanwhile())
    assert bar.told == ["state.npz: the scene has changed meanwhile; open it again"]
    assert bar.store.state.scene is seen[0]


SOLITON = Edit("add", ((5.0, 1.0),))


@pytest.fixture
def said(monkeypatch):
    """What the page tells that is no bad news."""
    lines = []
    for name in ("tell", "inform"):
        monkeypatch.setattr(session, name, lines.append)
    return lines


def test_a_recipe_after_painting_on_the_way_begins_at_the_state_that_is_seen(bar, said):
    scene, (truth,) = bar.store.state.scene, bar.race.simulations
    truth.turn(Turn(scene, steps=3, budget=None))
    truth.turn(Turn(scene, commands=(SOLITON,), budget=None))
    asyncio.run(bar._chosen("Recipe (JSON)"))
    ((name, data),) = bar._browser.files
    again = opened(name, data, scene)
    assert again.scene.start is not None
    torch.testing.assert_close(again.scene.start.state, truth.frame.u, rtol=0, atol=0)
    t = number(truth.frame.t, 4)
    assert said == [
        f"{name} is ready. It begins with the painted state of the true lane at t = {t}."
    ]
    truth.turn(Turn(scene, steps=0, commands=(Undo(),)))
    asyncio.run(bar._chosen("Recipe (JSON)"))
    assert opened(name, bar._browser.files[1][1], scene).scene.start is None
    assert said[1:] == [f"{name} is ready."]


def test_a_copied_link_says_what_it_leaves_out(bar, said):
    scene, (truth,) = bar.store.state.scene, bar.race.simulations
    truth.turn(Turn(scene, steps=1, budget=None))
    asyncio.run(bar._chosen("Copy link"))
    assert said == []
    truth.turn(Turn(scene, steps=0, commands=(SOLITON,)))
    asyncio.run(bar._chosen("Copy link"))
    assert said.pop() == "What was painted is not in the link: a recipe file carries it."
    truth.turn(Turn(scene, reset=True))
    bar.store.change_scene(start=Start(truth.frame.u, "drawn initial state"))
    asyncio.run(bar._chosen("Copy link"))
    line = (
        "The initial state that was drawn or opened is not in the link: a recipe file carries it."
    )
    assert said.pop() == line
    assert len(bar._browser.links) == 3


def test_models_of_the_session_are_said_to_be_missing_from_links_and_recipes(bar, said):
    bar.store.put_lanes([Lane(), Lane("node", source="mine"), Lane("dgnet", source="yours")])
    asyncio.run(bar._chosen("Copy link"))
    asyncio.run(bar._chosen("Recipe (JSON)"))
    missing = (
        "mine and yours of this session are not in the {}: Models (safetensors) in the Share menu "
        "saves them."
    )
    assert said[0] == missing.format("link")
    assert said[1] == f"kdv-published-seed4.json is ready. {missing.format('recipe')}"


def test_saving_before_the_first_frame_is_refused_in_one_line(bar):
    for label in set(labels()) - {"Recipe (JSON)"}:
        asyncio.run(bar._chosen({"label": label}))
        assert bar.told.pop() == "there is nothing to save yet: no lane has shown a frame"
    assert bar._browser.files == []


def test_what_is_being_made_is_said_and_made_once(bar, monkeypatch):
    begun, good = [], []

    @contextmanager
    def telling(line):
        begun.append(line)
        yield
        begun.remove(line)

    monkeypatch.setattr(session, "telling", telling)
    monkeypatch.setattr(session, "tell", good.append)
    clip = {"label": "Clip (GIF)"}

    async def twice():
        bar.race.simulations[0].advance(Turn(Scene("kdv"), steps=3, budget=None))
        task = asyncio.ensure_future(bar._chosen(clip))
        await asyncio.sleep(0)
        assert begun == ["Making the clip…"]
        await bar._chosen(clip)
        await task

    asyncio.run(twice())
    assert bar.told == ["Clip (GIF) is being made already."]
    assert begun == []
    ((name, _),) = bar._browser.files
    assert good == [f"{name} is ready."]
    asyncio.run(bar._chosen(clip))
    assert len(bar._browser.files) == 2


def test_a_file_is_made_of_what_was_shown_when_it_was_asked_for(bar):
    bar.race.simulations[0].advance(Turn(Scene("kdv"), steps=3, budget=None))
    shown = Shown.by(bar.race, bar.store.state)
    bar.store.put(AppState(Scene("pendulum")))
    bar.race.set_lanes([Lane(), Lane("hnn")])
    (record,) = shown.records()
    assert record.about["scene"]["system"] == "kdv"
    assert json.loads(MAKERS["Recipe (JSON)"][1](shown))["state"] == {"system": "kdv"}


def test_lanes_of_one_model_have_names_of_their_own():
    names = [record.name for record in records(Scene("pendulum"), ["dgnet", "hnn", "dgnet"])]
    assert names == ["truth", "dgnet", "hnn", "dgnet_2"]
    data = make_dataset("spring", trajectories=1, steps=2, cache=False)
    form = ModelRecipe.fitting("symplectic_form", data, hidden=4).build()
    shelf = Shelf()
    lane = Lane("symplectic_form", source=shelf.put("mine", form))
    found = run([lane, lane], Scene("mass_spring"), shelf)
    assert [record.name for record in found] == ["symplectic_form", "symplectic_form_2"]


def test_a_model_comes_back_and_runs_the_same():
    (_, record) = records(Scene("pendulum"), ["dgnet"])
    with zipfile.ZipFile(io.BytesIO(models_file([record]))) as archive:
        data = archive.read("dgnet.safetensors")
    model = opened_model("mine.safetensors", data)
    assert model.card["data"] == record.kept.dynamics.card["data"]
    u0 = record.kept.states[0]
    a, b = (Rollout(m, u0, 0.1).step(3).u for m in (model, record.kept.dynamics))
    torch.testing.assert_close(a, b, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"mine\.safetensors.*no checkpoint"):
        opened_model("mine.safetensors", b"nonsense")
    with pytest.raises(ValueError, match=r"^models: "):
        models_file(records(Scene("pendulum"), []))


@pytest.mark.parametrize("name", ["kdv", "cahn_hilliard_2d", "pendulum", "two_body"])
def test_the_picture_shows_every_lane(name):
    (record,) = records(Scene(name), [])
    one = Image.open(io.BytesIO(picture_file([record.reel()], *LOOK)))
    two = Image.open(io.BytesIO(picture_file([record.reel()] * 2, *LOOK)))
    assert two.width > 1.8 * one.width
    assert len(one.convert("RGB").getcolors(1 << 24)) > 20


def test_a_field_s_pixels_are_those_of_the_colour_table():
    (record,) = records(Scene("cahn_hilliard_2d"), [])
    reel = record.reel()
    image = np.asarray(Image.open(io.BytesIO(picture_file([reel], *LOOK))).convert("RGB"))
    table = np.frombuffer(LOOK[0], np.uint8).reshape(256, 4)[:, :3]
    low, high = reel.limits
    value = reel.values[-1][0, 0]  # the corner with the largest y
    expected = table[round((value - low) * 255 / (high - low))].astype(int)
    assert np.abs(image[12 + 30 + 1, 12 + 1].astype(int) - expected).max() <= 6


@pytest.mark.parametrize("size", [(320, 240), (240, 320), (96, 48)])
def test_a_circular_orbit_is_drawn_round(size):
    """One unit is as many pixels in x as in y, whatever the picture's shape."""
    (record,) = records(Scene("two_body"), [])
    spec = record.kept.picture.spec
    x0, x1, y0, y1 = window(spec, size)
    assert size[0] / (x1 - x0) == pytest.approx(size[1] / (y1 - y0), rel=1e-12)
    assert x0 <= spec["window"][0] or y0 <= spec["window"][2]
    angle = np.linspace(0, 2 * np.pi, 200)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) * spec["window"][1] / 2
    values = np.concatenate([ring] * (record.kept.states.shape[-1] // 2), 1)
    reel = replace(record.reel(), times=angle, values=values)
    pixels = np.asarray(drawn(reel, 9.0, *LOOK, tile=size)).astype(int)
    second = mixed(reel.colour, LOOK[1]["surface"], 1 / 3)  # drawn over the first
    rows, columns = np.nonzero(near(pixels, second))
    assert np.ptp(columns) == pytest.approx(np.ptp(rows), abs=12)


def near(pixels, colour):
    ink = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(pixels - ink).max(-1) < 8


def test_each_of_two_bodies_has_the_tint_of_the_live_picture():
    """The first the lane's, the second a paler one (`tint` of js/phase.js)."""
    (record,) = records(Scene("two_body"), [], steps=40)
    reel = record.reel()
    pixels = np.asarray(drawn(reel, 1e9, *LOOK)).astype(int)
    x0, x1, y0, y1 = window(reel.spec, pixels.shape[1::-1])
    last = reel.values[-1]
    for body, tint in enumerate([reel.colour, mixed(reel.colour, LOOK[1]["surface"], 1 / 3)]):
        x, y = last[2 * body : 2 * body + 2]
        column = round(pixels.shape[1] * (x - x0) / (x1 - x0))
        row = round(pixels.shape[0] * (1 - (y - y0) / (y1 - y0)))
        assert near(pixels, tint)[row - 3 : row + 4, column - 3 : column + 4].all()


def test_lanes_of_one_model_are_told_apart_in_pictures():
    """By shade, by the dash in the head, and by their titles."""
    first, second = (r.reel() for r in records(Scene("pendulum"), ["dgnet", "dgnet"])[1:])
    assert first.colour != second.colour
    gaps = []
    for reel in (first, second):
        image = Image.open(io.BytesIO(picture_file([reel], *LOOK))).convert("RGB")
        head = near(np.asarray(image).astype(int), reel.colour)[12 + 30 // 2, 12 : 12 + SWATCH]
        gaps.append(SWATCH - int(head.sum()))
    drawn_over = [sum(b - a for a, b in dashes(r.dash, SWATCH)) for r in (first, second)]
    assert gaps == pytest.approx([SWATCH - over for over in drawn_over], abs=1)
    assert gaps[0] < gaps[1]


def test_a_title_leaves_room_for_the_clock():
    (record,) = records(Scene("pendulum"), [])
    reel = replace(record.reel(), title="A model of this session with a name without an end " * 2)
    image = Image.open(io.BytesIO(picture_file([reel], *LOOK))).convert("RGB")
    plain = Image.open(io.BytesIO(picture_file([replace(reel, title="")], *LOOK))).convert("RGB")
    changed = np.any(np.asarray(image) != np.asarray(plain), axis=-1)
    clock = np.any(np.asarray(plain)[:40] != 255, axis=(0, 2)).nonzero()[0]
    assert changed.any(0).nonzero()[0].max() < clock[clock > 60].min()


def test_dashes_end_with_the_line():
    assert dashes((), 22) == [(0, 22)]
    assert dashes((8, 3), 22) == [(0, 8), (11, 19)]
    assert dashes((12, 3, 3, 3), 22) == [(0, 12), (15, 18), (21, 22)]


def test_a_clip_moves_and_is_evenly_spaced_in_time():
    found = [record.reel() for record in records(Scene("pendulum"), ["dgnet"], steps=12)]
    clip = Image.open(io.BytesIO(clip_file(".gif", found, *LOOK)))
    assert clip.n_frames == 13
    first = np.asarray(clip.convert("RGB")).copy()
    clip.seek(12)
    assert np.abs(np.asarray(clip.convert("RGB")).astype(int) - first).max() > 50
    assert MOST_FRAMES >= 100


def test_a_clip_of_nothing_is_refused():
    found = [record.reel() for record in records(Scene("pendulum"), [], steps=0)]
    with pytest.raises(ValueError, match="nothing has moved"):
        clip_file(".gif", found, *LOOK)
    with pytest.raises(ValueError, match=r"clip='\.avi'"):
        clip_file(".avi", found, *LOOK)


@pytest.mark.skipif(not video_available(), reason="imageio-ffmpeg is not installed")
def test_a_video_is_an_mp4():
    found = [record.reel() for record in records(Scene("pendulum"), [], steps=12)]
    assert clip_file(".mp4", found, *LOOK)[4:8] == b"ftyp"
