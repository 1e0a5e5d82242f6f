"""Theory: the method on one page, with two pictures to play with, in English or Japanese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ddg_explorer.app.formulas import typeset
from ddg_explorer.app.layout import card
from ddg_explorer.app.pages import markup
from ddg_explorer.app.pages.theory_english import ENGLISH
from ddg_explorer.app.pages.theory_japanese import JAPANESE
from ddg_explorer.app.pages.theory_secant import SecantPicture
from ddg_explorer.app.pages.theory_step import StepPicture

LANGUAGES: Mapping[str, Mapping[str, str]] = {"en": ENGLISH, "ja": JAPANESE}
_GAP = {"gap": "8px"}
NAMES = {"English": "en", "日本語": "ja"}
TITLES = {"en": "Theory", "ja": "理論"}
PROSE = (
    *("energy", "laws", "discrete", "step", "automatic", "secant", "cancel"),
    *("training", "limits", "references"),
)
STYLE = """
ul { margin: 0; padding-left: 1.2em; max-width: 46em; }
li { margin: 0 0 6px; }
td div { color: var(--ddg-muted, inherit); margin-top: 2px; }
[lang="ja"] { font-family: "Hiragino Sans", "Yu Gothic UI", "Noto Sans CJK JP", "Noto Sans JP",
  "IPAexGothic", sans-serif; line-height: 1.75; }
"""


class TheoryPage:
    """Texts, formulas and live pictures.

    Parameters
    ----------
    dark
        Theme.
    language
        "en" or "ja" to begin with.

    Attributes
    ----------
    view
        What the main area shows.

    Raises
    ------
    ValueError
        For another language.
    """

    def __init__(self, dark: bool, language: str = "en") -> None:
        if language not in LANGUAGES:
            raise ValueError(f"language={language!r}: use one of {', '.join(LANGUAGES)}")
        words = LANGUAGES[language]
        self.step = StepPicture(dark, words)
        self.secant = SecantPicture(dark, words)
        self.language = pmui.RadioButtonGroup(options=NAMES, value=language, size="small", margin=0)
        self._title = markup.text()
        self._prose = {name: _prose() for name in PROSE}
        self.language.param.watch(lambda event: self._say(event.new), "value")
        self.view = self._layout()
        self._say(language)

    def restyle(self, dark: bool) -> None:
        """Colours of the other theme."""
        self.step.restyle(dark)
        self.secant.restyle(dark)

    def _say(self, language: str) -> None:
        words = LANGUAGES[language]
        head = markup.heading(TITLES[language], words["lead"])
        with pn.io.hold():
            self._title.object = f'<div lang="{language}">{head}</div>'
            for name, shown in self._prose.items():
                shown.object = f'<div lang="{language}">{typeset(words[name])}</div>'
            self.step.reword(words)
            self.secant.reword(words)

    def _layout(self) -> pn.Column:
        prose = self._prose
        top = pn.FlexBox(
            pn.Row(self._title, styles={"flex": "1 1 320px"}),
            self.language,
            sizing_mode="stretch_width",
            align_items="flex-start",
            gap="8px 24px",
        )
        return pn.Column(
            top,
            _pair(card(prose["energy"]), card(prose["laws"])),
            _pair(
                _stack(card(prose["discrete"]), card(prose["limits"])),
                card(prose["step"], self.step.view, styles=_GAP),
            ),
            _pair(
                _stack(card(prose["automatic"]), card(prose["training"])),
                card(prose["secant"], self.secant.view, styles=_GAP),
            ),
            card(
                prose["cancel"],
                _pair(self.secant.error_view, self.secant.numbers),
                styles=_GAP,
            ),
            prose["references"],
            sizing_mode="stretch_width",
            styles={"gap": "16px", "max-width": "1240px"},
        )


def _stack(*cards: Any) -> pn.Column:
    return pn.Column(*cards, sizing_mode="stretch_width", styles={"gap": "16px"})


def _prose() -> pn.pane.HTML:
    return pn.pane.HTML(margin=0, sizing_mode="stretch_width", stylesheets=[markup.STYLE, STYLE])


def _pair(left: Any, right: Any) -> pn.FlexBox:
    """Two cards side by side, one above the other where the page is narrow."""
    for part in (left, right):
        part.styles = {**part.styles, "flex": "1 1 380px", "min-width": "0"}
    return pn.FlexBox(left, right, sizing_mode="stretch_width", gap="16px")
