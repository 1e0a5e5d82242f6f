"""Small models of every kind, with random weights scaled so that a rollout goes somewhere."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ddg_explorer.models import EnergyModel, Model, ModelRecipe
from ddg_explorer.models.local_energy import LocalEnergy
from ddg_explorer.models.networks import Perceptron

LINE = {"shape": [16], "length": [4.0]}
SQUARE = {"shape": [16, 12], "length": [1.0, 0.75]}
ODE = ModelRecipe("dgnet", (2,), structure={"kind": "symplectic"}, hidden=16)
FIELD = ModelRecipe("dgnet", (1, 16), LINE, {"kind": "d_dx"}, hidden=8)
FIELD_2D = ModelRecipe("dgnet", (1, 16, 12), SQUARE, {"kind": "laplacian"}, hidden=8)

RECIPES = {
    "node-ode": replace(ODE, model="node", structure=None),
    "node-1d": replace(FIELD, model="node", structure=None),
    "node-2d": replace(FIELD_2D, model="node", structure=None),
    "hnn": replace(ODE, model="hnn"),
    "hnnpp-1d": replace(FIELD, model="hnnpp"),
    "hnnpp-damped": replace(
        ODE, model="hnnpp", structure={"kind": "damped_symplectic", "friction": 0.3}
    ),
    "srnn": replace(ODE, model="srnn", state_shape=(4,)),
    "symplectic_form": replace(ODE, model="symplectic_form", structure=None, state_shape=(4,)),
    "dgnet-ode": ODE,
    "dgnet-1d": FIELD,
    "dgnet-2d": FIELD_2D,
    "dgnet-skip": replace(FIELD, skip=True, structure={"kind": "laplacian"}),
    "dgnet-local": replace(FIELD, prior="local", skip=True),
    "hnnpp-local-2d": replace(FIELD_2D, model="hnnpp", prior="local"),
    "dgnet-wave": replace(FIELD, state_shape=(2, 16), structure={"kind": "strain_wave"}),
}
"""One recipe of every model and kind of state."""


def states(model: Model, count: int, seed: int = 0, size: float = 1.0) -> Tensor:
    """`count` random states."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, *model.state_shape)
    return size * torch.randn(shape, generator=generator, dtype=torch.float64).to(model.dtype)


def perceptrons(model: Model) -> list[Perceptron]:
    """The dense parts of H or f."""
    return [part for part in model.get_submodule("network").modules() if _is_dense(part)]


def _is_dense(part: object) -> bool:
    return isinstance(part, Perceptron)


@torch.no_grad()
def lively(model: Model, speed: float = 1.0, seed: int = 5) -> Model:
    """The model with random biases and quadratic parts, and the RMS of u̇ brought to `speed`."""
    generator = torch.Generator().manual_seed(seed)
    for part in perceptrons(model):
        for layer in part.layers:
            layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator).to(model.dtype) / 2)
        if part.quadratic is not None:
            size = part.quadratic.shape
            part.quadratic.copy_(0.1 * torch.randn(size, generator=generator).to(model.dtype))
    stiffness = stiffnesses(model)
    for weight in stiffness:
        weight.copy_(0.05 + 0.1 * torch.rand(weight.shape, generator=generator).to(model.dtype))
    factor = speed / float(model.rhs(states(model, 64, seed)).square().mean().sqrt())
    for part in perceptrons(model):
        part.scale.mul_(factor)
        if part.quadratic is not None:
            part.quadratic.mul_(factor)
    for weight in stiffness:
        weight.mul_(factor)
    return model


def stiffnesses(model: Model) -> list[Tensor]:
    """Those of energies with the local prior."""
    parts = model.get_submodule("network").modules()
    return [part.stiffness for part in parts if isinstance(part, LocalEnergy)]


def energy_model(recipe: ModelRecipe, speed: float = 1.0) -> EnergyModel:
    """A lively model that has an energy."""
    model = lively(recipe.build(), speed)
    assert isinstance(model, EnergyModel)
    return model
