"""The editor of G: a table of its entries, buttons that make it obey a law, and what it promises.

An edit acts on the running state of every lane that can follow; what is said below the table comes
from the operator that runs, not from what was typed. A learned G is opened as an edit. An edited G
stands beside the operator of the menu that it started from: entries, differences, symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import panel as pn
import param

from ddg_explorer.app import entries, learned_entries, operator_compare, operator_marks, texts
from ddg_explorer.app.changes import put
from ddg_explorer.app.component import Component, script, style
from ddg_explorer.app.entrants import Shelf
from ddg_explorer.app.learned_entries import Learned
from ddg_explorer.app.state import Scene
from ddg_explorer.app.store import Store
from ddg_explorer.app.turns import Setup
from ddg_explorer.app.widgets import Choice

ACTIONS = {
    "skew": ("Make skew", "Nearest G with Gᵀ = −G: the energy is conserved."),
    "dissipative": ("Make dissipative", "Just enough damping for ½(G + Gᵀ) ≤ 0."),
    "zero_sum": ("Zero sum", "The centre takes up the rest: the mass is conserved."),
    "isotropic": ("Isotropic", "Mean over all rotations and reflections."),
    "menu": ("Back to the menu", "Drop the edit and run the operator chosen above."),
}
CHOOSE = "Choose a model …"
NO_FORM = "This operator is a matrix of derivatives: choose another one from the menu instead."


class OperatorTable(Component):
    """Numbers in a table, with buttons below.

    `on_edit` hears the entries after every accepted edit, `on_action` the key of a button.
    """

    rows = param.Integer(1)
    columns = param.Integer(3)
    values = param.List([])
    names = param.List([], doc="Of the rows and columns of a matrix.")
    factor = param.String("", doc="What stands in front of the entries.")
    factor_doc = param.String("")
    note = param.String("")
    limit = param.Number(entries.ENTRY_LIMIT)
    actions = param.List([], doc="[key, label, tooltip, enabled] of each button.")

    _esm = script("refusal", "operator")
    _stylesheets: ClassVar[list[str]] = [style("operator")]

    def __init__(
        self, on_edit: Callable[[list[float]], None], on_action: Callable[[str], None]
    ) -> None:
        super().__init__(sizing_mode="stretch_width", margin=(4, 0))
        self._on_edit, self._on_action = on_edit, on_action
        self.on_msg(self._receive)

    def _receive(self, event: Any) -> None:
        if "entries" in event.data:
            self._on_edit(event.data["entries"])
        elif "action" in event.data:
            self._on_action(event.data["action"])


class OperatorEditor:
    """Table, badges, comparison and symbol of the operator that runs.

    Parameters
    ----------
    store
        Read for the scene that is being changed.
    change
        Called with the changed fields of the scene; refuses in one line.
    shelf
        The models of the session, among those whose learned G can be opened.
    """

    def __init__(
        self, store: Store, change: Callable[..., None], shelf: Shelf | None = None
    ) -> None:
        self._store, self._change, self._shelf = store, change, shelf or Shelf()
        self._form: entries.Form | None = None
        self._points: tuple[int, ...] = ()
        self._key = ""
        self._menu: tuple[Any, ...] = ()
        self._offered: tuple[Any, ...] = ()
        self._learned: dict[str, Learned] = {}
        self._refused = ""
        self.table = OperatorTable(self._edit, self._act)
        self.learned = Choice(
            "Open a learned G",
            {CHOOSE: ""},
            self._open,
            doc="Puts the G that a model has learned into the table; it then runs beside the "
            "true H.",
        )
        self.badges = pn.pane.HTML(
            "", margin=(4, 0, 0, 0), sizing_mode="stretch_width", stylesheets=[texts.BADGE_CSS]
        )
        self.comparison = pn.pane.HTML("", margin=(4, 0), sizing_mode="stretch_width")
        self.marks = pn.pane.HTML("", margin=0, sizing_mode="stretch_width")
        self.view = pn.Column(
            self.table,
            self.learned.widget,
            self.badges,
            self.comparison,
            self.marks,
            sizing_mode="stretch_width",
        )

    def show(self, setup: Setup) -> None:
        """Bring everything to the operator of a scene that holds."""
        scene, system = setup.scene, setup.system
        self._key = system.structure_key or entries.base_key(scene.structure, system)
        self._form = form = entries.form_of(system, self._key)
        self._points = () if system.grid is None else system.grid.shape
        edited = scene.entries is not None
        report = system.structure.report() if edited else None
        self.badges.object = operator_marks.badges(system, report)
        if form is None:
            put(self.table, values=[], actions=[])
            self.learned.widget.visible = self.comparison.visible = False
            self.marks.object = texts.paragraph(NO_FORM, small=True)
            return
        menu = self._of_menu(scene, system, form)
        values = scene.entries or menu.values
        put(
            self.table,
            rows=form.rows,
            columns=form.columns,
            names=list(form.names),
            values=list(values),
            factor=form.factor_text,
            factor_doc=f"Every entry is multiplied by {form.factor:.6g}.",
            note=_note(system, self._key, form, edited),
            actions=[[k, *ACTIONS[k], True] for k in entries.laws_of(form)]
            + [["menu", *ACTIONS["menu"], edited]],
        )
        self._offer(scene, system)
        self._compare(values, menu, form, edited)

    def _offer(self, scene: Scene, system: Any) -> None:
        """The models whose learned G suits the scene; one that is open stays chosen."""
        models = learned_entries.candidates(scene.system, self._shelf)
        known = (*self._menu[:1], *models)
        if self._offered != known:
            self._offered = known
            self._learned, self._refused = learned_entries.opened_all(models, system)
        found = self._learned
        none = "None fits this scene" if models and not found else CHOOSE
        self.learned.show(
            next((title for title, g in found.items() if g.entries == scene.entries), ""),
            options={none: ""} | {title: title for title in found},
            disabled=not found,
            visible=bool(models),
        )

    def _compare(
        self, values: Any, menu: operator_compare.Menu, form: entries.Form, edited: bool
    ) -> None:
        learned = self._learned.get(self.learned.value)
        parts = [texts.paragraph(x, small=True) for x in (self._refused,) if x]
        if edited:
            parts += [texts.paragraph(learned.sentence(), small=True)] if learned else []
            parts.append(
                operator_compare.comparison(values, menu, form, learned=learned is not None)
            )
        put(self.comparison, object="".join(parts), visible=bool(parts))
        true = menu.symbol if edited else None
        self.marks.object = operator_marks.symbol(values, form, true, menu.name)

    def _of_menu(self, scene: Scene, system: Any, form: entries.Form) -> operator_compare.Menu:
        """The menu's operator, kept while it stays the same: for any edit, start and pace."""
        known = replace(
            scene,
            structure=self._key,
            entries=None,
            activation="tanh",
            seed=None,
            start=None,
            dt=None,
            integrator=None,
            tol=None,
        )
        if self._menu[:1] != (known,):
            self._menu = (known, operator_compare.Menu.of(scene, system, self._key, form))
        return self._menu[1]

    def _open(self, title: str) -> None:
        """The learned G as an edit of the true one, with the strengths that one had."""
        if title:
            g = self._learned[title]
            parameters = {**self._store.state.scene.parameters, **g.parameters}
            self._change(structure=g.structure, entries=g.entries, parameters=parameters)

    def _edit(self, values: list[float]) -> None:
        self._change(structure=self._key, entries=tuple(values))

    def _act(self, action: str) -> None:
        if action == "menu":
            self._change(entries=None)
        elif self._form is not None:
            values = self._store.state.scene.entries or tuple(self.table.values)
            self._edit(list(entries.projected(values, action, self._form, self._points)))


def _note(system: Any, key: str, form: entries.Form, edited: bool) -> str:
    """What the entries stand for."""
    if form.kind == "matrix":
        many = system.grid is None and system.state_shape[0] > form.rows
        return "The same for every coordinate." if many else ""
    height = system.grid.spacing[0]
    weights = "Weights of the neighbours" + (f", Δx = {height:.3g}." if form.factor_text else ".")
    if edited or (system.operator != "spectral" and key not in entries.TWINS):
        return weights
    twin = "the spectral operator" if system.operator == "spectral" else "an operator of the state"
    return f"{weights} Now {twin} runs; an edit starts from these differences."
