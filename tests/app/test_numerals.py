"""Numbers as the page writes them."""

import pytest

from ddg_explorer.app.numerals import clock


@pytest.mark.parametrize(
    ("t", "text"),
    [
        (0.0, "0"),
        (6.6e-3, "0.0066"),
        (1.234567e-3, "0.001235"),
        (5.4321e-4, "5.432e−4"),
        (0.114, "0.114"),
        (12.3456, "12.35"),
    ],
)
def test_a_remembered_time_is_written_as_the_time_slider_writes_it(t, text):
    assert clock(t) == text
