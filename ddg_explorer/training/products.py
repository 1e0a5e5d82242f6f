"""Matrix products of compiled training steps.

torch multiplies through Intel's MKL, which on other makers' processors runs kernels of half the
vector width. On AMD ones with AVX-512 the products of `products.cpp` are twice as fast: they equal
`torch.mm` to rounding and do not depend on the number of threads. Everywhere else `torch.mm` is
used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ddg_explorer.training.native import TYPES, library, threads_for


def fast_product() -> Callable[..., Tensor]:
    """The faster of `product` and `torch.mm` on this machine: functions of a, b and `out`."""
    return product if slow_library() else torch.mm


@cache
def slow_library() -> bool:
    """Whether this is an AMD processor with AVX-512."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    info = Path("/proc/cpuinfo")
    return info.is_file() and "AuthenticAMD" in info.read_text()


def product(a: Tensor, b: Tensor, *, out: Tensor | None = None) -> Tensor:
    """a b by `products.cpp`, `(m, k)` and `(k, n)` of any strides, both float64 or both float32.

    Parameters
    ----------
    out
        Where the result goes: contiguous, `(m, n)`, apart from a and b. New by default.

    Raises
    ------
    ValueError
        For tensors that do not fit, or are not in this machine's memory.
    RuntimeError
        Where the C++ sources cannot be built.
    """
    _check(a, b)
    (m, k), n = a.shape, b.shape[1]
    if out is None:
        out = a.new_empty(m, n)
    elif out.shape != (m, n) or out.dtype != a.dtype or not out.is_contiguous():
        raise ValueError(f"out: must be contiguous, {(m, n)} and {a.dtype}")
    a, b = a.resolve_neg(), b.resolve_neg()
    left, right = (a.data_ptr(), *a.stride()), (b.data_ptr(), *b.stride())
    multiply = library()["product", a.dtype]
    multiply(m, n, k, *left, *right, out.data_ptr(), threads_for(m * n * k))
    return out


def _check(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"product of {tuple(a.shape)} and {tuple(b.shape)}: no matrices that fit")
    if a.dtype != b.dtype or a.dtype not in TYPES:
        raise ValueError(f"product of {a.dtype} and {b.dtype}: both must be float64 or float32")
    if {a.device.type, b.device.type} != {"cpu"}:
        raise ValueError(f"product of tensors on {a.device} and {b.device}: both must be on cpu")
