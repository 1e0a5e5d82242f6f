"""Jacobian–vector products of a function at one point, many at a time.

    J d = ∂/∂w (∂⟨w, F(x)⟩/∂x)ᵀ d

The graph of the inner derivative is recorded once; every product is then one backward pass through
it. Forward mode gives the same numbers, but torch decomposes some operations (roll among them)
into many small ones there, which costs milliseconds a product.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def linearize(function: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[Tensor], Tensor]:
    """d ↦ J d for the Jacobian J of `function` at `x`; exact, and on plain tensors only."""
    pulled = None
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = function(x)
        w = torch.zeros_like(y, requires_grad=True)
        if y.requires_grad:
            (pulled,) = torch.autograd.grad(y, x, w, create_graph=True, allow_unused=True)
    if pulled is None or not pulled.requires_grad:
        return lambda d: torch.zeros_like(y)  # F does not depend on x

    def product(d: Tensor) -> Tensor:
        return torch.autograd.grad(pulled, w, d, retain_graph=True)[0].detach()

    return product
