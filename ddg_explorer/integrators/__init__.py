"""Time-stepping schemes by name; the names are the CLI's and the URL's values."""

from ddg_explorer.integrators.base import Integrator, Step, Stepper
from ddg_explorer.integrators.discrete_gradient import DiscreteGradient
from ddg_explorer.integrators.implicit_midpoint import ImplicitMidpoint

INTEGRATORS: dict[str, type[Integrator]] = {
    "discrete_gradient": DiscreteGradient,
    "implicit_midpoint": ImplicitMidpoint,
}

__all__ = ["INTEGRATORS", "Integrator", "Step", "Stepper"]
