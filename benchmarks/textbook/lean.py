"""The discrete gradient of a textbook network, written leaner than operation by operation.

It is the gradient of a twin network that is linear: the same layers, with every activation replaced
by the slope between both ends of the step, masked without gathering.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.textbook.discrete_autograd import THRESHOLD


def slope(a: Tensor, b: Tensor) -> Tensor:
    """(tanh a − tanh b)/(a − b), or the derivative where they are close."""
    t, r = torch.tanh(a), torch.tanh(b)
    far = (a - b).abs() > THRESHOLD[a.dtype]
    return torch.where(far, (t - r) / torch.where(far, a - b, 1.0), 1 - t * t)


def discrete_gradient(energy: nn.Module, v: Tensor, u: Tensor) -> Tensor:
    """∇̄H(v, u), differentiable with respect to the weights."""
    probe = torch.zeros_like(u).requires_grad_()
    *hidden, last = energy.get_submodule("layers").children()
    z = probe
    for layer in hidden:
        v, u, z = layer(v), layer(u), layer(z)
        z = slope(v, u) * z
        v, u = torch.tanh(v), torch.tanh(u)
    (g,) = torch.autograd.grad(last(z).sum(), probe, create_graph=True)
    return g
