"""How models are trained: the published recipe, and ours.

`published` is a network of width 200 and 10,000 Adam steps of 200 pairs at 1e-3 in float64 (ODEs,
two bodies apart: 2000 full-batch steps with weight decay 1e-4 in float32), with inputs as they are
(Matsubara, Ishikawa and Yaguchi 2020, arXiv:1905.08604; Greydanus et al. 2019). `ours` is a small
network on whitened inputs with Levenberg–Marquardt, chosen on a validation split of the training
trajectories; or with Adam or SOAP where that does not suit; `quick` is the same with fewer steps on
fewer residuals, for a class that watches. Noisy observations of an ODE have a recipe of their own,
the same for `ours` and `quick`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.training.defaults import default_optimizer

BUDGETS = ("ours", "published", "quick")
HELD_OUT = 0.1
"""Fraction of the training trajectories that is held out for validation."""
SMALL = {"kdv": 16, "cahn_hilliard": 20, "cahn_hilliard_2d": 16}
"""Hidden width of a field's small network; others have 16."""
STEPS = {"kdv": 540, "cahn_hilliard": 380, "cahn_hilliard_2d": 340}
"""Levenberg–Marquardt iterations for a field; others take `LM_STEPS`. For an ODE `train` chooses:
noise asks for another method."""
LM_STEPS = 300
QUADRATIC = ("kdv", "cahn_hilliard", "cahn_hilliard_2d")
"""Systems whose small energy network gets a quadratic form beside it; an SRNN's parts do always."""
ROWS = (1000, 3500)
"""Residuals an iteration for a field, at the start and from two thirds on: a minute in all."""
ROWS_2D = (1000, 1300)
"""The same in two dimensions, where a residual takes 75 outer products and 1.6 MB."""
ODE_ROWS = (1000, 5000)
"""States an iteration for an ODE: the whole of the published sets at the end."""
TWO_BODY_ROWS = (200, 800)
"""Every state has eight residuals."""
TWO_BODY = {
    "srnn": ({"hidden": 12}, {"optimizer": "lm", "rows": TWO_BODY_ROWS, "steps": LM_STEPS}),
    "node": (
        {"hidden": 100},
        {"optimizer": "soap", "steps": 5000, "lr": 3e-3, "schedule": "cosine", "scale": True},
    ),
}
"""Network and training of two models of two bodies: with quadratic parts, as other SRNNs have them,
the bodies leave their orbits; and a field of eight components takes a network that is too wide for
Levenberg–Marquardt."""
NOISY = {"optimizer": "lm", "steps": 40, "rows": ODE_ROWS, "noise": "states"}
"""Training on noisy observations of an ODE."""
NOISY_HIDDEN = {"srnn": 6}
"""Hidden width there; others have 8, with which the fit of an SRNN fails from some seeds."""
NOISY_RIDGE = {"mass_spring": 30.0}
"""Weight of the prior on an energy network's weights there; others have `shooting.RIDGE`."""
QUICK_STEPS = 60
QUICK_ROWS = {"cahn_hilliard_2d": (500, 1200)}
"""Residuals an iteration of the quick budget; others take `QUICK_FIELD_ROWS`."""
QUICK_FIELD_ROWS = (600, 2000)
QUICK_FIRST_ORDER_STEPS = 600
QUICK_TRAJECTORIES = {"cahn_hilliard_2d": 6}
"""Trajectories of the quick budget; others take 30, or all where there are fewer."""
ADAM_WHITENED = {
    "optimizer": "adam",
    "steps": 5000,
    "lr": 3e-3,
    "schedule": "cosine",
    "scale": True,
}
"""Training on whitened inputs of what Levenberg–Marquardt does not suit."""
ODES = ("mass_spring", "pendulum", "two_body")


@dataclass(frozen=True)
class Budget:
    """A network and how it is trained.

    Attributes
    ----------
    name
        One of `BUDGETS`, with its number of steps where that was changed.
    network
        Options of `ModelRecipe.fitting`.
    training
        Options of `train`.
    otherwise
        Those for a model that Levenberg–Marquardt does not suit: a large network, float32, or an
        operator without a finite reach.
    """

    name: str
    network: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    otherwise: Mapping[str, Any] | None = None

    def options(self, model: Model) -> Mapping[str, Any]:
        """The options of `train` that suit this model."""
        suits = self.training["optimizer"] != "lm" or default_optimizer(model) == "lm"
        if suits or self.otherwise is None:
            return self.training
        return {**self.otherwise, "scale": False} if _stiffened(model) else self.otherwise

    def with_optimizer(self, optimizer: str | None) -> Budget:
        """The same with an optimiser of one's own choice, and its default settings.

        Levenberg–Marquardt takes the network in float64, whatever the budget has.
        """
        if optimizer in (None, self.training["optimizer"]):
            return self if optimizer is None else replace(self, otherwise=None)
        network = dict(self.network)
        if optimizer == "lm":
            network["dtype"] = "float64"
        return replace(self, network=network, training={"optimizer": optimizer}, otherwise=None)

    def with_options(self, **options: Any) -> Budget:
        """The same with more options of `train`; those that are None are left as they are."""
        given = {name: value for name, value in options.items() if value is not None}
        otherwise = None if self.otherwise is None else {**self.otherwise, **given}
        return replace(self, training={**self.training, **given}, otherwise=otherwise)

    def with_steps(self, steps: int | None) -> Budget:
        """The same with another number of steps, which its name then tells."""
        if steps is None or steps == self.training.get("steps"):
            return self
        return replace(self.with_options(steps=steps), name=f"{self.name}-{steps}-steps")


def ours(system: str, model: str, *, ode: bool = False, noisy: bool = False) -> Budget:
    """The best recipe known here for a model of a system, or of an `ode` that is not known here.

    `noisy`: for observations with noise; it changes that of an ODE, two bodies apart.
    """
    if noisy and (ode or system in ODES) and system != "two_body":
        return Budget("ours", *_noisy(system, model), ADAM_WHITENED)
    if system == "two_body" and model in TWO_BODY:
        return Budget("ours", *TWO_BODY[model], ADAM_WHITENED)
    network: dict[str, Any] = {"hidden": 8 if model == "srnn" else SMALL.get(system, 16)}
    if model == "srnn" or (system in QUADRATIC and model != "node"):
        network["skip"] = True
    training: dict[str, Any] = {"optimizer": "lm"}
    if ode or system in ODES:
        training["rows"] = TWO_BODY_ROWS if system == "two_body" else ODE_ROWS
    else:
        training |= {
            "steps": STEPS.get(system, LM_STEPS),
            "rows": ROWS_2D if system == "cahn_hilliard_2d" else ROWS,
        }
    return Budget("ours", network, training, ADAM_WHITENED)


def _noisy(system: str, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Network and training; an energy has a quadratic part, which the prior leaves free."""
    network: dict[str, Any] = {"hidden": NOISY_HIDDEN.get(model, 8)}
    if model == "node":
        return network, dict(NOISY)
    ridge = {"ridge": NOISY_RIDGE[system]} if system in NOISY_RIDGE else {}
    return {**network, "skip": True}, {**NOISY, **ridge}


def quick(system: str, model: str, *, ode: bool = False, noisy: bool = False) -> Budget:
    """Ours in some twenty seconds of a core; less accurate, see `QUICK_TRAJECTORIES`."""
    found = ours(system, model, ode=ode, noisy=noisy)
    training = dict(found.training)
    if training["optimizer"] != "lm":
        training["steps"] = QUICK_FIRST_ORDER_STEPS
    elif ode and system not in ODES:
        training.setdefault("steps", QUICK_STEPS)
    elif system not in ODES:
        rows = QUICK_ROWS.get(system, QUICK_FIELD_ROWS)
        training |= {"steps": QUICK_STEPS, "rows": rows}
    otherwise = {**ADAM_WHITENED, "steps": QUICK_FIRST_ORDER_STEPS}
    return Budget("quick", found.network, training, otherwise)


def published(system: str, model: str, *, ode: bool = False) -> Budget:
    """The recipe of the published tables, or that of an `ode` which is not in them."""
    if (ode or system in ODES) and system != "two_body":
        training = {"optimizer": "adam", "steps": 2000, "batch": None, "lr": 1e-3}
        return Budget("published", {"dtype": "float32"}, training | {"weight_decay": 1e-4})
    adam = {"optimizer": "adam", "steps": 10_000, "batch": 200, "lr": 1e-3}
    network: dict[str, Any] = {"dtype": "float64"}
    if model == "node" and system not in ODES:
        # one 3-wide convolution, as the energies have; ours sees as far as their slopes do
        network["width"] = 3
    return Budget("published", network, adam)


def _stiffened(model: Model) -> bool:
    """Whether whitening would make an untrained model too stiff for its training scheme.

    Neighbouring values hardly differ, so whitened inputs magnify their differences, and an energy's
    gradient is magnified twice.
    """
    return model.scheme == "dopri5" and isinstance(model, EnergyModel)


def budget(name: str, system: str, model: str, *, ode: bool = False, noisy: bool = False) -> Budget:
    """The budget of that name for data of a system; ValueError for an unknown one.

    Data of a system that is not known here are taken for a field's unless they are an `ode`'s.
    `noisy` tells whether their noise is to be reckoned with; the published recipe does not.
    """
    if name not in BUDGETS:
        raise ValueError(f"budget={name!r}: use one of {', '.join(BUDGETS)}")
    if name == "published":
        return published(system, model, ode=ode)
    make = quick if name == "quick" else ours
    return make(system, model, ode=ode, noisy=noisy)
