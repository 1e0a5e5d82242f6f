"""Automatic discrete differentiation of torch programs, in reverse mode.

    ∇̄H(v, u)·(v − u) = H(v) − H(u),      ∇̄H(u, u) = ∇H(u)

The energy runs once on pairs of values; a cotangent of ones is then pulled back through the
recorded operations by their discrete Jacobians: linear operations by their transpose, elementwise
ones by their slope (closed forms that do not cancel, `secants.py`), products by the means of both
ends.

States have shape (*batch, *state), energies (*batch); the result has the state's shape. Euclidean:
the dot product is the plain sum over the state. Nondimensional.

Source: Matsubara, Ishikawa, Yaguchi, NeurIPS 2020, arXiv:1905.08604.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ddg_explorer.discrete import (
    rules_activations,
    rules_elementwise,
    rules_extremes,
    rules_fourier,
    rules_linear,
    rules_norms,
    rules_product,
    rules_reduce,
    rules_scatter,
    rules_shape,
    rules_special,
)
from ddg_explorer.discrete.record import STRANGER, Pair

Energy = Callable[[Tensor], Tensor]
DiscreteGradient = Callable[[Tensor, Tensor], Tensor]

RULE_MODULES = (
    rules_activations,
    rules_elementwise,
    rules_extremes,
    rules_fourier,
    rules_linear,
    rules_norms,
    rules_product,
    rules_reduce,
    rules_scatter,
    rules_shape,
    rules_special,
)
"""Imported for the rules that `rule` enters in `record.RULES`: an operation is known once its file
is listed here."""


def discrete_grad(energy: Energy) -> DiscreteGradient:
    """Discrete gradient of an energy written as an ordinary torch program.

    Parameters
    ----------
    energy
        State (*batch, *state) → energy (*batch): a function or an unmodified `nn.Module`. It must
        run the same operations for every state: no branch on values, no in-place write.

    Returns
    -------
    Callable
        `(v, u) ↦ ∇̄H(v, u)`, of the state's shape, with ∇̄H·(v − u) = H(v) − H(u) per batch element
        up to rounding and ∇̄H(u, u) = ∇H(u); symmetric in (v, u). It is made of ordinary torch
        operations: backward, `torch.func.jvp`, `vmap` and `torch.compile` work on it, and it holds
        no state. (Dynamo sees recorded values in a list but not in a tuple, exchanges the operands
        of `@`, and does not see them in `F.hardswish` and `F.hardsigmoid`: energies to be compiled
        pass lists to `torch.cat` and `torch.stack`, call `torch.linalg.matmul`, and leave these two
        out; `fullgraph=True` says where one is not compiled.)

    Raises
    ------
    ValueError
        If v and u differ in shape, dtype or device, are not real floating point, or if the energy
        does not depend on the state or does not return the batch's shape.
    UnsupportedOperation
        (a TypeError) if the energy uses an operation, or an argument of one, that has no rule,
        writes in place or branches on the state; the message names the operation.
    """

    def gradient(v: Tensor, u: Tensor) -> Tensor:
        check_ends(v, u)
        tape: list[Pair] = []
        state = Pair(v, u, tape)
        out = energy(state)  # pyright: ignore[reportArgumentType]
        if isinstance(out, Pair) and out.tape is not tape:
            raise ValueError(f"discrete_grad: {STRANGER}")
        if not isinstance(out, Pair):
            raise ValueError(f"energy returned {_kind(out)}: it does not depend on the state")
        check_energy(out.u, u)
        return _pull_back(out, state)

    return gradient


def _pull_back(out: Pair, state: Pair) -> Tensor:
    cotangents: list[Tensor | None] = [None] * len(out.tape)
    cotangents[out.index] = torch.ones_like(out.u)
    for node in reversed(out.tape[: out.index + 1]):
        c, cotangents[node.index] = cotangents[node.index], None
        if c is None:
            continue
        if node is state:
            return c
        for source, pull in node.pulls:
            old, new = cotangents[source.index], pull(c)
            cotangents[source.index] = new if old is None else old + new
    raise ValueError("energy does not depend on the state")


def check_ends(v: Tensor, u: Tensor) -> None:
    """ValueError unless v and u are real floating-point tensors alike in shape, dtype, device."""
    for name, x in (("v", v), ("u", u)):
        if not isinstance(x, Tensor):
            raise ValueError(f"{name} is {_kind(x)}: must be a tensor")
    if not u.is_floating_point():
        raise ValueError(f"u has dtype {u.dtype}: must be real floating point")
    for what in ("shape", "dtype", "device"):
        if getattr(v, what) != getattr(u, what):
            raise ValueError(
                f"v has {what} {getattr(v, what)}, u {getattr(u, what)}: they must agree"
            )


def check_energy(h: Tensor, u: Tensor) -> None:
    """ValueError unless `h` is a real tensor of a shape that is a proper leading part of u's."""
    if not isinstance(h, Tensor):
        raise ValueError(f"energy returned {_kind(h)}: must be a tensor of the batch's shape")
    if h.is_complex():
        raise ValueError(f"energy returned dtype {h.dtype}: must be real")
    if h.ndim >= max(u.ndim, 1) or h.shape != u.shape[: h.ndim]:
        raise ValueError(
            f"energy returned shape {tuple(h.shape)} for a state of shape {tuple(u.shape)}: "
            "must return the leading batch dimensions"
        )


def _kind(x: object) -> str:
    return f"a {type(x).__name__}"
