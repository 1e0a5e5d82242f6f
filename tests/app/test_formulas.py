"""Formulas as pictures: all that the pages show can be set, in the size and on the line of text."""

import re
from xml.etree import ElementTree

import pytest

from ddg_explorer.app import equations
from ddg_explorer.app.formulas import SCALE, picture, typeset
from ddg_explorer.app.pages.theory import LANGUAGES
from ddg_explorer.app.state import Scene
from ddg_explorer.app.turns import build
from ddg_explorer.systems import SYSTEMS

UNDRAWN = re.compile(r"[\\${}]")


def svg(latex: str, **options: bool) -> ElementTree.Element:
    return ElementTree.fromstring(picture(latex, **options))


def measure(element: ElementTree.Element, name: str) -> float:
    return float(element.attrib[name].removesuffix("em"))


def drawn(element: ElementTree.Element) -> int:
    """How many glyphs and rules the picture has."""
    return sum(part.tag.endswith(("use", "rect")) for part in element.iter())


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_running_equation_of_every_system_is_set_glyph_by_glyph(system):
    scene = Scene(system)
    for line in equations.lines(scene, build(scene)):
        letters = len(re.sub(r"\{pmatrix\}|\\[A-Za-z]+|[\\{}&^_,\s]", "", line))
        assert drawn(svg(line)) >= letters, line


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_latex_is_left_in_the_theory(language):
    for name, words in LANGUAGES[language].items():
        text = re.sub(r"<svg.*?</svg>", "", typeset(words), flags=re.DOTALL)
        assert not UNDRAWN.search(text), (name, text)


def test_a_formula_stands_on_its_line_and_grows_with_it():
    short, deep = svg("x", inline=True), svg(r"x_{\frac{1}{2}}", inline=True)
    lows = [
        float(re.findall(r"vertical-align:(\S+?)em", s.attrib["style"])[0]) for s in (short, deep)
    ]
    assert lows[1] < lows[0] < 0.1
    assert 0.3 * SCALE < measure(short, "height") < SCALE
    assert measure(deep, "height") > measure(short, "height")


def test_a_displayed_formula_is_larger_than_one_in_the_line():
    shown, inline = svg(r"\frac{a}{b}"), svg(r"\frac{a}{b}", inline=True)
    assert measure(shown, "height") > 1.2 * measure(inline, "height")


def test_all_of_it_takes_the_colour_of_the_text():
    one = svg(r"\overline\nabla H + \frac{a}{b} + \bar x")
    painted = [part for part in one.iter() if part.tag.endswith(("use", "rect"))]
    assert {part.attrib["fill"] for part in painted} == {"currentColor"}
    assert not any("stroke" in part.attrib for part in one.iter())


def test_it_is_named_by_its_latex():
    assert svg("u < v").attrib["aria-label"] == "u < v"


def test_a_function_keeps_apart_from_its_argument():
    assert measure(svg(r"\cos q"), "width") > measure(svg(r"\cos{}"), "width") + measure(
        svg("q"), "width"
    )
