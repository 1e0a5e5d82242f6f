"""Short texts of the page: symbols, badges, labels. HTML is escaped where it comes from outside."""

from __future__ import annotations

import html
import re

from ddg_explorer.app.races import race_of
from ddg_explorer.app.state import Scene
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.recipes import TRAIN_SEED
from ddg_explorer.structure import Structure

_GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ϵ",
    "varepsilon": "ε",
    "kappa": "κ",
    "lambda": "λ",
    "mu": "μ",
    "nu": "ν",
    "rho": "ρ",
    "sigma": "σ",
    "omega": "ω",
}
OPERATORS = {"Finite differences": "finite_difference", "Spectral": "spectral"}
DTYPES = {"float64 (double)": "float64", "float32 (single)": "float32"}


def unicode_symbol(latex: str) -> str:
    """A parameter's LaTeX symbol as plain text: \\gamma → γ."""
    return re.sub(r"\\([a-z]+)", lambda m: _GREEK.get(m[1], m[1]), latex).replace("_", "")


def parameter_label(name: str, symbol: str, doc: str = "") -> str:
    """Name and symbol; where the name is only that Greek letter, what the doc says that it is."""
    plain = unicode_symbol(symbol)
    if _GREEK.get(name) == plain:
        name = doc.partition(":")[0].removeprefix("strength of the ")
    return f"{name.replace('_', ' ').capitalize()} {plain}".strip()


SHORT_SCHEMES = {
    "discrete_gradient": "DG",
    "collocation2": "Collocation 2",
    "collocation4": "Collocation 4",
    "collocation6": "Collocation 6",
    "collocation8": "Collocation 8",
    "implicit_midpoint": "Implicit midpoint",
    "midpoint": "RK2",
    "rk4": "RK4",
    "dopri5": "Dormand–Prince",
    "euler": "Euler",
}


def short_scheme(key: str) -> str:
    """An integrator's name where there is little room."""
    return SHORT_SCHEMES.get(key, INTEGRATORS[key].title)


def held_out(scene: Scene) -> str:
    """What the models have and have not seen of a scene."""
    race = race_of(scene.system, scene.chosen_preset)
    if race is None:
        return "No model was trained for this preset. A lane tells why its model does not run here."
    if scene.chosen_seed == TRAIN_SEED:
        return "This initial state was in the training data; any other seed is held out."
    return (
        "This initial state is held out: no shipped model has seen it. Each was trained once on "
        "the data of this preset; its card tells the budget."
    )


def integrator_label(key: str) -> str:
    """Title and order, where the title does not tell it."""
    cls = INTEGRATORS[key]
    order = f"order {cls.order}"
    return cls.title if order in cls.title else f"{cls.title} · {order}"


def badges(structure: Structure, *, has_mass: bool) -> str:
    """What the structure operator's flags promise, as HTML."""
    if structure.is_skew:
        law = ("good", "✓", "conserves energy")
    elif structure.is_dissipative:
        law = ("good", "✓", "dissipates energy")
    else:
        law = ("bad", "!", "law broken: can create energy")
    found: list[tuple[str, str, str]] = [law]
    if has_mass:
        found.append(
            ("good", "✓", "conserves mass")
            if structure.conserves_mass
            else ("warn", "–", "mass not conserved in general")
        )
    return "".join(badge(*b) for b in found)


def badge(kind: str, mark: str, text: str) -> str:
    """One badge: good, warn, bad or plain."""
    return f'<span class="badge {kind}"><b aria-hidden="true">{mark}</b> {html.escape(text)}</span>'


BADGE_CSS = """
.badge { display: inline-block; margin: 0 6px 6px 0; padding: 3px 10px; border-radius: 999px;
  font-size: 12px; line-height: 18px; border: 1px solid currentColor; }
.badge b { font-weight: 700; }
.good { color: var(--ddg-good, green); } .warn { color: var(--ddg-warn, #9a5b00); }
.bad { color: var(--ddg-bad, #b3261e); } .plain { color: var(--ddg-muted, gray); }
"""


def paragraph(text: str, *, small: bool = False) -> str:
    """Running text in the page's type."""
    size = "12px" if small else "13px"
    return (
        f'<p style="margin:4px 0;font-size:{size};line-height:1.5;'
        f'color:var(--ddg-muted, inherit)">{html.escape(text)}</p>'
    )
