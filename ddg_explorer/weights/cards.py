"""The cards of the shipped models as one Markdown table: data, training, errors and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ddg_explorer.models import read_card
from ddg_explorer.paper.tables import aligned, number
from ddg_explorer.weights.table import Shipped

MEANINGLESS = 1e3
"""State error of rollouts beyond which its digits, and those of the energy's, say nothing."""
HEAD = (
    "model",
    "data",
    "trajectories",
    "weights",
    "budget",
    "optimiser",
    "steps",
    "seed",
    "du/dt",
    "energy",
    "state",
    "diverged",
    "CPU s",
    "wall s",
)


def cards(rows: Sequence[Shipped]) -> str:
    """The table of those that are made; energy and state are errors of test rollouts."""
    return aligned([HEAD, *(_cells(row) for row in rows if row.path.is_file())])


def _cells(row: Shipped) -> list[str]:
    card: dict[str, Any] = read_card(row.path)["card"]
    metrics, training = card["metrics"], card["training"]
    trained = card["data"]["trajectories"]
    cells = [row.name, row.data, f"{trained} + {card['data']['validation']}"]
    cells += [str(card["parameters"]), card["budget"], training["optimizer"]]
    cells += [str(card["steps"]), str(card["seed"])]
    cells += [number(metrics["one_step"])]
    lost = metrics["state_mse"] > MEANINGLESS
    cells += ["diverges" if lost else number(metrics[x]) for x in ("energy_mse", "state_mse")]
    cells += [str(metrics["diverged"]), number(card["cpu_s"]), number(card["wall_s"])]
    return cells


def document(rows: Sequence[Shipped], command: str) -> str:
    """The table with its heading and the command that wrote it."""
    about = (
        "One file a model in `ddg_explorer/weights`, each with its card inside: "
        "`ddg-explorer inspect FILE` for a learned G, `make weights` remakes what is missing. "
        "Trajectories are those trained on and those held out; du/dt is the one-step error, energy "
        "and state are mean square errors of rollouts from the test set's initial states, each "
        "with the scheme that the model was trained with (diverges: the state error is beyond "
        f"{MEANINGLESS:g}). A budget that names its steps takes "
        "other than the usual number of them. Rollouts with relu can stop early: its H has kinks, "
        "and at some of them the implicit step has no solution that Newton's method finds; where "
        "they stop, and so their errors, is a matter of rounding. "
        "HNN++ in two dimensions blows up: explicit midpoint steps of a stiff H are unstable."
    )
    return "\n\n".join(["# Shipped models", f"Written by `{command}`.", about, cards(rows)]) + "\n"
