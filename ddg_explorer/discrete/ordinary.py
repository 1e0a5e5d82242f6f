"""Ordinary derivatives of torch programs, which discrete ones become for v → u.

    ∇H(u),      ∂F/∂x

In reverse mode, by autograd itself wherever that can give them: `torch.func.grad` takes four times
as long for a small state, and its first call imports the compiler of torch, for a second.

States have shape (*batch, *state), energies (*batch). Euclidean and nondimensional.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack


def ordinary_grad(energy: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """∇H(u), of the state's shape; zero where H does not depend on u.

    It has a graph where grad mode is on and u, or what else H depends on, requires a gradient; then
    it can be differentiated again, any number of times. Forward mode, the transforms of
    `torch.func`, `torch.compile` and inference mode work on it.
    """
    if _is_transformed(u):
        return torch.func.grad(lambda x: energy(x).sum())(u)
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        x = u.view_as(u)  # what else H depends on may come from u too, and is not differentiated
        if not x.requires_grad:
            x.requires_grad_()
        h = energy(x).sum()
        if not h.requires_grad:
            return torch.zeros_like(u)
        keep = recorded and (u.requires_grad or _depends_on_more(h, x))
        (gradient,) = torch.autograd.grad(
            h, x, create_graph=keep, allow_unused=True, materialize_grads=True
        )
    return gradient


def jacobian_of(y: Tensor, x: Tensor) -> Tensor:
    """∂y/∂x, (B, n, m), of y, (B, n), computed from x, (B, m), each row from its own;
    zero where y does not depend on x. The graph of y is used up.

    One backward pass on all unit cotangents at once. They come in by a hook, as autograd imports
    sympy to compare the shape of a cotangent that it is given with that of y.
    """
    if not y.requires_grad:
        return y.new_zeros(*y.shape, x.shape[-1])
    with torch.enable_grad():
        total = y.sum()
    units = torch.eye(y.shape[-1], dtype=y.dtype, device=y.device)[:, None].expand(-1, *y.shape)

    def pull_back(cotangent: Tensor) -> Tensor:
        hook = y.register_hook(lambda _: cotangent)
        try:
            return torch.autograd.grad(total, x, allow_unused=True, materialize_grads=True)[0]
        finally:
            hook.remove()

    return torch.func.vmap(pull_back)(units).movedim(0, 1)


def _is_transformed(u: Tensor) -> bool:
    """Whether this runs in a transform of torch, or on tensors that autograd does not record."""
    return (
        torch.compiler.is_compiling()
        or peek_interpreter_stack() is not None
        or torch.is_inference_mode_enabled()
        or u.is_inference()
    )


def _depends_on_more(h: Tensor, x: Tensor) -> bool:
    """Whether the graph of h reaches a leaf other than x, such as the weights of a network."""
    waiting: list[Any] = [h.grad_fn]
    seen = set(waiting)
    while waiting:
        for source, _ in waiting.pop().next_functions:
            if source is not None and source not in seen:
                if getattr(source, "variable", x) is not x:
                    return True
                seen.add(source)
                waiting.append(source)
    return False
