"""What the theory page says in every language: formulas, and tables with words to fill in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DYNAMICS = r"$$\frac{du}{dt} = G\,\nabla H(u)$$"
CHAIN_RULE = r"$$\frac{dH}{dt} = \nabla H \cdot \frac{du}{dt} = \nabla H^{\top} G\,\nabla H$$"
DISCRETE_CHAIN_RULE = (
    r"$$\overline\nabla H(v, u)\cdot(v - u) = H(v) - H(u)$$"
    r"$$\overline\nabla H(u, u) = \nabla H(u)$$"
)
DISCRETE_DYNAMICS = r"$$\frac{v - u}{\Delta t} = \overline{G}\,\overline\nabla H(v, u)$$"
DISCRETE_LAW = (
    r"$$\frac{H(v) - H(u)}{\Delta t} = \overline\nabla H \cdot \frac{v - u}{\Delta t} = "
    r"\overline\nabla H^{\top}\,\overline{G}\,\overline\nabla H$$"
)
TANH = (
    r"$$\frac{\tanh v - \tanh u}{v - u} = "
    r"\frac{\sinh(v - u)}{(v - u)\,\cosh v\,\cosh u}$$"
)
LOSS = (
    r"$$\frac{1}{N}\sum_{n}\, \lVert \frac{u_{n+1} - u_n}{\Delta t} - "
    r"\overline{G}\,\overline\nabla H_\theta(u_{n+1}, u_n) \rVert^2$$"
)
SOURCES = (
    "T. Matsubara, A. Ishikawa, T. Yaguchi: Deep energy-based modeling of discrete-time physics. "
    "NeurIPS 2020, arXiv:1905.08604.",
    "T. Matsubara, N. Aoshima, A. Ishikawa, T. Yaguchi. IEEE TNNLS 36(8), 2025, "
    "doi 10.1109/TNNLS.2025.3529516.",
    "O. Gonzalez: Time integration and discrete Hamiltonian systems. J. Nonlinear Sci. 6, 449, "
    "1996, doi 10.1007/BF02440162.",
    "D. Furihata, T. Matsuo: Discrete Variational Derivative Method. Chapman and Hall/CRC, 2010.",
)


@dataclass(frozen=True)
class LawTable:
    """Which property of G gives which law; `format` fills in a language's words."""

    laws: Sequence[tuple[str, str, str]] = (
        ("skew", r"$G^{\top} = -G$", r"$\dfrac{dH}{dt} = 0$"),
        ("negative", r"$g^{\top} G\, g \le 0$", r"$\dfrac{dH}{dt} \le 0$"),
        ("columns", r"$1^{\top} G = 0$", r"$\dfrac{d}{dt}\int u = 0$"),
        ("free", "", ""),
    )

    def format(self, title: str, head: Sequence[str], **words: str) -> str:
        rows = "".join(
            f"<tr><td class='text'>{words[name]}<div>{property_}</div></td>"
            f"<td class='text'>{words[f'{name}_law']}<div>{law}</div></td>"
            f"<td class='text'>{words[f'{name}_examples']}</td></tr>"
            for name, property_, law in self.laws
        )
        return f"<h3>{title}</h3>{_table(head, rows)}"


@dataclass(frozen=True)
class OperationsTable:
    """Discrete Jacobians of the operations of a network."""

    def format(self, head: Sequence[str], **words: str) -> str:
        quotient = r"$\dfrac{\sigma(v) - \sigma(u)}{v - u}$"
        rows = (
            f"<tr><td class='text'>{words['linear']}</td><td class='text'>$W$</td></tr>"
            f"<tr><td class='text'>{words['activation']}</td><td class='text'>{quotient}</td></tr>"
            f"<tr><td class='text'>{words['product']}</td><td class='text'>"
            rf"$\bar x\,\Delta y + \bar y\,\Delta x$<br>{words['means']}</td></tr>"
        )
        chain = (
            r"$$\overline\nabla(f \circ g)(v, u) = "
            r"\overline{J}_g(v, u)^{\top}\;\overline\nabla f(g(v), g(u))$$"
        )
        return chain + _table(head, rows)


@dataclass(frozen=True)
class References:
    """The sources, which have one title in every language."""

    def format(self, title: str) -> str:
        lines = "".join(f"<li>{line}</li>" for line in SOURCES)
        return f"<h3>{title}</h3><ul class='caption'>{lines}</ul>"


LAW_TABLE, OPERATIONS_TABLE, REFERENCES = LawTable(), OperationsTable(), References()


def _table(head: Sequence[str], rows: str) -> str:
    cells = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    return (
        f'<div class="scroll"><table class="wide"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
