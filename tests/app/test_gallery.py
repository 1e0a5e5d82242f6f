"""The gallery: a picture and a line for every preset, small, rendered from real runs."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ddg_explorer.app.gallery import Gallery, first_sentence, groups, racers
from ddg_explorer.app.races import RACES, race_of
from ddg_explorer.app.thumbnails import FOLDER, SUFFIX, data_uri
from ddg_explorer.app.thumbnails.__main__ import LIMIT_BYTES, SIZE, render
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.weights import find_weights

PRESETS = [(name, preset) for name, cls in SYSTEMS.items() for preset in cls.presets]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_preset_has_a_picture_with_something_in_it(name, preset):
    encoded = data_uri(name, preset).removeprefix("data:image/webp;base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert picture.size == SIZE
    opacity = np.asarray(picture.convert("RGBA"))[..., 3]
    assert opacity.std() > 8
    assert opacity.max() > 200


def test_pictures_are_small_together_and_none_is_left_over():
    files = list(FOLDER.glob(f"*{SUFFIX}"))
    assert {f.name for f in files} == {f"{n}.{p}{SUFFIX}" for n, p in PRESETS}
    assert sum(f.stat().st_size for f in files) <= LIMIT_BYTES


@pytest.mark.parametrize(("name", "preset"), [("mass_spring", "oscillation"), ("wave", "pulse")])
def test_a_picture_is_what_the_command_renders(name, preset):
    encoded = data_uri(name, preset).removeprefix("data:image/webp;base64,")
    stored = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    fresh = render(name, preset)
    a, b = (np.asarray(p, float)[..., 3] for p in (stored, fresh))
    assert np.abs(a - b).mean() < 6


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
    assert gallery.groups == []
    gallery._receive(Event(open=True))
    assert len(gallery.groups) == len(SYSTEMS)
    gallery._receive(Event(system="wave", preset="standing"))
    assert seen == [("wave", "standing")]
