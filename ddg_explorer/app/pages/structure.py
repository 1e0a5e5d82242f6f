"""Structure: what an operator G is, learned or fixed, and which laws it obeys by how much."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import panel as pn

from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.layout import card
from ddg_explorer.app.learned_entries import LEARNED
from ddg_explorer.app.pages import markup, structure_figures
from ddg_explorer.app.pages.figures import pane, square_pane
from ddg_explorer.app.pages.specimens import (
    Specimen,
    of_model,
    of_system,
    published_kernel,
)
from ddg_explorer.app.pages.structure_words import tolerance_note, verdict_table
from ddg_explorer.app.theme import LANE_COLOURS, mode
from ddg_explorer.app.widgets import Choice, NumberSlider
from ddg_explorer.models import MODELS, EnergyModel, Model, load_model
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.weights import SHIPPED

DISCRETISATIONS = {"Finite differences": "finite_difference", "Spectral": "spectral"}
WRAPPED = {"& .MuiSelect-select.MuiSelect-select": {"whiteSpace": "normal", "fontSize": 14}}
"""Titles longer than a phone is wide take a second line."""
PARTS = {
    "real": ("Re Ĝ", "Growth of the energy in the wave k: at or below zero it never rises."),
    "imag": ("Im Ĝ", "Transport of the wave k: it moves waves and leaves the energy as it is."),
}
MIXING = (
    "Channels mix, so the symbol is a matrix at every k; its entries that are not zero. The energy "
    "is decided by the eigenvalues of ½(Ĝ + Ĝᴴ), which are those of the verdict."
)


class StructurePage:
    """One operator at a time: weights, Fourier symbol, verdicts with margins.

    Parameters
    ----------
    dark
        Theme.
    shelf
        Models of the session, whose operators are offered as they come.

    Attributes
    ----------
    view
        What the main area shows.
    specimen
        What is shown.
    """

    def __init__(self, dark: bool, shelf: Shelf | None = None) -> None:
        self._dark = dark
        self._makers: dict[str, Callable[[], Specimen]] = {}
        self._titles: dict[str, str] = {}
        self._list_learned()
        for name, system in SYSTEMS.items():
            self._titles[f"True operators: {system.title}"] = f"system:{name}"
        self.which = Choice("Operator of", self._titles, lambda _: self._enter())
        self.which.widget.sx = {**self.which.widget.sx, **WRAPPED}
        self.operator = Choice("Structure operator G", {"–": ""}, lambda _: self._take())
        self.discretisation = Choice("Derivatives", DISCRETISATIONS, lambda _: self._take())
        self.tolerance = NumberSlider(
            self._judge,
            key="verdict-tolerance",
            label="Tolerance of the verdicts",
            doc="Defect that a verdict allows, relative to the largest weight or entry of G.",
            start=1e-14,
            end=0.1,
            low=1e-16,
            high=0.9,
            scale="log",
            value=1e-3,
        )
        self._head, self._verdicts, self._note = (markup.text() for _ in range(3))
        self._pictures = pn.FlexBox(sizing_mode="stretch_width", gap="16px")
        self.view = self._layout()
        self._enter()
        shelf = Shelf() if shelf is None else shelf
        for name, model in shelf.items().items():
            self.offer(name, model)
        shelf.subscribe(self.offer)

    def offer(self, name: str, model: Model) -> None:
        """Add the operator of a model of this session to the list, where it was learned."""
        if not isinstance(model, EnergyModel) or model.structure.module is None:
            return
        title = f"Of this session: {name}"
        self._makers[title] = lambda: of_model(name, model)
        self._titles = {title: title, **self._titles}
        self.which.show(self.which.value, options=self._titles)

    def restyle(self, dark: bool) -> None:
        """Redraw in the other theme."""
        if dark != self._dark:
            self._dark = dark
            self._draw()

    def _list_learned(self) -> None:
        """Kernels first: they are what there is most to see of."""
        rows = [row for row in SHIPPED if row.structure in LEARNED and row.path.is_file()]
        for row in sorted(rows, key=lambda row: row.structure != "learned_kernel"):
            system, what = SYSTEMS[row.system].title, LEARNED[str(row.structure)]
            title = f"Learned: {system}, {MODELS[row.model].title}, {what}"
            self._makers[title] = lambda row=row, title=title: of_model(title, load_model(row.path))
        title = "Learned, published: Cahn–Hilliard (2-D)"
        kernels = sum(row.structure == "learned_kernel" for row in rows)
        learned = list(self._makers)
        self._makers[title] = published_kernel
        for name in (*learned[:kernels], title, *learned[kernels:]):
            self._titles[name] = name

    def _enter(self) -> None:
        """Offer the operators of what was chosen."""
        name = self.which.value
        if name in self._makers:
            self.operator.widget.visible = self.discretisation.widget.visible = False
            self._show(self._makers[name]())
            return
        system = SYSTEMS[name.removeprefix("system:")]()
        options = {title: key for key, title in system.structures.items()}
        self.operator.show(system.structure_key, options=options, visible=True)
        self.discretisation.show(
            system.operator or "finite_difference", visible=system.grid is not None
        )
        self._take()

    def _take(self) -> None:
        """The chosen operator of a system."""
        name, has_grid = (
            self.which.value.removeprefix("system:"),
            self.discretisation.widget.visible,
        )
        operator = self.discretisation.value if has_grid else None
        self._show(of_system(name, self.operator.value, operator))

    def _show(self, specimen: Specimen) -> None:
        self.specimen = specimen
        self.tolerance.param.update(value=specimen.tolerance, note=tolerance_note(specimen))
        self._draw()

    def _judge(self, tolerance: float) -> None:
        self._verdicts.object = verdict_table(self.specimen, tolerance)

    def _draw(self) -> None:
        """Figures take seconds to draw: those of another operator go before the heading comes."""
        found, self._pictures.objects = self.specimen, []
        self._head.object = f"<h3>{html.escape(found.title)}</h3>{markup.caption(found.note)}"
        self._judge(self.tolerance.value)
        weights, symbols = self._weight_cards(), self._symbol_cards()
        side = len(weights) == 1
        self._pictures.objects = [_row(part, side) for part in (weights, symbols) if part]

    def _weight_cards(self) -> list[Any]:
        found = self.specimen
        if found.weights is None:
            words = "Its weights reach over the whole grid: no small stencil to print."
            return [_line_card(words)]
        shown = [("Learned" if found.gap is not None else "Weights", found.weights)]
        if found.beside_weights is not None:
            shown.append((found.beside_title, found.beside_weights))
        limit = max(float(weights.abs().max()) for _, weights in shown)
        kernel = found.kind == "kernel"
        return [
            card(
                markup.text(f"<h3>{title}</h3>"),
                pane(
                    structure_figures.heat_map(
                        weights, limit, self._dark, kernel=kernel, names=found.names
                    )
                ),
                styles={"flex": "1 1 300px", "max-width": "560px"},
            )
            for title, weights in shown
        ]

    def _symbol_cards(self) -> list[Any]:
        found = self.specimen
        symbol = found.structure.symbol()
        if symbol is None or found.grid is None:
            words = "An operator that is no convolution has no Fourier symbol."
            return [] if found.grid is None else [_line_card(words)]
        symbol = symbol.detach()
        beside = None if found.beside is None else found.beside.symbol()
        if found.grid.ndim == 1:
            return self._curve_cards(symbol, beside)
        return self._image_cards(symbol, beside)

    def _curve_cards(self, symbol: Any, beside: Any) -> list[Any]:
        found, dark = self.specimen, self._dark
        assert found.grid is not None
        shown = structure_figures.entries(symbol)
        if beside is not None and beside.ndim == 1:
            shown.append((found.beside_title, beside))
        cards = []
        for part in structure_figures.parts_of([s for _, s in shown]):
            title, words = PARTS[part] if symbol.ndim == 1 else (PARTS[part][0], MIXING)
            fig = structure_figures.curves(shown, found.grid, part, dark)
            cards.append(_symbol_card(title, words, fig, _curve_key(shown, dark)))
        return cards

    def _image_cards(self, symbol: Any, beside: Any) -> list[Any]:
        found, dark = self.specimen, self._dark
        assert found.grid is not None
        if symbol.ndim > 2:
            words = "The symbol of an operator that mixes channels is a matrix at every k."
            return [_line_card(words)]
        shown = [("" if beside is None else "this operator", symbol)]
        if beside is not None:
            shown.append((found.beside_title[:1].lower() + found.beside_title[1:], beside))
        cards = []
        for part in structure_figures.parts_of([s for _, s in shown]):
            title, words = PARTS[part]
            limit = structure_figures.largest([s for _, s in shown], part)
            for name, each in shown:
                if part not in structure_figures.parts_of([each]):
                    continue
                fig = structure_figures.image(each, found.grid, part, limit, dark)
                cards.append(_image_card(f"{title}, {name}" if name else title, words, fig))
        return cards

    def _layout(self) -> pn.Column:
        controls = pn.FlexBox(
            pn.Row(self.which.widget, styles={"flex": "2 1 280px"}),
            pn.Row(self.operator.widget, styles={"flex": "2 1 280px"}),
            pn.Row(self.discretisation.widget, styles={"flex": "1 1 160px"}),
            sizing_mode="stretch_width",
            align_items="center",
            gap="6px 16px",
        )
        title = markup.text(
            markup.heading(
                "Structure",
                "The operator G in du/dt = G ∇H decides the law. Here is what it is, and by how "
                "much it obeys each law: measured, not assumed.",
            )
        )
        verdicts = card(
            self._head,
            self._verdicts,
            pn.Row(self.tolerance, styles={"max-width": "420px"}, sizing_mode="stretch_width"),
            styles={"gap": "12px"},
        )
        return pn.Column(
            title,
            card(controls),
            verdicts,
            self._pictures,
            sizing_mode="stretch_width",
            styles={"gap": "16px"},
        )


def _row(cards: list[Any], side: bool) -> pn.FlexBox:
    """Cards in a row of their own, or with `side` beside another row."""
    basis = "1 1 380px" if side else "1 1 100%"
    return pn.FlexBox(*cards, sizing_mode="stretch_width", gap="16px", styles={"flex": basis})


def _line_card(words: str) -> pn.Column:
    return card(markup.text(markup.caption(words)), styles={"flex": "1 1 300px"})


def _symbol_card(title: str, words: str, fig: Any, key: str) -> pn.Column:
    head = markup.text(f"<h3>{html.escape(title)}</h3>{markup.caption(words)}{key}")
    return card(head, pane(fig), styles={"flex": "1 1 400px", "gap": "8px"})


def _image_card(title: str, words: str, fig: Any) -> pn.Column:
    """A picture over both wavenumbers, whose names are set beside it: Bokeh has no subscripts."""
    head = markup.text(f"<h3>{html.escape(title)}</h3>{markup.caption(words)}")
    down = markup.text('<div class="down">k<sub>x</sub> Δx</div>')
    down.param.update(width=20, sizing_mode=None, align="center")
    across = markup.text('<div class="across">k<sub>y</sub> Δy</div>')
    picture = pn.Row(down, square_pane(fig), sizing_mode="stretch_width")
    return card(
        head, picture, across, styles={"flex": "1 1 300px", "max-width": "560px", "gap": "8px"}
    )


def _curve_key(shown: list[tuple[str, Any]], dark: bool) -> str:
    if len(shown) < 2:
        return ""
    colours = LANE_COLOURS[mode(dark)]
    drawn = [(markup.mark("line", colours[1]), shown[0][0])]
    for place, (name, _) in enumerate(shown[1:]):
        drawn.append((markup.mark("dashed", colours[(0, 2, 3)[place % 3]]), name))
    return markup.key(*drawn)
