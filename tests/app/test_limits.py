"""Limits that follow the data in strides, and stay where a person pins them."""

import math

import pytest

from ddg_explorer.app.limits import Limits, grown, snapped


def test_snapped_limits_hold_the_span_and_are_symmetric_for_signed_fields():
    low, high = snapped((-0.2, 3.0), signed=True)
    assert low == -high
    assert high >= 3.0
    low, high = snapped((1.0, 2.0), signed=False)
    assert low < 1.0 < 2.0 < high


@pytest.mark.parametrize("signed", [True, False])
def test_constant_data_still_have_an_extent(signed):
    low, high = snapped((0.0, 0.0), signed)
    assert low < high


def test_limits_do_not_move_for_small_excursions_and_stride_for_large_ones():
    start = (-1.0, 1.0)
    assert grown(start, (-1.01, 1.01), signed=True) == start
    low, high = grown(start, (-0.5, 1.5), signed=True)
    assert low == -high
    assert high > 1.5 * 1.1
    assert grown((0.0, 1.0), (0.2, 2.0), signed=False)[0] == 0.0


def test_a_ramp_moves_the_limits_rarely():
    limits, moves = Limits((0.0, 1.0), signed=False), 0
    for i in range(1000):
        before = limits.value
        limits.follow((0.0, 1.0 + 0.01 * i))
        moves += limits.value != before
    assert limits.value[1] >= 10.99 / 1.02
    assert moves <= 15


def test_pinned_limits_stay_until_they_are_snapped():
    limits = Limits((-1.0, 1.0), signed=True)
    limits.pin(-0.5, 0.5)
    limits.follow((-9.0, 9.0))
    assert limits.value == (-0.5, 0.5)
    limits.snap((-2.0, 1.0))
    limits.follow((-9.0, 9.0))
    assert limits.value[1] >= 9.0


@pytest.mark.parametrize(
    ("pair", "line"),
    [
        ((1.0, 1.0), "limits=1, 1: need low < high"),
        ((2.0, 1.0), "limits=2, 1: need low < high"),
        ((math.nan, 1.0), "limit=nan: must be a finite number"),
        ((0.0, math.inf), "limit=inf: must be a finite number"),
    ],
)
def test_senseless_limits_are_refused(pair, line):
    with pytest.raises(ValueError, match=f"^{line}$"):
        Limits((0.0, 1.0), signed=False).pin(*pair)


def test_a_state_that_is_not_finite_leaves_the_limits():
    limits = Limits((0.0, 1.0), signed=False)
    limits.follow((math.nan, math.inf))
    assert limits.value == (0.0, 1.0)
