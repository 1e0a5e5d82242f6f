"""Rules of sums, products and contractions of one or two varying operands.

    Δ(x·y) = Δx·ȳ + x̄·Δy,      x̄ = (x_v + x_u)/2, a constant being its own mean

holds for every bilinear product: elementwise, matrix, einsum. Shapes are those of the torch
operation; broadcasting is transposed by summation.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete.record import (
    Pair,
    Pull,
    UnsupportedOperation,
    fit,
    mean,
    record,
    rule,
)


def _end(x: Any, end: str) -> Any:
    return getattr(x, end) if isinstance(x, Pair) else x


def _bilinear(
    x: Any,
    y: Any,
    product: Callable[[Any, Any], Tensor],
    pull_x: Callable[[Tensor, Any], Tensor],
    pull_y: Callable[[Tensor, Any], Tensor],
) -> Pair:
    """Record product(x, y); `pull_x(c, ȳ)` and `pull_y(c, x̄)` are its two partial transposes."""
    pulls: list[tuple[Pair, Pull]] = []
    if isinstance(x, Pair):
        pulls.append((x, lambda c: fit(pull_x(c, mean(y)), x)))
    if isinstance(y, Pair):
        pulls.append((y, lambda c: fit(pull_y(c, mean(x)), y)))
    return record(product(_end(x, "v"), _end(y, "v")), product(_end(x, "u"), _end(y, "u")), *pulls)


def _conj(y: Any) -> Any:
    if isinstance(y, Tensor):
        return y.conj() if y.is_complex() else y
    return y.conjugate() if isinstance(y, complex) else y


@rule(torch.mul, torch.multiply, "__mul__", "__rmul__")
def _mul(x: Any, y: Any) -> Pair:
    return _bilinear(x, y, lambda a, b: a * b, lambda c, b: c * _conj(b), lambda c, a: c * _conj(a))


@rule(torch.div, torch.divide, torch.true_divide, "__truediv__")
def _div(x: Any, y: Any, rounding_mode: str | None = None) -> Pair:
    if rounding_mode is not None:
        raise ValueError(f"rounding_mode={rounding_mode!r}: only true division is differentiable")
    if isinstance(y, Pair):
        return x * torch.reciprocal(y)  # pyright: ignore[reportArgumentType]
    return record(x.v / y, x.u / y, (x, lambda c: fit(c / _conj(y), x)))


@rule("__rdiv__")
def _rdiv(y: Any, x: Any) -> Pair:
    return _div(x, y)


@rule(torch.add, "__add__", "__radd__")
def _add(x: Any, y: Any, alpha: Any = 1) -> Pair:
    y = y if alpha == 1 else alpha * y
    pulls = [(z, lambda c, z=z: fit(c, z)) for z in (x, y) if isinstance(z, Pair)]
    return record(_end(x, "v") + _end(y, "v"), _end(x, "u") + _end(y, "u"), *pulls)


@rule(torch.sub, torch.subtract, "__sub__")
def _sub(x: Any, y: Any, alpha: Any = 1) -> Pair:
    y = y if alpha == 1 else alpha * y
    pulls: list[tuple[Pair, Pull]] = []
    if isinstance(x, Pair):
        pulls.append((x, lambda c: fit(c, x)))
    if isinstance(y, Pair):
        pulls.append((y, lambda c: fit(-c, y)))
    return record(_end(x, "v") - _end(y, "v"), _end(x, "u") - _end(y, "u"), *pulls)


@rule(torch.rsub, "__rsub__")
def _rsub(x: Any, y: Any, alpha: Any = 1) -> Pair:
    return _sub(y, x, alpha)


@rule(F.linear)
def _linear(x: Any, weight: Any, bias: Any = None) -> Pair:
    if isinstance(weight, Pair) or isinstance(bias, Pair):
        out = x @ weight.transpose(-2, -1)
        return out if bias is None else out + bias
    return record(
        F.linear(x.v, weight, bias), F.linear(x.u, weight, bias), (x, lambda c: c @ weight.conj())
    )


@rule(torch.linalg.matmul, torch.mm, torch.bmm, torch.mv, torch.dot, "__matmul__")
def _matmul(x: Any, y: Any) -> Pair:
    """Matrix product, vectors as rows (left) or columns (right) as in torch."""
    left, right = x.ndim == 1, y.ndim == 1

    def grow(c: Tensor) -> Tensor:
        c = c.unsqueeze(-1) if right else c
        return c.unsqueeze(-2) if left else c

    def pull_x(c: Tensor, b: Tensor) -> Tensor:
        out = grow(c) @ (b.unsqueeze(-1) if right else b).mH
        return out.squeeze(-2) if left else out

    def pull_y(c: Tensor, a: Tensor) -> Tensor:
        out = (a.unsqueeze(-2) if left else a).mH @ grow(c)
        return out.squeeze(-1) if right else out

    return _bilinear(x, y, torch.matmul, pull_x, pull_y)


@rule(torch.matmul)
def _matmul_operator(x: Any, y: Any) -> Pair:
    """Dynamo hands x @ matrix over as matmul(matrix, x): refused where that is valid too."""
    either = x.ndim + y.ndim > 2 and x.shape[max(-2, -x.ndim)] == y.shape[-1]
    if torch.compiler.is_compiling() and not isinstance(x, Pair) and either:
        raise UnsupportedOperation(
            "discrete_grad: torch.compile exchanges the operands of state @ matrix; "
            "use torch.linalg.matmul"
        )
    return _matmul(x, y)


@rule("__rmatmul__")
def _rmatmul(y: Any, x: Any) -> Pair:
    return _matmul(x, y)


@rule(torch.addmm, torch.addmv, torch.baddbmm)
def _addmm(bias: Any, x: Any, y: Any, beta: Any = 1, alpha: Any = 1) -> Any:
    return beta * bias + alpha * (x @ y)


@rule(torch.outer)
def _outer(x: Any, y: Any) -> Any:
    return x.unsqueeze(-1) * y.unsqueeze(-2)


@rule(torch.tensordot)
def _tensordot(x: Any, y: Any, dims: Any = 2) -> Any:
    if isinstance(dims, int):
        dims = (range(-dims, 0), range(dims))
    left = list(string.ascii_letters[: x.ndim])
    right = list(string.ascii_letters[x.ndim : x.ndim + y.ndim])
    summed = [left[i] for i in dims[0]]
    for i, letter in zip(dims[1], summed, strict=True):
        right[i] = letter
    out = [s for s in left + right if s not in summed]
    return _contract([x, y], ["".join(left), "".join(right)], "".join(out))


@rule(torch.inner)
def _inner(x: Any, y: Any) -> Any:
    return x * y if x.ndim == 0 or y.ndim == 0 else _tensordot(x, y, ([-1], [-1]))


@rule(torch.linalg.vecdot, torch.vdot)
def _vecdot(x: Any, y: Any, dim: int = -1) -> Any:
    return ((torch.conj(x) if x.is_complex() else x) * y).sum(dim)


@rule(torch.cross)
def _cross(x: Any, y: Any, dim: int | None = None) -> Pair:
    """c·(x × y) = x·(y × c) = y·(c × x). The default axis of torch.cross depends on the batch."""
    if dim is None:
        raise UnsupportedOperation("discrete_grad: cross without `dim` has no rule; name the axis")
    return _bilinear(
        x,
        y,
        lambda a, b: torch.linalg.cross(a, b, dim=dim),
        lambda c, b: torch.linalg.cross(_conj(b), c, dim=dim),
        lambda c, a: torch.linalg.cross(c, _conj(a), dim=dim),
    )


@rule(torch.linalg.cross)
def _linalg_cross(x: Any, y: Any, dim: int = -1) -> Pair:
    return _cross(x, y, dim)


@rule(torch.addcmul)
def _addcmul(x: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
    return x + value * (tensor1 * tensor2)


@rule(torch.addcdiv)
def _addcdiv(x: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
    return x + value * (tensor1 / tensor2)


@rule(torch.lerp)
def _lerp(x: Any, end: Any, weight: Any) -> Any:
    return x + weight * (end - x)


@rule(torch.einsum)
def _einsum(equation: Any, *operands: Any) -> Pair:
    if not isinstance(equation, str):
        raise UnsupportedOperation(
            "discrete_grad: einsum with lists of indices has no rule; write the equation as text"
        )
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    terms, _, out = equation.replace(" ", "").partition("->")
    letters = [s for s in string.ascii_letters if s not in equation]
    inputs = [
        term.replace("...", "".join(letters[: x.ndim - len(term.replace("...", ""))][::-1]))
        for term, x in zip(terms.split(","), operands, strict=True)
    ]
    dots = "".join(s for s in letters if s in "".join(inputs))[::-1]
    if "->" not in equation:
        named = "".join(inputs)
        once = (s for s in sorted(set(named)) if named.count(s) == 1 and s not in letters)
        out = dots + "".join(once)
    if any(len(set(t)) < len(t) for t in inputs):
        raise UnsupportedOperation(
            f"discrete_grad: einsum {equation!r} repeats an index in one operand, has no rule"
        )
    return _contract(list(operands), inputs, out.replace("...", dots))


def _contract(operands: list[Any], inputs: list[str], out: str) -> Any:
    """einsum of any number of operands; more than two varying ones are contracted in pairs."""
    varying = [i for i, x in enumerate(operands) if isinstance(x, Pair)]
    if len(varying) > 2:
        i, j = varying[:2]
        rest = [k for k in range(len(operands)) if k not in (i, j)]
        kept = set(out).union(*(inputs[k] for k in rest))
        inner = "".join(s for s in dict.fromkeys(inputs[i] + inputs[j]) if s in kept)
        first = _contract([operands[i], operands[j]], [inputs[i], inputs[j]], inner)
        return _contract(
            [first, *(operands[k] for k in rest)], [inner, *(inputs[k] for k in rest)], out
        )
    equation = ",".join(inputs) + "->" + out
    v, u = (torch.einsum(equation, *(_end(x, end) for x in operands)) for end in ("v", "u"))
    return record(v, u, *((operands[i], _einsum_pull(i, operands, inputs, out)) for i in varying))


def _einsum_pull(i: int, operands: list[Any], inputs: list[str], out: str) -> Pull:
    x, others = operands[i], [k for k in range(len(operands)) if k != i]
    # Indices summed within this operand alone reappear by a factor of ones.
    seen = set(out).union(*(inputs[k] for k in others))
    alone = "".join(s for s in inputs[i] if s not in seen)
    sizes = [n for s, n in zip(inputs[i], x.shape, strict=True) if s in alone]
    equation = ",".join([out, *(inputs[k] for k in others), alone]) + "->" + inputs[i]

    def pull(c: Tensor) -> Tensor:
        factors: Sequence[Tensor] = [_conj(mean(operands[k])) for k in others]
        return fit(torch.einsum(equation, c, *factors, c.new_ones(sizes)), x)

    return pull
