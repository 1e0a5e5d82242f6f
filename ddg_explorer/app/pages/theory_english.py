"""The theory page in English: HTML with LaTeX between dollar signs."""

from __future__ import annotations

from collections.abc import Mapping

from ddg_explorer.app.pages.theory_formulas import (
    CHAIN_RULE,
    DISCRETE_CHAIN_RULE,
    DISCRETE_DYNAMICS,
    DISCRETE_LAW,
    DYNAMICS,
    LAW_TABLE,
    LOSS,
    OPERATIONS_TABLE,
    REFERENCES,
    TANH,
)

ENGLISH: Mapping[str, str] = {
    "lead": (
        "A physical system is modelled by its energy. Discretising the calculus, not the equation, "
        "carries the law of the energy over to every finite step, and to neural networks."
    ),
    "energy": f"""
<h3>The energy drives, G decides the law</h3>
<p>Many systems of physics follow one equation. $u$ is the state, $H(u)$ its energy, and $G$ a
linear operator, the structure operator:</p>
{DYNAMICS}
<p>The chain rule turns it into a law for the energy in which only $G$ has a say:</p>
{CHAIN_RULE}
<p>So a network has to learn one number for every state, its energy. Whatever it learns, the law
holds, because $G$ makes it hold.</p>
""",
    "laws": LAW_TABLE.format(
        title="From G to the law",
        head=("Structure operator", "Law", "Examples"),
        skew="skew-symmetric",
        skew_law="energy is conserved",
        skew_examples="S on (q, p): pendulum, planets, molecules; ∂x: KdV equation",
        negative="negative semi-definite",
        negative_law="energy never rises",
        negative_examples=(
            "S − R: friction; Δ: phase separation (Cahn–Hilliard); −1: Allen–Cahn, cracks"
        ),
        columns="columns sum to zero",
        columns_law="mass is conserved",
        columns_examples="∂x and Δ",
        free="anything else",
        free_law="no promise",
        free_examples="a G learned without constraint: its laws are measured afterwards",
    ),
    "discrete": f"""
<h3>Discretise the calculus, not the equation</h3>
<p>A discrete gradient $\\overline\\nabla H(v, u)$ looks at two states. It obeys the chain rule for
finite differences exactly, and becomes the gradient where both states meet:</p>
{DISCRETE_CHAIN_RULE}
<p>The model is a difference equation from the start:</p>
{DISCRETE_DYNAMICS}
<p>and the argument from above goes through word for word:</p>
{DISCRETE_LAW}
<p>A skew $G$ conserves the energy and a negative semi-definite one lets it fall, at any $\\Delta t$
whose equation is solved: exactly, up to rounding and the reported residual of the solve. A $G$ that
depends on the state is taken at the midpoint.</p>
""",
    "step": """
<h3>One step on the contours of the energy</h3>
<p class="caption">The pendulum, $H = \\frac{1}{2}p^2 + 1 - \\cos q$, nondimensional. A
discrete-gradient step ends on the contour where it began: what error it makes lies along the
contour. The explicit schemes leave it. An angle beyond the picture comes back by whole turns. Click
into the picture to start elsewhere.</p>
""",
    "automatic": f"""
<h3>Differentiate networks discretely</h3>
<p>Automatic discrete differentiation finds $\\overline\\nabla H$ of a whole network. It is
reverse-mode differentiation with every Jacobian replaced by a discrete one:</p>
{
        OPERATIONS_TABLE.format(
            head=("Operation", "Discrete Jacobian"),
            linear="linear: dense, convolution, sum, Fourier transform",
            activation="activation σ",
            product="product x·y",
            means="with the means of both ends",
        )
    }
<p>Written as it stands, the quotient of an activation cancels: as the ends meet, two nearly equal
numbers are subtracted and the digits are lost. Closed forms do not cancel; for tanh</p>
{TANH}
""",
    "secant": """
<h3>Secant and tangent</h3>
<p class="caption">The discrete Jacobian of an activation is the slope of its secant; where the ends
meet it is the tangent. Drag the ends, or move them with the sliders.</p>
""",
    "cancel": """
<h3>What cancellation costs</h3>
<p class="caption">Relative error of the slope as the ends approach $u$, against the closed form in
double precision. That itself is accurate to 5e−15 in units of the activation's largest slope
(tested with 50 digits), so relative errors say little where the slope passes through zero. The dots
are the ends chosen above.</p>
""",
    "training": f"""
<h3>Train without an integrator, predict implicitly</h3>
<p>Both ends of every step are data, so training minimises the defect of the difference equation
itself. There is no time integration and no adjoint:</p>
{LOSS}
<p>What the step misses of a continuous motion, $O(\\Delta t^2)$, goes into the learned $H$, which
therefore belongs to the $\\Delta t$ of its data; where these obey the same difference equation, it
misses nothing. Only prediction is implicit: every step solves that equation for the next state.</p>
""",
    "limits": """
<h3>What is promised, and what is not</h3>
<ul>
<li>The law holds for the energy that the model has. A learned $H$ is conserved to rounding; from
the true energy it differs by what training left over and, for data of a continuous motion, by
$O(\\Delta t^2)$.</li>
<li>With a skew $G$ the energy error of a step is exactly $\\overline\\nabla H\\cdot r$, the product
with the residual $r$ of the solve; it is shown with every run.</li>
<li>Conservation is not accuracy. The step is of second order: at a large $\\Delta t$ it runs along
the right contour at the wrong speed.</li>
<li>A large step may have no unique solution; for Cahn–Hilliard that is so beyond about
$\\Delta t = 8\\gamma$. A solve that does not converge says so.</li>
</ul>
""",
    "references": REFERENCES.format(title="Sources"),
    "dt": "Time step Δt",
    "steps": "Steps",
    "activation": "Activation σ",
    "u": "End u",
    "v": "End v",
    "distance": "Distance |v − u|",
    "contour": "energy contours",
    "start": "start",
    "exact": "exact motion",
    "curve": "σ",
    "chord": "secant",
    "tangent": "tangent at u",
    "scheme": "Scheme",
    "change": "H(end) − H(start)",
    "residual": "Residual",
    "failed": "did not converge",
    "slope": "Slope",
    "value": "Value",
    "error": "Relative error",
    "closed64": "closed form",
    "quotient64": "quotient, double",
    "quotient32": "quotient, single",
    "closed32": "closed form, single",
    "reference": "reference",
    "position": "angle q",
    "momentum": "momentum p",
    "discrete_gradient": "Discrete gradient",
    "midpoint": "Explicit midpoint (RK2)",
    "euler": "Explicit Euler",
}
