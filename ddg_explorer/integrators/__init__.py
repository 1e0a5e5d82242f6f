"""Time-stepping schemes by name; the names are the CLI's and the URL's values."""

from ddg_explorer.integrators.base import Integrator, Step, Stepper
from ddg_explorer.integrators.collocation import (
    Collocation2,
    Collocation4,
    Collocation6,
    Collocation8,
)
from ddg_explorer.integrators.discrete_gradient import DiscreteGradient
from ddg_explorer.integrators.dopri5 import Dopri5
from ddg_explorer.integrators.etdrk4 import ETDRK4
from ddg_explorer.integrators.explicit import RK4, Euler, Midpoint
from ddg_explorer.integrators.implicit_midpoint import ImplicitMidpoint
from ddg_explorer.integrators.leapfrog import Leapfrog

INTEGRATORS: dict[str, type[Integrator]] = {
    "discrete_gradient": DiscreteGradient,
    "collocation2": Collocation2,
    "collocation4": Collocation4,
    "collocation6": Collocation6,
    "collocation8": Collocation8,
    "implicit_midpoint": ImplicitMidpoint,
    "leapfrog": Leapfrog,
    "midpoint": Midpoint,
    "rk4": RK4,
    "dopri5": Dopri5,
    "euler": Euler,
    "etdrk4": ETDRK4,
}

__all__ = ["INTEGRATORS", "Integrator", "Step", "Stepper", "resolve_integrator"]


def resolve_integrator(integrator: str | Integrator, tol: float | None = None) -> Integrator:
    """The integrator of that name with tolerance `tol`, or the given one.

    Raises
    ------
    ValueError
        For an unknown name, or a `tol` beside an integrator that has its own.
    """
    if isinstance(integrator, Integrator):
        if tol is not None:
            raise ValueError(f"tol={tol}: give it to the integrator itself")
        return integrator
    if integrator not in INTEGRATORS:
        raise ValueError(f"integrator={integrator!r}: use one of {', '.join(INTEGRATORS)}")
    return INTEGRATORS[integrator](tol=tol)
