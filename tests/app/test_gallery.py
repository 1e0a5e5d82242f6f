"""The gallery: a picture and a line for every preset, small, rendered from real runs."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from ddg_explorer.app.gallery import (
    Gallery,
    first_sentence,
    groups,
    racers,
    scale_of,
    tables,
)
from ddg_explorer.app.pictures import picture
from ddg_explorer.app.races import RACES, race_of
from ddg_explorer.app.theme import PALETTES, colour_table, mode
from ddg_explorer.app.thumbnails import FOLDER, SUFFIX, data_uri
from ddg_explorer.app.thumbnails.__main__ import LIMIT_BYTES, SIZE, STEPS, render
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.weights import find_weights

PRESETS = [(name, preset) for name, cls in SYSTEMS.items() for preset in cls.presets]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_preset_has_a_picture_with_something_in_it(name, preset):
    encoded = data_uri(name, preset).removeprefix("data:image/webp;base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert picture.size == SIZE
    levels = np.asarray(picture.convert("L"))
    assert levels.std() > 8
    assert levels.max() > 150


def test_pictures_are_small_together_and_none_is_left_over():
    files = list(FOLDER.glob(f"*{SUFFIX}"))
    assert {f.name for f in files} == {f"{n}.{p}{SUFFIX}" for n, p in PRESETS}
    assert sum(f.stat().st_size for f in files) <= LIMIT_BYTES


@pytest.mark.parametrize(("name", "preset"), [("mass_spring", "oscillation"), ("wave", "pulse")])
def test_a_picture_is_what_the_command_renders(name, preset):
    encoded = data_uri(name, preset).removeprefix("data:image/webp;base64,")
    stored = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L")
    fresh = render(name, preset)
    a, b = (np.asarray(p, float) for p in (stored, fresh))
    assert np.abs(a - b).mean() < 4


def test_time_runs_up_in_a_picture_as_in_the_lanes():
    """The soliton starts at the bottom and has travelled at the speed 4k² = 2h at the top."""
    system = SYSTEMS["kdv"]("soliton")
    picture = np.asarray(render("kdv", "soliton"), float)
    crests = picture[[0, -1]].argmax(1) * system.grid.length[0] / SIZE[0]
    start = float(system.initial()[0].argmax()) * system.grid.spacing[0]
    steps = STEPS["kdv", "soliton"]
    travelled = 2 * float(system.initial().max()) * system.dt * steps
    apart = [crests[1] - start, crests[0] - start - travelled]
    length = system.grid.length[0]
    assert max(abs(math.remainder(x, length)) for x in apart) < 0.02 * length


def test_zero_has_the_middle_colour_and_nothing_leaves_the_limits():
    levels = np.asarray(render("wave", "standing"), float)
    assert abs(np.median(levels) - 127.5) < 3
    assert levels.min() < 40
    assert levels.max() > 215


@pytest.mark.parametrize("dark", [False, True])
def test_pictures_are_coloured_as_the_lanes_are(dark):
    found = {k: np.frombuffer(base64.b64decode(t), np.uint8) for k, t in tables(dark).items()}
    for name, cls in SYSTEMS.items():
        system = cls()
        scale = scale_of(name)
        if system.grid is None:
            ink = PALETTES[mode(dark)]["ink"]
            assert "#" + bytes(found[scale][-4:-1]).hex() == ink
            np.testing.assert_array_equal(found[scale][3::4], np.arange(256))
        else:
            assert scale == picture(system, system.initial()).scale
            assert found[scale].tobytes() == colour_table(scale, dark)


def test_cards_have_a_title_and_one_sentence():
    found = groups()
    assert [title for title, _ in found] == [cls.title for cls in SYSTEMS.values()]
    for _, cards in found:
        for card in cards:
            preset = SYSTEMS[card["system"]].presets[card["preset"]]
            assert preset.about.startswith(card["line"].removesuffix("."))
            assert 10 < len(card["line"]) < 160
            assert card["race"] == bool(racers(card["system"], card["preset"]))


def test_the_badge_is_only_where_trained_models_are_there():
    for name, preset in PRESETS:
        for model in racers(name, preset):
            assert race_of(name, preset) is not None
            assert find_weights(name, model) is not None
    assert racers("kdv", "published")
    assert not racers("kdv", "two_solitons")


def test_race_presets_are_titled_for_a_class():
    for name, race in RACES.items():
        preset = SYSTEMS[name].presets[race.preset]
        assert preset.title.startswith("Race: ")
        assert any(word in preset.about.lower() for word in ("watch", "pull"))


def test_first_sentence():
    assert first_sentence("One. Two.") == "One."
    assert (
        first_sentence("With γ = 0.5 and t = 9.7 it runs.") == "With γ = 0.5 and t = 9.7 it runs."
    )


def test_pictures_are_sent_when_the_dialog_opens():
    class Event:
        def __init__(self, **data):
            self.data = data

    seen = []
    gallery = Gallery(lambda system, preset: seen.append((system, preset)))
    gallery.restyle(False)
    assert gallery.groups == []
    assert gallery.tables == {}
    gallery._receive(Event(open=True))
    assert len(gallery.groups) == len(SYSTEMS)
    assert gallery.tables == tables(False)
    gallery.restyle(True)
    assert gallery.tables == tables(True)
    gallery._receive(Event(system="wave", preset="standing"))
    assert seen == [("wave", "standing")]
