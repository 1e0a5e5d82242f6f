"""LaTeX in a page's text, set by the server as pictures that need no font, script or network.

They take size and colour of the text around them, stay sharp at any scale and are named by their
LaTeX.
"""

from __future__ import annotations

import re
from functools import lru_cache
from xml.etree import ElementTree

from ziamath.zmath import Latex

SCALE = 1.12
"""Size of the formulas' letters beside those of the text, whose small ones are larger."""
_SIZE = 16.0
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.DOTALL)
_NAME = re.compile(r"(\\(?:cosh?|sinh?|tanh?|exp|log))\s+(?=\w)")
"""A function and an argument without brackets: TeX leaves a thin space between them."""


def typeset(text: str) -> str:
    """HTML whose $…$ are formulas in the line, and $$…$$ on lines of their own."""

    def put(found: re.Match[str]) -> str:
        displayed, inline = found.groups()
        if inline is not None:
            return picture(inline, inline=True)
        style = "margin:10px 0;overflow-x:auto;overflow-y:hidden"
        return f'<div style="{style}">{picture(displayed)}</div>'

    return _FORMULA.sub(put, text)


@lru_cache(maxsize=1024)
def picture(latex: str, *, inline: bool = False) -> str:
    """One formula as SVG, which stands on the baseline of its line."""
    spaced = _NAME.sub(r"\1\\,", latex)
    formula = Latex(spaced, size=_SIZE, inline=inline)
    svg, em = formula.svgxml(), SCALE / _SIZE
    for side in ("width", "height"):
        svg.set(side, f"{float(svg.attrib[side]) * em:.3f}em")
    below = (formula.getyofst() - formula.margin) * em
    svg.set("style", f"vertical-align:{below:.3f}em;overflow:visible")
    for part in svg.iter():
        if "fill" in part.attrib:  # the library's own colour leaves overlines black
            part.set("fill", "currentColor")
    svg.set("role", "img")
    svg.set("aria-label", latex)
    return ElementTree.tostring(svg, encoding="unicode")
