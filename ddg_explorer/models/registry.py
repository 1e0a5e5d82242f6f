"""Every kind of model by name."""

from __future__ import annotations

from ddg_explorer.models.base import Model
from ddg_explorer.models.dgnet import DGNet
from ddg_explorer.models.hnn import HNN, SRNN, HNNpp
from ddg_explorer.models.node import NODE
from ddg_explorer.models.symplectic_form import SymplecticForm

MODELS: dict[str, type[Model]] = {
    "node": NODE,
    "hnn": HNN,
    "hnnpp": HNNpp,
    "srnn": SRNN,
    "symplectic_form": SymplecticForm,
    "dgnet": DGNet,
}
"""Name → class."""
