"""Learned models of u̇ = f(u), one interface: NODE, HNN, HNN++, SRNN, symplectic form, DGNet."""

from __future__ import annotations

from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.dgnet import DGNet
from ddg_explorer.models.files import load_model, read_card, save_model
from ddg_explorer.models.gauge import normalise
from ddg_explorer.models.hnn import HNN, SRNN, HNNpp
from ddg_explorer.models.node import NODE
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.models.registry import MODELS
from ddg_explorer.models.symplectic_form import SymplecticForm

__all__ = [
    "HNN",
    "MODELS",
    "NODE",
    "SRNN",
    "DGNet",
    "EnergyModel",
    "HNNpp",
    "Model",
    "ModelRecipe",
    "SymplecticForm",
    "load_model",
    "normalise",
    "read_card",
    "save_model",
]
