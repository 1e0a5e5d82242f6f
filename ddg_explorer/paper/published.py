"""The published tables, as data: means over 15 trials.

Errors of du/dt (`evaluation.derivative_error`), and mean square errors of energy and state over the
test rollouts. Rows are `model/train/predict`; the three predictions of a DGNet share its error of
du/dt. Source: T. Matsubara, A. Ishikawa and T. Yaguchi, NeurIPS 2020, arXiv:1905.08604.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

Row = dict[str, float]


@dataclass(frozen=True)
class RowName:
    """What a row is called: `model@budget/train/predict`, as a string and taken apart."""

    model: str
    train: str
    predict: str
    budget: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """The parts of a name."""
        who, train, predict = name.split("/")
        model, _, budget = who.partition("@")
        return cls(model, train, predict, budget)

    def __str__(self) -> str:
        return f"{self.model}@{self.budget}/{self.train}/{self.predict}"

    @property
    def published(self) -> str:
        """Its key in the published table, which knows no budgets."""
        return f"{self.model}/{self.train}/{self.predict}"


def _pde(table: dict[str, tuple[float, float, float]]) -> dict[str, Row]:
    return {
        name: {"du_dt": slope, "energy_mse": energy, "state_mse": state}
        for name, (slope, energy, state) in table.items()
    }


def _ode(table: dict[str, tuple[float, float]]) -> dict[str, Row]:
    return {name: {"du_dt": slope, "energy_mse": energy} for name, (slope, energy) in table.items()}


PUBLISHED: dict[str, dict[str, Row]] = {
    "kdv": _pde(
        {
            "node/rk2/rk2": (1.15e1, 4.57e4, 2.86e0),
            "node/dopri5/dopri5": (1.15e1, 5.58e4, 2.84e0),
            "hnnpp/rk2/rk2": (3.63e-2, 6.32e-3, 7.00e-4),
            "hnnpp/dopri5/dopri5": (2.33e-2, 3.01e-3, 3.35e-4),
            "dgnet/dg/rk2": (1.75e-2, 1.84e-3, 2.78e-4),
            "dgnet/dg/dopri5": (1.75e-2, 1.60e-3, 2.54e-4),
            "dgnet/dg/dg": (1.75e-2, 1.60e-3, 2.55e-4),
        }
    ),
    "ch": _pde(
        {
            "node/rk2/rk2": (7.91e2, 1.43e-2, 9.15e-1),
            "node/dopri5/dopri5": (7.90e2, 1.42e-2, 9.14e-1),
            "hnnpp/rk2/rk2": (3.44e2, 1.33e-1, 8.76e-2),
            "hnnpp/dopri5/dopri5": (3.30e1, 4.89e-6, 7.95e-4),
            "dgnet/dg/rk2": (7.14e0, 6.61e0, 8.22e-1),
            "dgnet/dg/dopri5": (7.14e0, 3.39e-7, 6.95e-5),
            "dgnet/dg/dg": (7.14e0, 3.40e-7, 6.96e-5),
        }
    ),
    "spring": _ode(
        {
            "node/rk2/rk2": (5.27e-2, 5.70e-1),
            "node/dopri5/dopri5": (5.57e-2, 5.74e-1),
            "hnn/rk2/rk2": (3.82e-2, 6.13e-2),
            "hnn/dopri5/dopri5": (3.99e-2, 1.74e-3),
            "srnn/leapfrog/leapfrog": (3.95e-2, 6.90e-4),
            "dgnet/dg/dg": (3.85e-2, 6.17e-4),
        }
    ),
    "pendulum": _ode(
        {
            "node/rk2/rk2": (5.67e-2, 4.60e0),
            "node/dopri5/dopri5": (5.54e-2, 4.62e0),
            "hnn/rk2/rk2": (4.25e-2, 4.04e-1),
            "hnn/dopri5/dopri5": (4.09e-2, 1.66e-2),
            "srnn/leapfrog/leapfrog": (3.92e-2, 1.12e-2),
            "dgnet/dg/dg": (3.93e-2, 1.08e-2),
        }
    ),
    "two-body": _ode(
        {
            "node/rk2/rk2": (2.08e-5, 1.44e-1),
            "node/dopri5/dopri5": (2.07e-5, 1.83e-1),
            "hnn/rk2/rk2": (5.39e-6, 9.39e-5),
            "hnn/dopri5/dopri5": (6.21e-6, 8.18e-5),
            "srnn/leapfrog/leapfrog": (4.36e-6, 4.04e-5),
            "dgnet/dg/dg": (7.80e-6, 8.10e-5),
        }
    ),
    "real-pendulum": _ode(
        {
            "node/rk2/rk2": (1.38e-3, 6.22e-4),
            "node/dopri5/dopri5": (1.37e-3, 5.88e-4),
            "hnn/rk2/rk2": (1.42e-3, 2.86e-3),
            "hnn/dopri5/dopri5": (1.41e-3, 3.44e-3),
            "srnn/leapfrog/leapfrog": (1.38e-3, 9.63e-3),
            "dgnet/dg/dg": (1.38e-3, 5.04e-4),
        }
    ),
}
"""Experiment → row → published means."""
