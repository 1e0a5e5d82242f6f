"""The recorder of automatic discrete differentiation: pairs of values, and rules that make them.

An energy is run once on a `Pair`, which stands for the state at both ends, (v, u). Every torch
operation on a pair evaluates at both ends and notes how a cotangent c goes back,

    c ↦ J̄(v, u)ᵀ c,      J̄(v, u)·(v − u) = f(v) − f(u),

with J̄ the operation's discrete Jacobian. Shapes are those of the torch operation; nothing is kept
outside the call (the tape belongs to the pairs). Cotangents of complex values follow torch's
convention, ΔH = Re Σ conj(c)·Δz.

Source: Matsubara, Ishikawa, Yaguchi, NeurIPS 2020, arXiv:1905.08604.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Pull = Callable[[Tensor], Tensor]
Rule = Callable[..., Any]

# Keyed by the operation's name, which torch.op, Tensor.op and nn.functional.op share. Filled by
# `rule` when the rule modules are imported, only read afterwards.
RULES: dict[str, Rule] = {}

_PROPERTIES = frozenset({"T", "mT", "H", "mH", "real", "imag"})
_FACTS = frozenset({"requires_grad", "layout", "is_cuda", "is_cpu", "is_sparse", "itemsize"})
# torch's names for the operands, and its numpy-style synonyms.
_FIRST, _SECOND = ("input", "self"), ("other", "mat2")
_KEYWORDS = {"axis": "dim", "keepdims": "keepdim"}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "isclose")
_DECISIONS = ("bool", "float", "int", "index", "complex", "item", "tolist", "numpy", "nonzero")
_CHOICES = ("equal", "allclose", "any", "all", "argmax", "argmin", "argsort", "sort", "sign")
_BRANCHES = frozenset(_COMPARISONS + _DECISIONS + _CHOICES)

STRANGER = (
    "an energy uses values recorded by another discrete gradient, or torch.compile broke its graph "
    "inside the energy: fullgraph=True says where"
)


class UnsupportedOperation(TypeError):
    """An energy used an operation that automatic discrete differentiation cannot record."""


class Pair:
    """One intermediate value of an energy at both ends of a step.

    Attributes
    ----------
    v, u : Tensor
        The value computed from the state v and from the state u, of one shape and dtype.
    """

    __slots__ = ("index", "pulls", "tape", "u", "v")
    __hash__ = object.__hash__
    __array_ufunc__ = None

    def __init__(
        self, v: Tensor, u: Tensor, tape: list[Pair], pulls: tuple[tuple[Pair, Pull], ...] = ()
    ) -> None:
        self.v, self.u, self.tape, self.pulls = v, u, tape, pulls
        self.index = len(tape)
        tape.append(self)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        return apply(func.__name__, args, kwargs or {})

    @property
    def shape(self) -> torch.Size:
        return self.u.shape

    @property
    def ndim(self) -> int:
        return self.u.ndim

    @property
    def dtype(self) -> torch.dtype:
        return self.u.dtype

    @property
    def device(self) -> torch.device:
        return self.u.device

    def __len__(self) -> int:
        return len(self.u)

    def __iter__(self) -> Any:
        return iter(apply("unbind", (self, 0), {}))

    def __getattr__(self, name: str) -> Any:
        if name in _PROPERTIES:
            return apply(name, (self,), {})
        if name in _FACTS:
            return getattr(self.u, name)
        if name.startswith("__") or not callable(getattr(Tensor, name, None)):
            raise AttributeError(f"discrete_grad: the state has no attribute {name!r}")
        return functools.partial(_method, name, self)

    def __repr__(self) -> str:
        return f"Pair(shape={tuple(self.shape)}, dtype={self.dtype})"


def _method(name: str, self: Pair, *args: Any, **kwargs: Any) -> Any:
    return apply(name, (self, *args), kwargs)


def _operator(name: str, reflected: bool = False) -> Callable[..., Any]:
    def forward(self: Pair, *args: Any) -> Any:
        return apply(name, (self, *args), {})

    def backward(self: Pair, other: Any) -> Any:
        return apply(name, (other, self), {})

    return backward if reflected else forward


_BINARY = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "matmul": "matmul"}
_BINARY |= {"pow": "pow"}
_UNARY = {"neg": "neg", "pos": "positive", "abs": "abs", "getitem": "getitem"}
_REFUSED = ("eq", "ne", "lt", "le", "gt", "ge", "bool", "float", "int", "index", "complex")

for _symbol, _name in _BINARY.items():
    setattr(Pair, f"__{_symbol}__", _operator(_name))
    setattr(Pair, f"__r{_symbol}__", _operator(_name, reflected=True))
    setattr(Pair, f"__i{_symbol}__", _operator(f"__i{_symbol}__"))
for _symbol, _name in _UNARY.items():
    setattr(Pair, f"__{_symbol}__", _operator(_name))
for _symbol in (*_REFUSED, "setitem", "floordiv", "rfloordiv", "mod", "rmod"):
    setattr(Pair, f"__{_symbol}__", _operator(f"__{_symbol}__"))


def apply(name: str, args: tuple, kwargs: dict[str, Any]) -> Any:
    """Run the rule of operation `name`, or raise `UnsupportedOperation`."""
    found = RULES.get(name)
    if found is None:
        raise UnsupportedOperation(_reason(name))
    if kwargs.get("inplace") or kwargs.get("out") is not None:
        raise UnsupportedOperation(
            f"discrete_grad: {name} writes in place; use its out-of-place form"
        )
    if kwargs:
        args = (*(kwargs[k] for k in _FIRST if k in kwargs), *args)
        args = (*args, *(kwargs[k] for k in _SECOND if k in kwargs))
        dropped = ("inplace", "out", *_FIRST, *_SECOND)
        kwargs = {_KEYWORDS.get(k, k): a for k, a in kwargs.items() if k not in dropped}
    try:
        return found(*args, **kwargs)
    except TypeError as error:
        if _takes(found, args, kwargs):
            raise
        what = str(error).rpartition("()")[-1].strip()
        raise UnsupportedOperation(f"discrete_grad: the rule of {name} {what}") from None


def _takes(function: Rule, args: tuple, kwargs: dict[str, Any]) -> bool:
    """Whether a rule has these parameters: if so, a TypeError is from within."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _reason(name: str) -> str:
    bare = name.strip("_")
    if bare in _BRANCHES and name in (bare, f"__{bare}__"):
        return (
            f"discrete_grad: {bare} makes the energy branch on the state's values; an energy must "
            "run the same operations for every state"
        )
    in_place = name.endswith("_") and not name.endswith("__")
    if in_place or name == "__setitem__" or (name.startswith("__i") and name.endswith("__")):
        return f"discrete_grad: {bare} writes in place; use its out-of-place form"
    return (
        f"discrete_grad: no rule for torch operation {bare!r}; register one with "
        f'@ddg_explorer.discrete.rule("{name}")'
    )


def rule(*operations: Callable[..., Any] | str) -> Callable[[Rule], Rule]:
    """Decorator that registers the discrete-differentiation rule of torch operations.

    The rule is called with the operation's own arguments, a `Pair` wherever one depends on the
    state, and returns a `Pair` (or a tuple of them), made by `elementwise`, `linear`, `record` or
    by torch operations that have rules. An operation is known by its `__name__`, which
    `torch.op`, `Tensor.op` and `torch.nn.functional.op` share; a string stands for itself, and the
    refusal of an operation without a rule prints it.

    Examples
    --------
    >>> @rule(torch.square)
    ... def square(x):
    ...     return elementwise(x, torch.square, lambda v, u: v + u)
    """

    def register(function: Rule) -> Rule:
        for operation in operations:
            name = operation if isinstance(operation, str) else operation.__name__
            RULES[name] = function
        return function

    return register


def record(v: Tensor, u: Tensor, *pulls: tuple[Pair, Pull]) -> Pair:
    """A new pair (v, u) whose cotangent goes back to each `(source, pull)` in `pulls`."""
    tape = pulls[0][0].tape
    if any(source.tape is not tape for source, _ in pulls):
        raise UnsupportedOperation(f"discrete_grad: {STRANGER}")
    return Pair(v, u, tape, pulls)


def linear(x: Pair, function: Callable[[Tensor], Tensor], transpose: Pull) -> Pair:
    """Rule of an affine operation: `function` at both ends, Jᵀ = `transpose`."""
    return record(function(x.v), function(x.u), (x, transpose))


def elementwise(
    x: Pair,
    function: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor, Tensor], Tensor],
) -> Pair:
    """Rule of an elementwise operation σ with slope(v, u) = (σ(v) − σ(u))/(v − u), σ′ at v = u."""
    return record(function(x.v), function(x.u), (x, lambda c: fit(c * slope(x.v, x.u), x)))


def mean(x: Any) -> Any:
    """(v + u)/2 of a pair, a constant itself."""
    return 0.5 * (x.v + x.u) if isinstance(x, Pair) else x


def fit(c: Tensor, like: Pair) -> Tensor:
    """Transpose of broadcasting and promotion: `c` summed and cast to `like`'s shape and dtype."""
    if c.is_complex() and not like.is_complex():
        c = c.real
    if c.dtype != like.dtype:
        c = c.to(like.dtype)
    if c.shape != like.shape:
        c = c.sum(tuple(range(c.ndim - like.ndim))) if c.ndim > like.ndim else c
        narrow = tuple(d for d, n in enumerate(like.shape) if n == 1 and c.shape[d] != 1)
        c = c.sum(narrow, keepdim=True) if narrow else c
    return c
