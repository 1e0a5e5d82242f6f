"""Lanes are told apart: by models in hue and dash, of one model in shade and dash, for any eye."""

from itertools import combinations

import numpy as np
import pytest

from ddg_explorer.app.looks import Look, lane_looks, mixed
from ddg_explorer.app.state import LANES
from ddg_explorer.app.theme import LANE_COLOURS, LANE_DASHES, MODEL_ORDER, PALETTES

EYES = {
    "any": np.eye(3),
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.147], [0.005, 0.691, 0.304]],
}
"""What reaches them of linear red, green and blue (Machado, Oliveira and Fernandes 2009)."""
XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
BARELY = 2.3
"""The difference of two colours in CIELAB that is just seen."""

themes = pytest.mark.parametrize("dark", [False, True])
models = pytest.mark.parametrize("place", range(len(MODEL_ORDER)), ids=MODEL_ORDER)


def linear(colour):
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(colour, eye="any"):
    x, y, z = np.cbrt(XYZ @ (EYES[eye] @ linear(colour)).clip(0, 1) / np.sum(XYZ, 1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def apart(one, other):
    """Least distance in CIELAB that any eye sees between two colours."""
    return min(float(np.linalg.norm(lab(one, eye) - lab(other, eye))) for eye in EYES)


def contrast(one, other):
    low, high = sorted(float(linear(c) @ XYZ[1]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def hue(colour):
    _, a, b = lab(colour)
    return np.degrees(np.arctan2(b, a)), np.hypot(a, b)


def between(one, other):
    return abs((one - other + 180) % 360 - 180)


@themes
def test_the_first_lane_of_a_model_looks_as_the_model_does_everywhere(dark):
    looks = lane_looks(MODEL_ORDER)
    assert [look.colour(dark) for look in looks] == list(LANE_COLOURS["dark" if dark else "light"])
    assert [look.dash for look in looks] == list(LANE_DASHES)


@themes
@models
def test_a_second_lane_of_a_model_has_its_hue_and_another_shade(place, dark):
    first, second = (Look(place, turn).colour(dark) for turn in (0, 1))
    assert apart(first, second) > 5 * BARELY
    own, vivid = hue(first)
    if vivid < 20:  # greys: their further shades are greys
        assert hue(second)[1] < 20
        return
    of_second, still = hue(second)
    assert still > 20
    others = [hue(LANE_COLOURS["dark" if dark else "light"][i]) for i in range(len(MODEL_ORDER))]
    nearest = min(between(of_second, angle) for angle, rich in others if rich >= 20)
    assert between(of_second, own) == nearest < 20


@themes
@models
def test_every_shade_is_seen_on_the_card_and_is_not_the_truth_s(place, dark):
    palette = PALETTES["dark" if dark else "light"]
    for turn in range(LANES):
        colour = Look(place, turn).colour(dark)
        assert contrast(colour, palette["surface"]) > 2.99
        if place:
            assert apart(colour, Look(0).colour(dark)) > 2 * BARELY


@themes
@pytest.mark.parametrize(
    "lanes",
    [
        ["truth", *["dgnet"] * 5],
        ["truth", "dgnet", "dgnet", "hnn", "hnn", "symplectic_form"],
        ["truth", "hnnpp", "srnn", "hnnpp", "srnn", "node"],
        ["truth"] * LANES,
    ],
)
def test_no_two_lanes_look_alike_and_none_as_a_model_that_is_not_shown(lanes, dark):
    looks = lane_looks(lanes)
    dashes = [tuple(look.dash) for look in looks]
    assert len(set(dashes)) == len(lanes)
    for one, other in combinations(looks, 2):
        assert one.colour(dark) != other.colour(dark)
        if {one.turn, other.turn} == {0, 1}:
            assert apart(one.colour(dark), other.colour(dark)) > 2 * BARELY
    absent = [i for i, model in enumerate(MODEL_ORDER) if model not in lanes]
    assert not {Look(i).colour(dark) for i in absent} & {look.colour(dark) for look in looks}
    assert not {tuple(LANE_DASHES[i]) for i in absent} & set(dashes)


@themes
def test_swatches_have_colour_and_dash_of_their_lane(dark):
    assert Look(0).swatch(dark) == Look(0).colour(dark)
    looks = [Look(place, turn) for place in range(1, len(MODEL_ORDER)) for turn in (0, 1)]
    assert len({look.swatch(dark) for look in looks}) == len(looks)
    for look in looks:
        dash, colour = look.dash, look.colour(dark)
        start = f"{colour} 0px {dash[0]}px, transparent {dash[0]}px {dash[0] + dash[1]}px"
        assert start in look.swatch(dark)
        assert look.swatch(dark).count("transparent") == len(dash) // 2


def test_colours_are_mixed_as_in_the_live_pictures():
    assert mixed("#0b6aa8", "#ffffff", 0) == "#0b6aa8"
    assert mixed("#000000", "#ffffff", 0.5) == "#808080"
    assert mixed("#1c2430", "#ffffff", 1 / 3) == "#686d75"
